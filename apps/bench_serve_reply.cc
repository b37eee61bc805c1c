#include "apps/bench_serve_reply.h"

#include <algorithm>
#include <charconv>

#include "cardloom/base/ascii.h"
#include "cardloom/base/json.h"

namespace cardloom::app {
namespace {

/// The value of a header, both in lower case; "" if it is not there.
std::string header_of(std::string_view head, std::string_view name) {
  const std::string lower = lower_case(head);
  const std::size_t at = lower.find("\r\n" + std::string(name) + ":");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 3;
  std::string value = lower.substr(begin, lower.find("\r\n", begin) - begin);
  value.erase(0, value.find_first_not_of(' '));
  return value;
}

}  // namespace

std::int64_t ReplyReader::append(std::string_view bytes) {
  wire_ += bytes;
  if (state_ == State::kHead) take_head();
  if (state_ != State::kHead) take_chunks();
  return take_events();
}

bool ReplyReader::leaves_connection() const {
  // The empty line behind the last chunk stays in wire_.
  return is_complete() && !closes_ && wire_ == (is_chunked_ ? "\r\n" : "");
}

void ReplyReader::take_head() {
  const std::size_t end = wire_.find("\r\n\r\n");
  if (end == std::string::npos) return;
  const std::string head = wire_.substr(0, end + 2);
  wire_.erase(0, end + 4);
  constexpr std::size_t kStatus = 9;  // after "HTTP/1.1 "
  if (head.size() > kStatus + 3) {
    std::from_chars(head.data() + kStatus, head.data() + kStatus + 3, status_);
  }
  is_events_ = header_of(head, "content-type").starts_with("text/event-stream");
  has_retry_after_ = !header_of(head, "retry-after").empty();
  closes_ = header_of(head, "connection") == "close";
  is_chunked_ = header_of(head, "transfer-encoding") == "chunked";
  if (is_chunked_) {
    state_ = State::kChunkSize;
    return;
  }
  const std::string length = header_of(head, "content-length");
  left_ = -1;
  if (!length.empty()) std::from_chars(length.data(), length.data() + length.size(), left_);
  state_ = left_ == 0 ? State::kEnd : State::kPlain;
}

void ReplyReader::take_chunks() {
  for (;;) {
    if (state_ == State::kPlain || state_ == State::kChunk) {
      const std::size_t count =
          left_ < 0 ? wire_.size() : std::min(wire_.size(), static_cast<std::size_t>(left_));
      body_.append(wire_, 0, count);
      wire_.erase(0, count);
      if (left_ < 0) return;
      left_ -= static_cast<std::int64_t>(count);
      if (left_ > 0) return;
      state_ = state_ == State::kPlain ? State::kEnd : State::kChunkEnd;
    }
    if (state_ == State::kChunkEnd) {
      if (wire_.size() < 2) return;
      wire_.erase(0, 2);
      state_ = State::kChunkSize;
    }
    if (state_ == State::kEnd) return;
    const std::size_t end = wire_.find("\r\n");
    if (end == std::string::npos) return;
    left_ = 0;
    std::from_chars(wire_.data(), wire_.data() + end, left_, 16);
    wire_.erase(0, end + 2);
    state_ = left_ == 0 ? State::kEnd : State::kChunk;
    if (state_ == State::kEnd) return;
  }
}

std::int64_t ReplyReader::take_events() {
  if (!is_events_) {
    if (state_ == State::kEnd && status_ != 200) error_ = body_.substr(0, 300);
    return 0;
  }
  std::int64_t parts = 0;
  for (std::size_t end = body_.find("\n\n"); end != std::string::npos; end = body_.find("\n\n")) {
    const std::string event = body_.substr(0, end);
    body_.erase(0, end + 2);
    constexpr std::string_view kData = "data: ";
    if (event.starts_with(kData) && take_event(std::string_view(event).substr(kData.size()))) {
      ++parts;
    }
  }
  return parts;
}

/// Whether the event holds a part of the answer.
bool ReplyReader::take_event(std::string_view data) {
  if (data == "[DONE]") {
    is_done_ = true;
    return false;
  }
  const Result<json::value> value = parse_json(data, "event");
  if (!value || !value->is_object()) return false;
  const json::object& chunk = value->as_object();
  if (const auto* error = chunk.if_contains("error")) {
    if (error->is_object() && error->as_object().contains("message")) {
      error_ = error->as_object().at("message").is_string()
                   ? std::string(error->as_object().at("message").as_string())
                   : "an error";
    }
    return false;
  }
  if (const auto* usage = chunk.if_contains("usage"); usage != nullptr && usage->is_object()) {
    const auto* tokens = usage->as_object().if_contains("completion_tokens");
    if (tokens != nullptr && tokens->is_int64()) completion_tokens_ = tokens->as_int64();
  }
  const auto* choices = chunk.if_contains("choices");
  if (choices == nullptr || !choices->is_array() || choices->as_array().empty()) return false;
  const json::value& choice = choices->as_array().front();
  const auto* delta = choice.is_object() ? choice.as_object().if_contains("delta") : nullptr;
  const auto* content =
      delta != nullptr && delta->is_object() ? delta->as_object().if_contains("content") : nullptr;
  return content != nullptr && content->is_string() && !content->as_string().empty();
}

}  // namespace cardloom::app
