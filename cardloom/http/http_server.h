#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cardloom/base/result.h"

namespace cardloom::http {

/// Names in lower case; values as sent, without white space around them.
using Headers = std::vector<std::pair<std::string, std::string>>;
/// The first value of `name` (lower case), or "".
[[nodiscard]] std::string_view find_header(const Headers& headers, std::string_view name);

/// The line and headers of a request.
struct RequestHead {
  std::string method;
  std::string path;   ///< percent-decoded, without query
  std::string query;  ///< as sent, without '?'
  Headers headers;
  std::string peer;  ///< "127.0.0.1:40312" or "unix"
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

/// What a server does with a request whose head it has read, before it reads the body.
struct Admission {
  std::optional<Response> refusal;  ///< sent instead of the handler's answer
  std::int64_t max_body_bytes = 0;  ///< beyond: the `too_large` response
};

/// One request and its answer. The server calls the handler on the connection's I/O thread; all
/// members may be called from any thread, before and after the client has gone.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const RequestHead& head() const = 0;
  /// May be moved out by the handler: a picture request is megabytes.
  [[nodiscard]] virtual std::string& body() = 0;
  /// The handler is done with the body, moved out or not: its bytes do not count any more.
  virtual void release_body() = 0;

  /// The whole answer. Once; not after begin_stream.
  virtual void respond(Response response) = 0;
  /// The head of an answer whose body comes in pieces (chunked). `head.body` is its first piece.
  virtual void begin_stream(Response head) = 0;
  /// More of the body. Pieces that come while one is being sent go out together. Beyond
  /// max_outbox_bytes, or a stalled write, the client counts as gone.
  virtual void write(std::string bytes) = 0;
  virtual void end_stream() = 0;

  /// Called once, on the I/O thread, if the client hangs up (or stalls) before the answer is
  /// complete: also while nothing is being sent. Set in the handler.
  virtual void on_gone(std::function<void()> callback) = 0;
  [[nodiscard]] virtual bool gone() const = 0;

  /// Runs `work` on the I/O thread of this connection.
  virtual void post(std::function<void()> work) = 0;
  /// The number of that thread, 0 .. io_threads - 1: answers of one thread are woken together.
  [[nodiscard]] virtual int io_thread() const = 0;
};

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< an address; ignored with unix_socket
  std::uint16_t port = 0;          ///< 0: any free one
  std::string unix_socket;         ///< a path; "": TCP
  std::string tls_certificate;     ///< PEM files; "": plain HTTP
  std::string tls_key;
  int io_threads = 2;
  std::int64_t max_connections = 8192;
  std::int64_t max_header_bytes = 16 << 10;
  std::int64_t max_headers = 100;
  std::int64_t max_outbox_bytes = 256 << 10;
  /// Of all bodies that are being read or kept by handlers, together; beyond: 503.
  std::int64_t max_pending_body_bytes = std::int64_t{256} << 20;
  int header_timeout_s = 10;
  int body_timeout_s = 60;
  int write_stall_s = 30;
  int keep_alive_s = 75;
};

/// How the server words what it must refuse by itself (the API's error shape is not its business).
struct Hooks {
  std::function<Admission(const RequestHead&)> admit;
  std::function<void(std::shared_ptr<Exchange>)> handle;
  /// status 400 (malformed), 408, 413, 431, 501, 503; `why` tells the rule with both values.
  std::function<Response(int status, std::string why)> refuse;
};

struct ServerStats {
  std::int64_t connections = 0;  ///< open now
  std::uint64_t accepted = 0;
  std::uint64_t slow_clients = 0;
  std::uint64_t refused = 0;
  std::int64_t body_bytes = 0;  ///< of bodies, see max_pending_body_bytes
};

/// HTTP/1.1 on a TCP port or unix socket, with TLS if asked: its I/O threads read requests within
/// limits and send answers. Nothing here knows of models.
class Server {
 public:
  /// Binds and begins to accept. kUnavailable if the port is taken or not for this user,
  /// kInvalidArgument for a bad address or certificate, with what to do.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Hooks hooks);
  virtual ~Server() = default;

  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual ServerStats stats() const = 0;
  [[nodiscard]] virtual int io_threads() const = 0;
  /// Runs `work` on I/O thread `index`.
  virtual void post(int index, std::function<void()> work) = 0;
  /// Takes no more connections; idle ones close; answers under way go on, with
  /// "connection: close".
  virtual void drain() = 0;
  [[nodiscard]] virtual std::int64_t exchanges_under_way() const = 0;
  /// Reads certificate and key again. The old ones stay if that fails.
  virtual Status reload_tls() = 0;
  /// Closes everything and joins the threads.
  virtual void stop() = 0;
};

}  // namespace cardloom::http
