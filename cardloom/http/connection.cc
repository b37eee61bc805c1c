#include "cardloom/http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <exception>
#include <utility>

namespace cardloom::http {
namespace {

using std::chrono::seconds;

/// An idle connection's share of memory; a head rarely needs more than one such read.
constexpr std::size_t kHeadReadBytes = 4 << 10;
constexpr std::size_t kBodyReadBytes = 64 << 10;
/// A body may take body_timeout_s plus this much time per byte: a picture over a slow line is
/// welcome, a client that sends a byte a second is not.
constexpr std::int64_t kMinBodyBytesPerSecond = 16 << 10;
/// A refused body up to this size is read and forgotten, so that the connection can be kept.
constexpr std::int64_t kMaxSkippedBody = 64 << 10;
/// How long a client may go on sending after the last answer: closing while it sends would reset
/// the connection, and it might never read why.
constexpr seconds kLinger(2);

/// A request counts as under way from its head to the last byte of its answer.
class UnderWay {
 public:
  explicit UnderWay(ServerShared& shared) : shared_(shared) { ++shared_.exchanges; }
  ~UnderWay() { --shared_.exchanges; }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  ServerShared& shared_;
};

}  // namespace

Connection::Connection(std::shared_ptr<ServerShared> shared, std::shared_ptr<IoThread> io,
                       Accepted accepted, std::shared_ptr<boost::asio::ssl::context> tls)
    : shared_(std::move(shared)),
      io_(std::move(io)),
      tls_(std::move(tls)),
      peer_(std::move(accepted.peer)),
      overloaded_(accepted.overloaded),
      transport_(io_->context(), accepted.fd, accepted.family, tls_.get()),
      timer_(io_->context()) {}

Connection::~Connection() = default;

void Connection::start() {
  io_->connections().insert(this);
  const auto end = [self = shared_from_this()](const std::exception_ptr& failure) {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& reason) {
      fmt::print(stderr, "http: connection of {}: {}\n", self->peer_, reason.what());
    }
    self->close();
  };
  try {
    boost::asio::co_spawn(io_->context().get_executor(), serve(), end);
  } catch (...) {  // no memory for the coroutine
    end(std::current_exception());
  }
}

void Connection::close() {
  lose();
  if (io_->connections().erase(this) == 1) --shared_->connections;
}

void Connection::lose() {
  if (lost_) return;
  lost_ = true;
  transport_.close();
  if (const auto exchange = exchange_.lock(); exchange && answer_ != Answer::kComplete) {
    exchange->mark_gone();
  }
  // Posted: the handler may be in the middle of a write(), with its own locks held. Moved out: the
  // callback may hold the exchange, and thereby itself.
  if (on_gone_) io_->post(std::exchange(on_gone_, nullptr));
  wake();
}

auto Connection::sleep_until(Clock::time_point time) -> Task<void> {
  timer_.expires_at(time);
  boost::system::error_code ignored;  // cancelled or expired: the caller looks at what is the case
  co_await timer_.async_wait(
      boost::asio::redirect_error(boost::asio::use_awaitable_t<Executor>(), ignored));
}

void Connection::start_reading() {
  if (reading_ || ended_ || lost_) return;
  // Beyond, requests sent ahead of their turn stay in the kernel: the client must wait.
  const auto most = static_cast<std::size_t>(shared_->options.max_header_bytes) + in_wanted_;
  if (in_.size() > most) return;
  reading_ = true;
  const std::size_t size = in_wanted_;
  transport_.read_some(in_.prepare(size), size, {shared_from_this(), &Connection::on_read});
}

void Connection::on_read(const boost::system::error_code& failure, std::size_t num_bytes) {
  reading_ = false;
  in_.commit(num_bytes);
  if (failure) {
    ended_ = true;
    if (answer_ != Answer::kComplete) lose();
  }
  wake();
}

void Connection::on_handshake(const boost::system::error_code& failure, std::size_t) {
  shaken_ = !failure;
  if (failure) lose();
  wake();
}

auto Connection::shake_hands() -> Task<bool> {
  if (!transport_.has_tls()) co_return true;
  const auto deadline = Clock::now() + seconds(shared_->options.header_timeout_s);
  transport_.shake_hands({shared_from_this(), &Connection::on_handshake});
  while (!shaken_ && !lost_) {
    if (Clock::now() >= deadline) lose();
    if (!lost_) co_await sleep_until(deadline);
  }
  co_return !lost_;
}

auto Connection::serve() -> Task<void> {
  if (shared_->stopping) co_return;
  const bool shaken = co_await shake_hands();
  if (!shaken) co_return;
  if (overloaded_) {
    begin_answer(nullptr);
    refuse(503, fmt::format("the server has {} connections, and may not have more",
                            shared_->options.max_connections));
  } else {
    bool again = true;
    while (again) again = co_await serve_one();
  }
  co_await finish();
}

