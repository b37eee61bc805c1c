// The operator the project exists for: every cut, layout, size, path and team gives the same bits,
// with no copy; ranks that disagree or do not come are named.
#include "cardloom/ops/matmul_all_reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "cardloom/ops/all_gather.h"
#include "cardloom/ops/embedding_lookup.h"
#include "cardloom/ops/reference/reference.h"
#include "cardloom/tensor/tensor.h"
#include "cardloom/weights/shard_plan.h"
#include "tests/support/layouts.h"
#include "tests/support/run_ranks.h"

namespace cardloom {
namespace {

using testing::LaidOut;
using testing::Layout;
using testing::Rank;
using testing::RanksOptions;

/// One product cut over ranks: full operands, from which every rank takes its columns.
struct Problem {
  std::int64_t M = 1;
  std::int64_t N = 1;
  std::vector<std::int64_t> borders;  ///< of the leaves along K
  WeightFormat format = WeightFormat::kF32;
  DType out_dtype = DType::kF32;
  bool bias = true;
  bool residual = true;

  [[nodiscard]] std::int64_t K() const { return borders.back(); }
  [[nodiscard]] int num_leaves() const { return static_cast<int>(borders.size()) - 1; }
};

std::vector<std::int64_t> even_borders(std::int64_t K, int num_leaves) {
  std::vector<std::int64_t> borders;
  for (int leaf = 0; leaf <= num_leaves; ++leaf) borders.push_back(K * leaf / num_leaves);
  return borders;
}

PackedWeight weight_of_rank(const Problem& problem, const TensorView& w, int tp, int rank) {
  const IndexRange leaves = leaves_of_rank(problem.num_leaves(), tp, rank);
  return PackedWeight::leaves(w, problem.format, problem.borders.data(), problem.num_leaves(),
                              static_cast<int>(leaves.begin), static_cast<int>(leaves.end));
}

struct Run {
  RanksOptions ranks{};
  const Layout* x_layout = &testing::layouts().front();
  const Layout* out_layout = &testing::layouts().front();
  int rounds = 1;  ///< calls after one another, to meet both parities
  std::uint64_t copies = 0;
};

/// Every rank's output as bytes, [rank]; all rounds must agree.
std::vector<std::vector<std::byte>> run(const Problem& problem, Run& how) {
  const int tp = how.ranks.world_size;
  const LaidOut w = testing::contiguous(DType::kF32, {problem.N, problem.K()});
  testing::fill(w.view, 1);
  const LaidOut x = testing::contiguous(activation_dtype(problem.format), {problem.M, problem.K()});
  testing::fill(x.view, 2);
  const LaidOut bias = testing::contiguous(DType::kF32, {problem.N});
  testing::fill(bias.view, 3);
  std::vector<std::vector<std::byte>> results(static_cast<std::size_t>(tp));
  std::atomic<std::uint64_t> copies{0};
  testing::run_ranks_or_throw(how.ranks, [&](Rank& rank) {
    const PackedWeight weight = weight_of_rank(problem, w.view, tp, rank.index);
    const PackedMatrix matrix = weight.matrix();
    const std::int64_t first =
        problem
            .borders[static_cast<std::size_t>(std::min(matrix.first_leaf, problem.num_leaves()))];
    const LaidOut local = how.x_layout->make(x.view.dtype, {problem.M, matrix.K});
    const TensorView columns = x.view.slice(1, first, first + matrix.K);
    for (std::int64_t m = 0; m < problem.M; ++m) {
      for (std::int64_t k = 0; k < matrix.K; ++k) {
        std::memcpy(local.view.data + (m * local.view.stride[0] + k * local.view.stride[1]) *
                                          size_of(x.view.dtype),
                    columns.data + (m * columns.stride[0] + k) * size_of(x.view.dtype),
                    static_cast<std::size_t>(size_of(x.view.dtype)));
      }
    }
    for (int round = 0; round < how.rounds; ++round) {
      const LaidOut out = how.out_layout->make(problem.out_dtype, {problem.M, problem.N});
      ops::MatmulAllReduceOptions options;
      if (problem.bias) options.bias = bias.view;
      if (problem.residual) {
        testing::fill(out.view, 4);
        options.residual = out.view;
      }
      ops::matmul_all_reduce(rank.stream, rank.comm, local.view, matrix, out.view, options);
      rank.stream.synchronize();
      std::vector<std::byte>& result = results[static_cast<std::size_t>(rank.index)];
      if (round > 0) {
        ASSERT_EQ(result, testing::to_bytes(out.view));
      }
      result = testing::to_bytes(out.view);
      ASSERT_TRUE(out.gaps_untouched());
    }
    for (const OpRecord& record : rank.log.snapshot()) copies += record.copies;
  });
  how.copies = copies;
  return results;
}

std::vector<std::byte> alone(const Problem& problem, cpu::Isa isa) {
  Run how{.ranks = {.isa = isa}};
  return run(problem, how)[0];
}

void expect_same_bits(const Problem& problem, Run how, const std::vector<std::byte>& expected) {
  const auto results = run(problem, how);
  for (std::size_t rank = 0; rank < results.size(); ++rank) {
    ASSERT_EQ(results[rank], expected)
        << "rank " << rank << " of " << results.size() << ", M=" << problem.M << " N=" << problem.N
        << " K=" << problem.K() << " leaves=" << problem.num_leaves() << ", "
        << to_string(how.ranks.isa) << ", x " << how.x_layout->name << ", out "
        << how.out_layout->name << ", " << how.ranks.threads << " threads";
  }
  EXPECT_EQ(how.copies, 0U);
}

TEST(MatmulAllReduce, MatchesTheReference) {
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    const Problem problem{.M = 7,
                          .N = 45,
                          .borders = {0, 5, 9, 20, 33, 40, 41, 50, 64},
                          .format = format,
                          .out_dtype = DType::kF32};
    const LaidOut w = testing::contiguous(DType::kF32, {problem.N, problem.K()});
    const LaidOut x = testing::contiguous(activation_dtype(format), {problem.M, problem.K()});
    const LaidOut bias = testing::contiguous(DType::kF32, {problem.N});
    const LaidOut expected = testing::contiguous(DType::kF32, {problem.M, problem.N});
    testing::fill(w.view, 1);
    testing::fill(x.view, 2);
    testing::fill(bias.view, 3);
    testing::fill(expected.view, 4);
    testing::run_ranks_or_throw({}, [&](Rank& rank) {
      const PackedWeight weight = weight_of_rank(problem, w.view, 1, 0);
      OpRecord& record = rank.log.open(OpId::kMatmulAllReduce, nullptr, 0, Location::current());
      OpLog::set_state(record, OpState::kDone);
      reference::matmul_all_reduce(
          {&rank.device, &rank.log, &record},
          {&rank.comm, x.view, weight.matrix(), bias.view, expected.view, expected.view});
    });
    for (const cpu::Isa isa : cpu::supported_isas()) {
      const std::vector<std::byte> bytes = alone(problem, isa);
      const LaidOut found = testing::contiguous(DType::kF32, {problem.M, problem.N});
      std::memcpy(found.view.data, bytes.data(), bytes.size());
      EXPECT_LT(testing::largest_difference(found.view, expected.view), 1e-4) << to_string(isa);
    }
  }
}

TEST(MatmulAllReduce, TheReferenceItselfIsOneAnswer) {
  const Problem problem{.M = 3, .N = 9, .borders = even_borders(40, 8)};
  std::vector<std::byte> expected;
  const LaidOut w = testing::contiguous(DType::kF32, {problem.N, problem.K()});
  const LaidOut x = testing::contiguous(DType::kF32, {problem.M, problem.K()});
  testing::fill(w.view, 1);
  testing::fill(x.view, 2);
  for (int tp = 1; tp <= 8; ++tp) {
    testing::run_ranks_or_throw({.world_size = tp}, [&](Rank& rank) {
      const PackedWeight weight = weight_of_rank(problem, w.view, tp, rank.index);
      const std::int64_t first =
          problem.borders[static_cast<std::size_t>(weight.matrix().first_leaf)];
      const LaidOut out = testing::contiguous(DType::kF32, {problem.M, problem.N});
      OpRecord& record = rank.log.open(OpId::kMatmulAllReduce, nullptr, 0, Location::current());
      OpLog::set_state(record, OpState::kDone);
      reference::matmul_all_reduce({&rank.device, &rank.log, &record},
                                   {&rank.comm,
                                    x.view.slice(1, first, first + weight.matrix().K),
                                    weight.matrix(),
                                    {},
                                    {},
                                    out.view});
      if (tp == 1) expected = testing::to_bytes(out.view);
      EXPECT_EQ(testing::to_bytes(out.view), expected) << tp;
    });
  }
}

TEST(MatmulAllReduce, EveryCutGivesTheSameBitsOnEveryPath) {
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat{Encoding::kQ8, 32},
        WeightFormat{Encoding::kQ4, 64}}) {
    for (const int num_leaves : {8, 4, 5, 1}) {
      for (const std::int64_t M : {1, 17, 25, 130}) {
        Problem problem{.M = M,
                        .N = 150,
                        .borders = even_borders(67, num_leaves),
                        .format = format,
                        .out_dtype = activation_dtype(format)};
        for (const cpu::Isa isa : cpu::supported_isas()) {
          const std::vector<std::byte> expected = alone(problem, isa);
          for (int tp = 2; tp <= 8; ++tp) {
            expect_same_bits(problem, {.ranks = {.world_size = tp, .isa = isa}, .rounds = 3},
                             expected);
          }
        }
      }
    }
  }
}

