// matmul_all_reduce on GLM-4V's shapes: two cards x 1 thread against one card x 2 threads, against
// "make contiguous, multiply, then all-reduce", the leaf tree against one flat sum, the exchange
// alone, and the cost of the operator log. Ratios of interleaved medians, with the fraction of this
// machine's measured limits.
//
//     matmul_all_reduce_bench [ROUNDS [FORMAT [PATH]]]      9, bf16, the fastest path
//     matmul_all_reduce_bench exchange [PATH]                the exchange alone
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/products.h"
#include "bench/support.h"
#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/matmul_all_reduce.h"

namespace cardloom::bench {
namespace {

/// A straightforward shared-memory all-reduce of f32 partial sums, as other engines do it after the
/// product: copy in, meet, each rank reduces its share of rows, meet, copy out rounded.
void all_reduce(const KernelContext& context, Communicator& comm, const TensorView& partial,
                const TensorView& out) {
  const std::int64_t M = partial.shape[0];
  const std::int64_t N = partial.shape[1];
  const std::int64_t row_bytes = N * 4;
  const std::int64_t chunk = std::max<std::int64_t>(1, comm.buffer_bytes() / row_bytes);
  for (std::int64_t row = 0; row < M; row += chunk) {
    const std::int64_t rows = std::min(chunk, M - row);
    CallDescriptor descriptor;
    descriptor.M = rows;
    descriptor.N = N;
    const std::uint64_t call = comm.enter(descriptor, *context.log, *context.record);
    std::memcpy(comm.buffer(comm.rank(), call), partial.at<float>(row),
                static_cast<std::size_t>(rows * row_bytes));
    comm.post(call, 1);
    for (int peer = 0; peer < comm.world_size(); ++peer) {
      comm.expect(peer, call);
      comm.wait(peer, call, 1);
    }
    const std::int64_t begin = rows * comm.rank() / comm.world_size() * N;
    const std::int64_t end = rows * (comm.rank() + 1) / comm.world_size() * N;
    auto* sums = reinterpret_cast<float*>(comm.buffer(comm.rank(), call));
    for (int peer = 0; peer < comm.world_size(); ++peer) {
      if (peer == comm.rank()) continue;
      const auto* theirs = reinterpret_cast<const float*>(comm.buffer(peer, call));
      for (std::int64_t i = begin; i < end; ++i) sums[i] += theirs[i];
    }
    comm.post(call, 2);
    for (int peer = 0; peer < comm.world_size(); ++peer) {
      comm.wait(peer, call, 2);
      const auto* theirs = reinterpret_cast<const float*>(comm.buffer(peer, call));
      for (std::int64_t r = rows * peer / comm.world_size();
           r < rows * (peer + 1) / comm.world_size(); ++r) {
        for (std::int64_t n = 0; n < N; ++n) {
          *out.at<bf16>(row + r, n) = to_bf16(theirs[r * N + n]);
        }
      }
    }
  }
}

struct AllReduceArgs {
  Communicator* comm;
  TensorView partial;
  TensorView out;
};

void launch_all_reduce(Stream& stream, const AllReduceArgs& args) {
  const Operand operands[] = {{args.partial, OperandRole::kInput},
                              {args.out, OperandRole::kOutput}};
  OpRecord& record = stream.log().open(OpId::kCopy, operands, 2, Location::current());
  Stream* self = &stream;
  OpRecord* written = &record;
  stream.launch([self, written, args] {
    OpLog::set_state(*written, OpState::kRunning);
    const KernelContext context{&self->device(), &self->log(), written};
    all_reduce(context, *args.comm, args.partial, args.out);
    OpLog::set_state(*written, OpState::kDone);
  });
}

/// Everything that the contestants of one (shape, M) work on.
class Contest {
 public:
  Contest(const Shape& shape, std::int64_t M, cpu::Isa isa, WeightFormat format)
      : shape_(shape), M_(M), K_(shape.K()), two_(2, 1, isa), one_(1, 2, isa), single_(1, 1, isa) {
    const Tensor w = random_bf16({shape.N, K_}, 1);
    const int copies = num_weight_copies(shape, M, format);
    halves_ = cut(w, format, shape.leaves, 2, copies);
    tree_ = cut(w, format, shape.leaves, 1, copies);
    LeafPlan flat;
    flat.num_leaves = 1;
    flat.border[1] = K_;
    flat_leaf_ = cut(w, format, flat, 1, copies);
    for (int copy = 0; copy < copies; ++copy) {
      whole_.push_back(PackedWeight::whole(w.view(), format));
      auto& ranks = half_columns_.emplace_back();
      for (int rank = 0; rank < 2; ++rank) {
        const IndexRange range = shape.columns_of(rank);
        ranks.push_back(PackedWeight::whole(w.view().slice(1, range.begin, range.end), format));
      }
    }
    x_ = random_bf16({M, K_ + shape.neighbour_columns}, 2);
    calls_ = M <= 16 ? 2 * copies : 1;
    for (int rank = 0; rank < 2; ++rank) {
      out_.emplace_back(DType::kBF16, std::initializer_list<std::int64_t>{M, shape.N});
      partial_.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{M, shape.N});
      dense_.emplace_back(DType::kBF16, std::initializer_list<std::int64_t>{M, K_});
    }
  }

