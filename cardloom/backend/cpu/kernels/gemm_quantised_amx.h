// The quantised kernels of gemm_amx.cc, which includes this inside its unnamed namespace.
//
// A tile product is quick; what costs is its end: for each group, 16 x 16 integers leave the tile
// through memory, become f32, are scaled and added to c. So c's 16 rows stay in registers for a
// chunk of groups while the tile unit works on the next ones, and all tiles of c take their turn
// with a chunk's activations and weights while these lie in L1.

enum class Numbers { kQ8, kQ4, kQ4Z };

constexpr int64_t kChunk = 256;  // k: 8 KiB of 32 rows' activations and 8 KiB of weights

// Below so many rows the dot instruction of avx512_bf16 is quicker than tiles of 16. Integers are
// exact, so the bits are the same.
constexpr int64_t kFewRows = 4;

/// A chunk of groups as a tile of 16 rows and 16 columns sees it.
struct ChunkTile {
  const std::byte* values;  ///< 16 rows of the first group
  int64_t values_stride;    ///< from group to group
  const float* x_scales;
  int64_t x_scales_stride;
  const std::byte* weights;  ///< i8 [group / 4]{128}[16 columns][4]
  int64_t weights_stride;
  const std::byte* w_scales;  ///< f16[16]
  int64_t block_bytes;        ///< from group to group: of w_scales and of what to read ahead
  const std::byte* ahead;     ///< weights of the next chunk
  int64_t ahead_lines;        ///< to read ahead with each group
  int64_t num_groups;
};

/// Integer sums of one group, by way of tile 0 (even groups) or 1 (odd ones).
template <int group, int odd>
inline void multiply_group(const ChunkTile& tile, int64_t index, int32_t* sums) {
  const std::byte* values = tile.values + index * tile.values_stride;
  const std::byte* weights = tile.weights + index * tile.weights_stride;
  if constexpr (odd == 0) {
    _tile_zero(0);
    _tile_loadd(4, values, group);
    _tile_loadd(5, weights, 128);
    _tile_dpbssd(0, 4, 5);
    if constexpr (group == 128) {
      _tile_loadd(4, values + 64, group);
      _tile_loadd(5, weights + 2048, 128);
      _tile_dpbssd(0, 4, 5);
    }
    _tile_stored(0, sums, 64);
  } else {
    _tile_zero(1);
    _tile_loadd(6, values, group);
    _tile_loadd(7, weights, 128);
    _tile_dpbssd(1, 6, 7);
    if constexpr (group == 128) {
      _tile_loadd(6, values + 64, group);
      _tile_loadd(7, weights + 2048, 128);
      _tile_dpbssd(1, 6, 7);
    }
    _tile_stored(1, sums, 64);
  }
}

inline void add_group(const ChunkTile& tile, int64_t index, const int32_t* sums,
                      __m512 (&totals)[16]) {
  prefetch_lines(tile.ahead + index * tile.block_bytes, tile.ahead_lines);
  const float* x_scales = tile.x_scales + index * tile.x_scales_stride;
  const __m512 w_scale = _mm512_cvtph_ps(_mm256_load_si256(
      reinterpret_cast<const __m256i*>(tile.w_scales + index * tile.block_bytes)));
  for (int row = 0; row < 16; ++row) {
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + row * 16));
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(x_scales[row]), w_scale);
    totals[row] = _mm512_fmadd_ps(sum, scale, totals[row]);
  }
}

/// c[16 rows, 16 columns] += the groups of a chunk.
template <int group>
void add_chunk(const ChunkTile& tile, bool add, float* c) {
  alignas(64) int32_t sums[2][256];
  multiply_group<group, 0>(tile, 0, sums[0]);
  __m512 totals[16];
  for (int row = 0; row < 16; ++row) {
    totals[row] = add ? _mm512_load_ps(c + row * 32) : _mm512_setzero_ps();
  }
  for (int64_t index = 0; index < tile.num_groups; index += 2) {
    if (index + 1 < tile.num_groups) multiply_group<group, 1>(tile, index + 1, sums[1]);
    add_group(tile, index, sums[0], totals);
    if (index + 1 >= tile.num_groups) break;
    if (index + 2 < tile.num_groups) multiply_group<group, 0>(tile, index + 2, sums[0]);
    add_group(tile, index + 1, sums[1], totals);
  }
  for (int row = 0; row < 16; ++row) _mm512_store_ps(c + row * 32, totals[row]);
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

template <Numbers numbers, int group>
void quantised_tiles(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add,
                     float* c) {
  constexpr int64_t kHeader = numbers == Numbers::kQ4Z ? 128 : 64;
  constexpr int64_t kBlockBytes = kHeader + 32 * group / (numbers == Numbers::kQ8 ? 1 : 2);
  constexpr int64_t kChunkBlocks = kChunk / group;
  const int64_t num_tiles = x.padded_rows / kTileRows * 2;
  alignas(64) std::byte unpacked[numbers == Numbers::kQ8 ? 64 : kChunk * 32];
  for (int64_t block = 0; block < num_blocks; block += kChunkBlocks) {
    const int64_t at = block * x.padded_rows;
    ChunkTile tile = {};
    tile.values_stride = x.padded_rows * group;
    tile.x_scales_stride = x.padded_rows;
    tile.block_bytes = kBlockBytes;
    tile.num_groups = num_blocks - block < kChunkBlocks ? num_blocks - block : kChunkBlocks;
    tile.weights_stride = numbers == Numbers::kQ8 ? kBlockBytes : group * 32;
    tile.ahead_lines = (kBlockBytes / 64 + num_tiles - 1) / num_tiles;
    if constexpr (numbers != Numbers::kQ8) {
      for (int64_t index = 0; index < tile.num_groups; ++index) {
        unpack<numbers, group>(panel + index * kBlockBytes, unpacked + index * group * 32);
      }
      // g++ does not know that a tile load reads memory.
      __asm__ volatile("" ::: "memory");
    }
    for (int64_t index = 0; index < num_tiles; ++index) {
      const int64_t row = index / 2 * kTileRows;
      const int64_t part = index % 2;
      tile.values = x.values + (at + row) * group;
      tile.x_scales = x.scales + at + row;
      tile.weights = (numbers == Numbers::kQ8 ? panel + kHeader : unpacked) + part * 64;
      tile.w_scales = panel + part * 32;
      tile.ahead = panel + kChunkBlocks * kBlockBytes + index * tile.ahead_lines * 64;
      add_chunk<group>(tile, add || block > 0, c + row * 32 + part * 16);
    }
    panel += kChunkBlocks * kBlockBytes;
  }
}

template <Numbers numbers>
void gemm_tiles(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
                bool add, float* c) {
  if (num_blocks == 0) {
    for (int64_t i = 0; !add && i < x.rows * 32; ++i) c[i] = 0;
  } else if (group == 32) {
    _tile_loadconfig(&kHalfTiles);
    quantised_tiles<numbers, 32>(x, panel, num_blocks, add, c);
    _tile_loadconfig(&kFullTiles);
  } else if (group == 64) {
    quantised_tiles<numbers, 64>(x, panel, num_blocks, add, c);
  } else {
    quantised_tiles<numbers, 128>(x, panel, num_blocks, add, c);
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
