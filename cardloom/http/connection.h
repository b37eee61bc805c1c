#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cardloom/http/body_room.h"
#include "cardloom/http/http_server.h"
#include "cardloom/http/io_thread.h"
#include "cardloom/http/read_buffer.h"
#include "cardloom/http/request_parser.h"
#include "cardloom/http/response_text.h"
#include "cardloom/http/transport.h"

namespace cardloom::http {

class ConnectionExchange;

/// What all connections of a server share. A connection that outlives the server keeps it.
struct ServerShared {
  ServerOptions options;
  Hooks hooks;
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::int64_t> exchanges{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> slow_clients{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::int64_t> body_bytes{0};  ///< of all bodies
  std::atomic<bool> draining{false};
  std::atomic<bool> stopping{false};
};

/// A socket just accepted.
struct Accepted {
  int fd = -1;
  int family = 0;
  std::string peer;
  bool overloaded = false;  ///< one too many: answer 503 and close
};

/// One client. A coroutine reads requests, has them handled and waits for the answers; a read is
/// always pending beside it, so that a hang-up is noticed at any time, and writes run by callbacks,
/// so that a piece of a stream does not wake the coroutine. It sleeps on the connection's only
/// timer, which is set to the next deadline and cancelled (wake()) if something happens before.
///
/// All on the I/O thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerShared> shared, std::shared_ptr<IoThread> io, Accepted accepted,
             std::shared_ptr<boost::asio::ssl::context> tls);
  ~Connection();

  void start();
  /// The client is gone, or nobody shall be served any more: closes, tells the handler.
  void lose();
  /// Something has happened that serve() may be waiting for.
  void wake() { timer_.cancel(); }

  // What an Exchange asks for. Ignored unless `number` is the exchange under way.
  void respond(std::uint64_t number, Response response);
  void begin_stream(std::uint64_t number, Response head);
  void write(std::uint64_t number, std::string_view bytes);
  void end_stream(std::uint64_t number);
  void on_gone(std::uint64_t number, std::function<void()> callback);
  /// The handler let go of the exchange without completing the answer.
  void abandon(std::uint64_t number);

  [[nodiscard]] IoThread& io() { return *io_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Executor = boost::asio::io_context::executor_type;
  template <class T>
  using Task = boost::asio::awaitable<T, Executor>;
  enum class Answer { kNone, kStreaming, kComplete };

  // connection.cc: the life of a connection
  Task<void> serve();
  Task<bool> shake_hands();
  Task<bool> serve_one();  ///< one request; false: the connection must end
  Task<bool> read_head(RequestParser& parser);
  Task<bool> read_body(RequestParser& parser, BodyRoom& room);
  Task<bool> answered();
  Task<void> finish();
  Task<void> sleep_until(Clock::time_point time);
  void hand_over(RequestParser& parser, BodyRoom room);
  [[nodiscard]] Admission admit(const RequestHead& head);
  void start_reading();
  void on_handshake(const boost::system::error_code& failure, std::size_t);
  void on_read(const boost::system::error_code& failure, std::size_t num_bytes);
  void on_shutdown(const boost::system::error_code&, std::size_t) {}
  void close();

  // connection_answer.cc: what is sent
  void begin_answer(RequestParser* parser);
  /// The hook's words; an empty answer if it throws.
  [[nodiscard]] Response word(int status, std::string why);
  void refuse(int status, std::string why);
  void send_whole(Response response);
  void complete_answer();
  void send(std::string_view bytes);
  void start_writing();
  void on_written(const boost::system::error_code& failure, std::size_t num_bytes);
  void cut_slow_client();
  [[nodiscard]] bool is_stalled() const;
  [[nodiscard]] bool is_current(std::uint64_t number, Answer state) const {
    return !lost_ && number == number_ && answer_ == state;
  }

  const std::shared_ptr<ServerShared> shared_;
  const std::shared_ptr<IoThread> io_;
  const std::shared_ptr<boost::asio::ssl::context> tls_;
  const std::string peer_;
  const bool overloaded_;
  Transport transport_;
  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor> timer_;

  ReadBuffer in_;
  std::size_t in_wanted_ = 4096;  ///< bytes a read asks for
  bool reading_ = false;
  bool shaken_ = false;      ///< the TLS handshake is done
  bool ended_ = false;       ///< the client sends no more
  bool lost_ = false;        ///< closed; nothing can be sent
  bool keep_alive_ = true;   ///< after the answer under way
  bool served_any_ = false;  ///< an answer was completed

  std::uint64_t number_ = 0;  ///< of the exchange under way, or of the last one
  Answer answer_ = Answer::kComplete;
  BodyFraming framing_ = BodyFraming::kLength;
  bool is_head_ = false;  ///< the method: no body follows
  bool is_http_1_1_ = true;
  std::weak_ptr<ConnectionExchange> exchange_;
  std::function<void()> on_gone_;

  std::string sending_;  ///< bytes [sent_, size) are being written
  std::size_t sent_ = 0;
  std::string queued_;  ///< to be sent after them
  bool writing_ = false;
  Clock::time_point write_progress_;
};

/// One request and its answer, as the handler sees it.
class ConnectionExchange final : public Exchange,
                                 public std::enable_shared_from_this<ConnectionExchange> {
 public:
  ConnectionExchange(std::shared_ptr<Connection> connection, std::uint64_t number, RequestHead head,
                     std::string body, BodyRoom room)
      : connection_(std::move(connection)),
        number_(number),
        head_(std::move(head)),
        body_(std::move(body)),
        room_(std::move(room)) {}
  ~ConnectionExchange() override;

  [[nodiscard]] const RequestHead& head() const override { return head_; }
  [[nodiscard]] std::string& body() override { return body_; }
  void release_body() override {
    body_ = std::string();
    room_.release();
  }
  void respond(Response response) override;
  void begin_stream(Response head) override;
  void write(std::string bytes) override;
  void end_stream() override;
  void on_gone(std::function<void()> callback) override;
  [[nodiscard]] bool gone() const override { return state_ == State::kGone; }
  void post(std::function<void()> work) override { connection_->io().post(std::move(work)); }
  [[nodiscard]] int io_thread() const override { return connection_->io().index(); }

  /// By the connection, on its thread.
  void mark_complete() { state_ = State::kComplete; }
  void mark_gone() { state_ = State::kGone; }

 private:
  enum class State { kOpen, kComplete, kGone };
  template <class Work>
  void run(Work work);

  const std::shared_ptr<Connection> connection_;
  const std::uint64_t number_;
  const RequestHead head_;
  std::string body_;
  BodyRoom room_;  ///< of body_, or of what it was moved to; connection_ keeps what it counts in
  std::atomic<State> state_{State::kOpen};
};

}  // namespace cardloom::http