  [[nodiscard]] TensorView x_of(int rank) const {
    const IndexRange columns = shape_.columns_of(rank);
    return x_.view().slice(1, columns.begin, columns.end);
  }
  [[nodiscard]] int calls() const { return calls_; }

  void fused_two_cards() {
    for (int call = 0; call < calls_; ++call) {
      for (int rank = 0; rank < 2; ++rank) {
        ops::matmul_all_reduce(*stream(two_, rank), two_.group.communicator(rank), x_of(rank),
                               halves_.copies[index(call)][static_cast<std::size_t>(rank)].matrix(),
                               out_[static_cast<std::size_t>(rank)]);
      }
    }
    two_.synchronize();
  }

  void contiguous_then_all_reduce() {
    for (int call = 0; call < calls_; ++call) {
      for (int rank = 0; rank < 2; ++rank) {
        Stream& card = *stream(two_, rank);
        const TensorView x = x_of(rank);
        const TensorView dense = make_view(dense_[static_cast<std::size_t>(rank)].view().data,
                                           DType::kBF16, {M_, x.shape[1]});
        ops::copy(card, x, dense);
        ops::matmul(card, dense,
                    half_columns_[index(call)][static_cast<std::size_t>(rank)].matrix(),
                    partial_[static_cast<std::size_t>(rank)]);
        launch_all_reduce(
            card, {&two_.group.communicator(rank), partial_[static_cast<std::size_t>(rank)].view(),
                   out_[static_cast<std::size_t>(rank)].view()});
      }
    }
    two_.synchronize();
  }

  void matmul_one_card() {
    for (int call = 0; call < calls_; ++call) {
      ops::matmul(*stream(one_, 0), x_.view().slice(1, 0, K_), whole_[index(call)].matrix(),
                  out_[0]);
    }
    one_.synchronize();
  }

  void one_thread(const Weights& weights) {
    for (int call = 0; call < calls_; ++call) {
      ops::matmul_all_reduce(*stream(single_, 0), single_.group.communicator(0),
                             x_.view().slice(1, 0, K_), weights.copies[index(call)][0].matrix(),
                             out_[0]);
    }
    single_.synchronize();
  }
  void leaf_tree() { one_thread(tree_); }
  void flat_sum() { one_thread(flat_leaf_); }

 private:
  [[nodiscard]] std::size_t index(int call) const {
    return static_cast<std::size_t>(call) % halves_.copies.size();
  }
  static Stream* stream(Cards& cards, int rank) {
    return cards.cards[static_cast<std::size_t>(rank)].stream.get();
  }

