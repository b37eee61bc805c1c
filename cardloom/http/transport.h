#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <optional>

namespace cardloom::http {

class Connection;

/// What runs when a socket operation ends: a member function of the connection, which it keeps
/// alive until then.
struct IoDone {
  using Member = void (Connection::*)(const boost::system::error_code&, std::size_t);
  std::shared_ptr<Connection> connection;
  Member member = nullptr;

  void operator()(const boost::system::error_code& failure, std::size_t num_bytes = 0) {
    call(failure, num_bytes);
  }

 private:
  void call(const boost::system::error_code& failure, std::size_t num_bytes);
};

/// A connected socket, TCP or unix, with TLS over it or not. At most one read and one write are
/// under way. On the thread of `context`.
class Transport {
 public:
  /// Takes `fd`, a connected stream socket of address family `family`. `tls`: null for none.
  Transport(boost::asio::io_context& context, int fd, int family, boost::asio::ssl::context* tls);

  [[nodiscard]] bool has_tls() const { return tls_.has_value(); }
  void shake_hands(IoDone done);
  void read_some(char* bytes, std::size_t size, IoDone done);
  void write_some(const char* bytes, std::size_t size, IoDone done);
  /// Tells the client that nothing more will come; what it sends can still be read.
  void finish_sending(IoDone done);
  /// Ends all operations.
  void close();

 private:
  using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                  boost::asio::io_context::executor_type>;
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
};

}  // namespace cardloom::http
