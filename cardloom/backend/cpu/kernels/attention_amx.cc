// Products of bf16 on the tile units, path "amx": no std:: templates (see attention_avx512.cc).
#include <immintrin.h>
#include <stdint.h>

#include "cardloom/backend/cpu/kernels/attention_kernels.h"

namespace cardloom::cpu {
namespace {

/// The layout that LDTILECFG reads (Intel SDM, vol. 1, ch. 18): every tile 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr int64_t kTileRows = 16;
constexpr int64_t kStepBytes = 1024;  // of a panel: one tile

/// Tiles 0 to 3 are sums, 4 and 5 rows of `a`, 6 and 7 panels; each loaded tile is used twice where
/// there are two of both.
template <bool two_rows, bool two_panels>
void multiply_block(const uint16_t* a, int64_t a_row, const char* panel, int64_t panel_bytes,
                    int64_t depth, float* out, int64_t out_row) {
  const auto a_bytes = static_cast<size_t>(a_row) * sizeof(uint16_t);
  const auto out_bytes = static_cast<size_t>(out_row) * sizeof(float);
  _tile_zero(0);
  if constexpr (two_panels) _tile_zero(1);
  if constexpr (two_rows) _tile_zero(2);
  if constexpr (two_rows && two_panels) _tile_zero(3);
  for (int64_t k = 0; k < depth; k += kDepthStep) {
    const char* step = panel + k / kDepthStep * kStepBytes;
    _tile_loadd(4, a + k, a_bytes);
    _tile_loadd(6, step, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (two_panels) {
      _tile_loadd(7, step + panel_bytes, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (two_rows) {
      _tile_loadd(5, a + kTileRows * a_row + k, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (two_rows && two_panels) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out, out_bytes);
  if constexpr (two_panels) _tile_stored(1, out + kPanel, out_bytes);
  if constexpr (two_rows) _tile_stored(2, out + kTileRows * out_row, out_bytes);
  if constexpr (two_rows && two_panels) {
    _tile_stored(3, out + kTileRows * out_row + kPanel, out_bytes);
  }
}

template <bool two_rows>
void multiply_panels(const uint16_t* a, int64_t a_row, const char* panels, int64_t panel_bytes,
                     int64_t num_panels, int64_t depth, float* out, int64_t out_row) {
  int64_t p = 0;
  for (; p + 2 <= num_panels; p += 2) {
    multiply_block<two_rows, true>(a, a_row, panels + p * panel_bytes, panel_bytes, depth,
                                   out + p * kPanel, out_row);
  }
  if (p < num_panels) {
    multiply_block<two_rows, false>(a, a_row, panels + p * panel_bytes, panel_bytes, depth,
                                    out + p * kPanel, out_row);
  }
}

}  // namespace

void multiply_on_tiles(const void* a, int64_t a_row, int64_t num_rows, const void* panels,
                       int64_t panel_bytes, int64_t num_panels, int64_t depth, float* out,
                       int64_t out_row) {
  static constexpr TileConfig config;  // in memory: the load tells the compiler of 8 bytes only
  _tile_loadconfig(&config);
  for (int64_t i = 0; i < num_rows; i += 2 * kTileRows) {
    const auto* rows = static_cast<const uint16_t*>(a) + i * a_row;
    const auto* right = static_cast<const char*>(panels);
    if (num_rows - i > kTileRows) {
      multiply_panels<true>(rows, a_row, right, panel_bytes, num_panels, depth, out + i * out_row,
                            out_row);
    } else {
      multiply_panels<false>(rows, a_row, right, panel_bytes, num_panels, depth, out + i * out_row,
                             out_row);
    }
  }
  _tile_release();
}

}  // namespace cardloom::cpu
