// What promise 1 asks of attention: a row's bits depend on its query, keys and values alone.
#include "cardloom/ops/attention.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "cardloom/backend/cpu/kernels/attention_kernels.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/kv_append.h"
#include "cardloom/ops/paged_attention.h"
#include "tests/conformance/conform.h"

namespace cardloom {
namespace {

using testing::assign;
using testing::Card;
using testing::contiguous;
using testing::fill;
using testing::fill_constant;
using testing::for_each_card;
using testing::LaidOut;
using testing::to_bytes;
using testing::to_values;

constexpr std::int64_t kHeads = 4;
constexpr std::int64_t kGroups = 2;
constexpr std::int64_t kD = 24;

/// What attention computes in over a cache of `cache`.
DType compute_dtype(DType cache) { return cache == DType::kI8 ? DType::kBF16 : cache; }

/// A sequence of `length` tokens with its own cache of blocks in some order; everything that was
/// not written is NaN, block table entries beyond need are -1.
struct Sequence {
  LaidOut q, k, v;
  LaidOut keys, values, table, slots, sequences, lens;
  LaidOut key_scales, value_scales;  ///< of i8
  bool is_quantised;

  /// `dtype`: of the cache.
  Sequence(DType dtype, std::int64_t length, std::int64_t block_size)
      : q(contiguous(compute_dtype(dtype), {length, kHeads, kD})),
        k(contiguous(compute_dtype(dtype), {length, kGroups, kD})),
        v(contiguous(compute_dtype(dtype), {length, kGroups, kD})),
        is_quantised(dtype == DType::kI8) {
    fill(q, 1, -2, 2);
    fill(k, 2, -2, 2);
    fill(v, 3);
    const std::int64_t blocks = (length + block_size - 1) / block_size;
    keys = contiguous(dtype, {blocks + 3, block_size, kGroups, kD});
    values = contiguous(dtype, {blocks + 3, block_size, kGroups, kD});
    key_scales = contiguous(DType::kF32, {blocks + 3, block_size, kGroups});
    value_scales = contiguous(DType::kF32, {blocks + 3, block_size, kGroups});
    for (const TensorView& part : {key_scales.view, value_scales.view})
      fill_constant(part, std::nan(""));
    for (const TensorView& part : {keys.view, values.view}) {
      fill_constant(part, is_quantised ? 99 : std::nan(""));
    }
    table = contiguous(DType::kI32, {2, blocks + 1});
    slots = contiguous(DType::kI64, {length});
    sequences = contiguous(DType::kI32, {length});
    lens = contiguous(DType::kI32, {length});
    std::vector<double> table_values(static_cast<std::size_t>(2 * (blocks + 1)), -1);
    std::vector<double> slot_values;
    std::vector<double> len_values;
    for (std::int64_t b = 0; b < blocks; ++b) {  // last block first
      table_values[static_cast<std::size_t>(blocks + 1 + b)] = static_cast<double>(blocks - b);
    }
    for (std::int64_t t = 0; t < length; ++t) {
      const std::int64_t block = blocks - t / block_size;
      slot_values.push_back(static_cast<double>(block * block_size + t % block_size));
      len_values.push_back(static_cast<double>(t + 1));
    }
    assign(table, table_values);
    assign(slots, slot_values);
    assign(lens, len_values);
    fill_constant(sequences, 1);
  }

  [[nodiscard]] KvLayer cache() const {
    if (!is_quantised) return {keys, values};
    return {keys, values, key_scales, value_scales};
  }

  void append(Card& card) const { ops::kv_append(card.stream, k, v, slots, cache()); }

