// One contestant of bench/mpi_contest.sh, which runs both in turn: GLM-4V's products that end in an
// all-reduce, two ranks of one thread, x strided; and the all-reduce alone.
//
//     mpi_contest ours WHAT [FORMAT [PATH]]                          cards as threads
//     mpirun -n 2 --bind-to core mpi_contest mpi WHAT [FORMAT [PATH]]     Open MPI
//
// WHAT is o, down, fc2 or all-reduce. Ours is matmul_all_reduce, launched on streams as in the
// engine. The other is what an engine without the operator would do: x copied to dense rows, our
// own matmul with an f32 result, MPI_Allreduce of the f32 sums in place, then bias or residual
// added and rounded to bf16; on the thread that calls MPI, without a stream between.
//
// Lines on stdout: contestant, what, M or KiB, microseconds, root mean square of the result (both
// contestants must have the same), with tabs between.
#include <fmt/format.h>
#include <mpi.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "bench/products.h"
#include "bench/support.h"
#include "cardloom/backend/cpu/kernels/matmul.h"
#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/ops/matmul_all_reduce.h"

namespace cardloom::bench {
namespace {

constexpr std::int64_t kRows[] = {1, 512, 1602};
constexpr int kRounds = 5;
constexpr std::string_view kAllReduce = "all-reduce";

/// "o" is "text o".
std::vector<Shape> shapes_of(std::string_view what) {
  std::vector<Shape> shapes = glm4v_shapes();
  std::erase_if(shapes, [&](const Shape& shape) {
    return !std::string_view(shape.name).ends_with(" " + std::string(what));
  });
  return shapes;
}

Tensor make_bias(std::int64_t N) {
  Tensor bias(DType::kF32, {N});
  for (std::int64_t n = 0; n < N; ++n) *bias.view().at<float>(n) = static_cast<float>(n % 7);
  return bias;
}

/// What both contestants work on.
struct Task {
  explicit Task(const Shape& shape_of, WeightFormat format_of)
      : shape(shape_of),
        format(format_of),
        copies(num_weight_copies(shape, 1, format)),
        weight(random_bf16({shape.N, shape.K()}, 1)),
        bias(make_bias(shape.N)) {}

  Shape shape;
  WeightFormat format;
  int copies;
  Tensor weight;
  Tensor bias;
};

/// One M of a task.
struct Operands {
  Operands(const Task& task, std::int64_t rows)
      : M(rows),
        calls(M == 1 ? 2 * task.copies : 2),
        x(random_bf16({M, task.shape.K() + task.shape.neighbour_columns}, 2)),
        residual(random_bf16({M, task.shape.N}, 3)) {}

  [[nodiscard]] TensorView x_of(const Task& task, int rank) const {
    const IndexRange columns = task.shape.columns_of(rank);
    return x.view().slice(1, columns.begin, columns.end);
  }

  std::int64_t M;
  int calls;  ///< of every measurement; where M is 1, the weight's copies in turn
  Tensor x;
  Tensor residual;
};

double root_mean_square(const TensorView& out) {
  double sum = 0;
  for (std::int64_t m = 0; m < out.shape[0]; ++m) {
    for (std::int64_t n = 0; n < out.shape[1]; ++n) {
      const double value = to_f32(*out.at<bf16>(m, n));
      sum += value * value;
    }
  }
  return std::sqrt(sum / static_cast<double>(out.num_elements()));
}

void print_row(std::string_view contestant, std::string_view what, std::int64_t size,
               double seconds, double check) {
  fmt::print("{}\t{}\t{}\t{:.2f}\t{:.4g}\n", contestant, what, size, seconds * 1e6, check);
  std::fflush(stdout);
}

void run_ours(const Task& task, const Weights& halves, std::int64_t M, Cards& cards) {
  const Operands operands(task, M);
  const Tensor out[2] = {Tensor(DType::kBF16, {M, task.shape.N}),
                         Tensor(DType::kBF16, {M, task.shape.N})};
  ops::MatmulAllReduceOptions options;
  if (task.shape.residual) {
    options.residual = operands.residual;
  } else {
    options.bias = task.bias;
  }
  const auto all_calls = [&] {
    for (int call = 0; call < operands.calls; ++call) {
      const auto copy = static_cast<std::size_t>(call % task.copies);
      for (std::size_t rank = 0; rank < 2; ++rank) {
        const int number = static_cast<int>(rank);
        ops::matmul_all_reduce(*cards.cards[rank].stream, cards.group.communicator(number),
                               operands.x_of(task, number), halves.copies[copy][rank].matrix(),
                               out[rank], options);
      }
    }
    cards.synchronize();
  };
  const double seconds = interleaved(kRounds, {all_calls})[0] / operands.calls;
  print_row("ours", task.shape.name, M, seconds, root_mean_square(out[0]));
}

int our_part(std::string_view what, WeightFormat format, cpu::Isa isa) {
  for (const Shape& shape : shapes_of(what)) {
    const Task task(shape, format);
    const Weights halves = cut(task.weight, format, shape.leaves, 2, task.copies);
    Cards cards(2, 1, isa);
    for (const std::int64_t M : kRows) run_ours(task, halves, M, cards);
  }
  if (what != kAllReduce) return 0;
  for (const ExchangeSize& size : kExchangeSizes) {
    print_row("ours", what, size.kib(), exchange_seconds(size, isa), 0);
  }
  return 0;
}

/// Median seconds of `body`, which both ranks begin together and which ends when both have.
template <class Body>
double seconds_of_both(const Body& body) {
  std::vector<double> times;
  for (int round = -1; round < kRounds; ++round) {  // round -1 warms up
    MPI_Barrier(MPI_COMM_WORLD);
    double seconds = seconds_of(body);
    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (round >= 0) times.push_back(seconds);
  }
  return median(times);
}

void all_reduce(const TensorView& sums) {
  MPI_Allreduce(MPI_IN_PLACE, sums.data, static_cast<int>(sums.num_elements()), MPI_FLOAT, MPI_SUM,
                MPI_COMM_WORLD);
}

/// A rank's card, whose kernels run on the calling thread.
class RankCard {
 public:
  RankCard(int rank, cpu::Isa isa)
      : device_(0, {cpu::place_cards(cpu::discover_topology(), 1, 1).cpus[0], true, isa}),
        log_(rank, 2),
        context_{&device_, &log_, &log_.open(OpId::kMatmul, nullptr, 0, Location::current())} {
    device_.bind_thread();
    OpLog::set_state(*context_.record, OpState::kRunning);
  }
  [[nodiscard]] const KernelContext& context() const { return context_; }

