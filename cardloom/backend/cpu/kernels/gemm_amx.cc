// Path "amx": bf16 and int8 products on the tile units, the rest as path "avx512_bf16". No std::
// templates and everything in the unnamed namespace (the linker must not pick these bodies for
// everybody).
#include <immintrin.h>
#include <stdint.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"

namespace cardloom::cpu {
namespace {

constexpr int64_t kBlockRows = 32;  // 2 tiles; with 2 tiles of columns that fills the 8 registers
constexpr int64_t kTileRows = 16;
constexpr int64_t kAhead = 4096;  // bytes of weights to read ahead, as gemm_avx512.cc

/// LDTILECFG's operand: tile i is rows[i] rows of row_bytes[i] bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

constexpr TileConfig make_full_tiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = 16;
  }
  return config;
}

/// For groups of 32: tiles 4 and 5 hold 16 rows of 32 activations, 6 and 7 a group of 16 columns.
constexpr TileConfig make_half_tiles() {
  TileConfig config = make_full_tiles();
  config.row_bytes[4] = config.row_bytes[5] = 32;
  config.rows[6] = config.rows[7] = 8;
  return config;
}

constexpr TileConfig kFullTiles = make_full_tiles();
constexpr TileConfig kHalfTiles = make_half_tiles();

void begin() { _tile_loadconfig(&kFullTiles); }
void end() { _tile_release(); }

inline void prefetch_lines(const std::byte* from, int64_t lines) {
  for (int64_t line = 0; line < lines; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(from + line * 64), _MM_HINT_T0);
  }
}

/// Tiles 0 to 3 are c, [rows / 16][2 halves of the columns]; 4 and 5 activations, 6 and 7 weights.
template <int row_tiles>
void bf16_tiles(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add, float* c) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (add) {
    _tile_loadd(0, c, 128);
    _tile_loadd(1, c + 16, 128);
    if (row_tiles == 2) _tile_loadd(2, c + 512, 128);
    if (row_tiles == 2) _tile_loadd(3, c + 528, 128);
  }
  const std::byte* values = x.values;
  for (int64_t block = 0; block < num_blocks; ++block) {
    if (x.streams) prefetch_lines(panel + kAhead, 16);
    _tile_loadd(4, values, 64);
    _tile_loadd(6, panel, 128);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, panel + 64, 128);
    _tile_dpbf16ps(1, 4, 7);
    if (x.streams) prefetch_lines(panel + kAhead + 1024, 16);
    if (row_tiles == 2) {
      _tile_loadd(5, values + 1024, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    values += row_tiles * 1024;
    panel += 2048;
  }
  _tile_stored(0, c, 128);
  _tile_stored(1, c + 16, 128);
  if (row_tiles == 2) _tile_stored(2, c + 512, 128);
  if (row_tiles == 2) _tile_stored(3, c + 528, 128);
}

void gemm_bf16(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t, bool add,
               float* c) {
  if (x.padded_rows == kTileRows) {
    bf16_tiles<1>(x, panel, num_blocks, add, c);
  } else {
    bf16_tiles<2>(x, panel, num_blocks, add, c);
  }
}

void gemm_f32(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
              bool add, float* c) {
  const int64_t slice = kGemmAvx512Bf16.block_rows;
  for (int64_t row = 0; row < x.rows; row += slice) {
    GemmRows rows = x;
    rows.values += row * 64;
    rows.rows = x.rows - row < slice ? x.rows - row : slice;
    kGemmAvx512Bf16.f32(rows, panel, num_blocks, group, add, c + row * 32);
  }
}

#include "cardloom/backend/cpu/kernels/gemm_quantised_amx.h"

void quantise_row(const uint16_t* x, int64_t k_count, int64_t group, int64_t padded_rows,
                  int8_t* values, float* scales, int32_t* sums) {
  kGemmAvx512Bf16.quantise_row(x, k_count, group, padded_rows, values, scales, sums);
}

}  // namespace

extern const GemmKernels kGemmAmx = {.block_rows = kBlockRows,
                                     .row_granule = kTileRows,
                                     .f32 = gemm_f32,
                                     .bf16 = gemm_bf16,
                                     .q8 = gemm_q8,
                                     .q4 = gemm_q4,
                                     .q4z = gemm_q4z,
                                     .quantise_row = quantise_row,
                                     .begin = begin,
                                     .end = end};

}  // namespace cardloom::cpu
