// The quantised kernels of gemm_amx.cc, which includes this inside its unnamed namespace.
//
// A tile product is quick; what costs is its end: for each group, 16 x 16 integers leave the tile
// through memory, become f32, are scaled and added to c. So c's 16 rows stay in registers for a
// chunk of groups while the tile unit works on the next ones, and all tiles of c take their turn
// with a chunk's activations and weights while these lie in L1.

enum class Numbers { kQ8, kQ4, kQ4Z };

constexpr int64_t kQuad = 4;  // groups that the 4 tiles of sums hold at once

/// Groups of a chunk: with 32 rows 8 to 16 KiB of activations and as much of weights.
constexpr int64_t chunk_groups(int64_t group) { return group == 32 ? 8 : 4; }

// Below so many rows the dot instruction of avx512_bf16 is quicker than tiles of 16. Integers are
// exact, so the bits are the same.
constexpr int64_t kFewRows = 4;

/// Some groups of the activations and of a panel.
struct Chunk {
  const std::byte* values;  ///< of the first group, all rows
  const float* x_scales;
  int64_t padded_rows;
  const std::byte* weights;  ///< i8 [group / 4][32 columns][4] of the first group
  int64_t weights_stride;    ///< from group to group
  const std::byte* block;    ///< as stored: scales come first
  const std::byte* ahead;    ///< blocks to read ahead
  int64_t block_bytes;
  int64_t num_groups;
};

/// The activations and weights of one group of one tile of c, to tiles 4 to 7.
template <int group>
inline void load_group(const Chunk& chunk, int64_t tile, int64_t index) {
  const std::byte* values =
      chunk.values + (index * chunk.padded_rows + tile / 2 * kTileRows) * group;
  const std::byte* weights = chunk.weights + index * chunk.weights_stride + tile % 2 * 64;
  _tile_loadd(4, values, group);
  _tile_loadd(5, weights, 128);
  if constexpr (group == 128) _tile_loadd(6, values + 64, group);
  if constexpr (group == 128) _tile_loadd(7, weights + 2048, 128);
}

template <int lines>
inline void add_group(const Chunk& chunk, int64_t tile, int64_t index, const int32_t* sums,
                      __m512 (&totals)[16]) {
  prefetch_lines(chunk.ahead + index * chunk.block_bytes + tile * lines * 64, lines);
  const float* x_scales = chunk.x_scales + index * chunk.padded_rows + tile / 2 * kTileRows;
  const __m512 w_scale = _mm512_cvtph_ps(_mm256_load_si256(
      reinterpret_cast<const __m256i*>(chunk.block + index * chunk.block_bytes + tile % 2 * 32)));
  for (int row = 0; row < 16; ++row) {
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + row * 16));
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(x_scales[row]), w_scale);
    totals[row] = _mm512_fmadd_ps(sum, scale, totals[row]);
  }
}

