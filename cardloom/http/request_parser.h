#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cardloom/http/head_scanner.h"
#include "cardloom/http/http_server.h"

namespace cardloom::http {

/// Turns the bytes of one request, in pieces of any size, into its head and body. Beast parses;
/// what it would let pass and we do not is judged here: two lengths, both length and chunks,
/// transfer codings but chunked, HTTP/1.1 without one Host, doubtful paths, coded bodies.
class RequestParser {
 public:
  explicit RequestParser(const HeadLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// How many of `bytes` were taken; the others must come again, with what follows them. Stops
  /// after the head, after the body, and at a refusal.
  std::size_t take(std::string_view bytes);

  [[nodiscard]] bool has_head() const;
  [[nodiscard]] bool is_done() const;  ///< head and body
  /// Why this request cannot be served; its connection must be closed after the answer.
  [[nodiscard]] const std::optional<Refusal>& refusal() const;

  /// Once, after the head and before the body. The refusal is 413 from here on if the length that
  /// was announced, or (decoded) has come, exceeds `max_bytes`. Bytes that nobody will read are
  /// counted, not kept.
  void limit_body(std::int64_t max_bytes, bool keep);

  // After has_head().
  [[nodiscard]] RequestHead& head();
  [[nodiscard]] bool is_http_1_1() const;
  [[nodiscard]] bool keeps_alive() const;
  [[nodiscard]] bool expects_continue() const;
  /// As announced; nothing if the body is chunked. 0 if there is none.
  [[nodiscard]] std::optional<std::int64_t> content_length() const;

  [[nodiscard]] std::string take_body();  ///< after is_done()

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;  // keeps Beast, slow to compile, out of this header
};

}  // namespace cardloom::http
