// The life of a server: start, limits of time and number, drain, stop.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "cardloom/http/test_server.h"

namespace cardloom::http {
namespace {

using Clock = std::chrono::steady_clock;

std::string temporary_path(const std::string& name) {
  return std::filesystem::temp_directory_path() /
         ("cardloom-" + std::to_string(getpid()) + "-" + name);
}

Error start_error(const ServerOptions& options) {
  auto server = Server::start(options, {});
  EXPECT_FALSE(server);
  return server ? Error() : server.error();
}

TEST(Start, ErrorsAreNamed) {
  TestServer other;
  ServerOptions options;
  options.port = other->port();
  const Error taken = start_error(options);
  EXPECT_EQ(taken.code, ErrorCode::kUnavailable);
  EXPECT_NE(taken.message.find("port " + std::to_string(options.port)), std::string::npos);
  // It is this program itself.
  EXPECT_NE(taken.message.find(fmt::format("(process {})", getpid())), std::string::npos)
      << taken.message;
  EXPECT_NE(taken.remedy.find("ss -ltnp"), std::string::npos);

  options.port = 0;
  for (const char* const host : {"nowhere", "", "127.0.0.256", "192.0.2.7"}) {
    options.host = host;
    const Error error = start_error(options);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << host;
    EXPECT_NE(error.message.find(host), std::string::npos) << error.message;
    EXPECT_FALSE(error.remedy.empty());
  }
  if (geteuid() != 0) {
    options.host = "127.0.0.1";
    options.port = 80;
    EXPECT_NE(start_error(options).message.find("may not listen"), std::string::npos);
  }
  options = {};
  options.io_threads = 0;
  EXPECT_EQ(start_error(options).code, ErrorCode::kInvalidArgument);
}

TEST(Start, PortIsFreeAgainAfterStop) {
  ServerOptions options;
  for (int i = 0; i < 3; ++i) {
    TestServer server(options);
    options.port = server->port();
    Client client(server->port());
    EXPECT_EQ(client.ask(get("/a")).status, 200);
  }
}

TEST(UnixSocket, ServesAndCleansUp) {
  ServerOptions options;
  options.unix_socket = temporary_path("serve.sock");
  {
    std::string peer;
    TestServer server(options, [&](const std::shared_ptr<Exchange>& exchange) {
      peer = exchange->head().peer;
      exchange->respond({200, {}, "over unix"});
    });
    Client client(options.unix_socket);
    EXPECT_EQ(client.ask(get("/a")).body, "over unix");
    EXPECT_EQ(peer, "unix");
    struct stat found = {};
    ASSERT_EQ(stat(options.unix_socket.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777U, 0660U);
    EXPECT_EQ(start_error(options).code, ErrorCode::kUnavailable);
    EXPECT_EQ(Client(options.unix_socket).ask(get("/a")).status, 200);
  }
  EXPECT_FALSE(std::filesystem::exists(options.unix_socket));
}

TEST(UnixSocket, ReplacesAStaleOneOnly) {
  ServerOptions options;
  options.unix_socket = temporary_path("stale.sock");
  {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, options.unix_socket.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    close(fd);  // as a killed server: the file stays
    const TestServer server(options);
    EXPECT_EQ(Client(options.unix_socket).ask(get("/a")).status, 200);
  }
  std::ofstream(options.unix_socket) << "a file";
  EXPECT_EQ(start_error(options).code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(std::filesystem::exists(options.unix_socket));
  std::filesystem::remove(options.unix_socket);
  options.unix_socket = "/nonexistent/x.sock";
  EXPECT_EQ(start_error(options).code, ErrorCode::kInvalidArgument);
  options.unix_socket = "/tmp/" + std::string(200, 'x');
  EXPECT_NE(start_error(options).message.find("107 bytes; it has 205"), std::string::npos);
}

TEST(Timeout, EachEndsItsConnection) {
  ServerOptions options;
  options.header_timeout_s = 2;
  options.body_timeout_s = 2;
  options.keep_alive_s = 2;
  TestServer server(options);
  const auto begin = Clock::now();
  Client silent(server->port());
  Client half_a_head(server->port());
  half_a_head.send("GET / HT");
  Client half_a_body(server->port());
  half_a_body.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  Client idle(server->port());
  EXPECT_EQ(idle.ask(get("/a")).status, 200);
  const Reply late_head = half_a_head.read_reply();
  EXPECT_EQ(late_head.status, 408);
  EXPECT_NE(late_head.body.find("within 2 s"), std::string::npos) << late_head.body;
  const Reply late_body = half_a_body.read_reply();
  EXPECT_EQ(late_body.status, 408);
  EXPECT_NE(late_body.body.find("within 2 s"), std::string::npos) << late_body.body;
  EXPECT_NE(late_body.body.find("4 bytes came"), std::string::npos) << late_body.body;
  EXPECT_GE(Clock::now() - begin, milliseconds(1900));
  for (Client* const client : {&silent, &half_a_head, &half_a_body, &idle}) {
    EXPECT_TRUE(client->is_closed_by_server());
    EXPECT_EQ(client->unread(), "");
  }
}

TEST(Timeout, DripDoesNotExtendAHead) {
  ServerOptions options;
  options.header_timeout_s = 1;
  TestServer server(options);
  Client client(server->port());
  const auto begin = Clock::now();
  client.send("GET / HTTP/1.1\r\n");
  while (!client.receive(milliseconds(50)) && Clock::now() - begin < milliseconds(3000)) {
    client.send("X: y\r\n");
  }
  EXPECT_EQ(client.read_reply().status, 408);
}

TEST(Limits, HalfOpenConnectionsDoNotHinderOthers) {
  ServerOptions options;
  options.header_timeout_s = 600;  // longer than anybody here waits
  TestServer server(options);
  std::vector<std::unique_ptr<Client>> half_open;
  for (int i = 0; i < 300; ++i) {
    half_open.push_back(std::make_unique<Client>(server->port()));
    half_open.back()->send("GET / HTTP/1.1\r\nX: ");
  }
  Client client(server->port());
  EXPECT_EQ(client.ask(get("/a")).status, 200);
  EXPECT_EQ(server->stats().connections, 301);
}

TEST(Limits, ConnectionsBeyondAreTold503) {
  ServerOptions options;
  options.max_connections = 2;
  TestServer server(options);
  auto first = std::make_unique<Client>(server->port());
  Client second(server->port());
  EXPECT_EQ(first->ask(get("/a")).status, 200);
  EXPECT_EQ(second.ask(get("/a")).status, 200);
  Client third(server->port());
  const Reply reply = third.read_reply();
  EXPECT_EQ(reply.status, 503);
  EXPECT_NE(reply.body.find("2 connections"), std::string::npos);
  EXPECT_TRUE(third.is_closed_by_server());
  third.hang_up();
  first.reset();
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 1; }));
  EXPECT_EQ(Client(server->port()).ask(get("/a")).status, 200);
  EXPECT_EQ(server->stats().accepted, 4U);
}

/// For as long as this lives no file can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = dup(0);
    close(next);
    rlimit now = before_;
    now.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_ = {};
};