auto Connection::serve_one() -> Task<bool> {
  RequestParser parser({.max_header_bytes = shared_->options.max_header_bytes,
                        .max_headers = shared_->options.max_headers});
  const bool has_head = co_await read_head(parser);
  if (!has_head) co_return false;
  const UnderWay under_way(*shared_);
  begin_answer(&parser);
  Admission admission = admit(parser.head());
  if (admission.refusal) {
    ++shared_->refused;
    const bool skip = !parser.expects_continue() &&
                      parser.content_length().value_or(kMaxSkippedBody + 1) <= kMaxSkippedBody;
    if (!skip) {
      keep_alive_ = false;
      send_whole(std::move(*admission.refusal));
      co_return false;
    }
    admission.max_body_bytes = kMaxSkippedBody;
  }
  parser.limit_body(admission.max_body_bytes, !admission.refusal);
  BodyRoom room(shared_->body_bytes, shared_->options.max_pending_body_bytes);
  const bool has_body = co_await read_body(parser, room);
  if (!has_body) co_return false;
  if (admission.refusal) {
    send_whole(std::move(*admission.refusal));
  } else {
    hand_over(parser, std::move(room));
  }
  const bool again = co_await answered();
  co_return again;
}

auto Connection::read_head(RequestParser& parser) -> Task<bool> {
  const ServerOptions& options = shared_->options;
  auto deadline =
      Clock::now() + seconds(served_any_ ? options.keep_alive_s : options.header_timeout_s);
  bool begun = false;
  in_wanted_ = kHeadReadBytes;
  while (!lost_) {
    in_.consume(parser.take(in_.view()));
    if (parser.refusal()) {
      begin_answer(&parser);
      refuse(parser.refusal()->status, parser.refusal()->why);
      co_return false;
    }
    if (parser.has_head()) co_return true;
    if (!begun && !in_.empty()) {
      begun = true;
      deadline = Clock::now() + seconds(options.header_timeout_s);
    }
    if (ended_ || (!begun && shared_->draining)) break;
    if (Clock::now() >= deadline) {
      if (!begun) break;
      begin_answer(&parser);
      refuse(408, fmt::format("the head of a request must come within {} s of its first byte",
                              options.header_timeout_s));
      co_return false;
    }
    start_reading();
    co_await sleep_until(deadline);
  }
  lose();
  co_return false;
}

auto Connection::read_body(RequestParser& parser, BodyRoom& room) -> Task<bool> {
  const auto begin = Clock::now();
  std::int64_t num_bytes = 0;
  in_wanted_ = kBodyReadBytes;
  if (parser.expects_continue() && !parser.refusal() && !parser.is_done() && in_.empty()) {
    send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  while (!lost_) {
    const std::size_t taken = parser.take(in_.view());
    in_.consume(taken);
    num_bytes += static_cast<std::int64_t>(taken);
    if (parser.refusal()) {
      refuse(parser.refusal()->status, parser.refusal()->why);
      co_return false;
    }
    // What has come, and the buffer for what comes next: a client that sends slowly holds little.
    const bool has_room =
        room.grow_to(num_bytes + (parser.is_done() ? 0 : std::int64_t{kBodyReadBytes}));
    if (!has_room) {
      refuse(503, fmt::format("the server holds bodies of {} bytes, of {} that it may: try again "
                              "in a moment",
                              shared_->body_bytes.load(), shared_->options.max_pending_body_bytes));
      co_return false;
    }
    if (parser.is_done()) co_return true;
    if (ended_) break;
    const auto deadline = begin + seconds(shared_->options.body_timeout_s) +
                          std::chrono::milliseconds(1000 * num_bytes / kMinBodyBytesPerSecond);
    if (Clock::now() >= deadline) {
      refuse(408, fmt::format("a body must come within {} s and at {} bytes/s; {} bytes came",
                              shared_->options.body_timeout_s, kMinBodyBytesPerSecond, num_bytes));
      co_return false;
    }
    start_reading();
    co_await sleep_until(deadline);
  }
  lose();
  co_return false;
}

Admission Connection::admit(const RequestHead& head) {
  try {
    return shared_->hooks.admit(head);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "http: {} {}: admission failed: {}\n", head.method, head.path,
               failure.what());
  }
  Admission failed;
  failed.refusal = word(500, "the request could not be judged");
  return failed;
}

void Connection::hand_over(RequestParser& parser, BodyRoom room) {
  in_wanted_ = kHeadReadBytes;
  auto exchange = std::make_shared<ConnectionExchange>(
      shared_from_this(), number_, std::move(parser.head()), parser.take_body(), std::move(room));
  exchange_ = exchange;
  const std::string what = fmt::format("{} {}", exchange->head().method, exchange->head().path);
  try {
    shared_->hooks.handle(std::move(exchange));
  } catch (const std::exception& failure) {
    fmt::print(stderr, "http: {}: the handler failed: {}\n", what, failure.what());
    abandon(number_);
  }
}

auto Connection::answered() -> Task<bool> {
  const auto stall = seconds(shared_->options.write_stall_s);
  while (!lost_ && (answer_ != Answer::kComplete || writing_)) {
    if (is_stalled()) {
      cut_slow_client();
      break;
    }
    start_reading();
    // Not at each write's own deadline, which would cost a timer operation a piece: a stall is
    // noticed up to a quarter late.
    co_await sleep_until(Clock::now() + stall / 4);
  }
  served_any_ = true;
  co_return !lost_ && keep_alive_;
}

auto Connection::finish() -> Task<void> {
  keep_alive_ = false;
  co_await answered();
  if (lost_) co_return;
  transport_.finish_sending({shared_from_this(), &Connection::on_shutdown});
  const auto deadline = Clock::now() + kLinger;
  while (!ended_ && !lost_ && Clock::now() < deadline) {
    in_.consume(in_.size());
    start_reading();
    co_await sleep_until(deadline);
  }
}

}  // namespace cardloom::http