  Shape shape_;
  std::int64_t M_;
  std::int64_t K_;
  Cards two_;
  Cards one_;
  Cards single_;
  Weights halves_;
  Weights tree_;
  Weights flat_leaf_;
  std::vector<PackedWeight> whole_;
  std::vector<std::vector<PackedWeight>> half_columns_;
  Tensor x_;
  std::vector<Tensor> out_, partial_, dense_;
  int calls_ = 1;
};

/// FLOP/s of one thread's product from caches: one row block times four panels, K = 2,048.
double kernel_flops(cpu::Isa isa, WeightFormat format) {
  constexpr std::int64_t kK = 2048;
  constexpr std::int64_t kN = 128;
  const std::int64_t M = cpu::gemm_kernels(isa).block_rows;
  const Tensor x = random_bf16({M, kK}, 1);
  const Tensor w = random_bf16({kN, kK}, 2);
  const PackedWeight packed = PackedWeight::whole(w.view(), format);
  const Tensor out(DType::kBF16, {M, kN});
  Cards cards(1, 1, isa);
  constexpr int kCalls = 200;
  std::vector<double> times;
  for (int round = 0; round < 9; ++round) {
    times.push_back(seconds_of([&] {
      for (int call = 0; call < kCalls; ++call) {
        ops::matmul(*cards.cards[0].stream, x, packed.matrix(), out);
      }
      cards.synchronize();
    }));
  }
  return 2.0 * static_cast<double>(M * kN * kK) * kCalls / median(times);
}

/// Bytes/s of all threads of a card reading memory once.
double read_bandwidth(int threads) {
  Cards cards(1, threads, cpu::Isa::kPlain);
  Tensor memory(DType::kI64, {kRotatedBytes / 8});
  auto* words = memory.view().at<std::int64_t>();
  std::memset(words, 1, static_cast<std::size_t>(kRotatedBytes));
  constexpr std::int64_t kPieces = 256;
  std::vector<std::int64_t> sums(kPieces);
  std::vector<double> times;
  for (int round = 0; round < 7; ++round) {
    times.push_back(seconds_of([&] {
      cards.cards[0].device->pool().parallel_for(kPieces, [&](std::int64_t piece, int) {
        const std::int64_t count = kRotatedBytes / 8 / kPieces;
        std::int64_t lanes[8] = {};  // independent sums: the loads are the limit, not the adds
        for (std::int64_t i = piece * count; i < (piece + 1) * count; i += 8) {
          for (int lane = 0; lane < 8; ++lane) lanes[lane] += words[i + lane];
        }
        for (const std::int64_t lane : lanes) sums[static_cast<std::size_t>(piece)] += lane;
      });
    }));
  }
  return static_cast<double>(kRotatedBytes) / median(times);
}

void report_op_log(cpu::Isa isa) {
  Cards cards(1, 1, isa);
  OpLog& log = *cards.cards[0].log;
  const OpScope layer(log, "layers", 1);
  const TensorView view = make_view(nullptr, DType::kBF16, {16, 4096});
  const Operand operands[] = {{view}, {view}, {view}, {view}, {view, OperandRole::kOutput}};
  constexpr int kLaunches = 200'000;
  std::vector<double> times;
  for (int round = 0; round < 9; ++round) {
    times.push_back(seconds_of([&] {
      for (int launch = 0; launch < kLaunches; ++launch) {
        OpLog::set_state(log.open(OpId::kMatmulAllReduce, operands, 5, Location::current()),
                         OpState::kDone);
      }
    }));
  }
  fmt::print("operator log, one record of 5 operands, opened and closed: {:.0f} ns\n",
             median(times) / kLaunches * 1e9);
}

void report_exchange(cpu::Isa isa) {
  for (const ExchangeSize& size : kExchangeSizes) {
    fmt::print(
        "exchange of {:>4} KiB of sums, 2 ranks, with a product of K = 32 a rank: {:.1f} us\n",
        size.kib(), exchange_seconds(size, isa) * 1e6);
  }
}

void report(const Shape& shape, int rounds, cpu::Isa isa, WeightFormat format, double peak,
            double bandwidth_two) {
  const std::int64_t K = shape.K();
  for (const std::int64_t M : {1, 16, 512, 1602}) {
    Contest contest(shape, M, isa, format);
    const std::vector<double> times =
        interleaved(rounds, {[&] { contest.fused_two_cards(); }, [&] { contest.matmul_one_card(); },
                             [&] { contest.contiguous_then_all_reduce(); },
                             [&] { contest.leaf_tree(); }, [&] { contest.flat_sum(); }});
    const double seconds = times[0] / contest.calls();
    const double flops = 2.0 * static_cast<double>(M * shape.N * K) / seconds;
    const double bytes = static_cast<double>(packed_bytes(format, shape.N, K)) / seconds;
    fmt::print(
        "{:>10} {:>5} {:>10.3f} {:>8.0f} {:>6.0f}% {:>7.1f} {:>6.0f}% {:>9.2f} {:>11.2f} "
        "{:>9.1f}%\n",
        shape.name, M, seconds * 1e3, flops * 1e-9, 100 * flops / (2 * peak), bytes * 1e-9,
        100 * bytes / bandwidth_two, times[1] / times[0], times[2] / times[0],
        100 * (times[3] / times[4] - 1));
  }
}

}  // namespace
}  // namespace cardloom::bench

int main(int argc, char** argv) {
  using namespace cardloom;
  if (argc > 1 && std::string_view(argv[1]) == "exchange") {
    bench::report_exchange(cpu::choose_isa(argc > 2 ? argv[2] : "").value_or_throw());
    return 0;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a long table: show every line as it is measured
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  const WeightFormat format = parse_weight_format(argc > 2 ? argv[2] : "bf16").value_or_throw();
  const cpu::Isa isa = cpu::choose_isa(argc > 3 ? argv[3] : "").value_or_throw();
  const double peak = bench::kernel_flops(isa, format);
  const double bandwidth_one = bench::read_bandwidth(1);
  const double bandwidth_two = bench::read_bandwidth(2);
  fmt::print(
      "path {}, {} cores; one thread's product from caches {:.0f} GFLOP/s; reading {:.1f} GB/s "
      "with 1 thread, {:.1f} with 2; medians of {} interleaved rounds\n\n",
      to_string(isa), cpu::discover_topology().num_cores, peak * 1e-9, bandwidth_one * 1e-9,
      bandwidth_two * 1e-9, rounds);
  fmt::print(
      "matmul_all_reduce, {}, tp=2 x 1 thread, x strided; then how many times faster it is than "
      "matmul on\n1 card x 2 threads and than copy + matmul + all-reduce at tp=2; and what the "
      "leaf tree costs\nagainst one flat sum (1 card x 1 thread)\n",
      to_string(format));
  fmt::print("{:>10} {:>5} {:>10} {:>8} {:>7} {:>7} {:>7} {:>9} {:>11} {:>10}\n", "shape", "M",
             "ms", "GFLOP/s", "kernel", "GB/s", "read", "vs 1 card", "vs separate", "tree");
  for (const bench::Shape& shape : bench::glm4v_shapes()) {
    bench::report(shape, rounds, isa, format, peak, bandwidth_two);
  }
  fmt::print("\n");
  bench::report_exchange(isa);
  bench::report_op_log(isa);
  return 0;
}
