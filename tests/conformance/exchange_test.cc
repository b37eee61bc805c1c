// What copies rows between ranks (all_gather, embedding_lookup) in sizes that take several tasks
// and several calls, in every layout; and top_k against its reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "cardloom/ops/all_gather.h"
#include "cardloom/ops/embedding_lookup.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"
#include "cardloom/weights/shard_plan.h"
#include "tests/conformance/conform.h"
#include "tests/support/run_ranks.h"

namespace cardloom {
namespace {

using testing::Card;
using testing::contiguous;
using testing::LaidOut;
using testing::Layout;
using testing::Rank;
using testing::RanksOptions;
using testing::Shape;
using testing::to_bytes;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// A call carries a few rows only, so that one operator takes several.
RanksOptions options_of(int world_size, int threads, std::int64_t buffer_bytes) {
  RanksOptions options{.world_size = world_size, .threads = threads};
  options.group.buffer_bytes = buffer_bytes;
  return options;
}

void copy_elements(const TensorView& from, const TensorView& to) {
  for (std::int64_t m = 0; m < to.shape[0]; ++m) {
    for (std::int64_t n = 0; n < to.shape[1]; ++n) {
      std::memcpy(reference::address(to, m, n), reference::address(from, m, n),
                  static_cast<std::size_t>(size_of(to.dtype)));
    }
  }
}

TEST(Exchange, GathersLargeRowsInEveryLayout) {
  const LaidOut all = contiguous(DType::kF32, {37, 1100});
  testing::fill(all.view, 5);
  const std::vector<std::byte> expected = to_bytes(all.view);
  for (const Layout& layout : testing::output_layouts()) {
    for (const std::int64_t buffer : {std::int64_t{1} << 20, std::int64_t{10'000}}) {
      for (const int tp : {1, 2, 3}) {
        testing::run_ranks_or_throw(options_of(tp, 2, buffer), [&](Rank& rank) {
          const IndexRange own = vocabulary_of_rank(1100, tp, rank.index);
          // Ranks need not lie alike: the odd ones are contiguous.
          const LaidOut x = rank.index % 2 == 0 ? layout.make(DType::kF32, {37, own.size()})
                                                : contiguous(DType::kF32, {37, own.size()});
          copy_elements(all.view.slice(1, own.begin, own.end), x.view);
          const LaidOut out = layout.make(DType::kF32, {37, 1100});
          for (int round = 0; round < 3; ++round) {  // both parities of the buffers
            ops::all_gather(rank.stream, rank.comm, x.view, own.begin, out.view);
          }
          rank.stream.synchronize();
          EXPECT_EQ(to_bytes(out.view), expected) << layout.name << ", tp " << tp;
          EXPECT_TRUE(out.gaps_untouched());
        });
      }
    }
  }
}

TEST(Exchange, OneRankMayHaveEverythingOrNobodyAnything) {
  for (const int owner : {0, 2, -1}) {
    testing::run_ranks_or_throw(options_of(3, 2, 10'000), [&](Rank& rank) {
      const LaidOut x = contiguous(DType::kBF16, {40, 300});
      testing::fill(x.view, 9);
      const LaidOut out = contiguous(DType::kBF16, {40, 300});
      ops::all_gather(rank.stream, rank.comm, rank.index == owner ? x.view : x.view.slice(1, 0, 0),
                      0, out.view);
      rank.stream.synchronize();
      const LaidOut zero = contiguous(DType::kBF16, {40, 300});
      EXPECT_EQ(to_bytes(out.view), to_bytes(owner >= 0 ? x.view : zero.view)) << owner;
    });
  }
}

TEST(Exchange, ARowMustFitTheBuffer) {
  const auto errors = testing::run_ranks(options_of(2, 1, 256), [](Rank& rank) {
    const LaidOut x = contiguous(DType::kF32, {2, 50});
    const LaidOut out = contiguous(DType::kF32, {2, 100});
    ops::all_gather(rank.stream, rank.comm, x.view, rank.index * 50, out.view);
    rank.stream.synchronize();
  });
  ASSERT_TRUE(errors[0]);
  EXPECT_EQ(errors[0]->message, "all_gather: a row does not fit the communicator's buffer");
}

TEST(Exchange, LooksUpManyRowsInEveryLayoutAndDtype) {
  constexpr std::int64_t kRows = 50;
  constexpr std::int64_t kWidth = 700;
  std::vector<std::int32_t> ids;
  for (int t = 0; t < 90; ++t) ids.push_back(t * 31 % static_cast<int>(kRows));
  for (const auto& [table_dtype, out_dtype] :
       {std::pair{DType::kBF16, DType::kBF16}, std::pair{DType::kF32, DType::kBF16},
        std::pair{DType::kBF16, DType::kF32}}) {
    const LaidOut table = contiguous(table_dtype, {kRows, kWidth});
    testing::fill(table.view, 3);
    const LaidOut expected = contiguous(out_dtype, {90, kWidth});
    for (std::int64_t t = 0; t < 90; ++t) {
      for (std::int64_t h = 0; h < kWidth; ++h) {
        reference::store(expected.view,
                         reference::load(table.view, ids[static_cast<std::size_t>(t)], h), t, h);
      }
    }
    for (const Layout& layout : testing::output_layouts()) {
      for (const int tp : {1, 3}) {
        testing::run_ranks_or_throw(options_of(tp, 2, 20'000), [&](Rank& rank) {
          const IndexRange rows = vocabulary_of_rank(kRows, tp, rank.index);
          const LaidOut own = layout.make(table_dtype, {rows.size(), kWidth});
          copy_elements(table.view.slice(0, rows.begin, rows.end), own.view);
          const LaidOut out = layout.make(out_dtype, {90, kWidth});
          ops::embedding_lookup(rank.stream, rank.comm,
                                make_view(const_cast<std::int32_t*>(ids.data()), DType::kI32, {90}),
                                own.view, rows.begin, out.view);
          rank.stream.synchronize();
          EXPECT_EQ(to_bytes(out.view), to_bytes(expected.view)) << layout.name << ", tp " << tp;
          EXPECT_TRUE(out.gaps_untouched());
        });
      }
    }
  }
}

/// Few levels, so that there are many equals; some numbers that are none.
void fill_logits(const TensorView& x, std::uint64_t seed, double levels) {
  testing::fill(x, seed, -levels, levels);
  for (std::int64_t m = 0; m < x.shape[0]; ++m) {
    for (std::int64_t n = 0; n < x.shape[1]; ++n) {
      float value = std::trunc(reference::load(x, m, n));
      if ((m * 7 + n) % 41 == 5) value = kNan;
      if ((m * 11 + n) % 97 == 3) value = -kInf;
      if ((m * 13 + n) % 211 == 7 && m % 2 == 1) value = kInf;
      if (value == 0 && n % 2 == 0) value = -0.0F;
      reference::store(x, value, m, n);
    }
  }
}

void expect_top_k(Card& card, const Shape& shape, std::int64_t k, const Layout& layout) {
  SCOPED_TRACE(std::string(layout.name) + ", " + std::to_string(shape[1]) + " columns, k " +
               std::to_string(k));
  const LaidOut x = layout.make(DType::kF32, shape);
  fill_logits(x.view, 1, shape[1] % 2 == 0 ? 4 : 1000);
  const LaidOut values = layout.broadcast ? contiguous(DType::kF32, {shape[0], k})
                                          : layout.make(DType::kF32, {shape[0], k});
  const LaidOut ids = layout.broadcast ? contiguous(DType::kI32, {shape[0], k})
                                       : layout.make(DType::kI32, {shape[0], k});
  ops::top_k(card.stream, x.view, 1000, values.view, ids.view);
  card.stream.synchronize();
  const LaidOut expected_values = contiguous(DType::kF32, {shape[0], k});
  const LaidOut expected_ids = contiguous(DType::kI32, {shape[0], k});
  reference::top_k({}, {x.view, 1000, expected_values.view, expected_ids.view});
  EXPECT_EQ(to_bytes(values.view), to_bytes(expected_values.view));
  EXPECT_EQ(to_bytes(ids.view), to_bytes(expected_ids.view));
  EXPECT_TRUE(values.gaps_untouched() && ids.gaps_untouched());
}

TEST(TopK, AsTheReferenceInEveryLayout) {
  testing::for_each_card([](Card& card) {
    for (const Layout& layout : testing::layouts()) {
      for (const Shape& shape : {Shape{3, 5}, {1, 64}, {2, 1000}, {1, 1025}}) {
        for (const std::int64_t k : {1, 7, 65}) expect_top_k(card, shape, k, layout);
      }
    }
    for (const Shape& shape : {Shape{0, 5}, {2, 0}, {3, 40'001}, {1, 70'000}}) {
      for (const std::int64_t k : {0, 1, 65}) expect_top_k(card, shape, k, testing::layouts()[0]);
    }
  });
}

TEST(TopK, ByHand) {
  const LaidOut x = contiguous(DType::kF32, {2, 5});
  const float rows[] = {1, kNan, 3, 3, -kInf, kNan, kNan, -0.0F, 0, kNan};
  std::memcpy(x.view.data, rows, sizeof rows);
  const LaidOut values = contiguous(DType::kF32, {2, 4});
  const LaidOut ids = contiguous(DType::kI32, {2, 4});
  reference::top_k({}, {x.view, 10, values.view, ids.view});
  EXPECT_EQ(testing::to_values(values.view),
            (std::vector<double>{3, 3, 1, -std::numeric_limits<double>::infinity(), 0, 0, 0, 0}));
  EXPECT_EQ(testing::to_values(ids.view), (std::vector<double>{12, 13, 10, 14, 12, 13, -1, -1}));
}

TEST(TopK, RefusesWhatDoesNotFit) {
  Card card(cpu::Isa::kPlain);
  const LaidOut x = contiguous(DType::kF32, {2, 5});
  const LaidOut values = contiguous(DType::kF32, {2, 4});
  const LaidOut ids = contiguous(DType::kI32, {2, 4});
  const auto refusal = [&](const TensorView& input, std::int64_t first_id, const TensorView& out,
                           const TensorView& out_ids) {
    return testing::message_of([&] { ops::top_k(card.stream, input, first_id, out, out_ids); });
  };
  EXPECT_EQ(refusal(ids, 0, values, ids), "top_k: x must be f32 [M, n]");
  EXPECT_EQ(refusal(x, 0, ids, ids), "top_k: values must be f32 [M, k]");
  EXPECT_EQ(refusal(x, 0, values, values), "top_k: ids must be i32 [M, k], as values");
  EXPECT_EQ(refusal(x.view.slice(0, 0, 1), 0, values, ids), "top_k: x has 1 rows, values has 2");
  EXPECT_EQ(refusal(x, -1, values, ids), "top_k: ids from -1 for 5 columns do not fit i32");
  EXPECT_EQ(refusal(x, 0x7ffffffe, values, ids),
            "top_k: ids from 2147483646 for 5 columns do not fit i32");
  EXPECT_EQ(refusal(x, 0, x.view.slice(1, 0, 4), ids), "top_k: out must not overlap x");
}

}  // namespace
}  // namespace cardloom
