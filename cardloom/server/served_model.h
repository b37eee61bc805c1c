#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cardloom/engine/engine_loop.h"
#include "cardloom/grammar/grammar.h"
#include "cardloom/models/chat.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/server/memory_table.h"
#include "cardloom/server/picture_source.h"
#include "cardloom/server/picture_workers.h"
#include "cardloom/tokenizer/tokenizer.h"

namespace cardloom::server {

class Metrics;

/// How the model is run, for people to read.
struct CardsText {
  std::int64_t tp = 1;
  std::int64_t threads_per_card = 1;
  std::string isa;
  std::string dtype;
  std::string weights;
  std::string kv_cache;
  std::int64_t block_size = 0;         ///< tokens of a KV block
  std::int64_t num_picture_slots = 0;  ///< encoded pictures that are kept
};

/// What requests need of the model that is served. Its parts belong to the application and outlive
/// the server; all of them may be used by any thread.
struct ServedModel {
  std::string id;  ///< what clients call it
  std::string
      fingerprint;  ///< of weights' names, formats and instruction path: same bits, same text
  std::int64_t created = 0;
  const Tokenizer* tokenizer = nullptr;
  const glm4v::Glm4vConfig* config = nullptr;
  ChatStyle style = ChatStyle::kGlm4v;
  std::vector<std::int32_t> stop_ids;
  CardsText cards;
  MemoryTable memory;
  EngineLoop* engine = nullptr;
  GrammarCompiler* grammars = nullptr;
  const PictureSource* pictures = nullptr;
  PictureWorkers* decoders = nullptr;           ///< nullptr: a text model
  std::int64_t max_total_pixels = 120'000'000;  ///< of all pictures of a request
  Metrics* metrics = nullptr;                   ///< the server's, which it fills in itself

  /// Rows of one encoded picture; 0: a text model.
  [[nodiscard]] std::int64_t image_rows() const {
    return config->vision ? config->vision->rows_per_image() : 0;
  }
};

}  // namespace cardloom::server
