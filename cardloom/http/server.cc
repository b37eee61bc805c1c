#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <utility>

#include "cardloom/http/acceptor.h"
#include "cardloom/http/connection.h"
#include "cardloom/http/http_server.h"
#include "cardloom/http/listen_socket.h"
#include "cardloom/http/tls_context.h"

namespace cardloom::http {
namespace {

/// Connections beyond max_connections that are told 503; those beyond these are closed without a
/// word.
constexpr std::int64_t kMaxOverloaded = 64;

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

void fill_missing(Hooks& hooks) {
  if (!hooks.refuse) {
    hooks.refuse = [](int status, std::string why) {
      return Response{
          .status = status, .headers = {{"content-type", "text/plain"}}, .body = why + "\n"};
    };
  }
  if (!hooks.admit) hooks.admit = [](const RequestHead&) { return Admission(); };
  if (!hooks.handle) hooks.handle = [](const std::shared_ptr<Exchange>&) {};
}

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerOptions options, Hooks hooks) : shared_(std::make_shared<ServerShared>()) {
    fill_missing(hooks);
    shared_->options = std::move(options);
    shared_->hooks = std::move(hooks);
  }
  ~ServerImpl() override { ServerImpl::stop(); }

  Status begin();

  [[nodiscard]] std::uint16_t port() const override { return port_; }
  [[nodiscard]] ServerStats stats() const override;
  [[nodiscard]] int io_threads() const override { return static_cast<int>(threads_.size()); }
  void post(int index, std::function<void()> work) override {
    threads_[static_cast<std::size_t>(index)]->post(std::move(work));
  }
  void drain() override;
  [[nodiscard]] std::int64_t exchanges_under_way() const override { return shared_->exchanges; }
  Status reload_tls() override;
  void stop() override;

 private:
  void take(Descriptor socket, std::string peer);
  void close_acceptor();
  [[nodiscard]] TlsContext tls() const {
    const std::lock_guard lock(tls_mutex_);
    return tls_;
  }

  const std::shared_ptr<ServerShared> shared_;
  std::vector<std::shared_ptr<IoThread>> threads_;
  std::shared_ptr<Acceptor> acceptor_;  ///< works on thread 0
  std::size_t next_thread_ = 0;         ///< on thread 0
  std::uint16_t port_ = 0;
  int family_ = 0;
  mutable std::mutex tls_mutex_;
  TlsContext tls_;  ///< under tls_mutex_; null: plain HTTP
  std::atomic<bool> unlinked_{false};
  std::mutex stop_mutex_;
  bool stopped_ = false;  ///< under stop_mutex_
};

Status ServerImpl::begin() {
  const ServerOptions& options = shared_->options;
  if (options.io_threads < 1 || options.io_threads > 64) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("io_threads must be 1 to 64; it is {}", options.io_threads));
  }
  if (const Status loaded = reload_tls(); !loaded) return loaded;
  Result<ListenSocket> socket = options.unix_socket.empty() ? listen_tcp(options.host, options.port)
                                                            : listen_unix(options.unix_socket);
  if (!socket) return socket.error();
  port_ = socket->port;
  family_ = socket->family;
  for (int index = 0; index < options.io_threads; ++index) {
    threads_.push_back(std::make_shared<IoThread>(index));
  }
  acceptor_ = std::make_shared<Acceptor>(threads_[0]->context(), *std::move(socket),
                                         std::chrono::seconds(options.write_stall_s),
                                         [this](Descriptor accepted, std::string peer) {
                                           take(std::move(accepted), std::move(peer));
                                         });
  for (const auto& thread : threads_) thread->start();
  threads_[0]->post([acceptor = acceptor_] { acceptor->start(); });
  return {};
}

Status ServerImpl::reload_tls() {
  const ServerOptions& options = shared_->options;
  if (options.tls_certificate.empty() && options.tls_key.empty()) return {};
  Result<TlsContext> loaded = load_tls(options.tls_certificate, options.tls_key);
  if (!loaded) return loaded.error();
  const std::lock_guard lock(tls_mutex_);
  tls_ = *std::move(loaded);
  return {};
}

void ServerImpl::take(Descriptor socket, std::string peer) {
  ++shared_->accepted;
  const std::int64_t most = shared_->options.max_connections;
  const std::int64_t count = ++shared_->connections;
  if (count > most + kMaxOverloaded) {
    --shared_->connections;
    ++shared_->refused;
    return;
  }
  const std::shared_ptr<IoThread>& thread = threads_[next_thread_++ % threads_.size()];
  // Shared, because std::function copies: closed if the thread never runs this.
  auto holder = std::make_shared<Descriptor>(std::move(socket));
  thread->post([shared = shared_, thread, holder, tls = tls(), family = family_,
                peer = std::move(peer), overloaded = count > most] {
    const auto connection = std::make_shared<Connection>(
        shared, thread,
        Accepted{.fd = holder->get(), .family = family, .peer = peer, .overloaded = overloaded},
        tls);
    holder->release();
    connection->start();
  });
}

ServerStats ServerImpl::stats() const {
  return {.connections = shared_->connections,
          .accepted = shared_->accepted,
          .slow_clients = shared_->slow_clients,
          .refused = shared_->refused,
          .body_bytes = shared_->body_bytes};
}

/// Returns when no connection will be taken any more.
void ServerImpl::close_acceptor() {
  // Once, and before the socket closes: later the path may be another server's.
  const std::string& path = shared_->options.unix_socket;
  if (!path.empty() && !unlinked_.exchange(true)) unlink(path.c_str());
  const auto closed = std::make_shared<std::promise<void>>();
  threads_[0]->post([acceptor = acceptor_, closed] {
    acceptor->close();
    closed->set_value();
  });
  if (threads_[0]->is_current()) return;  // the connections already taken come after this one
  closed->get_future().wait();
}

void ServerImpl::drain() {
  if (shared_->draining.exchange(true)) return;
  close_acceptor();
  for (const auto& thread : threads_) {
    thread->post([io = thread.get()] {
      for (Connection* const connection : io->connections()) connection->wake();
    });
  }
}

void ServerImpl::stop() {
  const std::lock_guard lock(stop_mutex_);
  if (stopped_ || threads_.empty()) return;
  stopped_ = true;
  shared_->stopping = true;
  shared_->draining = true;
  close_acceptor();
  for (const auto& thread : threads_) {
    thread->post([io = thread.get()] {
      for (Connection* const connection : io->connections()) connection->lose();
    });
  }
  for (const auto& thread : threads_) thread->finish();
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Hooks hooks) {
  auto server = std::make_unique<ServerImpl>(std::move(options), std::move(hooks));
  if (const Status begun = server->begin(); !begun) return begun.error();
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace cardloom::http
