#include "cardloom/server/picture_workers.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "cardloom/base/file.h"
#include "cardloom/models/glm4v/processor.h"

namespace cardloom::server {
namespace {

constexpr std::int64_t kSize = 112;

PictureWorkerOptions options() {
  PictureWorkerOptions options;
  options.image_size = kSize;
  options.program = CARDLOOM_PICTURE_WORKER;
  return options;
}

std::string picture_bytes(const char* name) {
  Result<std::string> bytes =
      read_file(std::string(CARDLOOM_SOURCE_DIR) + "/demo/pictures/" + name, 1 << 20);
  EXPECT_TRUE(bytes);
  return *bytes;
}

void expect_same_pixels(const DecodedPicture& picture, const std::string& bytes) {
  const Result<Tensor> expected =
      glm4v::load_pixel_values(std::as_bytes(std::span(bytes)), "it", kSize);
  ASSERT_TRUE(expected);
  EXPECT_EQ(std::memcmp(picture.pixel_values.view().at<float>(0), expected->view().at<float>(0),
                        kSize * kSize * 3 * sizeof(float)),
            0);
}

void expect_decodes(PictureWorkers& workers, const std::string& bytes) {
  const Result<DecodedPicture> picture = workers.decode(bytes);
  ASSERT_TRUE(picture) << picture.error().describe();
  expect_same_pixels(*picture, bytes);
}

/// The processes that this one started.
std::vector<pid_t> children() {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream status(entry.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line != "PPid:\t" + std::to_string(getpid())) continue;
      pids.push_back(std::stoi(entry.path().filename()));
    }
  }
  return pids;
}

/// What the one process of a worker goes through before each of three pictures, which costs none.
void expect_survives(const std::function<void(pid_t)>& fate) {
  auto workers = PictureWorkers::start(options());
  ASSERT_TRUE(workers);
  const std::string bytes = picture_bytes("scene-1.jpg");
  for (int round = 0; round < 3; ++round) {
    const std::vector<pid_t> processes = children();
    ASSERT_EQ(processes.size(), 1U);
    fate(processes.front());
    expect_decodes(**workers, bytes);
    expect_decodes(**workers, bytes);
  }
}

TEST(PictureWorkers, GiveThePixelsThatThisProcessWouldMake) {
  auto workers = PictureWorkers::start(options());
  ASSERT_TRUE(workers);
  for (const char* name : {"scene-1.jpg", "scene-2.png", "scene-3.png", "scene-1.jpg"}) {
    const std::string bytes = picture_bytes(name);
    const Result<DecodedPicture> picture = (*workers)->decode(bytes);
    ASSERT_TRUE(picture) << picture.error().describe();
    expect_same_pixels(*picture, bytes);
    EXPECT_GT(picture->decode.count(), 0);
    EXPECT_GT(picture->preprocess.count(), 0);
  }
}

/// What it takes to decode any of them is allowed.
TEST(PictureWorkers, DecodeEveryKindThatThisProcessDecodes) {
  auto workers = PictureWorkers::start(options());
  ASSERT_TRUE(workers);
  int num_decoded = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(CARDLOOM_SOURCE_DIR) + "/tests/images")) {
    const Result<std::string> bytes = read_file(entry.path(), 1 << 20);
    ASSERT_TRUE(bytes);
    const Result<DecodedPicture> picture = (*workers)->decode(*bytes);
    const bool is_picture =
        glm4v::load_pixel_values(std::as_bytes(std::span(*bytes)), "it", kSize).has_value();
    ASSERT_EQ(picture.has_value(), is_picture)
        << entry.path() << (picture ? "" : picture.error().describe());
    if (!picture) {
      EXPECT_EQ(picture.error().message.find("broke"), std::string::npos) << entry.path();
      continue;
    }
    expect_same_pixels(*picture, *bytes);
    ++num_decoded;
  }
  EXPECT_GT(num_decoded, 40);
}

