#include "cardloom/http/transport.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "cardloom/http/connection.h"

namespace cardloom::http {

namespace asio = boost::asio;

void IoDone::call(const boost::system::error_code& failure, std::size_t num_bytes) {
  (connection.get()->*member)(failure, num_bytes);
}

Transport::Transport(asio::io_context& context, int fd, int family, asio::ssl::context* tls)
    : socket_(context, asio::generic::stream_protocol(family, 0), fd) {
  if (tls != nullptr) tls_.emplace(socket_, *tls);
}

void Transport::shake_hands(IoDone done) {
  tls_->async_handshake(asio::ssl::stream_base::server, std::move(done));
}

void Transport::read_some(char* bytes, std::size_t size, IoDone done) {
  if (tls_) {
    tls_->async_read_some(asio::buffer(bytes, size), std::move(done));
  } else {
    socket_.async_read_some(asio::buffer(bytes, size), std::move(done));
  }
}

void Transport::write_some(const char* bytes, std::size_t size, IoDone done) {
  if (tls_) {
    tls_->async_write_some(asio::buffer(bytes, size), std::move(done));
  } else {
    socket_.async_write_some(asio::buffer(bytes, size), std::move(done));
  }
}

void Transport::finish_sending(IoDone done) {
  if (tls_) {
    tls_->async_shutdown(std::move(done));
    return;
  }
  boost::system::error_code ignored;  // the client may have closed already
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void Transport::close() {
  boost::system::error_code ignored;  // nothing to be done about it, and the descriptor is free
  socket_.close(ignored);
}

}  // namespace cardloom::http