  /// Tokens [begin, end) into out.
  void attend(Card& card, std::int64_t begin, std::int64_t end, const TensorView& out) const {
    const auto part = [&](const TensorView& view) { return view.slice(0, begin, end); };
    ops::paged_attention(card.stream, part(q), cache(), table, part(sequences), part(lens),
                         part(out),
                         {.scale = 0.3F, .first_head = 0, .heads_per_group = 2, .first_group = 0});
  }
};

LaidOut attend_in_chunks(Card& card, DType dtype, std::int64_t length, std::int64_t block_size,
                         std::int64_t chunk) {
  const Sequence sequence(dtype, length, block_size);
  LaidOut out = contiguous(compute_dtype(dtype), {length, kHeads, kD});
  sequence.append(card);
  for (std::int64_t begin = 0; begin < length; begin += chunk) {
    sequence.attend(card, begin, std::min(length, begin + chunk), out);
  }
  card.stream.synchronize();
  return out;
}

TEST(PagedAttention, BlockSizeAndChunksChangeNoBits) {
  for_each_card([](Card& card) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      const LaidOut expected = attend_in_chunks(card, dtype, 75, 16, 75);
      for (const double value : to_values(expected)) ASSERT_TRUE(std::isfinite(value));
      for (const std::int64_t block_size : {1, 7, 16, 32, 100}) {
        for (const std::int64_t chunk : {1, 7, 64, 75}) {
          EXPECT_EQ(to_bytes(attend_in_chunks(card, dtype, 75, block_size, chunk)),
                    to_bytes(expected))
              << "block size " << block_size << ", chunk " << chunk;
        }
      }
    }
  });
}

TEST(PagedAttention, ChunksOfManyKeyBlocksChangeNoBits) {
  constexpr std::int64_t kLength = 2 * kAttentionKeyBlock + 70;
  for_each_card([](Card& card) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      const LaidOut expected = attend_in_chunks(card, dtype, kLength, 16, kLength);
      for (const std::int64_t chunk : {100, 512, 600}) {
        EXPECT_EQ(to_bytes(attend_in_chunks(card, dtype, kLength, 32, chunk)), to_bytes(expected))
            << "chunk " << chunk;
      }
      const Sequence sequence(dtype, kLength, 16);
      const LaidOut out = contiguous(compute_dtype(dtype), {kLength, kHeads, kD});
      sequence.append(card);
      for (const std::int64_t t : {kAttentionKeyBlock - 1, kAttentionKeyBlock, kLength - 1}) {
        sequence.attend(card, t, t + 1, out);  // as decoding does: one row, blocks shared out
        card.stream.synchronize();
        EXPECT_EQ(to_bytes(out.view.slice(0, t, t + 1)), to_bytes(expected.view.slice(0, t, t + 1)))
            << "row " << t;
      }
    }
  });
}

TEST(PagedAttention, LaterInfinitiesChangeNoBits) {
  for_each_card([](Card& card) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      const LaidOut expected = attend_in_chunks(card, dtype, 75, 16, 75);
      const Sequence sequence(dtype, 75, 16);
      fill_constant(sequence.v.view.slice(0, 60, 61), std::numeric_limits<double>::infinity());
      fill_constant(sequence.k.view.slice(0, 61, 62), std::nan(""));
      const LaidOut out = contiguous(compute_dtype(dtype), {75, kHeads, kD});
      sequence.append(card);
      sequence.attend(card, 0, 75, out);
      card.stream.synchronize();
      EXPECT_EQ(to_bytes(out.view.slice(0, 0, 60)), to_bytes(expected.view.slice(0, 0, 60)));
      for (const double value : to_values(out.view.slice(0, 60, 61))) {
        EXPECT_TRUE(dtype == DType::kI8 ? std::isnan(value) : value > 1e30);
      }
      for (const double value : to_values(out.view.slice(0, 61, 75))) {
        EXPECT_TRUE(std::isnan(value));
      }
    }
  });
}