/// c += a multiple of 4 groups, tile by tile of c.
///
/// Tile instructions run in order, so a store of a tile that is not ready holds up all that follow
/// (34 cycles instead of 20 for a product and a store): tiles are stored 4 products later. What
/// they store cannot be forwarded to loads, so these come a product later still. No branch but the
/// loop's: a wrong guess costs as much as a product.
template <int group, int num_tiles, int lines>
void add_quads(const Chunk& chunk, bool add, float* c) {
  alignas(64) int32_t sums[kQuad][256];
  load_group<group>(chunk, 0, 0);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 5);
  if constexpr (group == 128) _tile_dpbssd(0, 6, 7);
  load_group<group>(chunk, 0, 1);
  _tile_zero(1);
  _tile_dpbssd(1, 4, 5);
  if constexpr (group == 128) _tile_dpbssd(1, 6, 7);
  load_group<group>(chunk, 0, 2);
  _tile_zero(2);
  _tile_dpbssd(2, 4, 5);
  if constexpr (group == 128) _tile_dpbssd(2, 6, 7);
  load_group<group>(chunk, 0, 3);
  _tile_zero(3);
  _tile_dpbssd(3, 4, 5);
  if constexpr (group == 128) _tile_dpbssd(3, 6, 7);
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    float* out = c + tile / 2 * kTileRows * 32 + tile % 2 * 16;
    __m512 totals[16];
    for (int row = 0; row < 16; ++row) {
      totals[row] = add ? _mm512_load_ps(out + row * 32) : _mm512_setzero_ps();
    }
    for (int64_t index = 0; index < chunk.num_groups; index += kQuad) {
      // After the last quad comes the last tile's first once more, for nothing.
      const bool wraps = index + kQuad == chunk.num_groups;
      const int64_t next = wraps ? 0 : index + kQuad;
      const int64_t next_tile = wraps && tile + 1 < num_tiles ? tile + 1 : tile;
      _tile_stored(0, sums[0], 64);
      load_group<group>(chunk, next_tile, next);
      _tile_zero(0);
      _tile_dpbssd(0, 4, 5);
      if constexpr (group == 128) _tile_dpbssd(0, 6, 7);
      _tile_stored(1, sums[1], 64);
      load_group<group>(chunk, next_tile, next + 1);
      _tile_zero(1);
      _tile_dpbssd(1, 4, 5);
      if constexpr (group == 128) _tile_dpbssd(1, 6, 7);
      add_group<lines>(chunk, tile, index, sums[0], totals);
      _tile_stored(2, sums[2], 64);
      load_group<group>(chunk, next_tile, next + 2);
      _tile_zero(2);
      _tile_dpbssd(2, 4, 5);
      if constexpr (group == 128) _tile_dpbssd(2, 6, 7);
      add_group<lines>(chunk, tile, index + 1, sums[1], totals);
      _tile_stored(3, sums[3], 64);
      load_group<group>(chunk, next_tile, next + 3);
      _tile_zero(3);
      _tile_dpbssd(3, 4, 5);
      if constexpr (group == 128) _tile_dpbssd(3, 6, 7);
      add_group<lines>(chunk, tile, index + 2, sums[2], totals);
      add_group<lines>(chunk, tile, index + 3, sums[3], totals);
    }
    for (int row = 0; row < 16; ++row) _mm512_store_ps(out + row * 32, totals[row]);
  }
}

/// c += the last groups, fewer than 4.
template <int group, int num_tiles, int lines>
void add_rest(const Chunk& chunk, bool add, float* c) {
  alignas(64) int32_t sums[256];
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    float* out = c + tile / 2 * kTileRows * 32 + tile % 2 * 16;
    __m512 totals[16];
    for (int row = 0; row < 16; ++row) {
      totals[row] = add ? _mm512_load_ps(out + row * 32) : _mm512_setzero_ps();
    }
    for (int64_t index = 0; index < chunk.num_groups; ++index) {
      load_group<group>(chunk, tile, index);
      _tile_zero(0);
      _tile_dpbssd(0, 4, 5);
      if constexpr (group == 128) _tile_dpbssd(0, 6, 7);
      _tile_stored(0, sums, 64);
      add_group<lines>(chunk, tile, index, sums, totals);
    }
    for (int row = 0; row < 16; ++row) _mm512_store_ps(out + row * 32, totals[row]);
  }
}

/// The nibbles of one block as i8, zero point taken off, in q8's order.
template <Numbers numbers, int group>
inline void unpack(const std::byte* block, std::byte* out) {
  const __m512i mask = _mm512_set1_epi8(15);
  __m512i zeros[2] = {_mm512_set1_epi8(8), _mm512_set1_epi8(8)};
  if constexpr (numbers == Numbers::kQ4Z) {
    const __m512i spread =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    for (int part = 0; part < 2; ++part) {
      const __m512i wide = _mm512_cvtepi16_epi32(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(block + 64 + part * 32)));
      zeros[part] = _mm512_shuffle_epi8(wide, spread);
    }
  }
  const std::byte* from = block + (numbers == Numbers::kQ4Z ? 128 : 64);
  for (int step = 0; step < group / 8; ++step) {
    for (int part = 0; part < 2; ++part) {
      const __m512i w = _mm512_load_si512(from + step * 128 + part * 64);
      const __m512i low = _mm512_and_si512(w, mask);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(w, 4), mask);
      std::byte* to = out + step * 256 + part * 64;
      _mm512_store_si512(to, _mm512_sub_epi8(low, zeros[part]));
      _mm512_store_si512(to + 128, _mm512_sub_epi8(high, zeros[part]));
    }
  }
}

