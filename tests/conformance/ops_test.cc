// Every operator on rows, as the CPU runs it, against its reference: dtypes x layouts x sizes x
// instruction paths x threads.
#include <gtest/gtest.h>

#include <cmath>

#include "cardloom/ops/reference/reference.h"
#include "tests/conformance/conform.h"

namespace cardloom {
namespace {

using testing::expect_conforms;
using testing::OpCase;
using testing::OperandSpec;
using testing::Shape;
using testing::tolerance_of;
using testing::Views;

constexpr DType kFloating[] = {DType::kF32, DType::kBF16, DType::kF16};
const KernelContext kNoContext{};

OperandSpec rows(DType dtype, const Shape& shape, double low = -1, double high = 1) {
  return {dtype, shape, low, high, {}, true};
}
OperandSpec whole(DType dtype, const Shape& shape, double low = -1, double high = 1) {
  return {dtype, shape, low, high, {}, false};
}

/// T x H: empty, one, odd, prime, a vector more or less, many tasks.
const Shape kRowShapes[] = {{0, 5},  {5, 0},  {1, 1},    {3, 2},   {7, 13},
                            {2, 64}, {3, 97}, {5, 1023}, {67, 512}};

TEST(Conformance, RmsNorm) {
  for (const DType dtype : kFloating) {
    for (const Shape& shape : kRowShapes) {
      expect_conforms({"rms_norm",
                       {rows(dtype, shape, -4, 4), whole(DType::kF32, {shape[1]}, 0.5, 1.5)},
                       rows(dtype, shape),
                       [](Stream& stream, const Views& in, const TensorView& out) {
                         ops::rms_norm(stream, in[0], in[1], out, {.eps = 1e-5F});
                       },
                       [](const Views& in, const TensorView& out) {
                         reference::rms_norm(kNoContext, {in[0], in[1], out, 1e-5F});
                       },
                       tolerance_of(dtype, 2e-6)});
    }
  }
}

TEST(Conformance, LayerNorm) {
  for (const DType dtype : kFloating) {
    for (const Shape& shape : kRowShapes) {
      for (const bool has_residual : {false, true}) {
        OpCase layer_norm{"layer_norm",
                          {rows(dtype, shape, -1, 5), whole(DType::kF32, {shape[1]}, 0.5, 1.5),
                           whole(DType::kF32, {shape[1]})},
                          rows(dtype, shape),
                          {},
                          {},
                          tolerance_of(dtype, 3e-6)};
        if (has_residual) layer_norm.inputs.push_back(rows(dtype, shape, -3, 3));
        layer_norm.run = [](Stream& stream, const Views& in, const TensorView& out) {
          const TensorView residual = in.size() == 4 ? in[3] : TensorView{};
          ops::layer_norm(stream, in[0], in[1], in[2], out, {.eps = 1e-5F, .residual = residual});
        };
        layer_norm.reference = [](const Views& in, const TensorView& out) {
          const TensorView residual = in.size() == 4 ? in[3] : TensorView{};
          reference::layer_norm(kNoContext, {in[0], in[1], in[2], residual, out, 1e-5F});
        };
        expect_conforms(layer_norm);
      }
    }
  }
}

TEST(Conformance, RotaryEmbedding) {
  struct Size {
    std::int64_t T, heads, D, pairs;
  };
  for (const DType dtype : kFloating) {
    for (const Size& size : {Size{0, 2, 4, 1}, Size{3, 0, 4, 1}, Size{1, 1, 2, 1}, Size{5, 3, 7, 0},
                             Size{7, 3, 18, 4}, Size{61, 5, 128, 32}}) {
      expect_conforms(
          {"rotary_embedding",
           {{DType::kI32, {size.T}, 0, 50, {}, true}, whole(DType::kF32, {50, size.pairs, 2})},
           rows(dtype, {size.T, size.heads, size.D}, -3, 3),
           [](Stream& stream, const Views& in, const TensorView& x) {
             ops::rotary_embedding(stream, in[0], in[1], x);
           },
           [](const Views& in, const TensorView& x) {
             reference::rotary_embedding(kNoContext, {in[0], in[1], x});
           },
           0});
    }
  }
}

/// The keys or the values of a cache like `part`, which is the other half.
KvLayer cache_with(const TensorView& part, bool part_is_keys, const testing::LaidOut& other) {
  return part_is_keys ? KvLayer{part, other} : KvLayer{other, part};
}

TEST(Conformance, KvAppend) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const std::int64_t T : {0, 1, 5, 40}) {
      std::vector<double> slots;  // 35 and 64 share no factor: no slot twice
      for (std::int64_t t = 0; t < T; ++t) slots.push_back(static_cast<double>(t * 35 % 64));
      for (const bool keys : {true, false}) {
        const Shape cache{8, 8, 3, 18};
        expect_conforms({"kv_append",
                         {rows(dtype, {T, 3, 18}),
                          rows(dtype, {T, 3, 18}),
                          {DType::kI64, {T}, 0, 1, slots, true}},
                         whole(dtype, cache),
                         [=](Stream& stream, const Views& in, const TensorView& out) {
                           const testing::LaidOut other = testing::contiguous(dtype, cache);
                           ops::kv_append(stream, in[0], in[1], in[2],
                                          cache_with(out, keys, other));
                           stream.synchronize();
                         },
                         [=](const Views& in, const TensorView& out) {
                           const testing::LaidOut other = testing::contiguous(dtype, cache);
                           reference::kv_append(
                               kNoContext, {in[0], in[1], in[2], cache_with(out, keys, other)});
                         },
                         0});
      }
    }
  }
}

