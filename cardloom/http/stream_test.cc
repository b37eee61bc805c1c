// Answers in pieces, and clients that go away or do not read.
#include <gtest/gtest.h>

#include "cardloom/http/test_server.h"

namespace cardloom::http {
namespace {

const Headers kEvents = {{"content-type", "text/event-stream"}};

std::string piece(int client, int index) {
  return "data: " + std::to_string(client) + "/" + std::to_string(index) + "\n\n";
}

/// The exchanges of requests "/0" to "/N-1", once all have come.
class Gathering {
 public:
  explicit Gathering(int count) : exchanges_(static_cast<std::size_t>(count)) {}
  void add(std::shared_ptr<Exchange> exchange) {
    const int index = std::atoi(exchange->head().path.c_str() + 1);
    const std::lock_guard lock(mutex_);
    exchanges_.at(static_cast<std::size_t>(index)) = std::move(exchange);
    ++count_;
  }
  std::vector<std::shared_ptr<Exchange>> all() {
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex_);
      return count_ == exchanges_.size();
    }));
    const std::lock_guard lock(mutex_);
    return std::move(exchanges_);
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Exchange>> exchanges_;  ///< under mutex_
  std::size_t count_ = 0;                             ///< under mutex_
};

void stream_to_many(bool batched) {
  constexpr int kClients = 200;
  constexpr int kPieces = 20;
  Gathering gathering(kClients);
  TestServer server({}, [&](std::shared_ptr<Exchange> exchange) {
    exchange->begin_stream({200, kEvents, "data: start\n\n"});
    gathering.add(std::move(exchange));
  });
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(server->port()));
    clients.back()->send(get("/" + std::to_string(i)));
  }
  const auto exchanges = std::make_shared<std::vector<std::shared_ptr<Exchange>>>(gathering.all());
  std::atomic<int> sent{0};
  const auto send_step = [&sent, exchanges](int step, int thread) {
    for (int i = 0; i < kClients; ++i) {
      Exchange& exchange = *(*exchanges)[static_cast<std::size_t>(i)];
      if (thread >= 0 && exchange.io_thread() != thread) continue;
      exchange.write(piece(i, step));
      if (step + 1 == kPieces) exchange.end_stream();
      ++sent;
    }
  };
  for (int step = 0; step < kPieces; ++step) {
    if (!batched) send_step(step, -1);
    for (int thread = 0; batched && thread < server->io_threads(); ++thread) {
      server->post(thread, [=] { send_step(step, thread); });
    }
  }
  for (int i = 0; i < kClients; ++i) {
    std::string expected = "data: start\n\n";
    for (int step = 0; step < kPieces; ++step) expected += piece(i, step);
    const Reply reply = clients[static_cast<std::size_t>(i)]->read_reply();
    ASSERT_EQ(reply.body, expected);
    ASSERT_TRUE(reply.whole);
  }
  // The last is counted after it was written.
  EXPECT_TRUE(eventually([&] { return sent == kClients * kPieces; }));
  EXPECT_TRUE(eventually([&] { return server->exchanges_under_way() == 0; }));
}

TEST(Stream, ManyAtOnceByOnePostAThread) { stream_to_many(true); }
TEST(Stream, ManyAtOnceFromAnotherThread) { stream_to_many(false); }

TEST(Stream, ConnectionGoesOnAfterwards) {
  TestServer server;
  Client client(server->port());
  client.send(get("/hold"));
  const auto exchange = server.held();
  exchange->begin_stream({200, kEvents, ""});
  exchange->write("");
  exchange->write("one");
  exchange->end_stream();
  exchange->write("too late");
  exchange->end_stream();
  exchange->respond({500, {}, "too late"});
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.body, "one");
  EXPECT_NE(reply.head.find("content-type: text/event-stream\r\n"), std::string::npos);
  EXPECT_NE(reply.head.find("\r\ndate: "), std::string::npos);
  EXPECT_EQ(client.ask(get("/next")).body, "GET /next? ");
}

