#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/api/api_error.h"

namespace cardloom::api {

/// One token of a reply with its log probability; `text` may be a part of a character.
struct TokenText {
  std::int32_t id = 0;
  std::string bytes;
  double logprob = 0;
};
struct TokenDetail {
  TokenText chosen;
  std::vector<TokenText> top;
};

/// Something new of a tool call. The first of an index has its id and name.
struct ToolCallDelta {
  std::int64_t index = 0;  ///< of the choice's calls
  std::string id;          ///< "call_..."; "" after the first
  std::string name;
  std::string arguments;  ///< the next piece of the JSON text
};

enum class ReplyEnd { kStop, kLength, kToolCalls };

/// What came of one choice since the last delta.
struct ReplyDelta {
  std::int64_t choice = 0;
  std::string text;  ///< whole characters
  std::vector<ToolCallDelta> tool_calls{};
  std::vector<TokenDetail> logprobs{};    ///< if asked for
  std::vector<std::int32_t> token_ids{};  ///< if asked for
};

struct Usage {
  std::int64_t prompt_tokens = 0;  ///< rows: a picture counts with all of its
  std::int64_t image_tokens = 0;   ///< of these
  std::int64_t cached_tokens = 0;  ///< of these
  std::int64_t completion_tokens = 0;
};

/// Milliseconds of each stage; sums over pictures.
struct ReplyTimings {
  double queue_ms = 0;
  double image_fetch_ms = 0;
  double image_decode_ms = 0;
  double image_preprocess_ms = 0;
  double image_encode_ms = 0;
  double prefill_ms = 0;
  double first_token_ms = 0;
  double decode_ms = 0;
  double tokens_per_second = 0;
};

/// One choice of a whole reply.
struct ReplyChoice {
  std::string text;
  struct ToolCall {
    std::string id;
    std::string name;
    std::string arguments;
  };
  std::vector<ToolCall> tool_calls;
  std::vector<TokenDetail> logprobs;
  std::vector<std::int32_t> token_ids;
  std::string stop_sequence;  ///< the stop string that ended it; "": none did
  ReplyEnd end = ReplyEnd::kStop;
};

struct PromptProgress {
  std::int64_t images_done = 0, images = 0;
  std::int64_t tokens_done = 0, tokens = 0;
};

/// What every reply says of itself.
struct ReplyIdentity {
  std::string id_suffix;  ///< 24 characters; each API has a prefix of its own
  std::string model;
  std::int64_t created = 0;  ///< seconds since 1970
  std::string fingerprint;   ///< system_fingerprint
  /// Of each prompt, a picture as its place repeated, if return_token_ids asks for them.
  std::vector<std::vector<std::int32_t>> prompt_ids{};
};

/// Words one reply in one API's shape. Pure: every member returns the bytes to send. For a stream
/// begin, then deltas, then end_choice of every choice, then end; or fail at any moment. Else body.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;

  [[nodiscard]] virtual std::string begin() = 0;
  [[nodiscard]] virtual std::string progress(const PromptProgress& progress) = 0;
  /// `so_far`: for APIs that tell usage as it grows.
  [[nodiscard]] virtual std::string delta(const ReplyDelta& delta, const Usage& so_far) = 0;
  [[nodiscard]] virtual std::string end_choice(std::int64_t choice, ReplyEnd end,
                                               const std::string& stop_sequence) = 0;
  [[nodiscard]] virtual std::string end(const Usage& usage, const ReplyTimings& timings) = 0;
  /// Something that no client takes for content.
  [[nodiscard]] virtual std::string ping() = 0;
  /// A failure after the 200; the stream is closed behind it.
  [[nodiscard]] virtual std::string fail(const ApiError& error) = 0;

  /// The whole reply, not streamed.
  [[nodiscard]] virtual std::string body(const std::vector<ReplyChoice>& choices,
                                         const Usage& usage, const ReplyTimings& timings) = 0;
};

}  // namespace cardloom::api