TEST(MatmulAllReduce, QuantisedWeightsGiveTheSameBitsOnEveryPath) {
  for (const Encoding encoding : {Encoding::kQ8, Encoding::kQ4, Encoding::kQ4Z}) {
    for (const std::int16_t group : std::initializer_list<std::int16_t>{32, 64, 128}) {
      const Problem problem{.M = 37,
                            .N = 70,
                            .borders = {0, 32, 96, 128, 160, 256, 288, 300, 333},
                            .format = {encoding, group},
                            .out_dtype = DType::kBF16};
      const std::vector<std::byte> expected = alone(problem, cpu::Isa::kPlain);
      for (const cpu::Isa isa : cpu::supported_isas()) {
        for (const int tp : {1, 2, 3}) {
          expect_same_bits(problem, {.ranks = {.world_size = tp, .isa = isa}}, expected);
        }
      }
    }
  }
}

TEST(MatmulAllReduce, ManyRowsCrossChunksAndTeams) {
  const Problem problem{.M = 1100,
                        .N = 333,
                        .borders = even_borders(100, 8),
                        .format = WeightFormat::kBF16,
                        .out_dtype = DType::kBF16};
  const std::vector<std::byte> expected = alone(problem, cpu::supported_isas().back());
  for (const int tp : {1, 2, 3, 8}) {
    for (const int threads : {1, 3}) {
      expect_same_bits(problem, {.ranks = {.world_size = tp, .threads = threads}, .rounds = 2},
                       expected);
    }
  }
  // A buffer of a few rows only: many small calls.
  RanksOptions tight{.world_size = 2, .threads = 2};
  tight.group.buffer_bytes = std::int64_t{30} * 352 * 6;
  expect_same_bits(problem, {.ranks = tight}, expected);
}

