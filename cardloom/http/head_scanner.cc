#include "cardloom/http/head_scanner.h"

#include <fmt/format.h>

namespace cardloom::http {
namespace {

/// A TLS record begins with its type (22: handshake): somebody speaks https to a plain port.
constexpr char kTlsHandshake = 22;

bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

}  // namespace

HeadScanner::State HeadScanner::refuse(int status, std::string why) {
  refusal_ = {.status = status, .why = std::move(why)};
  return state_ = State::kRefused;
}

HeadScanner::State HeadScanner::end_line() {
  if (line_length_ == 0) return state_ = State::kDone;
  if (num_lines_ > limits_.max_headers) {
    return refuse(
        431, fmt::format("a request may have {} headers; this one has more", limits_.max_headers));
  }
  ++num_lines_;
  line_length_ = 0;
  return State::kMore;
}

HeadScanner::State HeadScanner::look_at(char c) {
  if (after_cr_) {
    after_cr_ = false;
    if (c != '\n') return refuse(400, "a CR in a request head must be followed by LF");
    return end_line();
  }
  if (c == '\r') {
    after_cr_ = true;
    return State::kMore;
  }
  const bool begins_line = line_length_++ == 0;
  if (begins_line && num_lines_ == 0 && !is_letter(c)) {
    return refuse(400, c == kTlsHandshake
                           ? "this port speaks plain HTTP, and the request is TLS: use http://"
                           : fmt::format("a request must begin with the letters of its method; "
                                         "this one begins with byte {}",
                                         static_cast<unsigned char>(c)));
  }
  if (begins_line && num_lines_ > 0 && (c == ' ' || c == '\t')) {
    return refuse(400, "a header must not be folded over several lines");
  }
  if (c == '\n') return refuse(400, "lines of a request head must end with CR LF, not LF alone");
  if (is_control(c)) {
    return refuse(400, fmt::format("a request head must not have control characters; byte {} is {}",
                                   position_, static_cast<unsigned char>(c)));
  }
  return State::kMore;
}

HeadScanner::State HeadScanner::scan(std::string_view head) {
  while (state_ == State::kMore && position_ < head.size()) {
    if (static_cast<std::int64_t>(position_) >= limits_.max_header_bytes) {
      return refuse(431, fmt::format("the head of a request may have {} bytes; this one has more",
                                     limits_.max_header_bytes));
    }
    look_at(head[position_]);
    ++position_;
  }
  return state_;
}

}  // namespace cardloom::http
