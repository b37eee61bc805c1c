// Path "amx": compiled with -mamx-tile -mamx-bf16 -mamx-int8, so no std:: templates and everything
// in the unnamed namespace.
#include <immintrin.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/peak_kernels.h"

namespace cardloom::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // of a row

/// Layout of LDTILECFG's operand. Source: Intel SDM volume 1, 18.3.1.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

/// All eight tiles whole, zeros in them. Tiles 0 to 3 are sums, 4 to 7 operands.
void begin_tiles() {
  TileConfig config;
  memset(&config, 0, sizeof config);
  config.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = kTileBytes;
    config.rows[tile] = kTileRows;
  }
  // g++ 12 thinks that the instruction reads 8 bytes, and would drop the stores of the rest.
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

double bf16(int64_t rounds) {
  begin_tiles();
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(rounds) * 4 * kTileRows * 16 * 32 * 2;
}

double int8(int64_t rounds) {
  begin_tiles();
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(rounds) * 4 * kTileRows * 16 * 64 * 2;
}

}  // namespace

const PeakKernels kPeakAmx{nullptr, nullptr, bf16, int8};

}  // namespace cardloom::cpu