/// Sizes of a cache of i8, one part of which is a case's output: keys, values and their scales.
TEST(Conformance, KvAppendQuantised) {
  const DType dtype = DType::kBF16;
  for (const std::int64_t D : {1, 18, 64, 129}) {
    const Shape numbers{8, 8, 3, D};
    const Shape scales{8, 8, 3};
    for (int part = 0; part < 4; ++part) {
      const auto cache_of = [=](const TensorView& out, std::vector<testing::LaidOut>& others) {
        TensorView views[4];
        for (int index = 0; index < 4; ++index) {
          others.push_back(index < 2 ? testing::contiguous(DType::kI8, numbers)
                                     : testing::contiguous(DType::kF32, scales));
          views[index] = index == part ? out : others.back();
        }
        return KvLayer{views[0], views[1], views[2], views[3]};
      };
      for (const std::int64_t T : {0, 1, 40}) {
        std::vector<double> slots;
        for (std::int64_t t = 0; t < T; ++t) slots.push_back(static_cast<double>(t * 35 % 64));
        expect_conforms(
            {"kv_append",
             {rows(dtype, {T, 3, D}),
              rows(dtype, {T, 3, D}),
              {DType::kI64, {T}, 0, 1, slots, true}},
             part < 2 ? whole(DType::kI8, numbers) : whole(DType::kF32, scales),
             [=](Stream& stream, const Views& in, const TensorView& out) {
               std::vector<testing::LaidOut> others;
               ops::kv_append(stream, in[0], in[1], in[2], cache_of(out, others));
               stream.synchronize();
             },
             [=](const Views& in, const TensorView& out) {
               std::vector<testing::LaidOut> others;
               reference::kv_append(kNoContext, {in[0], in[1], in[2], cache_of(out, others)});
             },
             0});
      }
    }
  }
}

