#pragma once

#include <string>

#include "cardloom/base/result.h"
#include "cardloom/engine/engine.h"

namespace cardloom {

struct CardOptions {
  int num_cards = 1;         ///< 1 to 8
  int threads_per_card = 0;  ///< 0: share the cores this process may use
  std::string isa{};         ///< instruction path; "" or "auto": the fastest that runs here
};

/// Cards ready for an engine, and what to tell the user about them.
struct PlacedCards {
  CardGroup cards;
  std::string device;  ///< "cpu"
  std::string instruction_path;
  int threads_per_card = 1;
  std::string warning;  ///< if cards must share cores; else empty
};

/// The table of devices: cards of this machine, and communicators between them.
///
/// Returns kInvalidArgument, saying what works, if the number of cards is not 1 to 8, that of
/// threads is negative or above 1024, or the instruction path is unknown or does not run here.
Result<PlacedCards> make_cards(const CardOptions& options, Location caller = Location::current());

}  // namespace cardloom
