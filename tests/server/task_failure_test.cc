// What the server answers when a task of a request throws: that it does, and goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "cardloom/http/test_client.h"
#include "cardloom/server/api_server.h"
#include "tests/engine/history_model.h"

namespace cardloom::server {
namespace {

enum class Trouble { kNone, kException, kNoMemory, kStandard };

/// Fails in every place that a task comes to.
class TroubledTokenizer final : public Tokenizer {
 public:
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view /*text*/) const override {
    fail();
    return {1, 2};
  }
  [[nodiscard]] std::vector<std::int32_t> encode_with_special(
      std::string_view /*text*/) const override {
    fail();
    return {1, 2};
  }
  [[nodiscard]] std::string_view token_bytes(std::int32_t /*id*/) const override {
    fail();
    return "a";
  }
  [[nodiscard]] std::optional<std::int32_t> special_id(std::string_view /*text*/) const override {
    return 3;
  }
  [[nodiscard]] bool is_special(std::int32_t id) const override { return id == 3; }
  [[nodiscard]] std::int32_t vocab_size() const override { return testing::kHistoryVocab; }

  std::atomic<Trouble> trouble = Trouble::kNone;

 private:
  void fail() const {
    switch (trouble.load()) {
      case Trouble::kNone:
        return;
      case Trouble::kException:
        throw_error(ErrorCode::kDeadlineExceeded, "too late");
      case Trouble::kNoMemory:
        throw std::bad_alloc();
      case Trouble::kStandard:
        throw std::runtime_error("a secret of ours");
    }
  }
};

class TaskFailure : public ::testing::Test {
 protected:
  TaskFailure()
      : loop_(std::make_unique<Engine>(
                  testing::make_cards(1),
                  testing::history_models(std::make_shared<testing::HistoryModelControl>()),
                  EngineOptions{.context_tokens = 80}),
              100) {
    ServedModel model;
    model.id = "it";
    model.tokenizer = &tokenizer_;
    model.config = &config_;
    model.engine = &loop_;
    ApiServerOptions options;
    options.model_id = model.id;
    options.max_per_key = 1;  // so that a place which is not given back is missed
    server_ = ApiServer::start(std::move(options), http::ApiKeys::load("", kKey).value_or_throw())
                  .value_or_throw();
    server_->serve(model);
  }

  [[nodiscard]] http::Reply ask(const std::string& path, const std::string& body) const {
    http::Client client(server_->port());
    return client.ask(http::post(
        path, body,
        std::string("content-type: application/json\r\n") + "x-api-key: " + kKey + "\r\n"));
  }

  static constexpr const char* kKey = "key-of-the-test";
  TroubledTokenizer tokenizer_;
  glm4v::Glm4vConfig config_;
  EngineLoop loop_;
  std::unique_ptr<ApiServer> server_;  ///< last: it uses all above
};

TEST_F(TaskFailure, IsAnsweredAndCostsNobodyElseAnything) {
  const std::string talk = R"({"max_tokens":3,"messages":[{"role":"user","content":"Hello!"}]})";
  const std::pair<std::string, std::string> requests[] = {
      {"/v1/chat/completions", talk},
      {"/v1/chat/completions/render", talk},
      {"/v1/completions", R"({"max_tokens":3,"prompt":"Hello!"})"},
      {"/v1/responses", R"({"input":"Hello!"})"},
      {"/v1/messages", talk},
      {"/v1/messages/count_tokens", talk},
      {"/tokenize", R"({"prompt":"Hello!"})"},
      {"/detokenize", R"({"tokens":[1,2]})"},
  };
  const struct {
    Trouble trouble;
    int status;
    std::string part;
  } cases[] = {
      {Trouble::kException, 504, "too late"},
      {Trouble::kNoMemory, 429, "memory ran out"},
      {Trouble::kStandard, 500, "its log says why"},
      {Trouble::kNone, 200, ""},
  };
  for (const auto& [path, body] : requests) {
    for (const auto& [trouble, status, part] : cases) {
      tokenizer_.trouble = trouble;
      const http::Reply reply = ask(path, body);
      EXPECT_EQ(reply.status, status) << path << ": " << reply.body;
      EXPECT_NE(reply.body.find(part), std::string::npos) << path << ": " << reply.body;
      EXPECT_EQ(reply.body.find("secret"), std::string::npos) << path << ": " << reply.body;
    }
  }
}

}  // namespace
}  // namespace cardloom::server
