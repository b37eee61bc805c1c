#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "cardloom/http/listen_socket.h"

namespace cardloom::http {

/// Accepts connections and hands each to `take`. One for all I/O threads, which get connections in
/// turn: evenly, and a second server on the same port is refused, both of which SO_REUSEPORT does
/// not give. If descriptors run out it waits, and goes on when some are free again.
///
/// On the thread of its context.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  using Take = std::function<void(Descriptor socket, std::string peer)>;

  /// `write_stall`: how long bytes may wait for a client's machine to acknowledge them.
  Acceptor(boost::asio::io_context& context, ListenSocket socket, std::chrono::seconds write_stall,
           Take take);
  void start() { wait(); }
  /// Takes those that wait already, then no more.
  void close();

 private:
  enum class Next { kWait, kBackOff, kStop };
  void wait();
  void back_off();
  /// Accepts until none waits, or `most` were.
  Next accept_waiting(int most);

  using Clock = std::chrono::steady_clock;
  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> listener_;
  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>,
                                    boost::asio::io_context::executor_type>
      timer_;
  const std::chrono::milliseconds write_stall_;
  Take take_;
  Clock::time_point last_complaint_;
  bool closed_ = false;
};

}  // namespace cardloom::http
