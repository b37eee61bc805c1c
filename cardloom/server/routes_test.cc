#include "cardloom/server/routes.h"

#include <gtest/gtest.h>

#include <string>

#include "web/web_files.h"

namespace cardloom::server {
namespace {

std::string route(std::string_view method, std::string_view path) {
  bool method_fits = false;
  const Route* found = find_route(method, path, method_fits);
  if (found == nullptr) return "unknown";
  return method_fits ? found->name : "other method";
}

TEST(Routes, FindWhatThereIs) {
  EXPECT_EQ(route("POST", "/v1/chat/completions"), "chat_completions");
  EXPECT_EQ(route("GET", "/v1/chat/completions"), "other method");
  EXPECT_EQ(route("POST", "/v1/chat/completions/render"), "render");
  EXPECT_EQ(route("POST", "/apply-template"), "render");
  EXPECT_EQ(route("GET", "/v1/models"), "models");
  EXPECT_EQ(route("GET", "/v1/models/glm-4v-9b"), "model");
  EXPECT_EQ(route("HEAD", "/health/live"), "health_live");
  EXPECT_EQ(route("GET", "/"), "page");
  EXPECT_EQ(route("POST", "/"), "other method");
  EXPECT_EQ(route("DELETE", "/v1/models/x"), "other method");
  for (const WebFile& file : web_files()) {
    EXPECT_EQ(route("GET", "/" + std::string(file.path)), "page") << file.path;
  }
}

TEST(Routes, KnowNothingElse) {
  for (const char* path :
       {"", "/v1", "/v1/", "/v1/models/", "/v1/chat/completions/", "/V1/models", "/assets",
        "/assets/", "/assets/none.js", "/metrics/", "/v1/embeddings", "/health/livex"}) {
    EXPECT_EQ(route("GET", path), "unknown") << path;
  }
}

/// Without a key nothing but life and the page may be seen: it is written out here as well, so that
/// a route cannot be opened by a slip.
TEST(Routes, NeedAKeyUnlessTheyShowNothing) {
  for (const char* path : {"/v1/models", "/v1/models/x", "/v1/cards/events", "/metrics", "/version",
                           "/props", "/health", "/health/ready"}) {
    bool method_fits = false;
    const Route* found = find_route("GET", path, method_fits);
    ASSERT_NE(found, nullptr) << path;
    EXPECT_FALSE(found->is_open) << path;
  }
  for (const char* path :
       {"/v1/chat/completions", "/v1/chat/completions/render", "/apply-template", "/v1/completions",
        "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/tokenize", "/detokenize"}) {
    bool method_fits = false;
    const Route* found = find_route("POST", path, method_fits);
    ASSERT_NE(found, nullptr) << path;
    EXPECT_FALSE(found->is_open) << path;
    EXPECT_TRUE(found->needs_model) << path;
  }
}

}  // namespace
}  // namespace cardloom::server