TEST(PagedAttention, LastRowIsFullAttention) {
  for_each_card([](Card& card) {
    const LaidOut paged = attend_in_chunks(card, DType::kF32, 75, 16, 75);
    const Sequence sequence(DType::kF32, 75, 16);
    const LaidOut full = contiguous(DType::kF32, {1, kHeads, kD});
    const auto repeat = [](const TensorView& part) {  // [75, G, D] as [75, heads, D]
      return part.slice(1, 0, 1).expand(1, 2);
    };
    const TensorView heads = sequence.q.view.slice(0, 74, 75).slice(1, 0, 2);
    const TensorView out = full.view.slice(1, 0, 2);
    ops::attention(card.stream, heads, repeat(sequence.k), repeat(sequence.v), out,
                   {.scale = 0.3F});
    card.stream.synchronize();
    EXPECT_EQ(to_bytes(out), to_bytes(paged.view.slice(0, 74, 75).slice(1, 0, 2)));
  });
}

TEST(PagedAttention, NeighboursChangeNoBits) {
  for_each_card([](Card& card) {
    const Sequence sequence(DType::kF32, 40, 8);
    const LaidOut alone = contiguous(DType::kF32, {40, kHeads, kD});
    sequence.append(card);
    sequence.attend(card, 0, 40, alone);
    // The same tokens, every one between two of another sequence of other lengths.
    const LaidOut q = contiguous(DType::kF32, {120, kHeads, kD});
    const LaidOut sequences = contiguous(DType::kI32, {120});
    const LaidOut lens = contiguous(DType::kI32, {120});
    const LaidOut tables = contiguous(DType::kI32, {2, 6});
    const LaidOut out = contiguous(DType::kF32, {120, kHeads, kD});
    fill(q, 8);
    fill(lens, 9, 0, 20);
    ops::copy(card.stream, sequence.q, q.view.unflatten(0, 3).select(1, 1));
    ops::copy(card.stream, sequence.lens, lens.view.unflatten(0, 3).select(1, 1));
    card.stream.synchronize();
    assign(sequences.view.unflatten(0, 3).select(1, 1), std::vector<double>(40, 1));
    assign(tables.view.slice(0, 0, 1), {4, 2, 3, -1, -1, -1});
    ops::copy(card.stream, sequence.table.view.slice(0, 1, 2), tables.view.slice(0, 1, 2));
    ops::paged_attention(card.stream, q, sequence.cache(), tables, sequences, lens, out,
                         {.scale = 0.3F, .first_head = 0, .heads_per_group = 2, .first_group = 0});
    card.stream.synchronize();
    EXPECT_EQ(to_bytes(out.view.unflatten(0, 3).select(1, 1)), to_bytes(alone));
  });
}

TEST(PagedAttention, WritesInPlaceIntoPackedQkv) {
  for_each_card([](Card& card) {
    const Sequence sequence(DType::kBF16, 33, 16);
    const LaidOut apart = contiguous(DType::kBF16, {33, kHeads, kD});
    sequence.append(card);
    sequence.attend(card, 0, 33, apart);
    const LaidOut qkv = contiguous(DType::kBF16, {33, (kHeads + 2 * kGroups) * kD});
    const TensorView by_head = qkv.view.unflatten(1, kD);
    const TensorView q = by_head.slice(1, 0, kHeads);
    const TensorView rest = by_head.slice(1, kHeads, kHeads + 2 * kGroups);
    fill(rest, 5);
    const std::vector<std::byte> before = to_bytes(rest);
    ops::copy(card.stream, sequence.q, q);
    ops::paged_attention(card.stream, q, sequence.cache(), sequence.table, sequence.sequences,
                         sequence.lens, q,
                         {.scale = 0.3F, .first_head = 0, .heads_per_group = 2, .first_group = 0});
    card.stream.synchronize();
    EXPECT_EQ(to_bytes(q), to_bytes(apart));
    EXPECT_EQ(to_bytes(rest), before);
  });
}