TEST(Conformance, Attention) {
  struct Size {
    std::int64_t P, Pk, heads, D;
  };
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Size& size :
         {Size{0, 3, 2, 4}, Size{3, 0, 2, 4}, Size{3, 5, 0, 4}, Size{3, 5, 2, 0}, Size{1, 1, 1, 1},
          Size{3, 31, 2, 18}, Size{5, 33, 1, 24}, Size{67, 70, 2, 112}, Size{3, 1100, 1, 40}}) {
      expect_conforms({"attention",
                       {rows(dtype, {size.P, size.heads, size.D}, -2, 2),
                        whole(dtype, {size.Pk, size.heads, size.D}, -2, 2),
                        whole(dtype, {size.Pk, size.heads, size.D})},
                       rows(dtype, {size.P, size.heads, size.D}),
                       [](Stream& stream, const Views& in, const TensorView& out) {
                         ops::attention(stream, in[0], in[1], in[2], out, {.scale = 0.25F});
                       },
                       [](const Views& in, const TensorView& out) {
                         reference::attention(kNoContext, {in[0], in[1], in[2], out, 0.25F});
                       },
                       tolerance_of(dtype, 3e-6)});
    }
  }
}

void launch(Stream& stream, const PagedAttentionArgs& args) {
  ops::paged_attention(stream, args.q, args.cache, args.block_tables, args.token_sequences,
                       args.context_lens, args.out,
                       {.scale = args.scale,
                        .first_head = args.first_head,
                        .heads_per_group = args.heads_per_group,
                        .first_group = args.first_group});
}

TEST(Conformance, PagedAttention) {
  struct Size {
    std::int64_t T, heads, D, block_size, max_keys;
  };
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Size& size :
         {Size{0, 2, 4, 4, 4}, Size{3, 0, 4, 4, 4}, Size{1, 1, 1, 1, 1}, Size{5, 5, 18, 4, 39},
          Size{37, 6, 128, 16, 100}, Size{6, 4, 40, 16, 1100}}) {
      const std::int64_t max_blocks = (size.max_keys + size.block_size - 1) / size.block_size;
      const std::int64_t G = (size.heads + 3) / 3;
      const Shape cache{3 * max_blocks, size.block_size, G, size.D};
      const auto args = [](const Views& in, const TensorView& out) {
        return PagedAttentionArgs{in[0], {in[1], in[2]}, in[3], in[4], in[5], out, 0.2F, 7, 3, 2};
      };
      expect_conforms(
          {"paged_attention",
           {rows(dtype, {size.T, size.heads, size.D}, -2, 2),
            whole(dtype, cache, -2, 2),
            whole(dtype, cache),
            whole(DType::kI32, {3, max_blocks}, 0, static_cast<double>(cache[0])),
            {DType::kI32, {size.T}, 0, 3, {}, true},
            {DType::kI32, {size.T}, 0, static_cast<double>(size.max_keys + 1), {}, true}},
           rows(dtype, {size.T, size.heads, size.D}),
           [args](Stream& stream, const Views& in, const TensorView& out) {
             launch(stream, args(in, out));
           },
           [args](const Views& in, const TensorView& out) {
             reference::paged_attention(kNoContext, args(in, out));
           },
           tolerance_of(dtype, 3e-6)});
    }
  }
}

TEST(Conformance, PagedAttentionQuantised) {
  struct Size {
    std::int64_t T, heads, D, block_size, max_keys;
  };
  const DType dtype = DType::kBF16;
  for (const Size& size : {Size{1, 1, 1, 1, 1}, Size{5, 5, 18, 4, 39}, Size{37, 6, 128, 16, 100},
                           Size{6, 4, 40, 16, 1100}}) {
    const std::int64_t max_blocks = (size.max_keys + size.block_size - 1) / size.block_size;
    const std::int64_t G = (size.heads + 3) / 3;
    const Shape cache{3 * max_blocks, size.block_size, G, size.D};
    const Shape scales{3 * max_blocks, size.block_size, G};
    const auto args = [](const Views& in, const TensorView& out) {
      const KvLayer layer{in[1], in[2], in[6], in[7]};
      return PagedAttentionArgs{in[0], layer, in[3], in[4], in[5], out, 0.2F, 7, 3, 2};
    };
    expect_conforms({"paged_attention",
                     {rows(dtype, {size.T, size.heads, size.D}, -2, 2),
                      whole(DType::kI8, cache, -127, 128),
                      whole(DType::kI8, cache, -127, 128),
                      whole(DType::kI32, {3, max_blocks}, 0, static_cast<double>(cache[0])),
                      {DType::kI32, {size.T}, 0, 3, {}, true},
                      {DType::kI32, {size.T}, 0, static_cast<double>(size.max_keys + 1), {}, true},
                      whole(DType::kF32, scales, 0, 0.03),
                      whole(DType::kF32, scales, 0, 0.01)},
                     rows(dtype, {size.T, size.heads, size.D}),
                     [args](Stream& stream, const Views& in, const TensorView& out) {
                       launch(stream, args(in, out));
                     },
                     [args](const Views& in, const TensorView& out) {
                       reference::paged_attention(kNoContext, args(in, out));
                     },
                     tolerance_of(dtype, 3e-6)});
  }
}

