#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "cardloom/base/error.h"
#include "cardloom/oplog/op_record.h"

namespace cardloom {

class OpLog;

/// Thrown out of a collective on every rank when the group was aborted: the same error, the first
/// rank's, everywhere.
class GroupFailure : public Exception {
 public:
  using Exception::Exception;
};

/// What a rank says it is about to do; ranks that meet in a call must agree on all but the leaves,
/// which must follow one another. A POD: it lies in shared memory.
struct CallDescriptor {
  OpId op = OpId::kMatmulAllReduce;
  DType dtype = DType::kF32;    ///< of the output
  std::int32_t num_leaves = 0;  ///< of the whole K axis
  std::int32_t first_leaf = 0;  ///< owned leaves [first_leaf, end_leaf)
  std::int32_t end_leaf = 0;
  std::int64_t M = 0;
  std::int64_t N = 0;
  std::int64_t row = 0;      ///< first row of this piece of a larger call
  std::uint64_t layout = 0;  ///< chosen algorithm: ranks must have chosen alike
  char scope[56] = {};       ///< end of the layer path, for the message
};

/// What ranks exchange data through: a *call* is one meeting of all ranks, numbered from 1 in the
/// same order on every rank. Each rank has two buffers and two sets of flags, used by odd and even
/// calls in turn; so a rank may write into its buffer for call s + 2 as soon as it has left call
/// s + 1, because leaving s + 1 takes a sign from every rank that it has left s.
///
/// Every wait has a deadline and watches for abort(). Used by one executor thread per rank, and by
/// that rank's team inside a call (post, ready, wait, buffer are safe from all of the team).
class Communicator {
 public:
  virtual ~Communicator() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int world_size() const = 0;
  [[nodiscard]] virtual std::int64_t buffer_bytes() const = 0;

  static constexpr int kNumFlags = 4096;  ///< per rank and parity; flag 0 is the small-call flag

  /// Begins the next call: publishes `descriptor`, waits for nobody. `log` and
  /// `record` say which operator calls; they are read only to tell of a failure. Returns the call's
  /// number. Throws GroupFailure if the group was aborted.
  virtual std::uint64_t enter(const CallDescriptor& descriptor, const OpLog& log,
                              const OpRecord& record) = 0;

  /// Waits until `peer` has entered `call` and checks that its descriptor agrees with ours. Must
  /// come before the first look at the peer's buffer or flags in a call.
  /// Throws GroupFailure (and so on all ranks) with kInvalidArgument naming the first field that
  /// differs, kDeadlineExceeded naming a rank that does not come, or whatever the group was aborted
  /// with.
  virtual void expect(int peer, std::uint64_t call) = 0;

  /// What `peer` entered `call` with; valid after expect().
  [[nodiscard]] virtual const CallDescriptor& descriptor(int peer, std::uint64_t call) const = 0;

  /// `rank`'s buffer for `call`, buffer_bytes() long, 64-byte aligned.
  [[nodiscard]] virtual std::byte* buffer(int rank, std::uint64_t call) const = 0;

  /// Publishes everything this thread wrote before under `flag` of this rank.
  virtual void post(std::uint64_t call, int flag) = 0;
  /// Whether `rank` posted `flag` in `call`; if so, what it wrote before is visible.
  [[nodiscard]] virtual bool ready(int rank, std::uint64_t call, int flag) const = 0;
  /// Waits for ready(). Throws as expect does.
  virtual void wait(int rank, std::uint64_t call, int flag) = 0;

  /// Ends every wait of every rank with `error`, unless the group was aborted before: the first
  /// wins.
  virtual void abort(const Error& error) = 0;
  [[nodiscard]] virtual bool aborted() const = 0;
  /// Throws GroupFailure with the group's error if it has one.
  virtual void throw_if_aborted() const = 0;
};

}  // namespace cardloom