TEST(PagedAttention, ShardOfHeadsIsPartOfTheWhole) {
  for_each_card([](Card& card) {
    for (const DType dtype : {DType::kF32, DType::kI8}) {
      const Sequence sequence(dtype, 50, 16);
      const LaidOut all = contiguous(compute_dtype(dtype), {50, kHeads, kD});
      sequence.append(card);
      sequence.attend(card, 0, 50, all);
      const LaidOut head = contiguous(compute_dtype(dtype), {50, 1, kD});
      KvLayer group = sequence.cache();
      for (TensorView* part :
           {&group.keys, &group.values, &group.key_scales, &group.value_scales}) {
        if (part->rank > 0) *part = part->slice(2, 1, 2);
      }
      ops::paged_attention(
          card.stream, sequence.q.view.slice(1, 3, 4), group, sequence.table, sequence.sequences,
          sequence.lens, head,
          {.scale = 0.3F, .first_head = 3, .heads_per_group = 2, .first_group = 1});
      card.stream.synchronize();
      EXPECT_EQ(to_bytes(head), to_bytes(all.view.slice(1, 3, 4)));
    }
  });
}

/// A number is off by at most half a scale, m / 254: here a value by 0.004, and a score, the sum of
/// 24 products with keys off by 0.008, by 0.3 * 0.05 if they err at random. Outputs lie in [-1, 1].
TEST(PagedAttention, QuantisedCacheIsNearTheOneOfBf16) {
  for_each_card([](Card& card) {
    const std::vector<double> bf16 = to_values(attend_in_chunks(card, DType::kBF16, 300, 16, 300));
    const std::vector<double> q8 = to_values(attend_in_chunks(card, DType::kI8, 300, 16, 300));
    double squares = 0;
    double error = 0;
    for (std::size_t i = 0; i < bf16.size(); ++i) {
      ASSERT_NEAR(q8[i], bf16[i], 0.03) << i;
      squares += bf16[i] * bf16[i];
      error += (q8[i] - bf16[i]) * (q8[i] - bf16[i]);
    }
    EXPECT_LT(std::sqrt(error / squares), 0.02);
    EXPECT_GT(error, 0);
  });
}

TEST(KvAppend, QuantisesRowsThatHaveNoScale) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for_each_card([&](Card& card) {
    const Sequence sequence(DType::kI8, 6, 16);
    const auto row = [](const TensorView& view, std::int64_t t) { return view.slice(0, t, t + 1); };
    fill_constant(row(sequence.k, 0), 0);
    fill_constant(row(sequence.k, 1), std::ldexp(1.0, -101));
    fill_constant(row(sequence.k, 2), -std::ldexp(1.0, -100));
    fill_constant(row(sequence.k, 3).slice(1, 0, 1).slice(2, 7, 8), -kInfinity);
    fill_constant(row(sequence.k, 4).slice(1, 1, 2).slice(2, 23, 24), std::nan(""));
    fill_constant(row(sequence.k, 5), 3e38);
    sequence.append(card);
    card.stream.synchronize();
    const TensorView keys = sequence.keys.view.select(0, 1);  // the only block in use
    const TensorView scales = sequence.key_scales.view.select(0, 1);
    const auto numbers_are = [&](std::int64_t t, std::int64_t group, double number) {
      for (const double each : to_values(row(keys, t).slice(1, group, group + 1))) {
        EXPECT_EQ(each, number) << t;
      }
      return to_values(scales)[static_cast<std::size_t>(t * kGroups + group)];
    };
    for (std::int64_t group = 0; group < kGroups; ++group) {
      EXPECT_EQ(numbers_are(0, group, 0), 0);
      EXPECT_EQ(numbers_are(1, group, 0), 0);
      EXPECT_EQ(numbers_are(2, group, -127), static_cast<double>(0x1p-100F / 127));
      EXPECT_NEAR(numbers_are(5, group, 127), 3e38 / 127, 1e34);
    }
    EXPECT_TRUE(std::isnan(numbers_are(3, 0, 0)));
    EXPECT_TRUE(std::isnan(numbers_are(4, 1, 0)));
    EXPECT_TRUE(std::isfinite(to_values(scales)[3 * kGroups + 1]));  // the other group is untouched
    EXPECT_TRUE(std::isfinite(to_values(scales)[4 * kGroups]));
  });
}

