#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "cardloom/engine/engine.h"
#include "cardloom/image/decode.h"
#include "cardloom/models/chat.h"
#include "cardloom/models/glm4v/memory_plan.h"
#include "cardloom/models/registry.h"
#include "cardloom/tokenizer/tokenizer.h"

/// What the commands that run a model have in common: checkpoint, prompt, cards, engine.
namespace cardloom::app {

/// A checkpoint's config and tokenizer; its weights are not read yet.
struct Checkpoint {
  LoadedModelDirectory directory;
  std::unique_ptr<Tokenizer> tokenizer;

  [[nodiscard]] const glm4v::Glm4vConfig& config() const { return directory.config; }
  [[nodiscard]] ChatStyle style() const;
  /// End-of-sequence ids: generation_config.json's, else config.json's.
  [[nodiscard]] const std::vector<std::int32_t>& stop_ids() const;
};

/// Throws Failure(kExitBadModel).
[[nodiscard]] LoadedModelDirectory open_directory(const std::string& path);
[[nodiscard]] Checkpoint open_checkpoint(const std::string& path);

/// Throws Failure(kExitUsage), naming the first common option out of range and what works.
void check_common(const CommonOptions& options);
/// The same for one option: "--chunk is 0, but must be 1 to 65536".
void check_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high,
                 Location at = Location::current());
/// Throws Failure(kExitUsage) if the model has fewer positions than --context.
void check_context(std::int64_t context, const glm4v::Glm4vConfig& config);
/// The instruction path that --isa or CARDLOOM_ISA names, or the fastest. Throws
/// Failure(kExitUsage) if there is no such path, kExitDevice if this machine lacks it.
[[nodiscard]] std::string chosen_isa(const CommonOptions& options);
[[nodiscard]] DType dtype_of(const CommonOptions& options);
/// As --weights and --vision-weights say, else as --dtype. Vision is bound by arithmetic, not by
/// memory, and small errors in pictures are read by every later token: so it is not quantised
/// unless asked for. Throws Failure(kExitUsage) for a format that there is not or that does not go
/// with the dtype.
[[nodiscard]] glm4v::WeightFormats formats_of(const CommonOptions& options);
/// As --kv-cache says, else as --dtype; kI8 for q8. Throws as formats_of does.
[[nodiscard]] DType kv_cache_of(const CommonOptions& options);
/// "q8:32", or "q8:32, vision bf16" where they differ.
[[nodiscard]] std::string formats_text(const glm4v::WeightFormats& formats);
[[nodiscard]] DecodeOptions decode_options(const CommonOptions& options);

/// pixel_values of a picture, and how long its making took.
struct LoadedPicture {
  Tensor pixel_values;
  std::chrono::nanoseconds decode{};
  std::chrono::nanoseconds preprocess{};
};
/// `reference` is a path or a file:// URL.
/// Throws Failure(kExitUsage) if the file is no picture that works, or the model takes none.
[[nodiscard]] LoadedPicture load_picture(const std::string& reference, const Checkpoint& checkpoint,
                                         const CommonOptions& options);

struct PreparedPrompt {
  Prompt prompt;
  std::int64_t num_images = 0;
  std::int64_t image_rows = 0;  ///< of all pictures
  std::chrono::nanoseconds decode{};
  std::chrono::nanoseconds preprocess{};
};

/// The prompt of a conversation; its pictures are loaded from the paths in it.
/// Throws Failure(kExitUsage) as tokenize_chat, load_picture and make_prompt return.
[[nodiscard]] PreparedPrompt prepare_chat(const Checkpoint& checkpoint,
                                          const std::vector<ChatMessage>& messages,
                                          const CommonOptions& options);
/// The prompt of raw ids; `images` belong to the begin-of-image ids in order.
[[nodiscard]] PreparedPrompt prepare_ids(const Checkpoint& checkpoint, const std::string& ids,
                                         const std::vector<std::string>& images,
                                         const CommonOptions& options);

/// A message without tools.
[[nodiscard]] ChatMessage make_message(std::string role, std::string content,
                                       std::vector<std::string> images = {});

/// The messages of a JSON file in OpenAI's form; `images` join the last message of the user.
[[nodiscard]] std::vector<ChatMessage> read_chat(const std::string& path,
                                                 const std::vector<std::string>& images);

struct EngineNeeds {
  std::int64_t max_logits_rows = 1;
  std::int64_t context_tokens = 0;  ///< of a sequence; 0: as the options say
  std::int64_t max_sequences = 1;   ///< at once, each with a whole context
  bool fingerprints = false;
  std::int64_t kv_tokens = 0;      ///< rows of the KV cache; 0: a whole context for each sequence
  std::int64_t picture_bytes = 0;  ///< of encoded pictures on a card; 0: as the KV cache can show
  std::int64_t speculate_ngram = 0;
  std::int64_t vision_layers_per_step = 0;  ///< 0: all
  bool populate = false;                    ///< take all memory at once, as a server should
  /// How many bytes of the weights are there, of how many; any thread may call it.
  std::function<void(std::int64_t done, std::int64_t total)> on_load{};
};
/// Tokens of one sequence.
[[nodiscard]] std::int64_t context_of(const CommonOptions& options, const EngineNeeds& needs,
                                      const glm4v::Glm4vConfig& config);
[[nodiscard]] EngineOptions engine_options(const CommonOptions& options, const EngineNeeds& needs,
                                           const glm4v::Glm4vConfig& config);

/// An engine on its cards, and what is told about them.
struct LoadedEngine {
  std::unique_ptr<Engine> engine;
  int tp = 1;
  int threads_per_card = 1;
  std::string instruction_path;
  DType dtype = DType::kBF16;
  glm4v::WeightFormats weights;
  DType kv_cache = DType::kBF16;
  std::chrono::nanoseconds load_time{};

  /// "2 cards x 1 thread, avx512_bf16, bf16", and ", weights q8:32", ", vision weights q8:32",
  /// ", KV cache q8" where they are not what the dtype is.
  [[nodiscard]] std::string describe() const;
};

/// Places cards (a warning goes to stderr), checks that the plan fits this machine's memory, loads
/// the weights (progress on stderr if that is a terminal).
/// Throws Failure with kExitUsage, kExitNoMemory, kExitBadModel or kExitDevice.
[[nodiscard]] LoadedEngine load_engine(const Checkpoint& checkpoint, const CommonOptions& options,
                                       const EngineNeeds& needs = {});

}  // namespace cardloom::app
