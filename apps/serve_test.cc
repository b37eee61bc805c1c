#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "apps/commands.h"
#include "apps/memory.h"
#include "apps/session.h"

namespace cardloom::app {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kModel = std::string(CARDLOOM_SOURCE_DIR) + "/demo/glm-4v-nano";

/// What a command says that cannot begin. Everything here fails before a port or a thread is taken.
Error refusal_of(const std::function<int()>& command) {
  try {
    ADD_FAILURE() << "it ended with " << command();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.exit_code(), kExitUsage) << failure.error().describe();
    return failure.error();
  }
  return {};
}

Error serve_refusal(const std::function<void(ServeOptions&)>& change) {
  unsetenv("CARDLOOM_API_KEYS");
  ServeOptions options;
  options.common.model = kModel;
  options.common.quiet = true;
  options.port = 0;
  change(options);
  return refusal_of([&] { return run_serve(options); });
}

/// A file of its own, gone with it.
class KeyFile {
 public:
  explicit KeyFile(const std::string& text)
      : path_(testing::TempDir() + "serve_test_keys_" + std::to_string(getpid())) {
    std::ofstream(path_) << text;
  }
  ~KeyFile() { std::filesystem::remove(path_); }
  KeyFile(const KeyFile&) = delete;
  KeyFile& operator=(const KeyFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ServeOptionsTest, LimitsOfAllMustBeEnoughForOne) {
  Error error = serve_refusal([](ServeOptions& options) { options.limits.max_images = 100; });
  EXPECT_EQ(error.message, "--max-pending-images is 64, but one request may have 100");
  EXPECT_EQ(error.remedy, "--max-pending-images 100, or a smaller --max-images");
  error = serve_refusal([](ServeOptions& options) { options.max_body_bytes = 1 << 30; });
  EXPECT_EQ(error.message, "--max-pending-bytes is 268435456, but one request may have 1073741824");
  EXPECT_EQ(error.remedy, "--max-pending-bytes 1073807360, or a smaller --max-body-bytes");
  error = serve_refusal([](ServeOptions& options) { options.kv_tokens = 10; });
  EXPECT_EQ(error.message, "--kv-tokens is 10, but a context has 8192");
}

TEST(ServeOptionsTest, AContextBeyondTheModelsIsToldBeforeThePortIsTaken) {
  const Error error =
      serve_refusal([](ServeOptions& options) { options.common.context = 1'000'000; });
  EXPECT_EQ(error.message, "--context is 1000000, but the model has 8192 positions");
  EXPECT_EQ(error.remedy, "--context 8192");
}

TEST(ServeOptionsTest, NumbersWithoutAnUpperLimitAreToldSo) {
  const Error error = serve_refusal([](ServeOptions& options) { options.common.context = -5; });
  EXPECT_EQ(error.message, "--context is -5, but must be 0 or more");
}

TEST(ServeOptionsTest, HostsAreNoUrls) {
  Error error = serve_refusal([](ServeOptions& options) {
    options.fetch_images = "allowed";
    options.image_hosts = {"example.com", "https://example.org"};
  });
  EXPECT_EQ(error.message,
            "--image-host is \"https://example.org\", but must be a host's name or address");
  error = serve_refusal([](ServeOptions& options) { options.allowed_hosts = {"a/b"}; });
  EXPECT_EQ(error.message, "--allowed-host is \"a/b\", but must be a host's name or address");
}

TEST(ServeOptionsTest, KeysAreToldByTheirPlace) {
  Error error = serve_refusal([](ServeOptions& options) { options.api_keys = {"abc"}; });
  EXPECT_EQ(error.message,
            "--api-key or CARDLOOM_API_KEYS, key 1: a key must have 8 to 1024 characters; this one "
            "has 3");
  const KeyFile keys("0123456789abcdef a\n0123456789abcdef b\n");
  error = serve_refusal([&](ServeOptions& options) { options.api_key_file = keys.path(); });
  EXPECT_EQ(error.message, keys.path() + ", line 2: this key was given before, to a");
  EXPECT_EQ(error.remedy, "leave one of the two out");
}

TEST(ServeOptionsTest, NoRemedyWritesOverAKey) {
  const KeyFile key("no key at all\n");
  const Error error = serve_refusal([&](ServeOptions& options) {
    options.tls_certificate = key.path();
    options.tls_key = key.path();
  });
  EXPECT_EQ(error.message, "cannot read a TLS certificate from " + key.path());
  EXPECT_THAT(error.remedy, Not(HasSubstr(key.path())));
  const Error half =
      serve_refusal([&](ServeOptions& options) { options.tls_certificate = "cert.pem"; });
  EXPECT_EQ(half.message, "TLS needs a certificate and its key; the key is missing");
  EXPECT_EQ(half.detail, "only cert.pem was given");
}

TEST(ServeMemory, PictureCacheHasBytesOfItsOwn) {
  const Checkpoint checkpoint = open_checkpoint(kModel);
  const auto& config = checkpoint.config();
  CommonOptions common;
  common.model = kModel;
  EngineNeeds needs{.max_sequences = 4, .kv_tokens = 4 * config.max_positions};
  const std::int64_t picture_bytes = config.vision->rows_per_image() * config.hidden_size * 2;
  const RunPlan by_kv = plan_run(config, common, needs);
  EXPECT_EQ(by_kv.limits.num_picture_slots, needs.kv_tokens / config.vision->rows_per_image());
  needs.picture_bytes = 1000 * picture_bytes + 1;
  const RunPlan by_bytes = plan_run(config, common, needs);
  EXPECT_EQ(by_bytes.limits.num_picture_slots, 1000);
  EXPECT_LT(by_bytes.ranks[0].pictures, by_kv.ranks[0].pictures);
  // What one context can show must fit in any case.
  needs.picture_bytes = 1;
  EXPECT_EQ(plan_run(config, common, needs).limits.num_picture_slots,
            config.max_positions / config.vision->rows_per_image());
}

Error bench_refusal(const std::function<void(BenchServeOptions&)>& change) {
  BenchServeOptions options;
  options.requests = 1;
  change(options);
  return refusal_of([&] { return run_bench_serve(options); });
}

TEST(BenchServeOptionsTest, UrlsThatLeadNowhereAreTold) {
  for (const char* url : {"http://", "http://:80", "http://h:", "http://h:80x", "http://h:0",
                          "http://h:65536", "http://[::1", "http://[]:80"}) {
    const Error error = bench_refusal([&](BenchServeOptions& options) { options.url = url; });
    EXPECT_EQ(error.message, std::string("--url is \"") + url + "\", but must be http://HOST:PORT");
  }
}

TEST(BenchServeOptionsTest, AReportThatCannotBeWrittenIsToldBeforeTheLoad) {
  const Error error =
      bench_refusal([](BenchServeOptions& options) { options.html = "/no/such/folder/a.html"; });
  EXPECT_EQ(error.message, "cannot write /no/such/folder/a.html");
  EXPECT_EQ(bench_refusal([](BenchServeOptions& options) { options.rate = -1; }).message,
            "--rate is -1, but must be 0 or more");
}

}  // namespace
}  // namespace cardloom::app
