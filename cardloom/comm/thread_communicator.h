#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "cardloom/comm/communicator.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

struct ThreadGroupOptions {
  /// Per rank and parity; pages are touched as used. 16 MiB hold 512 rows of f32 sums and bf16
  /// results at N = 4096 where a rank owns one subtree (tp 1, 2, 4, 8), 230 rows otherwise.
  std::int64_t buffer_bytes = std::int64_t{16} << 20;
  /// How long a rank waits for another before it gives up on it.
  std::chrono::milliseconds deadline{60'000};
  /// Polls before sleeping; 0 if ranks share cores (then spinning only steals time from the peer).
  int spins = 2'000;
};

/// The shared side of a group of ranks that are threads of one process.
class ThreadGroup {
 public:
  /// Throws kInvalidArgument unless 1 <= world_size <= 8.
  explicit ThreadGroup(int world_size, ThreadGroupOptions options = {});
  ~ThreadGroup();

  /// The communicator of `rank`, owned by the group.
  [[nodiscard]] Communicator& communicator(int rank);
  [[nodiscard]] int world_size() const { return world_size_; }

  /// Makes an aborted group usable again. Only while no rank is inside a call.
  void reset();

 private:
  friend class ThreadCommunicator;
  struct Line;
  /// Ends all waits; keeps the first error.
  void abort(const Error& error);

  int world_size_;
  ThreadGroupOptions options_;
  std::vector<Line> lines_;
  std::vector<Tensor> buffers_;  ///< [rank][parity]
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::atomic<bool> aborted_{false};
  mutable std::mutex mutex_;  ///< guards error_; leaf lock
  std::optional<Error> error_;
};

}  // namespace cardloom