TEST(MatmulAllReduce, NoLayoutIsRefusedAndNoneIsCopied) {
  for (const std::int64_t M : {3, 60}) {
    const Problem problem{.M = M,
                          .N = 40,
                          .borders = even_borders(48, 8),
                          .format = WeightFormat::kBF16,
                          .out_dtype = DType::kBF16};
    const std::vector<std::byte> expected = alone(problem, cpu::supported_isas().back());
    for (const Layout& layout : testing::output_layouts()) {
      expect_same_bits(problem, {.ranks = {.world_size = 2}, .x_layout = &layout}, expected);
      expect_same_bits(problem, {.ranks = {.world_size = 3}, .out_layout = &layout}, expected);
    }
  }
}

TEST(MatmulAllReduce, StridesBeyond32BitsReachTheirRows) {
  // Rows more than 2^31 elements apart: 17 GB of addresses, of which a few pages are touched.
  constexpr std::int64_t kPitch = (std::int64_t{1} << 31) + 16;
  constexpr std::int64_t kRows = 4, kColumns = 24;
  const Tensor far(DType::kBF16, {kRows, kPitch});
  const TensorView x = far.view().slice(1, 0, kColumns);
  testing::fill(x, 2);
  const LaidOut near = testing::to_contiguous(x);
  const Problem problem{
      .M = kRows, .N = 40, .borders = even_borders(kColumns, 8), .format = WeightFormat::kBF16};
  const LaidOut w = testing::contiguous(DType::kF32, {problem.N, kColumns});
  testing::fill(w.view, 1);
  std::vector<std::byte> results[2];
  for (const bool is_far : {false, true}) {
    testing::run_ranks_or_throw({.world_size = 2}, [&](Rank& rank) {
      const PackedWeight weight = weight_of_rank(problem, w.view, 2, rank.index);
      const std::int64_t first = rank.index * weight.matrix().K;
      const TensorView& from = is_far ? x : near.view;
      const LaidOut out = testing::contiguous(DType::kF32, {kRows, problem.N});
      ops::matmul_all_reduce(rank.stream, rank.comm,
                             from.slice(1, first, first + weight.matrix().K), weight.matrix(),
                             out.view);
      rank.stream.synchronize();
      if (rank.index == 0) results[is_far ? 1 : 0] = testing::to_bytes(out.view);
    });
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(MatmulAllReduce, EmptyRowsStillMeet) {
  for (const int tp : {1, 2, 5}) {
    testing::run_ranks_or_throw({.world_size = tp}, [&](Rank& rank) {
      const Problem empty{.M = 0, .N = 12, .borders = even_borders(16, 8)};
      const LaidOut w = testing::contiguous(DType::kF32, {12, 16});
      const PackedWeight weight = weight_of_rank(empty, w.view, tp, rank.index);
      const LaidOut x = testing::contiguous(DType::kF32, {0, weight.matrix().K});
      const LaidOut out = testing::contiguous(DType::kF32, {0, 12});
      for (int round = 0; round < 3; ++round) {
        ops::matmul_all_reduce(rank.stream, rank.comm, x.view, weight.matrix(), out.view);
      }
      rank.stream.synchronize();  // before the operands go
    });
  }
}

/// The view of the report that this project was born from: attention's output written in place into
/// the packed qkv buffer, so that the o-projection's x has rows a whole qkv row apart.
void original_failure(int tp, std::int64_t columns, std::int64_t row_stride) {
  const std::int64_t N = 64;
  const std::vector<std::int64_t> borders = even_borders(4096, 8);
  const LaidOut w = testing::contiguous(DType::kBF16, {N, 4096});
  testing::fill(w.view, 1);
  for (const std::int64_t M : {0, 1, 17, 1602}) {
    std::vector<std::byte> contiguous_bits;
    for (const bool strided : {false, true}) {
      std::vector<std::vector<std::byte>> results(static_cast<std::size_t>(tp));
      std::atomic<std::uint64_t> copies{0};
      std::atomic<std::uint64_t> calls{0};
      testing::run_ranks_or_throw({.world_size = tp}, [&](Rank& rank) {
        const Problem problem{.M = M, .N = N, .borders = borders, .format = WeightFormat::kBF16};
        const PackedWeight weight = weight_of_rank(problem, w.view, tp, rank.index);
        ASSERT_EQ(weight.matrix().K, columns);
        const LaidOut buffer =
            testing::contiguous(DType::kBF16, {M, strided ? row_stride : columns});
        const TensorView x = buffer.view.slice(1, 0, columns);
        ASSERT_TRUE(M == 0 || x.stride[0] == (strided ? row_stride : columns));
        testing::fill(x, 7 + static_cast<unsigned>(rank.index));
        const LaidOut out = testing::contiguous(DType::kBF16, {M, N});
        ops::matmul_all_reduce(rank.stream, rank.comm, x, weight.matrix(), out.view);
        rank.stream.synchronize();
        results[static_cast<std::size_t>(rank.index)] = testing::to_bytes(out.view);
        for (const OpRecord& record : rank.log.snapshot()) {
          copies += record.copies;
          ++calls;
        }
      });
      if (!strided) contiguous_bits = results[0];
      for (const auto& result : results) ASSERT_EQ(result, contiguous_bits) << "M = " << M;
      EXPECT_EQ(copies, 0U);
      EXPECT_EQ(calls, static_cast<std::uint64_t>(tp));
    }
  }
}

TEST(MatmulAllReduce, TheOriginalFailureAtTwoCards) { original_failure(2, 2048, 2304); }
TEST(MatmulAllReduce, TheOriginalFailureAtFourCards) { original_failure(4, 1024, 1280); }

TEST(MatmulAllReduce, RanksThatDisagreeGetTheSameNamedErrorAsyncAndBlocking) {
  std::string async_text;
  for (const int launch_blocking : {0, 1}) {
    RanksOptions options{.world_size = 3};
    options.stream.launch_blocking = launch_blocking;
    const auto errors = testing::run_ranks(options, [](Rank& rank) {
      const OpScope layer(rank.log, "text.layers", 17);
      const OpScope part(rank.log, "mlp");
      const Problem problem{.M = 4, .N = 8, .borders = even_borders(24, 8)};
      const LaidOut w = testing::contiguous(DType::kF32, {8, 24});
      const PackedWeight weight = weight_of_rank(problem, w.view, 3, rank.index);
      const std::int64_t M = rank.index == 2 ? 5 : 4;
      const LaidOut x = testing::contiguous(DType::kF32, {M, weight.matrix().K});
      const LaidOut out = testing::contiguous(DType::kF32, {M, 8});
      ops::matmul_all_reduce(rank.stream, rank.comm, x.view, weight.matrix(), out.view);
      rank.stream.synchronize();
    });
    for (const auto& error : errors) {
      ASSERT_TRUE(error);
      EXPECT_EQ(error->describe(), errors[0]->describe());
    }
    const std::string& text = errors[0]->message;
    EXPECT_EQ(text.find("matmul_all_reduce: ranks disagree about M (rows): rank "), 0U) << text;
    EXPECT_NE(text.find("rank 2 has 5"), std::string::npos) << text;
    EXPECT_NE(errors[0]->detail.find("text.layers.17.mlp"), std::string::npos);
    EXPECT_NE(errors[0]->describe().find("matmul_all_reduce_test.cc:"), std::string::npos);
  }
}

TEST(MatmulAllReduce, RanksMayNotDisagreeInDtypeOrOperator) {
  const auto disagree = [](const std::function<void(Rank&, const PackedMatrix&)>& body) {
    const auto errors = testing::run_ranks({.world_size = 2}, [&](Rank& rank) {
      const Problem problem{.M = 2, .N = 8, .borders = even_borders(16, 8)};
      const LaidOut w = testing::contiguous(DType::kF32, {8, 16});
      const PackedWeight weight = weight_of_rank(problem, w.view, 2, rank.index);
      body(rank, weight.matrix());
      rank.stream.synchronize();
    });
    EXPECT_EQ(errors[0]->describe(), errors[1]->describe());
    return errors[0]->message;
  };
  EXPECT_EQ(disagree([](Rank& rank, const PackedMatrix& w) {
              const LaidOut x = testing::contiguous(DType::kF32, {2, 8});
              const LaidOut out =
                  testing::contiguous(rank.index == 0 ? DType::kF32 : DType::kBF16, {2, 8});
              ops::matmul_all_reduce(rank.stream, rank.comm, x.view, w, out.view);
              rank.stream.synchronize();
            }),
            "matmul_all_reduce: ranks disagree about the dtype: rank 0 has f32, rank 1 has bf16");
  const std::string text = disagree([](Rank& rank, const PackedMatrix& w) {
    const LaidOut x = testing::contiguous(DType::kF32, {2, 8});
    const LaidOut out = testing::contiguous(DType::kF32, {2, 8});
    if (rank.index == 0) {
      ops::matmul_all_reduce(rank.stream, rank.comm, x.view, w, out.view);
    } else {
      ops::all_gather(rank.stream, rank.comm, x.view, 0, out.view);
    }
    rank.stream.synchronize();
  });
  EXPECT_NE(text.find("ranks disagree about the operator: rank 0 has matmul_all_reduce, rank 1 has "
                      "all_gather"),
            std::string::npos);
}

TEST(MatmulAllReduce, ARankThatNeverComesIsNamed) {
  RanksOptions options{.world_size = 3};
  options.group.deadline = std::chrono::milliseconds(2000);
  const auto errors = testing::run_ranks(options, [](Rank& rank) {
    if (rank.index == 1) return;
    const Problem problem{.M = 40, .N = 8, .borders = even_borders(24, 8)};
    const LaidOut w = testing::contiguous(DType::kF32, {8, 24});
    const PackedWeight weight = weight_of_rank(problem, w.view, 3, rank.index);
    const LaidOut x = testing::contiguous(DType::kF32, {40, weight.matrix().K});
    const LaidOut out = testing::contiguous(DType::kF32, {40, 8});
    ops::matmul_all_reduce(rank.stream, rank.comm, x.view, weight.matrix(), out.view);
    rank.stream.synchronize();
  });
  ASSERT_TRUE(errors[0] && errors[2]);
  EXPECT_EQ(errors[0]->message, "matmul_all_reduce: rank 1 did not come within 2000 ms");
  EXPECT_EQ(errors[0]->describe(), errors[2]->describe());
  EXPECT_EQ(errors[0]->code, ErrorCode::kDeadlineExceeded);
}

TEST(MatmulAllReduce, RefusesOverlapsButNotItsOwnResidual) {
  testing::run_ranks_or_throw({}, [](Rank& rank) {
    const Problem problem{.M = 4, .N = 16, .borders = even_borders(16, 8)};
    const LaidOut w = testing::contiguous(DType::kF32, {16, 16});
    const PackedWeight weight = weight_of_rank(problem, w.view, 1, 0);
    const LaidOut buffer = testing::contiguous(DType::kF32, {8, 16});
    const TensorView x = buffer.view.slice(0, 0, 4);
    const auto message = [&](const TensorView& out, const TensorView& residual) -> std::string {
      try {
        ops::matmul_all_reduce(rank.stream, rank.comm, x, weight.matrix(), out,
                               {.residual = residual});
      } catch (const Exception& failure) {
        return failure.error().message;
      }
      return "accepted";
    };
    const TensorView out = buffer.view.slice(0, 4, 8);
    EXPECT_EQ(message(out, out), "accepted");
    EXPECT_EQ(message(buffer.view.slice(0, 1, 5), {}), "matmul_all_reduce: out must not overlap x");
    EXPECT_EQ(message(out, buffer.view.slice(0, 3, 7)),
              "matmul_all_reduce: out must not overlap residual, unless it is residual");
    EXPECT_EQ(message(out, x.slice(1, 0, 8)), "matmul_all_reduce: residual must be like out");
    rank.stream.synchronize();
  });
}

TEST(AllGather, PutsUnevenColumnsSideBySide) {
  const std::int64_t widths[] = {5, 0, 11, 1};
  for (const Layout& layout : testing::output_layouts()) {
    testing::run_ranks_or_throw({.world_size = 4}, [&](Rank& rank) {
      std::int64_t column = 0;
      for (int before = 0; before < rank.index; ++before) column += widths[before];
      const LaidOut all = testing::contiguous(DType::kBF16, {9, 17});
      testing::fill(all.view, 1);
      const LaidOut x = layout.make(DType::kBF16, {9, widths[rank.index]});
      const std::int64_t width = widths[rank.index];
      for (std::int64_t m = 0; m < 9; ++m) {
        for (std::int64_t n = 0; n < width; ++n) {
          std::memcpy(x.view.data + (m * x.view.stride[0] + n * x.view.stride[1]) * 2,
                      all.view.data + (m * 17 + column + n) * 2, 2);
        }
      }
      const LaidOut out = layout.make(DType::kBF16, {9, 17});
      ops::all_gather(rank.stream, rank.comm, x.view, column, out.view);
      rank.stream.synchronize();
      EXPECT_EQ(testing::to_bytes(out.view), testing::to_bytes(all.view)) << layout.name;
    });
  }
}

TEST(EmbeddingLookup, CopiesRowsFromTheirOwner) {
  for (const int tp : {1, 2, 3, 8}) {
    testing::run_ranks_or_throw({.world_size = tp}, [&](Rank& rank) {
      const LaidOut table = testing::contiguous(DType::kBF16, {23, 6});
      testing::fill(table.view, 1);
      const IndexRange rows = vocabulary_of_rank(23, tp, rank.index);
      std::vector<std::int32_t> ids = {0, 22, 7, 7, 13};
      const LaidOut out = testing::contiguous(DType::kF32, {5, 6});
      ops::embedding_lookup(rank.stream, rank.comm, make_view(ids.data(), DType::kI32, {5}),
                            table.view.slice(0, rows.begin, rows.end), rows.begin, out.view);
      rank.stream.synchronize();
      const std::vector<double> all = testing::to_values(table.view);
      const std::vector<double> found = testing::to_values(out.view);
      for (std::size_t t = 0; t < 5; ++t) {
        for (std::size_t h = 0; h < 6; ++h) {
          EXPECT_EQ(found[t * 6 + h], all[static_cast<std::size_t>(ids[t]) * 6 + h]);
        }
      }
    });
  }
}

TEST(EmbeddingLookup, NamesAnIdOutsideTheVocabulary) {
  const auto errors = testing::run_ranks({.world_size = 2}, [&](Rank& rank) {
    const LaidOut table = testing::contiguous(DType::kF32, {4, 2});
    std::vector<std::int32_t> ids = {3, 9};
    const LaidOut out = testing::contiguous(DType::kF32, {2, 2});
    ops::embedding_lookup(rank.stream, rank.comm, make_view(ids.data(), DType::kI32, {2}),
                          table.view, rank.index * 4, out.view);
    rank.stream.synchronize();
  });
  ASSERT_TRUE(errors[0] && errors[1]);
  EXPECT_EQ(errors[0]->message,
            "embedding_lookup: token id 9 is in no rank's part of the vocabulary");
}

}  // namespace
}  // namespace cardloom