template <Numbers numbers, int group, int num_tiles>
void quantised_tiles(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add,
                     float* c) {
  constexpr int64_t kHeader = numbers == Numbers::kQ4Z ? 128 : 64;
  constexpr int64_t kBlockBytes = kHeader + 32 * group / (numbers == Numbers::kQ8 ? 1 : 2);
  constexpr int64_t kGroups = chunk_groups(group);
  constexpr int kLines = (kBlockBytes / 64 + num_tiles - 1) / num_tiles;
  alignas(64) std::byte unpacked[numbers == Numbers::kQ8 ? 64 : kGroups * group * 32];
  for (int64_t block = 0; block < num_blocks;) {
    const int64_t left = num_blocks - block;
    Chunk chunk = {};
    chunk.values = x.values + block * x.padded_rows * group;
    chunk.x_scales = x.scales + block * x.padded_rows;
    chunk.padded_rows = x.padded_rows;
    chunk.weights = numbers == Numbers::kQ8 ? panel + kHeader : unpacked;
    chunk.weights_stride = numbers == Numbers::kQ8 ? kBlockBytes : group * 32;
    chunk.block = panel;
    chunk.ahead = panel + kGroups * kBlockBytes;
    chunk.block_bytes = kBlockBytes;
    chunk.num_groups = left >= kGroups ? kGroups : left >= kQuad ? kQuad : left;
    if constexpr (numbers != Numbers::kQ8) {
      for (int64_t index = 0; index < chunk.num_groups; ++index) {
        unpack<numbers, group>(panel + index * kBlockBytes, unpacked + index * group * 32);
      }
      // g++ does not know that a tile load reads memory.
      __asm__ volatile("" ::: "memory");
    }
    if (left >= kQuad) {
      add_quads<group, num_tiles, kLines>(chunk, add || block > 0, c);
    } else {
      add_rest<group, num_tiles, kLines>(chunk, add || block > 0, c);
    }
    block += chunk.num_groups;
    panel += chunk.num_groups * kBlockBytes;
  }
}

template <Numbers numbers, int group>
void gemm_group(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add, float* c) {
  if (group == 32) _tile_loadconfig(&kHalfTiles);
  if (x.padded_rows == kTileRows) {
    quantised_tiles<numbers, group, 2>(x, panel, num_blocks, add, c);
  } else {
    quantised_tiles<numbers, group, 4>(x, panel, num_blocks, add, c);
  }
  if (group == 32) _tile_loadconfig(&kFullTiles);
}

template <Numbers numbers>
void gemm_tiles(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
                bool add, float* c) {
  if (num_blocks == 0) {
    for (int64_t i = 0; !add && i < x.rows * 32; ++i) c[i] = 0;
  } else if (group == 32) {
    gemm_group<numbers, 32>(x, panel, num_blocks, add, c);
  } else if (group == 64) {
    gemm_group<numbers, 64>(x, panel, num_blocks, add, c);
  } else {
    gemm_group<numbers, 128>(x, panel, num_blocks, add, c);
  }
}

void gemm_q8(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group, bool add,
             float* c) {
  const bool few = x.rows <= kFewRows;
  (few ? kGemmAvx512Bf16.q8 : gemm_tiles<Numbers::kQ8>)(x, panel, num_blocks, group, add, c);
}

void gemm_q4(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group, bool add,
             float* c) {
  const bool few = x.rows <= kFewRows;
  (few ? kGemmAvx512Bf16.q4 : gemm_tiles<Numbers::kQ4>)(x, panel, num_blocks, group, add, c);
}

void gemm_q4z(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
              bool add, float* c) {
  const bool few = x.rows <= kFewRows;
  (few ? kGemmAvx512Bf16.q4z : gemm_tiles<Numbers::kQ4Z>)(x, panel, num_blocks, group, add, c);
}
