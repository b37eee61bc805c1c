#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cardloom::app {

/// Reads one HTTP/1.1 answer of server-sent events as it comes: status, chunked or plain body,
/// events of OpenAI's stream.
class ReplyReader {
 public:
  /// More bytes; how many events with a part of the answer they complete.
  std::int64_t append(std::string_view bytes);

  [[nodiscard]] int status() const { return status_; }
  /// The body has ended.
  [[nodiscard]] bool is_complete() const { return state_ == State::kEnd; }
  /// It has ended, and another request may follow on the connection: nothing is left to be read,
  /// and the server does not close it.
  [[nodiscard]] bool leaves_connection() const;
  /// data: [DONE] came.
  [[nodiscard]] bool is_done() const { return is_done_; }
  [[nodiscard]] std::int64_t completion_tokens() const { return completion_tokens_; }
  [[nodiscard]] bool has_retry_after() const { return has_retry_after_; }
  /// What the server said went wrong; "": nothing.
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  enum class State { kHead, kChunkSize, kChunk, kChunkEnd, kPlain, kEnd };

  void take_head();
  void take_chunks();
  std::int64_t take_events();
  bool take_event(std::string_view data);

  State state_ = State::kHead;
  int status_ = 0;
  std::string wire_;       ///< not taken apart yet
  std::string body_;       ///< likewise
  std::int64_t left_ = 0;  ///< bytes of the chunk or plain body; -1: until the end
  bool is_chunked_ = false;
  bool closes_ = false;  ///< the server said that it closes the connection
  bool is_events_ = false;
  bool is_done_ = false;
  bool has_retry_after_ = false;
  std::int64_t completion_tokens_ = 0;
  std::string error_;
};

}  // namespace cardloom::app
