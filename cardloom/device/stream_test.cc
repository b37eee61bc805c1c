#include "cardloom/device/stream.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "cardloom/device/workspace.h"

namespace cardloom {
namespace {

class NullDevice : public Device {
 public:
  [[nodiscard]] DeviceId id() const override { return {}; }
  [[nodiscard]] const KernelTable& kernels() const override { return table_; }
  void bind_thread() override {}
  [[nodiscard]] int num_threads() const override { return 1; }
  [[nodiscard]] std::string_view instruction_path() const override { return "none"; }

 private:
  KernelTable table_;
};

TEST(Stream, RunsEverythingInOrder) {
  NullDevice device;
  OpLog log;
  Stream stream(device, log);
  std::vector<int> order;
  std::vector<int>* out = &order;
  for (int index = 0; index < 1000; ++index) {
    stream.launch([out, index] { out->push_back(index); });
  }
  stream.synchronize();
  ASSERT_EQ(order.size(), 1000U);
  for (int index = 0; index < 1000; ++index)
    EXPECT_EQ(order[static_cast<std::size_t>(index)], index);
}

TEST(Stream, KeepsTheFirstFailureUntilReset) {
  NullDevice device;
  OpLog log;
  Stream stream(device, log);
  Stream* self = &stream;
  stream.launch([self] { self->fail(make_error(ErrorCode::kInternal, "first")); });
  stream.launch([self] { self->fail(make_error(ErrorCode::kInternal, "second")); });
  try {
    stream.synchronize();
    FAIL();
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "first");
  }
  EXPECT_TRUE(stream.failed());
  stream.reset();
  EXPECT_NO_THROW(stream.synchronize());
}

TEST(Stream, LaunchBlockingWaitsForEveryLaunch) {
  NullDevice device;
  OpLog log;
  Stream stream(device, log, {.launch_blocking = 1});
  int value = 0;
  int* out = &value;
  stream.launch([out] { *out = 7; });
  EXPECT_EQ(value, 7);
}

TEST(Stream, NamesTheOperatorThatDoesNotEnd) {
  NullDevice device;
  OpLog log;
  Stream stream(device, log, {.stall_deadline = std::chrono::seconds(1)});
  std::atomic<bool> release{false};
  std::atomic<bool> is_running{false};
  OpRecord& record = log.open(OpId::kGelu, nullptr, 0, Location::current());
  OpRecord* running = &record;
  std::atomic<bool>* gate = &release;
  stream.launch([gate, running, begun = &is_running] {
    OpLog::set_state(*running, OpState::kRunning);
    begun->store(true);
    while (!gate->load()) std::this_thread::yield();
    OpLog::set_state(*running, OpState::kDone);
  });
  while (!is_running) std::this_thread::yield();
  try {
    stream.synchronize();
    FAIL();
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::kDeadlineExceeded);
    EXPECT_EQ(failure.error().message, "gelu: still running after 1 s without progress");
  }
  release = true;
}

TEST(StreamOptions, ReadsTheEnvironment) {
  setenv("ASCEND_LAUNCH_BLOCKING", "1", 1);
  EXPECT_EQ(StreamOptions::from_environment().launch_blocking, 1);
  setenv("CARDLOOM_LAUNCH_BLOCKING", "2", 1);
  EXPECT_EQ(StreamOptions::from_environment().launch_blocking, 2);
  setenv("CARDLOOM_LAUNCH_BLOCKING", "yes", 1);
  EXPECT_THROW((void)StreamOptions::from_environment(), Exception);
  unsetenv("CARDLOOM_LAUNCH_BLOCKING");
  unsetenv("ASCEND_LAUNCH_BLOCKING");
}

TEST(Workspace, GivesBackAndRefusesWithNumbers) {
  Workspace workspace(256);
  {
    const Workspace::Scope scope(workspace);
    EXPECT_NE(workspace.take(DType::kF32, {4, 8}).data, nullptr);
    try {
      (void)workspace.take(DType::kF32, {64});
      FAIL();
    } catch (const Exception& failure) {
      EXPECT_EQ(failure.error().detail, "256 bytes asked for, 128 of 256 in use");
    }
  }
  EXPECT_EQ(workspace.take(DType::kF32, {64}).num_elements(), 64);
  EXPECT_EQ(workspace.peak_bytes(), 256);
}

}  // namespace
}  // namespace cardloom
