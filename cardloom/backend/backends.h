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

/// What cards will take, before there are any.
struct CardPlan {
  int threads_per_card = 1;
  std::string instruction_path;
};
/// Returns as make_cards does.
Result<CardPlan> plan_cards(const CardOptions& options, Location caller = Location::current());

/// Bytes of Device::reserve_scratch on a card of such a plan; and of what each rank of a group uses
/// of its buffers (reserve_exchange).
struct CardBytes {
  std::int64_t scratch = 0;
  std::int64_t exchange = 0;
};
[[nodiscard]] CardBytes card_bytes(const CardPlan& plan, int world_size, const ScratchNeeds& needs);

/// Reserves both on the rank's card. Throws kResourceExhausted.
void reserve_card(CardGroup& cards, int rank, const ScratchNeeds& needs);

/// The table of devices: cards of this machine, and communicators between them.
///
/// Returns kInvalidArgument, saying what works, if the number of cards is not 1 to 8, that of
/// threads is negative or above 1024, or the instruction path is unknown or does not run here.
Result<PlacedCards> make_cards(const CardOptions& options, Location caller = Location::current());

}  // namespace cardloom
