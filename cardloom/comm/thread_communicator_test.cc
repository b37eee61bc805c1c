#include "cardloom/comm/thread_communicator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <thread>

#include "cardloom/oplog/op_log.h"

namespace cardloom {
namespace {

/// Runs `body(rank, communicator, log, record)` on one thread a rank; returns each rank's error
/// text.
std::vector<std::string> on_ranks(
    ThreadGroup& group,
    const std::function<void(int, Communicator&, const OpLog&, const OpRecord&)>& body) {
  std::vector<std::string> errors(static_cast<std::size_t>(group.world_size()));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < group.world_size(); ++rank) {
    threads.emplace_back([&, rank] {
      OpLog log(rank, group.world_size());
      const OpScope scope(log, "layer", 3);
      const OpRecord& record = log.open(OpId::kMatmulAllReduce, nullptr, 0, Location::current());
      try {
        body(rank, group.communicator(rank), log, record);
      } catch (const Exception& failure) {
        errors[static_cast<std::size_t>(rank)] = failure.error().describe();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

CallDescriptor descriptor(std::int64_t M) {
  CallDescriptor call;
  call.M = M;
  std::strcpy(call.scope, "layer.3");
  return call;
}

TEST(ThreadCommunicator, ExchangesManyCallsThroughTwoBuffers) {
  for (const int world : {1, 2, 3, 8}) {
    ThreadGroup group(world, {.buffer_bytes = 4096, .spins = 0});
    const auto errors = on_ranks(
        group, [&](int rank, Communicator& comm, const OpLog& log, const OpRecord& record) {
          for (int round = 1; round <= 300; ++round) {
            const std::uint64_t call = comm.enter(descriptor(1), log, record);
            *reinterpret_cast<int*>(comm.buffer(rank, call)) = round * 10 + rank;
            comm.post(call, 0);
            for (int peer = 0; peer < world; ++peer) {
              comm.expect(peer, call);
              comm.wait(peer, call, 0);
              ASSERT_EQ(*reinterpret_cast<int*>(comm.buffer(peer, call)), round * 10 + peer);
            }
          }
        });
    for (const std::string& error : errors) EXPECT_EQ(error, "");
  }
}

TEST(ThreadCommunicator, RanksThatDisagreeAllGetTheSameNamedError) {
  ThreadGroup group(3, {.buffer_bytes = 4096});
  const auto errors =
      on_ranks(group, [](int rank, Communicator& comm, const OpLog& log, const OpRecord& record) {
        const std::uint64_t call = comm.enter(descriptor(rank == 2 ? 5 : 4), log, record);
        for (int peer = 0; peer < 3; ++peer) comm.expect(peer, call);
        // A rank whose own look went well learns of it at its next wait at the latest.
        for (int peer = 0; peer < 3; ++peer) comm.wait(peer, call, 7);
      });
  EXPECT_NE(errors[0].find("matmul_all_reduce: ranks disagree about M (rows): rank "),
            std::string::npos);
  EXPECT_NE(errors[0].find("rank 2 has 5"), std::string::npos);
  EXPECT_NE(errors[0].find("layer.3"), std::string::npos);
  EXPECT_EQ(errors[0], errors[1]);
  EXPECT_EQ(errors[0], errors[2]);
}

TEST(ThreadCommunicator, LeavesMustFollowOneAnother) {
  ThreadGroup group(2, {.buffer_bytes = 4096});
  const auto errors =
      on_ranks(group, [](int rank, Communicator& comm, const OpLog& log, const OpRecord& record) {
        CallDescriptor call = descriptor(1);
        call.num_leaves = 8;
        call.first_leaf = rank == 0 ? 0 : 5;
        call.end_leaf = rank == 0 ? 4 : 8;
        comm.expect(1 - rank, comm.enter(call, log, record));
        comm.wait(1 - rank, 1, 3);
      });
  EXPECT_NE(errors[1].find("rank 0 ends at leaf 4, rank 1 begins at leaf 5"), std::string::npos);
  EXPECT_EQ(errors[0], errors[1]);
}

TEST(ThreadCommunicator, NamesTheRankThatNeverComes) {
  ThreadGroup group(2, {.buffer_bytes = 4096, .deadline = std::chrono::milliseconds(50)});
  const auto errors =
      on_ranks(group, [](int rank, Communicator& comm, const OpLog& log, const OpRecord& record) {
        if (rank == 1) return;
        comm.expect(1, comm.enter(descriptor(1), log, record));
      });
  EXPECT_NE(errors[0].find("matmul_all_reduce: rank 1 did not come within 50 ms"),
            std::string::npos);
  EXPECT_NE(errors[0].find("it has not entered any call yet"), std::string::npos);
}

TEST(ThreadCommunicator, AbortEndsEveryWaitAndResetServesAgain) {
  ThreadGroup group(2, {.buffer_bytes = 4096});
  auto errors =
      on_ranks(group, [](int rank, Communicator& comm, const OpLog& log, const OpRecord& record) {
        if (rank == 1) {
          comm.abort(make_error(ErrorCode::kResourceExhausted, "rank 1 is out of memory"));
          comm.abort(make_error(ErrorCode::kInternal, "too late"));
          return;
        }
        comm.expect(1, comm.enter(descriptor(1), log, record));
      });
  EXPECT_EQ(errors[0].find("rank 1 is out of memory"), 0U);
  group.reset();
  errors =
      on_ranks(group, [](int rank, Communicator& comm, const OpLog& log, const OpRecord& record) {
        comm.expect(1 - rank, comm.enter(descriptor(1), log, record));
      });
  EXPECT_EQ(errors, (std::vector<std::string>{"", ""}));
}

TEST(ThreadGroup, RefusesWorldsThatDoNotWork) {
  EXPECT_THROW(ThreadGroup(0), Exception);
  EXPECT_THROW(ThreadGroup(9), Exception);
}

}  // namespace
}  // namespace cardloom