/// The numbers of a row of an i8 cache are those of a cache of bf16 that holds what they stand for.
TEST(PagedAttention, QuantisedCacheStandsForBf16) {
  for_each_card([](Card& card) {
    const Sequence q8(DType::kI8, 600, 16);
    const Sequence plain(DType::kBF16, 600, 16);
    q8.append(card);
    plain.append(card);
    card.stream.synchronize();
    const auto expand = [](const LaidOut& numbers, const LaidOut& scales, const LaidOut& out) {
      const std::vector<double> number = to_values(numbers);
      const std::vector<double> scale = to_values(scales);
      std::vector<double> values;
      for (std::size_t i = 0; i < number.size(); ++i) {
        values.push_back(static_cast<double>(static_cast<float>(number[i]) *
                                             static_cast<float>(scale[i / std::size_t{kD}])));
      }
      assign(out, values);  // rounds to bf16
    };
    expand(q8.keys, q8.key_scales, plain.keys);
    expand(q8.values, q8.value_scales, plain.values);
    const LaidOut a = contiguous(DType::kBF16, {600, kHeads, kD});
    const LaidOut b = contiguous(DType::kBF16, {600, kHeads, kD});
    q8.attend(card, 0, 600, a);
    plain.attend(card, 0, 600, b);
    card.stream.synchronize();
    EXPECT_EQ(to_bytes(a), to_bytes(b));
  });
}

TEST(Attention, PowerOfTwoWithinTwoUnits) {
  for (const cpu::Isa isa : cpu::supported_isas()) {
    SCOPED_TRACE(std::string(to_string(isa)));
    const auto power = cpu::attention_table(isa).bf16.power_of_two;
    const auto last = std::bit_cast<std::uint32_t>(-125.5F);
    for (auto bits = std::bit_cast<std::uint32_t>(-1e-9F); bits <= last; bits += 997) {
      const auto x = std::bit_cast<float>(bits);
      const double exact = std::exp2(static_cast<double>(x));
      const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
      ASSERT_LE(std::abs(power(x) - exact), 2 * unit) << x;
    }
    EXPECT_EQ(power(0), 1);
    EXPECT_EQ(power(-0.0F), 1);
    EXPECT_EQ(power(-1), 0.5F);
    EXPECT_EQ(power(-125.6F), 0);
    EXPECT_EQ(power(-1e30F), 0);
    EXPECT_EQ(power(-std::numeric_limits<float>::infinity()), 0);
    EXPECT_TRUE(std::isnan(power(std::nanf(""))));
  }
}

TEST(Attention, PassesInfinityAndNanAsIeeeSays) {
  const double inf = std::numeric_limits<double>::infinity();
  for_each_card([&](Card& card) {
    const LaidOut q = contiguous(DType::kF32, {1, 1, 1});
    const LaidOut k = contiguous(DType::kF32, {70, 1, 1});
    const LaidOut v = contiguous(DType::kF32, {70, 1, 1});
    const LaidOut out = contiguous(DType::kF32, {1, 1, 1});
    assign(q, {1});
    fill_constant(v, 7);
    const auto attend = [&] {
      ops::attention(card.stream, q, k, v, out, {.scale = 1});
      card.stream.synchronize();
      return to_values(out)[0];
    };
    fill_constant(k, -inf);  // two blocks weigh nothing, then one key has everything
    assign(k.view.slice(0, 69, 70), {2});
    EXPECT_EQ(attend(), 7);
    fill_constant(k, -inf);
    EXPECT_TRUE(std::isnan(attend()));
    fill_constant(k, 0);
    assign(k.view.slice(0, 3, 4), {inf});
    EXPECT_TRUE(std::isnan(attend()));
    assign(k.view.slice(0, 3, 4), {std::nan("")});
    EXPECT_TRUE(std::isnan(attend()));
    fill_constant(k, 0);
    assign(v.view.slice(0, 3, 4), {inf});
    EXPECT_EQ(attend(), inf);
  });
}

}  // namespace
}  // namespace cardloom
