// Operators that copy rows between ranks and add nothing: all_gather and embedding_lookup.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom::cpu {
namespace {

constexpr std::int64_t kTaskElements = 16384;
/// In front of a rank's rows in its buffer; a cache line, so that rows are aligned.
constexpr std::int64_t kHeaderBytes = 64;

/// What a rank tells about its rows.
struct GatherHeader {
  std::int64_t column = 0;
  std::int64_t count = 0;
  std::int64_t by_columns = 0;  ///< 1: neighbours in the buffer are neighbours of a column
};
struct TableHeader {
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
};
static_assert(sizeof(GatherHeader) <= kHeaderBytes && sizeof(TableHeader) <= kHeaderBytes);

template <class Header>
Header header_of(const Communicator& comm, int rank, std::uint64_t call) {
  Header header;
  std::memcpy(&header, comm.buffer(rank, call), sizeof header);
  return header;
}

/// How many rows of `row_bytes` one call can carry; throws if not even one.
std::int64_t rows_per_call(const Communicator& comm, std::int64_t row_bytes) {
  const std::int64_t rows =
      (comm.buffer_bytes() - kHeaderBytes) / std::max<std::int64_t>(row_bytes, 1);
  if (rows < 1) {
    throw_error(ErrorCode::kResourceExhausted, "a row does not fit the communicator's buffer",
                fmt::format("{} bytes a row, {} bytes of buffer", row_bytes, comm.buffer_bytes()),
                "make the group with a larger buffer");
  }
  return std::min<std::int64_t>(rows, std::int64_t{1} << 20);
}

bool lies_by_columns(const TensorView& view) {
  return std::abs(view.stride[0]) < std::abs(view.stride[1]);
}

/// to[m, n] = from[m, n], bits of one dtype, in runs along the axis that is denser in both.
void copy_all(CpuDevice& device, TensorView from, TensorView to) {
  if (to.num_elements() == 0) return;
  if (lies_by_columns(from) && lies_by_columns(to)) {
    from = from.transpose(0, 1);
    to = to.transpose(0, 1);
  }
  const std::int64_t M = to.shape[0];
  const std::int64_t width = std::min(to.shape[1], kTaskElements);
  const std::int64_t num_blocks = ceil_div(to.shape[1], width);
  const std::int64_t rows = std::max<std::int64_t>(1, kTaskElements / width);
  device.pool().parallel_for(ceil_div(M, rows) * num_blocks, [&](std::int64_t task, int) {
    const std::int64_t column = task % num_blocks * width;
    const std::int64_t n = std::min(width, to.shape[1] - column);
    const std::int64_t begin = task / num_blocks * rows;
    for (std::int64_t m = begin; m < std::min(M, begin + rows); ++m) {
      copy_run({from.dtype, reference::address(from, m, column), from.stride[1]},
               {to.dtype, reference::address(to, m, column), to.stride[1]}, n);
    }
  });
}

/// The rows behind a header.
TensorView buffer_view(std::byte* buffer, const GatherHeader& header, DType dtype,
                       std::int64_t rows) {
  if (header.by_columns != 0) {
    return make_view(buffer + kHeaderBytes, dtype, {header.count, rows}).transpose(0, 1);
  }
  return make_view(buffer + kHeaderBytes, dtype, {rows, header.count});
}

/// One call of all ranks: `x` and `out` are its rows.
void gather_call(const KernelContext& context, Communicator& comm, const TensorView& x,
                 std::int64_t column, const TensorView& out, const CallDescriptor& descriptor) {
  CpuDevice& device = cpu_device(context);
  const std::int64_t rows = out.shape[0];
  const std::uint64_t call = comm.enter(descriptor, *context.log, *context.record);
  const GatherHeader own{column, x.shape[1], lies_by_columns(x) ? 1 : 0};
  std::byte* buffer = comm.buffer(comm.rank(), call);
  std::memcpy(buffer, &own, sizeof own);
  copy_all(device, x, buffer_view(buffer, own, out.dtype, rows));
  comm.post(call, 0);
  copy_all(device, x, out.slice(1, column, column + own.count));
  for (int peer = 0; peer < comm.world_size(); ++peer) {
    if (peer == comm.rank()) continue;
    comm.expect(peer, call);
    comm.wait(peer, call, 0);
    const auto theirs = header_of<GatherHeader>(comm, peer, call);
    copy_all(device, buffer_view(comm.buffer(peer, call), theirs, out.dtype, rows),
             out.slice(1, theirs.column, theirs.column + theirs.count));
  }
}

/// Rows of a table that all ranks hold parts of, on their way to `out`.
class Lookup {
 public:
  Lookup(const KernelContext& context, const EmbeddingLookupArgs& args)
      : context_(context), device_(cpu_device(context)), args_(args), comm_(*args.comm) {}

  void run() {
    const std::int64_t T = args_.out.shape[0];
    if (comm_.world_size() == 1) {  // nobody to tell
      comm_.throw_if_aborted();
      ranges_[0] = {args_.first_row, args_.table.shape[0]};
      return take(0, T, 0);
    }
    const std::int64_t chunk = rows_per_call(comm_, args_.out.shape[1] * size_of(args_.out.dtype));
    for (std::int64_t row = 0; row < std::max<std::int64_t>(T, 1); row += chunk) {
      exchange(row, std::min(chunk, T - row));
    }
  }

