// Input: what a picture process says to the server, which trusts none of it: a broken decoder may
// be somebody else's program. The first byte says how long the pieces are in which it comes.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cardloom/api/api_error.h"
#include "cardloom/base/json.h"
#include "cardloom/server/picture_wire.h"
#include "fuzz/require.h"

namespace {

using namespace cardloom::server;  // NOLINT: a program of one file

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 64 << 10) return 0;  // more would fill the socket, which nobody empties
  int ends[2];
  require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  // Never reached, however busy the machine is.
  const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  // Each piece costs the kernel some hundred bytes besides, and of these the socket holds 50 KiB.
  const std::size_t piece = std::max<std::size_t>(data[0] == 0 ? size : data[0], size / 32 + 1);
  for (std::size_t begin = 1; begin < size; begin += piece) {
    require(write_all(ends[0], data + begin, std::min(piece, size - begin), soon));
  }
  close(ends[0]);
  const std::optional<PictureReply> reply = read_reply(ends[1], soon);
  close(ends[1]);
  require(std::chrono::steady_clock::now() < soon);
  if (!reply) return 0;
  const PictureAnswer& answer = reply->answer;
  require(reply->error.has_value() == (answer.error_code >= 0));
  require(answer.num_pixels >= 0 && answer.decode_ns >= 0 && answer.preprocess_ns >= 0);
  const std::int64_t num_texts = answer.message_bytes + answer.detail_bytes + answer.remedy_bytes;
  require(num_texts <= 3 * kMaxErrorText);
  require(sizeof answer + static_cast<std::size_t>(num_texts) <= size - 1);
  if (!reply->error) return 0;
  require(static_cast<std::int64_t>(reply->error->message.size()) == answer.message_bytes);
  require(static_cast<std::int64_t>(reply->error->remedy.size()) == answer.remedy_bytes);
  // A client must get JSON, whatever the words are.
  const std::string body = cardloom::api::error_body(cardloom::api::api_error_of(*reply->error),
                                                     cardloom::api::ErrorShape::kOpenAi, "r");
  require(cardloom::parse_json(body, "the answer").has_value());
  return 0;
}
