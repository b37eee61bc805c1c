#pragma once

#include <stdint.h>

namespace cardloom::cpu {

enum class Isa;

/// Columns of a packed right operand stand in panels of this many: one row of a panel is a
/// register, and a row of an AMX tile.
constexpr int64_t kPanel = 16;
/// Rows of left operands are padded with zeros to a multiple of this (the depth of an AMX tile of
/// bf16), and weights are computed for so many keys at once.
constexpr int64_t kDepthStep = 32;
/// Rows that `multiply` may read and write at most beyond the last one: memory of left operands and
/// products is a multiple of this many rows.
constexpr int64_t kRowStep = 32;

/// The pieces of attention for inputs of one dtype; see ops/paged_attention.h for the formula.
///
/// An *operand* is what multiplies: f32, or bf16 in pairs. Left operands (queries, weights) are
/// rows; right ones (keys, values) are packed in panels of kPanel columns:
///   f32    panel[depth][column]
///   bf16   panel[depth / 2][column][depth % 2], depth padded with zeros to kDepthStep
/// What a row of a product is depends on that row and the panels only. Pointers may be unaligned.
struct AttentionKernels {
  int64_t operand_bytes;  ///< 4: f32, 2: bf16

  /// out[i] = bf16(numbers[i] * scale) as operands, for i < n and maybe up to a multiple of
  /// kDepthStep; numbers beyond n are not read. The same bits on every path. `scale` is 0, NaN or
  /// at least 2^-107 (see activation_group.h), so that no product is subnormal.
  void (*dequantise)(const int8_t* numbers, float scale, int64_t n, void* out);

  /// One panel of D deep from kPanel keys of D operands.
  void (*pack_keys)(const void* const* rows, int64_t D, void* panel);
  /// kDepthStep values of D operands, as that many rows of ceil(D / kPanel) panels that lie
  /// `panel_bytes` apart. Returns whether all are finite.
  bool (*pack_values)(const void* const* rows, int64_t D, int64_t panel_bytes, void* panels);

  /// out[i][c] = sum over k < depth of a[i][k] * panel[k][c] in order of k, for rows i < num_rows
  /// (and maybe more, up to a multiple of kRowStep) and the columns of num_panels panels.
  /// `a_row`, `out_row`: elements between rows.
  void (*multiply)(const void* a, int64_t a_row, int64_t num_rows, const void* panels,
                   int64_t panel_bytes, int64_t num_panels, int64_t depth, float* out,
                   int64_t out_row);

  /// Of scores s[0, num_keys): *max = the highest factor * s; weights 2^(factor * s - *max) as
  /// operands (rounded, if inputs are bf16), 0 from num_keys to `padded`, a multiple of kDepthStep;
  /// *total = their sum.
  void (*softmax)(const float* scores, int64_t num_keys, int64_t padded, float factor,
                  void* weights, float* max, float* total);

  /// sums[d] = sums[d] * keep + products[d] * gain for d < n, a multiple of kPanel. -0 counts as +0
  /// in products: whether a sum of nothing is -0 may depend on the tile's other rows.
  void (*merge)(const float* products, int64_t n, float keep, float gain, float* sums);

  /// 2^x for x <= 0 within 2 units in the last place; 0 below 2^-125.5.
  float (*power_of_two)(float x);
};

/// One instruction path's pieces for either dtype of inputs.
struct AttentionTable {
  AttentionKernels f32;
  AttentionKernels bf16;
};

const AttentionTable& attention_table(Isa isa);

// One table an instruction path, each in a translation unit of its own flags.
extern const AttentionTable kAttentionPlain;
extern const AttentionTable kAttentionAvx2;
extern const AttentionTable kAttentionAvx512;
extern const AttentionTable kAttentionAvx512Bf16;
extern const AttentionTable kAttentionAmx;  // in the unit of avx512_bf16, but for:

/// `multiply` of bf16 on the tile units.
void multiply_on_tiles(const void* a, int64_t a_row, int64_t num_rows, const void* panels,
                       int64_t panel_bytes, int64_t num_panels, int64_t depth, float* out,
                       int64_t out_row);

}  // namespace cardloom::cpu
