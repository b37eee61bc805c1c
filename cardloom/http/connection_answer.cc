// The sending half of a connection.
#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "cardloom/http/connection.h"

namespace cardloom::http {
namespace {

/// Capacity that an emptied outbox keeps: a few pieces of a stream.
constexpr std::size_t kKeptOutboxBytes = 16 << 10;

void empty(std::string& outbox) {
  if (outbox.capacity() > kKeptOutboxBytes) {
    outbox = std::string();
  } else {
    outbox.clear();
  }
}

}  // namespace

void Connection::begin_answer(RequestParser* parser) {
  ++number_;
  answer_ = Answer::kNone;
  exchange_.reset();
  is_head_ = false;
  is_http_1_1_ = true;
  if (parser == nullptr) return;
  is_http_1_1_ = parser->is_http_1_1();
  is_head_ = parser->head().method == "HEAD";
  keep_alive_ = parser->has_head() && parser->keeps_alive();
  parser->head().peer = peer_;
}

Response Connection::word(int status, std::string why) {
  try {
    return shared_->hooks.refuse(status, std::move(why));
  } catch (const std::exception& failure) {
    fmt::print(stderr, "http: wording a refusal with status {} failed: {}\n", status,
               failure.what());
  }
  return {.status = status, .headers = {}, .body = ""};
}

void Connection::refuse(int status, std::string why) {
  ++shared_->refused;
  keep_alive_ = false;
  send_whole(word(status, std::move(why)));
}

void Connection::send_whole(Response response) {
  if (shared_->draining) keep_alive_ = false;
  std::string text = response_head(
      response, {.framing = BodyFraming::kLength, .keep_alive = keep_alive_, .date = io_->date()});
  if (!is_head_ && may_have_body(response.status)) text += response.body;
  complete_answer();
  send(text);
}

void Connection::complete_answer() {
  answer_ = Answer::kComplete;
  on_gone_ = nullptr;
  if (const auto exchange = exchange_.lock()) exchange->mark_complete();
}

void Connection::send(std::string_view bytes) {
  queued_ += bytes;
  if (!writing_ && !lost_) start_writing();
}

void Connection::start_writing() {
  if (sent_ == sending_.size()) {
    empty(sending_);
    sending_.swap(queued_);
    sent_ = 0;
  }
  writing_ = !sending_.empty();
  if (!writing_) return wake();
  write_progress_ = Clock::now();
  transport_.write_some(sending_.data() + sent_, sending_.size() - sent_,
                        {shared_from_this(), &Connection::on_written});
}

void Connection::on_written(const boost::system::error_code& failure, std::size_t num_bytes) {
  if (failure) {
    writing_ = false;
    return lose();
  }
  sent_ += num_bytes;
  if (!lost_) start_writing();
}

bool Connection::is_stalled() const {
  return writing_ &&
         Clock::now() >= write_progress_ + std::chrono::seconds(shared_->options.write_stall_s);
}

void Connection::cut_slow_client() {
  ++shared_->slow_clients;
  lose();
}

void Connection::respond(std::uint64_t number, Response response) {
  if (is_current(number, Answer::kNone)) send_whole(std::move(response));
}

void Connection::begin_stream(std::uint64_t number, Response head) {
  if (!is_current(number, Answer::kNone)) return;
  answer_ = Answer::kStreaming;
  framing_ = is_http_1_1_ ? BodyFraming::kChunked : BodyFraming::kClose;
  if (shared_->draining || framing_ == BodyFraming::kClose) keep_alive_ = false;
  std::string text =
      response_head(head, {.framing = framing_, .keep_alive = keep_alive_, .date = io_->date()});
  // A HEAD request is answered by the head alone, whatever the handler goes on to write.
  is_head_ = is_head_ || !may_have_body(head.status);
  if (!is_head_ && framing_ == BodyFraming::kChunked) {
    append_chunk(text, head.body);
  } else if (!is_head_) {
    text += head.body;
  }
  send(text);
}

void Connection::write(std::uint64_t number, std::string_view bytes) {
  if (!is_current(number, Answer::kStreaming) || is_head_) return;
  // A piece may be larger than the outbox if none waits: its size is the handler's choice. What is
  // being sent does not count, so that the limit does not depend on how fast the thread is told.
  const auto most = static_cast<std::size_t>(shared_->options.max_outbox_bytes);
  if (!queued_.empty() && queued_.size() + bytes.size() > most) return cut_slow_client();
  if (framing_ == BodyFraming::kClose) return send(bytes);
  append_chunk(queued_, bytes);
  send({});
}

void Connection::end_stream(std::uint64_t number) {
  if (!is_current(number, Answer::kStreaming)) return;
  complete_answer();
  send(is_head_ || framing_ == BodyFraming::kClose ? "" : "0\r\n\r\n");
}

void Connection::on_gone(std::uint64_t number, std::function<void()> callback) {
  if (number != number_ || answer_ == Answer::kComplete) return;
  if (lost_) return callback();
  on_gone_ = std::move(callback);
}

void Connection::abandon(std::uint64_t number) {
  if (is_current(number, Answer::kNone)) {
    send_whole(word(500, "the server lost track of the request"));
  } else if (is_current(number, Answer::kStreaming)) {
    lose();  // without the last chunk: the client sees that the answer is not whole
  }
}

template <class Work>
void ConnectionExchange::run(Work work) {
  if (connection_->io().is_current()) {
    work(*connection_);
    return;
  }
  // Holds the exchange: were it destroyed before, it would count as abandoned.
  connection_->io().post(
      [self = shared_from_this(), work = std::move(work)]() mutable { work(*self->connection_); });
}

ConnectionExchange::~ConnectionExchange() {
  if (state_ != State::kOpen) return;
  fmt::print(stderr, "http: {} {}: the handler let go of the request without a whole answer\n",
             head_.method, head_.path);
  connection_->io().post(
      [connection = connection_, number = number_] { connection->abandon(number); });
}

void ConnectionExchange::respond(Response response) {
  run([number = number_, response = std::move(response)](Connection& connection) mutable {
    connection.respond(number, std::move(response));
  });
}

void ConnectionExchange::begin_stream(Response head) {
  run([number = number_, head = std::move(head)](Connection& connection) mutable {
    connection.begin_stream(number, std::move(head));
  });
}

void ConnectionExchange::write(std::string bytes) {
  run([number = number_, bytes = std::move(bytes)](Connection& connection) {
    connection.write(number, bytes);
  });
}

void ConnectionExchange::end_stream() {
  run([number = number_](Connection& connection) { connection.end_stream(number); });
}

void ConnectionExchange::on_gone(std::function<void()> callback) {
  run([number = number_, callback = std::move(callback)](Connection& connection) mutable {
    connection.on_gone(number, std::move(callback));
  });
}

}  // namespace cardloom::http