TEST(Stream, Http10EndsWithTheConnectionAndHeadHasNone) {
  TestServer server;
  Client old(server->port());
  old.send("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto exchange = server.held();
  exchange->begin_stream({200, kEvents, "one"});
  exchange->write("two");
  exchange->end_stream();
  EXPECT_NE(old.read_reply(true).head.find("connection: close"), std::string::npos);
  EXPECT_TRUE(old.is_closed_by_server());
  EXPECT_EQ(old.unread(), "onetwo");

  Client head(server->port());
  head.send("HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto second = server.held();
  second->begin_stream({200, kEvents, "one"});
  second->write("two");
  second->end_stream();
  EXPECT_EQ(head.read_reply(true).status, 200);
  EXPECT_EQ(head.ask(get("/next")).body, "GET /next? ");
}

TEST(Stream, AHandlerCannotSplitAnAnswer) {
  TestServer server;
  Client client(server->port());
  client.send(get("/hold"));
  server.held()->respond({200,
                          {{"x-name", "a\r\nset-cookie: b"},
                           {"bad name", "x"},
                           {"content-length", "999"},
                           {"connection", "upgrade"}},
                          "body"});
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.body, "body");
  EXPECT_NE(reply.head.find("x-name: a  set-cookie: b\r\n"), std::string::npos) << reply.head;
  for (const char* const never : {"bad name", "999", "upgrade"}) {
    EXPECT_EQ(reply.head.find(never), std::string::npos) << reply.head;
  }
}

/// Holds one request of `client` with a flag for on_gone.
struct Held {
  Held(TestServer& server, const Client& client, std::string_view behind = "") {
    client.send(get("/hold") + std::string(behind));
    exchange = server.held();
    exchange->on_gone([count = gone] { ++*count; });
  }
  [[nodiscard]] bool is_told() const {
    return eventually([&] { return *gone == 1; }) && exchange->gone();
  }
  std::shared_ptr<std::atomic<int>> gone = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<Exchange> exchange;
};

TEST(HangUp, NoticedWhileNothingIsSent) {
  TestServer server;
  Client closing(server->port());
  const Held first(server, closing);
  EXPECT_FALSE(first.exchange->gone());
  closing.hang_up();
  EXPECT_TRUE(first.is_told());

  Client resetting(server->port());
  const Held second(server, resetting);
  resetting.reset();
  EXPECT_TRUE(second.is_told());

  Client pipelining(server->port());
  const Held third(server, pipelining, get("/next"));
  pipelining.hang_up();
  EXPECT_TRUE(third.is_told());
  third.exchange->respond({200, {}, "to nobody"});
  third.exchange->begin_stream({200, {}, "to nobody"});
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  EXPECT_EQ(server->exchanges_under_way(), 0);
  EXPECT_EQ(*third.gone, 1);
}

TEST(HangUp, NoticedWhileStreaming) {
  TestServer server;
  Client client(server->port());
  const Held held(server, client);
  held.exchange->begin_stream({200, kEvents, "one"});
  EXPECT_TRUE(client.receive());
  client.hang_up();
  EXPECT_TRUE(held.is_told());
  held.exchange->write("two");
  held.exchange->end_stream();
}

TEST(HangUp, OnGoneSetAfterwardsIsCalledToo) {
  TestServer server;
  Client client(server->port());
  const Held held(server, client);
  client.hang_up();
  EXPECT_TRUE(held.is_told());
  std::atomic<int> count{0};
  held.exchange->on_gone([&] { ++count; });
  EXPECT_TRUE(eventually([&] { return count == 1; }));
}

TEST(HangUp, NotToldAfterACompleteAnswer) {
  TestServer server;
  Client client(server->port());
  const Held held(server, client);
  held.exchange->respond({200, {}, "all"});
  EXPECT_EQ(client.read_reply().body, "all");
  client.hang_up();
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  EXPECT_EQ(*held.gone, 0);
  EXPECT_FALSE(held.exchange->gone());
}

TEST(SlowClient, CutWhenTheOutboxIsFull) {
  ServerOptions options;
  options.max_outbox_bytes = 64 << 10;
  TestServer server(options);
  Client client(server->port(), 4096);
  const Held held(server, client);
  held.exchange->begin_stream({200, kEvents, ""});
  const std::string some(8 << 10, 'x');
  // The kernel takes some megabytes first.
  for (int i = 0; i < 20000 && !held.exchange->gone(); ++i) {
    held.exchange->write(some);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  EXPECT_TRUE(held.is_told());
  EXPECT_EQ(server->stats().slow_clients, 1U);
}

TEST(SlowClient, OnePieceMayBeLargerThanTheOutbox) {
  ServerOptions options;
  options.max_outbox_bytes = 1000;
  TestServer server(options);
  Client client(server->port());
  const Held held(server, client);
  held.exchange->begin_stream({200, kEvents, ""});
  held.exchange->write(std::string(100000, 'x'));
  held.exchange->end_stream();
  EXPECT_EQ(client.read_reply().body.size(), 100000U);
}

TEST(SlowClient, CutWhenAWriteStalls) {
  ServerOptions options;
  options.write_stall_s = 1;
  TestServer server(options);
  Client client(server->port(), 4096);
  const Held held(server, client);
  held.exchange->respond({200, {}, std::string(16 << 20, 'x')});
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  EXPECT_EQ(server->stats().slow_clients, 1U);
}

TEST(Handler, FailuresAreAnsweredWith500) {
  TestServer server({}, [](const std::shared_ptr<Exchange>& exchange) {
    const std::string& path = exchange->head().path;
    if (path == "/throw") throw std::runtime_error("a secret");
    if (path == "/drop-elsewhere") std::thread([exchange] {}).detach();
    if (path == "/drop-stream") exchange->begin_stream({200, kEvents, "one"});
    if (path == "/fine") exchange->respond({200, {}, "fine"});
  });
  Client client(server->port());
  for (const char* const path : {"/throw", "/drop", "/drop-elsewhere"}) {
    const Reply reply = client.ask(get(path));
    EXPECT_EQ(reply.status, 500) << path;
    EXPECT_EQ(reply.body.find("secret"), std::string::npos);
    EXPECT_EQ(client.ask(get("/fine")).body, "fine");
  }
  const Reply cut = client.ask(get("/drop-stream"));
  EXPECT_EQ(cut.body, "one");
  EXPECT_FALSE(cut.whole);
  EXPECT_TRUE(eventually([&] { return server->exchanges_under_way() == 0; }));
}

}  // namespace
}  // namespace cardloom::http
