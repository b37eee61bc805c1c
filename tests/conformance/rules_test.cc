// Every rule of the operators on rows, broken once: what the caller then reads.
#include <gtest/gtest.h>

#include "cardloom/ops/attention.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/layer_norm.h"
#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/rms_norm.h"
#include "cardloom/ops/rotary_embedding.h"
#include "tests/support/card.h"
#include "tests/support/layouts.h"

namespace cardloom {
namespace {

using testing::assign;
using testing::Card;
using testing::contiguous;
using testing::LaidOut;
using testing::message_of;
using testing::to_values;

class Rules : public ::testing::Test {
  std::vector<LaidOut> memory_;  ///< outlives the card, whose stream may still run

 protected:
  Card card{cpu::Isa::kPlain};

  /// A new f32 (or other) tensor of its own.
  TensorView make(const testing::Shape& shape, DType dtype = DType::kF32) {
    return memory_.emplace_back(contiguous(dtype, shape)).view;
  }
  TensorView broadcast(std::int64_t T, std::int64_t H) { return make({1, H}).expand(0, T); }
};

TEST_F(Rules, RmsNorm) {
  const auto run = [&](const TensorView& x, const TensorView& weight, const TensorView& out) {
    return message_of([&] { ops::rms_norm(card.stream, x, weight, out, {.eps = 1}); });
  };
  const TensorView x = make({3, 4});
  EXPECT_EQ(run(x, make({4}), make({3, 4})), "");
  EXPECT_EQ(run(make({12}), make({4}), x), "rms_norm: x must be [T, H]");
  EXPECT_EQ(run(make({3, 4}, DType::kI32), make({4}), x), "rms_norm: x must be f32, bf16 or f16");
  EXPECT_EQ(run(x, make({3}), make({3, 4})), "rms_norm: weight must be f32 [H], H = 4");
  EXPECT_EQ(run(x, make({4}, DType::kBF16), make({3, 4})),
            "rms_norm: weight must be f32 [H], H = 4");
  EXPECT_EQ(run(x, make({4}), make({3, 5})), "rms_norm: out must be like x");
  EXPECT_EQ(run(x, make({4}), make({3, 4}, DType::kBF16)), "rms_norm: out must be like x");
  EXPECT_EQ(run(x, make({4}), broadcast(3, 4)), "rms_norm: out must not name one element twice");
  EXPECT_EQ(run(x, make({4}), x), "");
  EXPECT_EQ(run(x.slice(0, 0, 2), make({4}), x.slice(0, 1, 3)),
            "rms_norm: out must be x itself or apart from it");
  EXPECT_EQ(run(make({3, 4}), x.select(0, 1), x), "rms_norm: out must not overlap weight");
}

TEST_F(Rules, ErrorsNameOperandsAndTheCallersLine) {
  try {
    ops::rms_norm(card.stream, make({3, 4}), make({3}), make({3, 4}), {.eps = 1});
    FAIL();
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(failure.error().detail.find("f32[3, 4]{4, 1}@cpu:0, f32[3]{1}@cpu:0"),
              std::string::npos)
        << failure.error().detail;
    EXPECT_NE(std::string(failure.error().at.file).find("rules_test.cc"), std::string::npos);
  }
}

TEST_F(Rules, LayerNorm) {
  const TensorView x = make({3, 4});
  const TensorView vector = make({4});
  const auto run = [&](const TensorView& weight, const TensorView& bias, const TensorView& out,
                       const TensorView& residual) {
    return message_of([&] {
      ops::layer_norm(card.stream, x, weight, bias, out, {.eps = 1, .residual = residual});
    });
  };
  const TensorView none;
  EXPECT_EQ(run(vector, vector, x, none), "");
  EXPECT_EQ(
      message_of([&] { ops::layer_norm(card.stream, make({12}), vector, vector, x, {.eps = 1}); }),
      "layer_norm: x must be [T, H]");
  EXPECT_EQ(message_of([&] {
              ops::layer_norm(card.stream, make({3, 4}, DType::kI8), vector, vector, x, {.eps = 1});
            }),
            "layer_norm: x must be f32, bf16 or f16");
  EXPECT_EQ(run(make({5}), vector, x, none), "layer_norm: weight must be f32 [H], H = 4");
  EXPECT_EQ(run(vector, make({5}), x, none), "layer_norm: bias must be f32 [H], H = 4");
  EXPECT_EQ(run(vector, vector, make({2, 4}), none), "layer_norm: out must be like x");
  EXPECT_EQ(run(vector, vector, broadcast(3, 4), none),
            "layer_norm: out must not name one element twice");
  EXPECT_EQ(run(vector, vector, x.reverse(0), none),
            "layer_norm: out must be x itself or apart from it");
  const TensorView out = make({3, 4});
  EXPECT_EQ(run(out.select(0, 0), vector, out, none), "layer_norm: out must not overlap weight");
  EXPECT_EQ(run(vector, out.select(0, 0), out, none), "layer_norm: out must not overlap bias");
  EXPECT_EQ(run(vector, vector, out, make({3, 5})), "layer_norm: residual must be like x");
  EXPECT_EQ(run(vector, vector, out, out), "");
  EXPECT_EQ(run(vector, vector, out, out.reverse(1)),
            "layer_norm: out must be residual itself or apart from it");
}

TEST_F(Rules, RotaryEmbedding) {
  const auto run = [&](const TensorView& positions, const TensorView& cos_sin,
                       const TensorView& x) {
    return message_of([&] { ops::rotary_embedding(card.stream, positions, cos_sin, x); });
  };
  const TensorView positions = make({3}, DType::kI32);
  const TensorView cos_sin = make({9, 2, 2});
  const TensorView x = make({3, 2, 4});
  EXPECT_EQ(run(positions, cos_sin, x), "");
  EXPECT_EQ(run(positions, cos_sin, make({3, 8})), "rotary_embedding: x must be [T, heads, D]");
  EXPECT_EQ(run(positions, cos_sin, make({3, 2, 4}, DType::kI64)),
            "rotary_embedding: x must be f32, bf16 or f16");
  EXPECT_EQ(run(make({4}, DType::kI32), cos_sin, x), "rotary_embedding: positions must be [T]");
  EXPECT_EQ(run(make({3}, DType::kI64), cos_sin, x), "rotary_embedding: positions must be i32");
  EXPECT_EQ(run(positions, make({9, 4}), x),
            "rotary_embedding: cos_sin must be [positions, R/2, 2]");
  EXPECT_EQ(run(positions, make({9, 2, 2}, DType::kBF16), x),
            "rotary_embedding: cos_sin must be f32");
  EXPECT_EQ(run(positions, make({9, 3, 2}), x),
            "rotary_embedding: cos_sin must not rotate more elements than a head has");
  EXPECT_EQ(run(positions, cos_sin, make({3, 1, 4}).expand(1, 2)),
            "rotary_embedding: x must not name one element twice");
  EXPECT_EQ(run(positions, x.slice(1, 0, 1).unflatten(2, 2).select(1, 0), x),
            "rotary_embedding: x must not overlap cos_sin");
  TensorView ids = x.select(2, 0).select(1, 0);
  ids.dtype = DType::kI32;
  EXPECT_EQ(run(ids, cos_sin, x), "rotary_embedding: x must not overlap positions");
}

TEST_F(Rules, KvAppend) {
  const TensorView k = make({3, 2, 4});
  const TensorView v = make({3, 2, 4});
  const TensorView slots = make({3}, DType::kI64);
  assign(slots, {0, 1, 2});
  const TensorView part = make({5, 8, 2, 4});
  const TensorView other = make({5, 8, 2, 4});
  const auto run = [&](const TensorView& keys_in, const TensorView& values_in,
                       const TensorView& mapping, const TensorView& keys,
                       const TensorView& values) {
    return message_of([&] {
      ops::kv_append(card.stream, keys_in, values_in, mapping, {keys, values});
    });
  };
  EXPECT_EQ(run(k, v, slots, part, other), "");
  for (const TensorView& bad : {make({5, 8, 8}), make({5, 0, 2, 4})}) {
    EXPECT_EQ(
        run(k, v, slots, bad, other),
        "kv_append: cache.keys must be [num_blocks, block_size, G, D], block_size at least 1");
  }
  const TensorView half = make({5, 8, 2, 4}, DType::kF16);
  EXPECT_EQ(run(k, v, slots, half, half), "kv_append: cache.keys must be f32, bf16 or i8");
  EXPECT_EQ(run(k, v, slots, part, make({5, 8, 2, 5})),
            "kv_append: cache.values must be like cache.keys");
  const TensorView repeated = make({1, 8, 2, 4}).expand(0, 5);
  EXPECT_EQ(run(k, v, slots, repeated, other),
            "kv_append: cache.keys must not name one element twice");
  EXPECT_EQ(run(k, v, slots, part, repeated),
            "kv_append: cache.values must not name one element twice");
  EXPECT_EQ(run(k, v, slots, part, part), "kv_append: cache.keys must not overlap cache.values");
  const char* k_rule = "kv_append: k must be [T, G, D], G, D and dtype as cache.keys";
  EXPECT_EQ(run(make({3, 1, 4}), v, slots, part, other), k_rule);
  EXPECT_EQ(run(make({3, 2, 4}, DType::kBF16), v, slots, part, other), k_rule);
  EXPECT_EQ(run(k, make({4, 2, 4}), slots, part, other), "kv_append: v must be like k");
  EXPECT_EQ(run(k, v, make({4}, DType::kI64), part, other), "kv_append: slot_mapping must be [T]");
  EXPECT_EQ(run(k, v, make({3}, DType::kI32), part, other), "kv_append: slot_mapping must be i64");
  const TensorView inside = part.select(0, 0).slice(0, 0, 3);
  EXPECT_EQ(run(inside, v, slots, part, other), "kv_append: the cache must not overlap k");
  EXPECT_EQ(run(k, inside, slots, part, other), "kv_append: the cache must not overlap v");
  TensorView mapping = part.select(0, 0).select(1, 0).select(1, 0).slice(0, 0, 3);
  mapping.dtype = DType::kI64;
  EXPECT_EQ(run(k, v, mapping, part, other), "kv_append: the cache must not overlap slot_mapping");
}

/// paged_attention with everything right; a test breaks one thing.
struct Paged {
  TensorView q, out, tables, sequences, lens;
  KvLayer cache;
  ops::PagedAttentionOptions options{
      .scale = 1, .first_head = 0, .heads_per_group = 2, .first_group = 0};