 private:
  cpu::CpuDevice device_;
  OpLog log_;
  KernelContext context_;
};

void run_mpi(const Task& task, const std::vector<PackedWeight>& halves, std::int64_t M, int rank,
             const KernelContext& context) {
  const Operands operands(task, M);
  const TensorView x = operands.x_of(task, rank);
  const TensorView added = task.shape.residual
                               ? operands.residual.view()
                               : task.bias.view().unflatten(0, task.shape.N).expand(0, M);
  const Tensor dense(DType::kBF16, {M, x.shape[1]});
  const Tensor sums(DType::kF32, {M, task.shape.N});
  const Tensor out(DType::kBF16, {M, task.shape.N});
  const double seconds = seconds_of_both([&] {
    for (int call = 0; call < operands.calls; ++call) {
      const PackedWeight& half = halves[static_cast<std::size_t>(call % task.copies)];
      cpu::copy(context, {x, dense.view()});
      cpu::matmul(context, {dense.view(), half.matrix(), TensorView{}, sums.view()});
      all_reduce(sums);
      cpu::add(context, {sums.view(), added, out.view()});
    }
  });
  if (rank == 0) {
    print_row("mpi", task.shape.name, M, seconds / operands.calls, root_mean_square(out));
  }
}

int mpi_part(std::string_view what, WeightFormat format, cpu::Isa isa) {
  int rank = 0;
  int world_size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world_size);
  if (world_size != 2) {
    std::fprintf(stderr, "error: this contest has 2 ranks, not %d: mpirun -n 2 ...\n", world_size);
    return 2;
  }
  const RankCard card(rank, isa);
  for (const Shape& shape : shapes_of(what)) {
    const Task task(shape, format);
    const IndexRange columns = shape.columns_of(rank);
    const TensorView half = task.weight.view().slice(1, columns.begin, columns.end);
    std::vector<PackedWeight> halves;
    for (int copy = 0; copy < task.copies; ++copy) {
      halves.push_back(PackedWeight::whole(half, format));
    }
    for (const std::int64_t M : kRows) run_mpi(task, halves, M, rank, card.context());
  }
  if (what != kAllReduce) return 0;
  for (const ExchangeSize& size : kExchangeSizes) {
    const Tensor sums(DType::kF32, {size.M, size.N});  // zeros: a sum of sums must not overflow
    const double seconds = seconds_of_both([&] {
      for (int call = 0; call < size.calls(); ++call) all_reduce(sums);
    });
    if (rank == 0) print_row("mpi", what, size.kib(), seconds / size.calls(), 0);
  }
  return 0;
}

int run(int argc, char** argv) {
  const std::string_view who = argc > 1 ? argv[1] : "";
  const std::string_view what = argc > 2 ? argv[2] : "";
  if ((who != "ours" && who != "mpi") || (what != kAllReduce && shapes_of(what).empty())) {
    std::fputs("usage: mpi_contest ours|mpi o|down|fc2|all-reduce [FORMAT [PATH]]\n", stderr);
    return 2;
  }
  const WeightFormat format = parse_weight_format(argc > 3 ? argv[3] : "bf16").value_or_throw();
  const cpu::Isa isa = cpu::choose_isa(argc > 4 ? argv[4] : "").value_or_throw();
  if (who == "ours") return our_part(what, format, isa);
  MPI_Init(&argc, &argv);
  const int status = mpi_part(what, format, isa);
  MPI_Finalize();
  return status;
}

}  // namespace
}  // namespace cardloom::bench

int main(int argc, char** argv) {
  try {
    return cardloom::bench::run(argc, argv);
  } catch (const std::exception& failure) {  // mpirun ends the other rank
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 1;
  }
}