TEST(Limits, SurvivesWithoutDescriptors) {
  TestServer server;
  Client old(server->port());
  EXPECT_EQ(old.ask(get("/a")).status, 200);
  // Connected by the kernel, not yet accepted: its descriptor is what is missing.
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(server->port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int late = socket(AF_INET, SOCK_STREAM, 0);
  {
    const NoDescriptors none;
    ASSERT_EQ(connect(late, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = get("/late");
    ASSERT_EQ(::send(late, request.data(), request.size(), 0), std::ssize(request));
    std::this_thread::sleep_for(milliseconds(150));
    EXPECT_EQ(old.ask(get("/b")).status, 200);
  }
  char bytes[13] = {};
  pollfd ready = {late, POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, static_cast<int>(kPatience.count())), 1);
  EXPECT_EQ(recv(late, bytes, 12, 0), 12);
  EXPECT_STREQ(bytes, "HTTP/1.1 200");
  close(late);
}

TEST(Drain, AnswersUnderWayGoOn) {
  TestServer server;
  Client idle(server->port());
  EXPECT_EQ(idle.ask(get("/a")).status, 200);
  Client whole(server->port());
  Client streaming(server->port());
  whole.send(get("/hold/whole"));
  const auto first = server.held();
  streaming.send(get("/hold/stream"));
  const auto second = server.held();
  second->begin_stream({200, {}, "one"});
  // The one that was answered is counted a moment longer than its client waits.
  EXPECT_TRUE(eventually([&] { return server->exchanges_under_way() == 2; }));
  server->drain();
  EXPECT_TRUE(idle.is_closed_by_server());
  EXPECT_FALSE(Client(server->port()).connected());
  EXPECT_EQ(server->exchanges_under_way(), 2);
  first->respond({200, {}, "whole"});
  const Reply reply = whole.read_reply();
  EXPECT_EQ(reply.body, "whole");
  EXPECT_NE(reply.head.find("connection: close"), std::string::npos);
  second->write("two");
  second->end_stream();
  EXPECT_EQ(streaming.read_reply().body, "onetwo");
  EXPECT_TRUE(whole.is_closed_by_server());
  EXPECT_TRUE(streaming.is_closed_by_server());
  EXPECT_TRUE(eventually([&] { return server->exchanges_under_way() == 0; }));
}

TEST(Stop, TellsTheHandlersAndLeavesTheirExchangesHarmless) {
  std::shared_ptr<Exchange> exchange;
  std::unique_ptr<Client> client;
  std::atomic<int> gone{0};
  {
    TestServer server;
    client = std::make_unique<Client>(server->port());
    client->send(get("/hold"));
    exchange = server.held();
    exchange->on_gone([&] { ++gone; });
    server->post(0, [] { throw std::runtime_error("work that fails"); });
    server->stop();
    EXPECT_EQ(gone, 1);
    server->stop();
    server->drain();
    server->post(0, [] { FAIL() << "the thread has ended"; });
    EXPECT_EQ(server->stats().connections, 0);
  }
  EXPECT_TRUE(client->is_closed_by_server());
  EXPECT_TRUE(exchange->gone());
  exchange->write("to nobody");
  exchange->respond({200, {}, "to nobody"});
  exchange->post([] { FAIL() << "the thread has ended"; });
}

TEST(Post, RunsOnTheNamedThreadInOrder) {
  TestServer server;
  for (int index = 0; index < server->io_threads(); ++index) {
    std::vector<int> order;
    std::promise<std::thread::id> last;
    for (int i = 0; i < 1000; ++i) {
      server->post(index, [&, i] {
        order.push_back(i);
        if (i == 999) last.set_value(std::this_thread::get_id());
      });
    }
    EXPECT_NE(last.get_future().get(), std::this_thread::get_id());
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  }
}

TEST(Post, ExchangeKnowsItsThread) {
  TestServer server;
  for (int i = 0; i < 4; ++i) {
    Client client(server->port());
    client.send(get("/hold"));
    const auto exchange = server.held();
    std::promise<std::thread::id> by_exchange;
    std::promise<std::thread::id> by_server;
    exchange->post([&] { by_exchange.set_value(std::this_thread::get_id()); });
    server->post(exchange->io_thread(), [&] { by_server.set_value(std::this_thread::get_id()); });
    EXPECT_EQ(by_exchange.get_future().get(), by_server.get_future().get());
    exchange->respond({200, {}, ""});
    EXPECT_EQ(client.read_reply().status, 200);
  }
}

}  // namespace
}  // namespace cardloom::http
