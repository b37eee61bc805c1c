#include "apps/bench_serve_client.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "apps/bench_serve_reply.h"
#include "apps/failure.h"
#include "apps/text.h"

namespace cardloom::app {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using asio::awaitable;
using asio::ip::tcp;

/// What all requests of a run share; one thread.
class Load {
 public:
  Load(const std::vector<LoadRequest>& load, const ClientOptions& options)
      : load_(load), options_(options), outcomes_(load.size()) {}

  std::vector<RequestOutcome> run() {
    boost::system::error_code failure;
    const auto found =
        tcp::resolver(io_).resolve(options_.host, std::to_string(options_.port), failure);
    if (failure) {
      fail_usage(fmt::format("--url: there is no host \"{}\"", options_.host), failure.message(),
                 "--url http://127.0.0.1:8000");
    }
    endpoint_ = *found.begin();
    begin_ = Clock::now();
    asio::co_spawn(io_, send_all(), asio::detached);
    io_.run();
    return std::move(outcomes_);
  }

 private:
  [[nodiscard]] double now() const {
    return std::chrono::duration<double>(Clock::now() - begin_).count();
  }

  awaitable<void> send_all() {
    asio::steady_timer timer(io_);
    for (std::size_t index = 0; index < load_.size(); ++index) {
      const auto due = begin_ + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(load_[index].at_s));
      if (due > Clock::now()) {
        timer.expires_at(due);
        co_await timer.async_wait(asio::use_awaitable);
      }
      while (options_.concurrency > 0 && under_way_ >= options_.concurrency) {
        asio::steady_timer free(io_, Clock::time_point::max());
        free_place_ = &free;
        boost::system::error_code woken;
        co_await free.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        free_place_ = nullptr;
      }
      ++under_way_;
      asio::co_spawn(io_, send(index), asio::detached);
    }
  }

  awaitable<void> send(std::size_t index) {
    RequestOutcome& outcome = outcomes_[index];
    outcome.request = load_[index];
    outcome.sent = now();
    // Shared: a deadline that has passed already is told after we have ended.
    const std::shared_ptr<tcp::socket> socket = take_socket();
    asio::steady_timer deadline(io_, std::chrono::duration_cast<Clock::duration>(
                                         std::chrono::duration<double>(options_.timeout_s)));
    deadline.async_wait([socket, &outcome](boost::system::error_code cancelled) {
      if (cancelled || outcome.end > 0) return;
      outcome.error = "timeout";
      socket->close();
    });
    try {
      if (!socket->is_open()) {
        co_await socket->async_connect(endpoint_, asio::use_awaitable);
        socket->set_option(tcp::no_delay(true));
      }
      co_await asio::async_write(*socket, asio::buffer(request_text(index)), asio::use_awaitable);
      const bool is_free = co_await read_reply(*socket, outcome);
      if (is_free && options_.keep_connections) idle_.push_back(socket);
    } catch (const boost::system::system_error& failure) {
      if (outcome.error.empty()) outcome.error = failure.code().message();
    } catch (const std::exception& failure) {
      if (outcome.error.empty()) outcome.error = failure.what();
    }
    outcome.end = now();
    deadline.cancel();
    --under_way_;
    if (free_place_ != nullptr) free_place_->cancel();
  }

  /// One that an earlier request has left, or a new one that is not open yet.
  std::shared_ptr<tcp::socket> take_socket() {
    while (!idle_.empty()) {
      const std::shared_ptr<tcp::socket> socket = std::move(idle_.back());
      idle_.pop_back();
      // Nothing may have come since: the server has closed it.
      char byte = 0;
      if (::recv(socket->native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
          (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return socket;
      }
    }
    return std::make_shared<tcp::socket>(io_);
  }

  /// Whether the connection may be used again.
  awaitable<bool> read_reply(tcp::socket& socket, RequestOutcome& outcome) {
    ReplyReader reader;
    std::array<char, 16384> bytes;
    boost::system::error_code error;
    while (!reader.is_complete()) {
      const std::size_t count = co_await socket.async_read_some(
          asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
      const int status_before = reader.status();
      const std::int64_t chunks = reader.append({bytes.data(), count});
      const double at = now();
      if (status_before == 0 && reader.status() != 0) outcome.head = at;
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) outcome.tokens.push_back(at);
    }
    outcome.status = reader.status();
    outcome.is_complete = reader.is_done();
    outcome.completion_tokens = reader.completion_tokens();
    outcome.retry_after = reader.has_retry_after();
    if (outcome.error.empty()) outcome.error = reader.error();
    if (outcome.error.empty() && !outcome.ok()) outcome.error = "the connection broke off";
    co_return reader.leaves_connection();
  }

  /// A prompt of about so many tokens: short words that every tokenizer knows.
  [[nodiscard]] std::string prompt_text(std::size_t index) const {
    std::string text = options_.shared_prefix ? std::string() : fmt::format("{} ", index);
    const std::int64_t words = load_[index].prompt_tokens;
    for (std::int64_t word = 0; word < words; ++word) text += word == 0 ? "What" : " is";
    return text;
  }

  [[nodiscard]] std::string host_text() const {
    const bool is_v6 = options_.host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", options_.host, is_v6 ? "]" : "",
                       options_.port);
  }

  [[nodiscard]] std::string request_text(std::size_t index) const {
    json::array content{json::object{{"type", "text"}, {"text", prompt_text(index)}}};
    if (!options_.picture.empty()) {
      content.push_back(json::object{{"type", "image_url"},
                                     {"image_url", json::object{{"url", options_.picture}}}});
    }
    json::object request{
        {"messages", json::array{json::object{{"role", "user"}, {"content", std::move(content)}}}},
        {"max_tokens", load_[index].answer_tokens},
        {"temperature", 0},
        {"stream", true},
        {"stream_options", json::object{{"include_usage", true}}}};
    if (options_.min_tokens) {
      request["min_tokens"] = load_[index].answer_tokens;
    } else {
      request["ignore_eos"] = true;
    }
    if (!options_.model.empty()) request["model"] = options_.model;
    const std::string body = to_json_text(request);
    std::string key;
    if (!options_.api_key.empty()) key = "authorization: Bearer " + options_.api_key + "\r\n";
    return fmt::format(
        "POST {}/v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n"
        "{}{}content-length: {}\r\n\r\n{}",
        options_.path_prefix, host_text(), options_.keep_connections ? "" : "connection: close\r\n",
        key, body.size(), body);
  }

  const std::vector<LoadRequest>& load_;
  const ClientOptions& options_;
  std::vector<RequestOutcome> outcomes_;
  asio::io_context io_{1};
  tcp::endpoint endpoint_;
  Clock::time_point begin_{};
  std::vector<std::shared_ptr<tcp::socket>> idle_;  ///< open, without a request
  std::int64_t under_way_ = 0;
  asio::steady_timer* free_place_ = nullptr;  ///< of send_all, while it waits
};

}  // namespace

std::vector<RequestOutcome> run_load(const std::vector<LoadRequest>& load,
                                     const ClientOptions& options) {
  return Load(load, options).run();
}

}  // namespace cardloom::app