  std::string run(Card& card) const {
    return message_of([&] {
      ops::paged_attention(card.stream, q, cache, tables, sequences, lens, out, options);
      card.stream.synchronize();
    });
  }
};

class PagedRules : public Rules {
 protected:
  Paged paged() {
    Paged good;
    good.q = make({3, 4, 8});
    good.out = make({3, 4, 8});
    good.tables = make({2, 5}, DType::kI32);
    good.sequences = make({3}, DType::kI32);
    good.lens = make({3}, DType::kI32);
    good.cache = {make({6, 4, 2, 8}), make({6, 4, 2, 8})};
    return good;
  }
  template <class Break>
  std::string broken(Break change) {
    Paged bad = paged();
    change(bad);
    std::string message = bad.run(card);
    card.stream.reset();
    return message;
  }
};

TEST_F(PagedRules, Operands) {
  EXPECT_EQ(paged().run(card), "");
  EXPECT_EQ(broken([&](Paged& p) {
              p.q = make({3, 32});
            }),
            "paged_attention: q must be [T, heads, D]");
  EXPECT_EQ(broken([&](Paged& p) {
              p.q = make({3, 4, 8}, DType::kF16);
            }),
            "paged_attention: q must be f32 or bf16");
  const char* keys_rule =
      "paged_attention: cache.keys must be [num_blocks, block_size, G, D], block_size at least 1, "
      "D as q";
  EXPECT_EQ(broken([&](Paged& p) { p.cache.keys = make({6, 4, 2, 7}); }), keys_rule);
  EXPECT_EQ(broken([&](Paged& p) { p.cache.keys = make({6, 0, 2, 8}); }), keys_rule);
  EXPECT_EQ(broken([&](Paged& p) {
              p.cache.keys = make({6, 4, 2, 8}, DType::kBF16);
            }),
            "paged_attention: cache.keys must have q's dtype");
  EXPECT_EQ(broken([&](Paged& p) {
              p.cache.values = make({5, 4, 2, 8});
            }),
            "paged_attention: cache.values must be like cache.keys, not "
            "f32[5, 4, 2, 8]{64, 16, 8, 1}@cpu:0");
  EXPECT_EQ(broken([&](Paged& p) { p.tables = make({10}, DType::kI32); }),
            "paged_attention: block_tables must be [S, max_blocks]");
  EXPECT_EQ(broken([&](Paged& p) { p.sequences = make({2}, DType::kI32); }),
            "paged_attention: token_sequences must be [T]");
  EXPECT_EQ(broken([&](Paged& p) { p.lens = make({2}, DType::kI32); }),
            "paged_attention: context_lens must be [T]");
  EXPECT_EQ(broken([&](Paged& p) {
              p.tables = make({2, 5}, DType::kI64);
            }),
            "paged_attention: block_tables must be i32");
  EXPECT_EQ(broken([&](Paged& p) { p.sequences = make({3}, DType::kI64); }),
            "paged_attention: token_sequences must be i32");
  EXPECT_EQ(broken([&](Paged& p) { p.lens = make({3}, DType::kF32); }),
            "paged_attention: context_lens must be i32");
}

TEST_F(PagedRules, QuantisedCache) {
  const auto quantise = [&](Paged& p) {
    p.q = make({3, 4, 8}, DType::kBF16);
    p.out = make({3, 4, 8}, DType::kBF16);
    p.cache = {make({6, 4, 2, 8}, DType::kI8), make({6, 4, 2, 8}, DType::kI8), make({6, 4, 2}),
               make({6, 4, 2})};
  };
  EXPECT_EQ(broken(quantise), "");
  EXPECT_EQ(broken([&](Paged& p) {
              quantise(p);
              p.q = make({3, 4, 8});
            }),
            "paged_attention: q must be bf16 where cache.keys is i8");
  EXPECT_EQ(broken([&](Paged& p) {
              quantise(p);
              p.cache.value_scales = make({6, 4, 1});
            }),
            "paged_attention: cache.value_scales must be f32 [num_blocks, block_size, G] as "
            "cache.keys, not f32[6, 4, 1]{4, 1, 1}@cpu:0");
  EXPECT_EQ(broken([&](Paged& p) {
              p.cache.key_scales = make({6, 4, 2});
            }),
            "paged_attention: cache.key_scales must be left out unless cache.keys is i8, not "
            "f32[6, 4, 2]{8, 2, 1}@cpu:0");
  const auto out_on = [&](TensorView KvLayer::*part) {
    return broken([&](Paged& p) {
      quantise(p);
      p.out.data = (p.cache.*part).data;
    });
  };
  EXPECT_EQ(out_on(&KvLayer::key_scales), "paged_attention: out must not overlap cache.key_scales");
  EXPECT_EQ(out_on(&KvLayer::value_scales),
            "paged_attention: out must not overlap cache.value_scales");
}

TEST_F(PagedRules, HeadsAndOutput) {
  EXPECT_EQ(broken([](Paged& p) { p.options.heads_per_group = 0; }),
            "paged_attention: heads_per_group must be at least 1");
  EXPECT_EQ(broken([](Paged& p) { p.options.first_head = -1; }),
            "paged_attention: first_head and first_group must not be negative");
  EXPECT_EQ(broken([](Paged& p) { p.options.first_head = 1; }),
            "paged_attention: heads [1, 5) read KV groups 0 to 2, but the cache has groups [0, 2)");
  EXPECT_EQ(broken([](Paged& p) { p.options.first_group = 1; }),
            "paged_attention: heads [0, 4) read KV groups 0 to 1, but the cache has groups [1, 3)");
  EXPECT_EQ(broken([&](Paged& p) {
              p.out = make({3, 4, 7});
            }),
            "paged_attention: out must be like q");
  EXPECT_EQ(broken([&](Paged& p) {
              p.out = make({3, 1, 8}).expand(1, 4);
            }),
            "paged_attention: out must not name one element twice");
  EXPECT_EQ(broken([](Paged& p) { p.out = p.q.reverse(1); }),
            "paged_attention: out must be q itself or apart from it");
  EXPECT_EQ(broken([](Paged& p) { p.out = p.q; }), "");
  const auto part_of = [](const TensorView& cache) {
    return cache.flatten(1).slice(0, 0, 3).slice(1, 0, 4);
  };
  EXPECT_EQ(broken([&](Paged& p) { p.out = part_of(p.cache.keys); }),
            "paged_attention: out must not overlap cache.keys");
  EXPECT_EQ(broken([&](Paged& p) { p.out = part_of(p.cache.values); }),
            "paged_attention: out must not overlap cache.values");
  const auto as_index = [](const TensorView& view) {
    TensorView index = view;
    index.dtype = DType::kI32;
    return index;
  };
  EXPECT_EQ(broken([&](Paged& p) { p.tables = as_index(p.out.select(1, 0)); }),
            "paged_attention: out must not overlap block_tables");
  EXPECT_EQ(broken([&](Paged& p) { p.sequences = as_index(p.out.select(1, 0).select(1, 0)); }),
            "paged_attention: out must not overlap token_sequences");
  EXPECT_EQ(broken([&](Paged& p) { p.lens = as_index(p.out.select(1, 0).select(1, 0)); }),
            "paged_attention: out must not overlap context_lens");
}

TEST_F(PagedRules, IndicesAreCheckedWhenTheKernelRuns) {
  EXPECT_EQ(broken([](Paged& p) {
              assign(p.sequences, {0, 2, 1});
            }),
            "paged_attention: token_sequences[1] is 2, but block_tables has 2 sequences");
  EXPECT_EQ(broken([](Paged& p) {
              assign(p.sequences, {0, 0, -1});
            }),
            "paged_attention: token_sequences[2] is -1, but block_tables has 2 sequences");
  EXPECT_EQ(broken([](Paged& p) {
              assign(p.lens, {20, 21, 1});
            }),
            "paged_attention: context_lens[1] is 21, but a row of block_tables holds 20 tokens");
  EXPECT_EQ(broken([](Paged& p) {
              assign(p.lens, {-1, 1, 1});
            }),
            "paged_attention: context_lens[0] is -1, but a row of block_tables holds 20 tokens");
  EXPECT_EQ(broken([](Paged& p) {
              assign(p.lens, {1, 9, 1});
              assign(p.tables, {0, 5, 6, -1, -1, 0, 0, 0, 0, 0});
            }),
            "paged_attention: block_tables[0, 2] is 6, but the cache has 6 blocks");
  EXPECT_EQ(broken([](Paged& p) {
              assign(p.lens, {1, 8, 1});
              assign(p.tables, {0, 5, 6, -1, -1, 0, 0, 0, 0, 0});
            }),
            "");
}

TEST_F(Rules, PositionsAndSlotsAreCheckedWhenTheKernelRuns) {
  const auto run = [&](const auto& launch) {
    std::string message = message_of([&] {
      launch();
      card.stream.synchronize();
    });
    card.stream.reset();
    return message;
  };
  const TensorView positions = make({2}, DType::kI32);
  const TensorView x = make({2, 1, 2});
  const TensorView cos_sin = make({9, 1, 2});
  assign(positions, {8, 9});
  assign(x, {1, 2, 3, 4});
  const auto rotate = [&] { ops::rotary_embedding(card.stream, positions, cos_sin, x); };
  EXPECT_EQ(run(rotate), "rotary_embedding: positions[1] is 9, but cos_sin has 9 positions");
  EXPECT_EQ(to_values(x), (std::vector<double>{1, 2, 3, 4}));  // nothing was changed
  assign(positions, {-1, 0});
  EXPECT_EQ(run(rotate), "rotary_embedding: positions[0] is -1, but cos_sin has 9 positions");
  const TensorView slots = make({3}, DType::kI64);
  const TensorView k = make({3, 1, 2});
  const KvLayer cache{make({2, 4, 1, 2}), make({2, 4, 1, 2})};
  const auto append = [&] { ops::kv_append(card.stream, k, k, slots, cache); };
  assign(slots, {7, 8, 0});
  EXPECT_EQ(run(append), "kv_append: slot_mapping[1] is 8, but the cache has 8 slots");
  assign(slots, {0, 1, -3});
  EXPECT_EQ(run(append), "kv_append: slot_mapping[2] is -3, but the cache has 8 slots");
  assign(slots, {5, 2, 5});
  EXPECT_EQ(run(append), "kv_append: slot 5 is in slot_mapping twice");
}

TEST_F(Rules, Attention) {
  const TensorView q = make({3, 2, 4});
  const TensorView k = make({5, 2, 4});
  const TensorView out = make({3, 2, 4});
  const auto run = [&](const TensorView& query, const TensorView& key, const TensorView& value,
                       const TensorView& output) {
    return message_of(
        [&] { ops::attention(card.stream, query, key, value, output, {.scale = 1}); });
  };
  EXPECT_EQ(run(q, k, k, out), "");
  EXPECT_EQ(run(make({3, 8}), k, k, out), "attention: q must be [P, heads, D]");
  EXPECT_EQ(run(make({3, 2, 4}, DType::kF16), k, k, out), "attention: q must be f32 or bf16");
  EXPECT_EQ(run(q, make({5, 1, 4}), k, out),
            "attention: k must be [Pk, heads, D], heads and D as q");
  EXPECT_EQ(run(q, make({5, 2, 4}, DType::kBF16), k, out), "attention: k must have q's dtype");
  EXPECT_EQ(run(q, k, make({4, 2, 4}), out), "attention: v must be like k");
  EXPECT_EQ(run(q, k, k, make({3, 2, 5})), "attention: out must be like q");
  EXPECT_EQ(run(q, k, k, make({3, 1, 4}).expand(1, 2)),
            "attention: out must not name one element twice");
  EXPECT_EQ(run(q, k, k, q), "attention: out must not overlap q");
  EXPECT_EQ(run(q, k, make({5, 2, 4}), k.slice(0, 0, 3)), "attention: out must not overlap k");
  EXPECT_EQ(run(q, make({5, 2, 4}), k, k.slice(0, 0, 3)), "attention: out must not overlap v");
}

TEST_F(Rules, Elementwise) {
  const TensorView a = make({3, 4});
  const TensorView b = make({3, 4});
  const TensorView out = make({3, 4});
  const TensorView half = make({3, 4}, DType::kF16);
  const TensorView ids = make({3, 4}, DType::kI32);
  const TensorView scalar = make({});
  const auto silu = [&](const TensorView& gate, const TensorView& up, const TensorView& to) {
    return message_of([&] { ops::silu_and_mul(card.stream, gate, up, to); });
  };
  EXPECT_EQ(silu(a, b, a), "");
  EXPECT_EQ(silu(ids, ids, ids), "silu_and_mul: gate must be f32, bf16 or f16");
  EXPECT_EQ(silu(a, half, out), "silu_and_mul: up must have gate's dtype");
  EXPECT_EQ(silu(a, b, half), "silu_and_mul: out must have gate's dtype");
  EXPECT_EQ(silu(scalar, scalar, scalar), "silu_and_mul: out must have 1 to 4 axes");
  EXPECT_EQ(silu(a, b, broadcast(3, 4)), "silu_and_mul: out must not name one element twice");
  EXPECT_EQ(silu(make({3, 5}), b, out), "silu_and_mul: gate must have out's shape");
  EXPECT_EQ(silu(a, make({3, 5}), out), "silu_and_mul: up must have out's shape");
  EXPECT_EQ(silu(out.reverse(0), b, out), "silu_and_mul: out must be gate itself or apart from it");
  EXPECT_EQ(silu(a, out.reverse(1), out), "silu_and_mul: out must be up itself or apart from it");

  const auto gelu = [&](const TensorView& x, const TensorView& to) {
    return message_of([&] { ops::gelu(card.stream, x, to); });
  };
  EXPECT_EQ(gelu(a, a), "");
  EXPECT_EQ(gelu(ids, ids), "gelu: x must be f32, bf16 or f16");
  EXPECT_EQ(gelu(a, half), "gelu: out must have x's dtype");
  EXPECT_EQ(gelu(make({4, 3}), out), "gelu: x must have out's shape");

  const auto copy = [&](const TensorView& x, const TensorView& to) {
    return message_of([&] { ops::copy(card.stream, x, to); });
  };
  EXPECT_EQ(copy(a, half), "");
  EXPECT_EQ(copy(ids, a), "copy: x and out must have one dtype or both be floating");
  EXPECT_EQ(copy(make({3, 4}, DType::kI8), make({3, 4}, DType::kU8)),
            "copy: x and out must have one dtype or both be floating");
  EXPECT_EQ(copy(a.slice(1, 0, 3), a.slice(1, 1, 4)),
            "copy: out must be x itself or apart from it");

  const auto add = [&](const TensorView& x, const TensorView& y, const TensorView& to) {
    return message_of([&] { ops::add(card.stream, x, y, to); });
  };
  EXPECT_EQ(add(a, half, out), "");
  EXPECT_EQ(add(ids, a, out), "add: a must be f32, bf16 or f16");
  EXPECT_EQ(add(a, ids, out), "add: b must be f32, bf16 or f16");
  EXPECT_EQ(add(a, b, ids), "add: out must be f32, bf16 or f16");
  EXPECT_EQ(add(a.slice(0, 0, 1), b, out), "add: a must have out's shape");

  const auto scale = [&](const TensorView& x, const TensorView& to) {
    return message_of([&] { ops::scale(card.stream, x, 2, to); });
  };
  EXPECT_EQ(scale(a, half), "");
  EXPECT_EQ(scale(ids, a), "scale: x must be f32, bf16 or f16");
  EXPECT_EQ(scale(a, ids), "scale: out must be f32, bf16 or f16");
}

}  // namespace
}  // namespace cardloom
