#pragma once

#include <stdint.h>

#include <cstddef>

namespace cardloom::cpu {

enum class Isa;

/// Rows of activations as a micro kernel wants them; gemm_driver.h packs them so.
struct GemmRows {
  const std::byte* values;  ///< [k blocks][padded_rows][64 bytes; quantised: `group` i8]
  const float* scales;      ///< quantised only: [k blocks][padded_rows]
  const int32_t* sums;      ///< quantised only: of the i8 of a group, [k blocks][padded_rows]
  int64_t rows;             ///< 1 to block_rows
  int64_t padded_rows;      ///< rows rounded up to row_granule; those beyond `rows` are zero
  /// The panels come from memory one after another, each read once: read ahead. Else they are near.
  bool streams;
};

/// c[m][n] = (add ? c[m][n] : 0) + sum over k of x[m, k] * w[n, k]   for one panel of 32 columns
///
/// x           `rows` rows
/// panel       the first of num_blocks k blocks in the format of quant/packed_matrix.h
/// num_blocks  blocks along K; 0 is allowed
/// group       of the quantised formats
/// c           f32, row stride 32, 64-byte aligned, with room for padded_rows
///
/// f32, bf16: one order per instruction path, sequential over k blocks, the same for every `rows`;
/// so blocks [0, a) and then [a, b) with `add` give the bits of [0, b).
/// Quantised: s = sum over the group of q_x * q_w exactly, in i32; then, group after group,
/// c = fma(f32(s), scale_x * scale_w, c): the same bits on every path.
using GemmKernel = void (*)(const GemmRows& x, const std::byte* panel, int64_t num_blocks,
                            int64_t group, bool add, float* c);

/// The micro kernels of one instruction path.
struct GemmKernels {
  int64_t block_rows;   ///< rows of one call at the most
  int64_t row_granule;  ///< what padded_rows is a multiple of
  GemmKernel f32;
  GemmKernel bf16;
  GemmKernel q8;
  GemmKernel q4;
  GemmKernel q4z;
  /// Quantises one row of dense bf16 (activation_group.h): group g goes to
  /// values + g * padded_rows * group, scales[g * padded_rows] and sums[g * padded_rows]; the last
  /// group is filled up with zeros.
  void (*quantise_row)(const uint16_t* x, int64_t k_count, int64_t group, int64_t padded_rows,
                       int8_t* values, float* scales, int32_t* sums);
  /// Around a run of kernel calls on one thread: sets up and gives back what the calls need (tile
  /// registers). Cheap, but not free: once a task, not once a call.
  void (*begin)();
  void (*end)();
};

/// Tiles of sums are at most this many rows, on every path.
inline constexpr int64_t kMaxBlockRows = 32;

const GemmKernels& gemm_kernels(Isa isa);

}  // namespace cardloom::cpu