 private:
  [[nodiscard]] std::int64_t id(std::int64_t t) const {
    return reference::load_index<std::int32_t>(args_.ids, t);
  }
  [[nodiscard]] int owner_of(std::int64_t id) const {
    for (int rank = 0; rank < comm_.world_size(); ++rank) {
      const TableHeader& range = ranges_[rank];
      if (id >= range.first_row && id - range.first_row < range.num_rows) return rank;
    }
    return -1;
  }
  /// Row `t` of the call in `rank`'s buffer, as out's rows are.
  [[nodiscard]] Run in_buffer(int rank, std::uint64_t call, std::int64_t t) const {
    const std::int64_t offset = t * args_.out.shape[1] * size_of(args_.out.dtype);
    return {args_.out.dtype, comm_.buffer(rank, call) + kHeaderBytes + offset, 1};
  }

  /// Calls body(t, worker) for rows [0, count), some of them at a time.
  template <class Body>
  void for_each_row(std::int64_t count, const Body& body) {
    const std::int64_t H = std::max<std::int64_t>(args_.out.shape[1], 1);
    const std::int64_t rows = std::max<std::int64_t>(1, kTaskElements / H);
    device_.pool().parallel_for(ceil_div(count, rows), [&](std::int64_t task, int worker) {
      for (std::int64_t t = task * rows; t < std::min(count, (task + 1) * rows); ++t) {
        body(t, worker);
      }
    });
  }

  /// A row of our own table, converted if it must be.
  void copy_own(std::int64_t id, const Run& to, int worker) {
    const std::int64_t H = args_.out.shape[1];
    const Run from = row_of(args_.table, id - args_.first_row);
    if (from.dtype == to.dtype) return copy_run(from, to, H);
    auto* scratch = reinterpret_cast<float*>(
        device_.scratch(worker, H * static_cast<std::int64_t>(sizeof(float))));
    write_run(device_.rows(), read_run(device_.rows(), from, H, scratch), to, H);
  }

  void exchange(std::int64_t row, std::int64_t rows) {
    CallDescriptor descriptor = describe_call(context_, OpId::kEmbeddingLookup, args_.out);
    descriptor.row = row;
    const std::uint64_t call = comm_.enter(descriptor, *context_.log, *context_.record);
    const TableHeader own{args_.first_row, args_.table.shape[0]};
    ranges_[comm_.rank()] = own;
    std::memcpy(comm_.buffer(comm_.rank(), call), &own, sizeof own);
    for_each_row(rows, [&](std::int64_t t, int worker) {
      const std::int64_t local = id(row + t) - own.first_row;
      if (local < 0 || local >= own.num_rows) return;
      copy_own(id(row + t), in_buffer(comm_.rank(), call, t), worker);
    });
    comm_.post(call, 0);
    for (int peer = 0; peer < comm_.world_size(); ++peer) {
      comm_.expect(peer, call);
      comm_.wait(peer, call, 0);
      ranges_[peer] = header_of<TableHeader>(comm_, peer, call);
    }
    take(row, rows, call);
  }

  /// Rows [row, row + rows) of out, from wherever they are.
  void take(std::int64_t row, std::int64_t rows, std::uint64_t call) {
    for (std::int64_t t = row; t < row + rows; ++t) {
      if (owner_of(id(t)) >= 0) continue;
      throw_error(ErrorCode::kInvalidArgument,
                  fmt::format("token id {} is in no rank's part of the vocabulary", id(t)),
                  fmt::format("position {} of {}", t, args_.out.shape[0]),
                  "check the ids of the prompt");
    }
    for_each_row(rows, [&](std::int64_t t, int worker) {
      const Run to = row_of(args_.out, row + t);
      const int owner = owner_of(id(row + t));
      if (owner == comm_.rank()) return copy_own(id(row + t), to, worker);
      copy_run(in_buffer(owner, call, t), to, args_.out.shape[1]);
    });
  }

  const KernelContext& context_;
  CpuDevice& device_;
  const EmbeddingLookupArgs& args_;
  Communicator& comm_;
  TableHeader ranges_[kMaxLeaves];  ///< [rank]; a group has at most as many ranks
};

}  // namespace

void all_gather(const KernelContext& context, const AllGatherArgs& args) {
  Communicator& comm = *args.comm;
  const std::int64_t M = args.out.shape[0];
  if (comm.world_size() == 1) {  // nobody to tell
    comm.throw_if_aborted();
    return copy_all(cpu_device(context), args.x,
                    args.out.slice(1, args.column, args.column + args.x.shape[1]));
  }
  const std::int64_t chunk = rows_per_call(comm, args.out.shape[1] * size_of(args.out.dtype));
  for (std::int64_t row = 0; row < std::max<std::int64_t>(M, 1); row += chunk) {
    const std::int64_t end = std::min(row + chunk, M);
    CallDescriptor descriptor = describe_call(context, OpId::kAllGather, args.out);
    descriptor.row = row;
    gather_call(context, comm, args.x.slice(0, row, end), args.column, args.out.slice(0, row, end),
                descriptor);
  }
}

void embedding_lookup(const KernelContext& context, const EmbeddingLookupArgs& args) {
  Lookup(context, args).run();
}

}  // namespace cardloom::cpu