TEST(PictureWorkers, ServeManyThreads) {
  PictureWorkerOptions two = options();
  two.num_workers = 2;
  auto workers = PictureWorkers::start(two);
  ASSERT_TRUE(workers);
  const std::string bytes = picture_bytes("scene-1.jpg");
  std::vector<std::thread> threads;
  for (int index = 0; index < 6; ++index) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) expect_decodes(**workers, bytes);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(PictureWorkers, TellWhatIsWrongWithAPicture) {
  PictureWorkerOptions small = options();
  small.decode.max_pixels = 1000;
  auto workers = PictureWorkers::start(small);
  ASSERT_TRUE(workers);
  const Result<DecodedPicture> large = (*workers)->decode(picture_bytes("scene-1.jpg"));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(large.error().message.find("1000"), std::string::npos) << large.error().message;
  for (const std::string& bytes : {std::string(), std::string("GIF89a"), std::string(1000, '\0')}) {
    const Result<DecodedPicture> none = (*workers)->decode(bytes);
    ASSERT_FALSE(none);
    EXPECT_TRUE(none.error().message.starts_with("the picture")) << none.error().message;
  }
}

/// A decoder with no end, which is never done before somebody looks at the clock.
class EndlessProgram {
 public:
  EndlessProgram() {
    std::ofstream(path_) << "#!/bin/sh\nexec sleep 100000\n";
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
  }
  ~EndlessProgram() { std::filesystem::remove(path_); }
  EndlessProgram(const EndlessProgram&) = delete;
  EndlessProgram& operator=(const EndlessProgram&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = std::filesystem::temp_directory_path() /
                      ("cardloom-" + std::to_string(getpid()) + "-endless");
};

TEST(PictureWorkers, OneThatTakesTooLongCostsItsPictureOnly) {
  const EndlessProgram endless;
  PictureWorkerOptions hurried = options();
  hurried.program = endless.path();
  hurried.deadline = std::chrono::milliseconds(0);
  auto workers = PictureWorkers::start(hurried);
  ASSERT_TRUE(workers);
  for (int round = 0; round < 3; ++round) {
    const Result<DecodedPicture> picture = (*workers)->decode(picture_bytes("scene-1.jpg"));
    ASSERT_FALSE(picture);
    EXPECT_NE(picture.error().message.find("longer than 0 s"), std::string::npos);
  }
}

TEST(PictureWorkers, OneThatDiesCostsItsPictureOnly) {
  PictureWorkerOptions dying = options();
  dying.program = "/bin/true";
  auto workers = PictureWorkers::start(dying);
  ASSERT_TRUE(workers);
  for (int round = 0; round < 3; ++round) {
    const Result<DecodedPicture> picture = (*workers)->decode(picture_bytes("scene-1.jpg"));
    ASSERT_FALSE(picture);
    EXPECT_NE(picture.error().message.find("broke the decoder"), std::string::npos);
  }
}

TEST(PictureWorkers, OneThatIsKilledOverAPictureIsReplaced) {
  std::vector<std::thread> killers;
  expect_survives([&](pid_t process) {
    kill(process, SIGSTOP);  // so that it is surely not done before it is killed
    killers.emplace_back([process] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      kill(process, SIGKILL);
    });
  });
  for (std::thread& killer : killers) killer.join();
}

TEST(PictureWorkers, OneThatWasKilledIdleCostsNoPicture) {
  expect_survives([](pid_t process) {
    kill(process, SIGKILL);
    siginfo_t end{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(process), &end, WEXITED | WNOWAIT), 0);
  });
}

TEST(PictureWorkers, CountThePixelsOfARequest) {
  auto workers = PictureWorkers::start(options());
  ASSERT_TRUE(workers);
  const std::string bytes = picture_bytes("scene-1.jpg");
  const Result<DecodedPicture> picture = (*workers)->decode(bytes);
  ASSERT_TRUE(picture);
  const std::int64_t num_pixels = picture->num_pixels;
  EXPECT_GT(num_pixels, 1000);
  EXPECT_TRUE((*workers)->decode(bytes, num_pixels));
  const Result<DecodedPicture> none = (*workers)->decode(bytes, num_pixels - 1);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(none.error().message.find("leave only"), std::string::npos) << none.error().message;
}

TEST(PictureWorkers, AProgramThatIsNotThereHasAName) {
  PictureWorkerOptions missing = options();
  missing.program = "/no/such/program";
  const auto workers = PictureWorkers::start(missing);
  ASSERT_FALSE(workers);
  EXPECT_NE(workers.error().detail.find("/no/such/program"), std::string::npos);
}

}  // namespace
}  // namespace cardloom::server
