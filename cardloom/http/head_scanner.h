#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cardloom::http {

/// What a server refuses by itself: the status, and the rule with both values.
struct Refusal {
  int status = 400;
  std::string why;
};

struct HeadLimits {
  std::int64_t max_header_bytes = 16 << 10;  ///< request line, headers and the empty line
  std::int64_t max_headers = 100;
};

/// Finds the end of a request's head in bytes that come in pieces of any size, looking at each byte
/// once, and refuses at the first byte what a lenient parser would mend (a way to smuggle
/// requests): a bare LF or CR, a control character, a folded line, a head beyond its limits.
class HeadScanner {
 public:
  enum class State { kMore, kDone, kRefused };

  explicit HeadScanner(const HeadLimits& limits) : limits_(limits) {}

  /// `head`: all bytes from the first one of the request line on, as many as have come.
  State scan(std::string_view head);

  /// After kDone: how many bytes of `head` belong to the head, the empty line among them.
  [[nodiscard]] std::size_t size() const { return position_; }
  /// After kRefused.
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }

 private:
  State refuse(int status, std::string why);
  State look_at(char c);
  State end_line();

  HeadLimits limits_;
  State state_ = State::kMore;
  std::size_t position_ = 0;     ///< bytes looked at
  std::size_t line_length_ = 0;  ///< of the current line, so far
  std::int64_t num_lines_ = 0;   ///< complete ones, the request line among them
  bool after_cr_ = false;
  Refusal refusal_;
};

}  // namespace cardloom::http
