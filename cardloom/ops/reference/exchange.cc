#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cardloom/base/error.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom {

CallDescriptor describe_call(const KernelContext& context, OpId op, const TensorView& out) {
  CallDescriptor descriptor;
  descriptor.op = op;
  descriptor.dtype = out.dtype;
  descriptor.M = out.shape[0];
  descriptor.N = out.shape[1];
  std::string_view scope = context.log->scope(*context.record);
  if (scope.size() >= sizeof descriptor.scope) {
    scope.remove_prefix(scope.size() - sizeof descriptor.scope + 1);  // the end tells more
  }
  std::memcpy(descriptor.scope, scope.data(), scope.size());
  return descriptor;
}

}  // namespace cardloom

namespace cardloom::reference {
namespace {

/// How many rows of `row_bytes` one call can carry; throws if not even one.
std::int64_t rows_per_call(const Communicator& comm, std::int64_t row_bytes) {
  const std::int64_t rows = comm.buffer_bytes() / std::max<std::int64_t>(row_bytes, 1);
  if (rows < 1) {
    throw_error(ErrorCode::kResourceExhausted, "a row does not fit the communicator's buffer",
                fmt::format("{} bytes a row, {} bytes of buffer", row_bytes, comm.buffer_bytes()),
                "make the group with a larger buffer");
  }
  return std::min<std::int64_t>(rows, std::int64_t{1} << 20);
}

/// to[m, n] = from[m, n], bits of one dtype; whole rows at once where both lie dense (a step's
/// logits are 151,552 columns).
void copy_bits(const TensorView& from, const TensorView& to) {
  const std::int64_t size = size_of(from.dtype);
  const bool dense = from.has_dense_rows() && to.has_dense_rows();
  for (std::int64_t m = 0; m < from.shape[0]; ++m) {
    if (dense) {
      std::memcpy(address(to, m), address(from, m), static_cast<std::size_t>(from.shape[1] * size));
      continue;
    }
    for (std::int64_t n = 0; n < from.shape[1]; ++n) {
      std::memcpy(address(to, m, n), address(from, m, n), static_cast<std::size_t>(size));
    }
  }
}

}  // namespace

void all_gather(const KernelContext& context, const AllGatherArgs& args) {
  Communicator& comm = *args.comm;
  const std::int64_t size = size_of(args.out.dtype);
  const std::int64_t M = args.out.shape[0];
  // Where its columns begin travels ahead of a rank's rows.
  constexpr std::int64_t kHeaderBytes = 64;
  struct Header {
    std::int64_t column;
    std::int64_t count;
  };
  const std::int64_t chunk = rows_per_call(comm, args.out.shape[1] * size + kHeaderBytes);
  for (std::int64_t row = 0; row < std::max<std::int64_t>(M, 1); row += chunk) {
    const std::int64_t rows = std::min(chunk, M - row);
    CallDescriptor descriptor = describe_call(context, OpId::kAllGather, args.out);
    descriptor.row = row;
    const std::uint64_t call = comm.enter(descriptor, *context.log, *context.record);
    std::byte* own = comm.buffer(comm.rank(), call);
    const Header header{args.column, args.x.shape[1]};
    std::memcpy(own, &header, sizeof header);
    const auto in_buffer = [&](std::byte* buffer, std::int64_t columns) {
      return make_view(buffer + kHeaderBytes, args.out.dtype, {rows, columns});
    };
    if (rows > 0 && header.count > 0) {
      copy_bits(args.x.slice(0, row, row + rows), in_buffer(own, header.count));
    }
    comm.post(call, 0);
    for (int peer = 0; peer < comm.world_size(); ++peer) {
      comm.expect(peer, call);
      comm.wait(peer, call, 0);
      std::byte* theirs = comm.buffer(peer, call);
      Header from;
      std::memcpy(&from, theirs, sizeof from);
      if (rows == 0 || from.count == 0) continue;
      copy_bits(in_buffer(theirs, from.count),
                args.out.slice(0, row, row + rows).slice(1, from.column, from.column + from.count));
    }
  }
}

void embedding_lookup(const KernelContext& context, const EmbeddingLookupArgs& args) {
  Communicator& comm = *args.comm;
  const std::int64_t T = args.out.shape[0];
  const std::int64_t H = args.out.shape[1];
  const std::int64_t size = size_of(args.out.dtype);
  constexpr std::int64_t kHeaderBytes = 64;
  struct Header {
    std::int64_t first_row;
    std::int64_t num_rows;
  };
  const std::int64_t chunk = rows_per_call(comm, H * size + kHeaderBytes);
  const auto id_at = [&](std::int64_t t) {
    return static_cast<std::int64_t>(load_as<std::int32_t>(address(args.ids, t)));
  };
  for (std::int64_t row = 0; row < std::max<std::int64_t>(T, 1); row += chunk) {
    const std::int64_t rows = std::min(chunk, T - row);
    CallDescriptor descriptor = describe_call(context, OpId::kEmbeddingLookup, args.out);
    descriptor.row = row;
    const std::uint64_t call = comm.enter(descriptor, *context.log, *context.record);
    std::byte* own = comm.buffer(comm.rank(), call);
    const Header header{args.first_row, args.table.shape[0]};
    std::memcpy(own, &header, sizeof header);
    for (std::int64_t t = 0; t < rows; ++t) {
      const std::int64_t local = id_at(row + t) - header.first_row;
      if (local < 0 || local >= header.num_rows) continue;
      for (std::int64_t h = 0; h < H; ++h) {
        store_at(args.out.dtype, own + kHeaderBytes + (t * H + h) * size,
                 load(args.table, local, h));
      }
    }
    comm.post(call, 0);
    for (int peer = 0; peer < comm.world_size(); ++peer) {
      comm.expect(peer, call);
      comm.wait(peer, call, 0);
    }
    for (std::int64_t t = 0; t < rows; ++t) {
      std::byte* found = nullptr;
      for (int peer = 0; peer < comm.world_size() && found == nullptr; ++peer) {
        std::byte* theirs = comm.buffer(peer, call);
        Header from;
        std::memcpy(&from, theirs, sizeof from);
        const std::int64_t local = id_at(row + t) - from.first_row;
        if (local >= 0 && local < from.num_rows) found = theirs + kHeaderBytes + t * H * size;
      }
      if (found == nullptr) {
        throw_error(
            ErrorCode::kInvalidArgument,
            fmt::format("token id {} is in no rank's part of the vocabulary", id_at(row + t)),
            fmt::format("position {} of {}", row + t, T), "check the ids of the prompt");
      }
      copy_bits(make_view(found, args.out.dtype, {1, H}), args.out.slice(0, row + t, row + t + 1));
    }
  }
}

}  // namespace cardloom::reference