const Shape kElementShapes[] = {{0},       {1},          {17},         {3, 0, 2},   {2, 1, 3},
                                {2, 1031}, {3, 4, 5, 7}, {9, 2, 1030}, {1, 1, 1, 1}};

TEST(Conformance, SiluAndMul) {
  for (const DType dtype : kFloating) {
    for (const Shape& shape : kElementShapes) {
      expect_conforms({"silu_and_mul",
                       {rows(dtype, shape, -8, 8), rows(dtype, shape, -2, 2)},
                       rows(dtype, shape),
                       [](Stream& stream, const Views& in, const TensorView& out) {
                         ops::silu_and_mul(stream, in[0], in[1], out);
                       },
                       [](const Views& in, const TensorView& out) {
                         reference::silu_and_mul(kNoContext, {in[0], in[1], out});
                       },
                       tolerance_of(dtype, 5e-7)});
    }
  }
}

TEST(Conformance, Gelu) {
  for (const DType dtype : kFloating) {
    for (const Shape& shape : kElementShapes) {
      expect_conforms({"gelu",
                       {rows(dtype, shape, -6, 6)},
                       rows(dtype, shape),
                       [](Stream& stream, const Views& in, const TensorView& out) {
                         ops::gelu(stream, in[0], out);
                       },
                       [](const Views& in, const TensorView& out) {
                         reference::gelu(kNoContext, {in[0], out});
                       },
                       tolerance_of(dtype, 2e-7)});
    }
  }
}

TEST(Conformance, AddAndScale) {
  for (const DType dtype : kFloating) {
    for (const DType other : kFloating) {
      for (const Shape& shape : kElementShapes) {
        expect_conforms({"add",
                         {rows(dtype, shape), rows(other, shape)},
                         rows(dtype, shape),
                         [](Stream& stream, const Views& in, const TensorView& out) {
                           ops::add(stream, in[0], in[1], out);
                         },
                         [](const Views& in, const TensorView& out) {
                           reference::add(kNoContext, {in[0], in[1], out});
                         },
                         0});
        expect_conforms({"scale",
                         {rows(dtype, shape)},
                         rows(other, shape),
                         [](Stream& stream, const Views& in, const TensorView& out) {
                           ops::scale(stream, in[0], 1.0F / 3, out);
                         },
                         [](const Views& in, const TensorView& out) {
                           reference::scale(kNoContext, {in[0], out, 1.0F / 3});
                         },
                         0});
      }
    }
  }
}

TEST(Conformance, Copy) {
  const auto check = [](DType from, DType to, const Shape& shape) {
    expect_conforms({"copy",
                     {rows(from, shape, from == DType::kU8 ? 0 : -100, 100)},
                     rows(to, shape, 0, 1),
                     [](Stream& stream, const Views& in, const TensorView& out) {
                       ops::copy(stream, in[0], out);
                     },
                     [](const Views& in, const TensorView& out) {
                       reference::copy(kNoContext, {in[0], out});
                     },
                     0});
  };
  for (const Shape& shape : kElementShapes) {
    for (const DType from : kFloating) {
      for (const DType to : kFloating) check(from, to, shape);
    }
    for (const DType dtype : {DType::kI8, DType::kU8, DType::kI32, DType::kI64}) {
      check(dtype, dtype, shape);
    }
  }
}

}  // namespace
}  // namespace cardloom
