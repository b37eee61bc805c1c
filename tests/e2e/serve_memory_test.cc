#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <thread>

#include "cardloom/base/base64.h"
#include "cardloom/http/test_client.h"
#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// A server's plan of its memory is what it takes: at the start, and under load.
namespace cardloom::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// `cardloom serve` on a free port.
class Server {
 public:
  explicit Server(std::vector<std::string> arguments) {
    std::vector<std::string> all = {CARDLOOM_BINARY, "serve", kNano, "--port", "0"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const std::string log = folder_.file("stderr");
    pid_ = fork();
    if (pid_ == 0) {
      static_cast<void>(freopen(log.c_str(), "w", stderr));
      std::vector<char*> words;
      for (std::string& word : all) words.push_back(word.data());
      words.push_back(nullptr);
      execv(words[0], words.data());
      _exit(127);
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (said().find("resident now") == std::string::npos) {
      if (waitpid(pid_, nullptr, WNOHANG) != 0 || std::chrono::steady_clock::now() > end) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    const std::string text = said();
    const std::size_t at = text.find("ready on http://127.0.0.1:");
    if (at == std::string::npos) throw_error(ErrorCode::kInternal, "no server: " + text);
    port_ = std::stoi(text.substr(at + 26));
  }
  ~Server() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::string said() const { return read_text(folder_.file("stderr")); }

  /// The status and body of a request.
  [[nodiscard]] std::pair<int, std::string> ask(const std::string& method, const std::string& path,
                                                const std::string& body = {}) const {
    http::Client client(port());
    client.send(head(method, path, body.size()) + body);
    static_cast<void>(client.receive(std::chrono::seconds(60)));
    const http::Reply reply = client.read_reply();
    return {reply.status, reply.body};
  }
  [[nodiscard]] static std::string head(const std::string& method, const std::string& path,
                                        std::size_t size) {
    return method + " " + path +
           " HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" +
           "content-length: " + std::to_string(size) + "\r\n\r\n";
  }
  [[nodiscard]] std::uint16_t port() const { return static_cast<std::uint16_t>(port_); }
  /// A value of /metrics.
  [[nodiscard]] double metric(const std::string& name) const {
    const std::string text = "\n" + ask("GET", "/metrics").second;
    const std::size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }
  [[nodiscard]] json::value memory() const {
    return parse(ask("GET", "/props").second).at("memory");
  }

  /// "VmRSS" or "VmHWM" of /proc, in bytes.
  [[nodiscard]] double measured(const std::string& what) const {
    const std::string text = read_text("/proc/" + std::to_string(pid_) + "/status");
    return 1024.0 * std::stod(text.substr(text.find(what + ":") + what.size() + 1));
  }

 private:
  TempFolder folder_;
  pid_t pid_ = -1;
  int port_ = 0;
};

std::string message(const json::value& content) {
  return R"({"temperature":1,"max_tokens":24,"messages":[{"role":"user","content":)" +
         json::serialize(content) + "}]";
}

/// All that makes a server take memory: long prompts, pictures, choices, log probabilities, forms.
std::vector<std::string> storm() {
  std::string long_text;
  for (int i = 0; i < 400; ++i) long_text += "blue " + std::to_string(i) + " ";
  std::vector<std::string> bodies;
  for (const char* name : {"scene-1.jpg", "scene-2.png", "scene-3.png"}) {
    const std::string file = kPictures + "/" + name;
    const json::value picture = {
        {"type", "image_url"},
        {"image_url",
         {{"url", (file.ends_with("jpg") ? "data:image/jpeg;base64," : "data:image/png;base64,") +
                      encode_base64(read_text(file))}}}};
    bodies.push_back(message(json::array{{{"type", "text"}, {"text", "What is it?"}}, picture}) +
                     "}");
    bodies.push_back(message(json::array{picture, picture, picture, picture}) + R"(,"n":8})");
  }
  for (int i = 0; i < 4; ++i) {
    bodies.push_back(message(json::string(long_text + std::to_string(i))) + "}");
    bodies.push_back(message(json::string("Hello " + std::to_string(i))) +
                     R"(,"n":8,"logprobs":true,"top_logprobs":20,"ignore_eos":true})");
    bodies.push_back(message(json::string("As JSON")) +
                     R"(,"response_format":{"type":"json_object"}})");
    bodies.push_back(message(json::string("As JSON")) +
                     R"(,"structured_outputs":{"regex":"[a-z]{2,)" + std::to_string(20 + i) +
                     R"(}"}})");
  }
  return bodies;
}

struct Setting {
  const char* name;
  std::vector<std::string> arguments;
};

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

class PlanEqualsMeasured : public ::testing::TestWithParam<Setting> {};

TEST_P(PlanEqualsMeasured, AtTheStartAndUnderLoad) {
#ifdef CARDLOOM_SANITIZED
  GTEST_SKIP() << "a sanitizer's own memory is not in the plan";
#endif
  std::vector<std::string> arguments = {"--threads",
                                        "1",
                                        "--context",
                                        "2048",
                                        "--max-running",
                                        "16",
                                        "--max-queue",
                                        "64",
                                        "--max-body-bytes",
                                        "2097152",
                                        "--max-pending-bytes",
                                        "16777216",
                                        "--max-connections",
                                        "64",
                                        "--max-pending-images",
                                        "512"};
  arguments.insert(arguments.end(), GetParam().arguments.begin(), GetParam().arguments.end());
  const Server server(arguments);
  EXPECT_THAT(server.said(), AllOf(HasSubstr("KV cache"), HasSubstr("requests, at most"),
                                   HasSubstr("resident now: ")));
  const json::value plan = server.memory();
  const double reserved = plan.at("reserved_bytes").to_number<double>();
  const double most = reserved + plan.at("request_bytes").to_number<double>();
  ASSERT_GT(reserved, 100e6) << "too small to tell the plan from the rest";
  EXPECT_NEAR(server.measured("VmRSS") / reserved, 1.0, 0.05);

  std::vector<std::thread> clients;
  std::atomic<int> num_good{0};
  const std::vector<std::string> bodies = storm();
  for (std::size_t client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      for (std::size_t i = client; i < 2 * bodies.size(); i += 8) {
        const auto [status, body] =
            server.ask("POST", "/v1/chat/completions", bodies[i % bodies.size()]);
        EXPECT_EQ(status, 200) << body;
        num_good += status == 200 ? 1 : 0;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(num_good, 30);
  EXPECT_GE(server.measured("VmRSS"), 0.95 * reserved);
  EXPECT_LE(server.measured("VmHWM"), 1.05 * most);
  // All reserved memory was taken before: what requests of this size add is little.
  EXPECT_LE(server.measured("VmRSS"), 1.05 * reserved + (24 << 20));

  const std::string metrics = server.ask("GET", "/metrics").second;
  EXPECT_THAT(metrics, AllOf(HasSubstr("cardloom_device_memory_bytes{device=\"0\",kind=\"kv\"}"),
                             HasSubstr("cardloom_request_memory_bytes{kind=\"bodies\"} 16777216")));
}

const Setting kSettings[] = {
    {"EightCards", {"--tp", "8"}},
    {"OneCardBf16", {"--kv-tokens", "700000"}},
    {"TwoCardsF32", {"--tp", "2", "--dtype", "f32", "--kv-tokens", "300000"}},
    {"TwoCardsQ8", {"--tp", "2", "--weights", "q8", "--kv-cache", "q8", "--kv-tokens", "600000"}},
};
INSTANTIATE_TEST_SUITE_P(Serve, PlanEqualsMeasured, ::testing::ValuesIn(kSettings),
                         [](const auto& test) { return test.param.name; });

TEST(ServeMemory, WhatDoesNotFitIsRefusedAtTheStart) {
  const Outcome outcome =
      cardloom({"serve", kNano, "--port", "0", "--kv-tokens", "4000000000", "--threads", "1"});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: the model needs "), HasSubstr(" are free"),
                                 HasSubstr("KV cache"), HasSubstr("try: --kv-tokens ")));
}

TEST(ServeMemory, BodiesHaveOneLimitTogether) {
  const Server server(
      {"--threads", "1", "--max-body-bytes", "1048576", "--max-pending-bytes", "1179648"});
  constexpr std::size_t kBody = 1 << 20;
  const std::string part(700 << 10, ' ');
  const std::string begin = Server::head("POST", "/v1/chat/completions", kBody);
  {
    http::Client first(server.port());
    first.send(begin + part);
    ASSERT_TRUE(http::eventually(
        [&] { return server.metric("cardloom_pending_body_bytes") >= 700 << 10; }));
    http::Client second(server.port());
    second.send(begin + part);
    const http::Reply reply = second.read_reply();
    EXPECT_EQ(reply.status, 503) << reply.body;
    EXPECT_THAT(reply.body, AllOf(HasSubstr("overloaded"), HasSubstr("of 1179648 that it may")));
    EXPECT_THAT(reply.head, HasSubstr("retry-after"));
    EXPECT_EQ(server.ask("GET", "/health/ready").first, 200);
  }
  EXPECT_TRUE(http::eventually([&] { return server.metric("cardloom_pending_body_bytes") == 0; }));
  EXPECT_EQ(server.ask("POST", "/v1/chat/completions", part).first, 400);  // it has room: no JSON
}

}  // namespace
}  // namespace cardloom::e2e
