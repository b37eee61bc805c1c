// The quantised kernels of gemm_amx.cc, which includes this inside its unnamed namespace.
//
// A tile product is quick; what costs is its end: for each group, 16 x 16 integers leave the tile
// through memory, become f32, are scaled and added to c. Measured, and what follows from it:
//   - Near tile instructions one of the two 512-bit floating-point units rests; only additions
//     still have two. So integers become f32 not by a conversion but by an addition: tiles start
//     from the integer that is the bits of 1.5 * 2^23, and sums below 2^22 added to it are the bits
//     of 1.5 * 2^23 + sum, exactly. It is taken off again, exactly.
//   - Tile instructions run in order, so a store of a tile that is not ready holds up all that
//     follow: tiles are stored 4 products later. What they store cannot be forwarded to loads, so
//     it is read 5 to 15 products later still, while the tile unit works on the next ones.
//   - Tile loads take turns with other loads: 2 x 2 products share theirs.

enum class Numbers { kQ8, kQ4, kQ4Z };

// Up to so many rows the dot instruction of avx512_bf16 is quicker than tiles of 16. Integers are
// exact, so the bits are the same.
constexpr int64_t few_rows(int64_t group) { return group == 32 ? 8 : 4; }

constexpr int64_t kReadAhead = 4096;  // bytes of weights; 2 to 8 KiB are alike

constexpr int kAtOnce = 8;  // products that leave together, with c in registers for their groups

struct alignas(64) StartLine {
  int32_t bits[16];
};
constexpr int32_t kStartBits = 0x4B400000;
constexpr float kStartValue = 12582912.0F;
constexpr StartLine kStartLine = {{kStartBits, kStartBits, kStartBits, kStartBits, kStartBits,
                                   kStartBits, kStartBits, kStartBits, kStartBits, kStartBits,
                                   kStartBits, kStartBits, kStartBits, kStartBits, kStartBits,
                                   kStartBits}};

template <class T>
inline void swap(T& a, T& b) {
  T old = a;
  a = b;
  b = old;
}

/// Where the pipeline is: pointers to the group it adds to c next, everything else lies at constant
/// distances. `products` of a group: 4 with 32 rows, 2 with 16.
struct Run {
  const std::byte* values;
  const float* x_scales;
  const std::byte* panel;
  std::byte* unpacked;        ///< q4, q4z: some groups as i8, as q8 stores them
  int32_t (*finishing)[256];  ///< sums of 8 products: i is at i / 2 * 4 + i % 2
  int32_t (*leaving)[256];    ///< of the next 8
  float* c;
  bool add;
  bool streams;
};

template <Numbers numbers, int group>
struct Format {
  static constexpr int kHeader = numbers == Numbers::kQ4Z ? 128 : 64;
  static constexpr int kBlockBytes = kHeader + 32 * group / (numbers == Numbers::kQ8 ? 1 : 2);
};

/// Part `part` of `parts` of a block's nibbles as i8, zero point taken off, in q8's order.
template <Numbers numbers, int group, int parts>
inline void unpack(const std::byte* block, int part, std::byte* out) {
  const __m512i mask = _mm512_set1_epi8(15);
  __m512i zeros[2] = {_mm512_set1_epi8(8), _mm512_set1_epi8(8)};
  if constexpr (numbers == Numbers::kQ4Z) {
    const __m512i spread =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    for (int half = 0; half < 2; ++half) {
      const __m512i wide = _mm512_cvtepi16_epi32(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(block + 64 + half * 32)));
      zeros[half] = _mm512_shuffle_epi8(wide, spread);
    }
  }
  constexpr int kSteps = group / 8 / parts;
  const std::byte* from = block + Format<numbers, group>::kHeader;
  for (int step = part * kSteps; step < (part + 1) * kSteps; ++step) {
    for (int half = 0; half < 2; ++half) {
      const __m512i w = _mm512_load_si512(from + step * 128 + half * 64);
      const __m512i low = _mm512_and_si512(w, mask);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(w, 4), mask);
      std::byte* to = out + step * 256 + half * 64;
      _mm512_store_si512(to, _mm512_sub_epi8(low, zeros[half]));
      _mm512_store_si512(to + 128, _mm512_sub_epi8(high, zeros[half]));
    }
  }
  // g++ does not know that a tile load reads memory.
  __asm__ volatile("" ::: "memory");
}

/// Of 8 products' sums, so that 8 others fit between: what is stored and what is loaded at a time
/// never lie at the same place of a page, which the processor would take for the same place.
constexpr int slot_of(int product) { return product / 2 * 4 + product % 2; }

/// Unpacked groups take turns: while those of 4 products are read, those of the next are written.
template <int products>
constexpr int kUnpackedGroups = 8 / products;

template <int group, int products, int index>
[[gnu::always_inline]] inline std::byte* unpacked_of(const Run& run) {
  return run.unpacked + index % kUnpackedGroups<products> * group * 32;
}

template <int tile>
[[gnu::always_inline]] inline void store_tile(int32_t* sums) {
  if constexpr (tile == 0) _tile_stored(0, sums, 64);
  if constexpr (tile == 1) _tile_stored(1, sums, 64);
  if constexpr (tile == 2) _tile_stored(2, sums, 64);
  if constexpr (tile == 3) _tile_stored(3, sums, 64);
}

/// Tile `tile` = its product of group `index`. Activations go to tiles 4 and 5, weights to 6 and 7.
template <Numbers numbers, int group, int products, int tile, int index>
[[gnu::always_inline]] inline void start_product(const Run& run) {
  constexpr int kRowTile = products == 4 ? tile / 2 : 0;
  const std::byte* values = run.values + (index * products * 8 + kRowTile * kTileRows) * group;
  const std::byte* weights = numbers == Numbers::kQ8
                                 ? run.panel + index * Format<numbers, group>::kBlockBytes + 64
                                 : unpacked_of<group, products, index>(run);
  weights += tile % 2 * 64;
  if constexpr (tile == 0) _tile_loadd(0, kStartLine.bits, 0);
  if constexpr (tile == 1) _tile_loadd(1, kStartLine.bits, 0);
  if constexpr (tile == 2) _tile_loadd(2, kStartLine.bits, 0);
  if constexpr (tile == 3) _tile_loadd(3, kStartLine.bits, 0);
  if constexpr (group == 128) {
    if constexpr (tile % 2 == 0) _tile_loadd(4, values, 128);
    if constexpr (tile % 2 == 0) _tile_loadd(5, values + 64, 128);
    _tile_loadd(6, weights, 128);
    _tile_loadd(7, weights + 2048, 128);
    if constexpr (tile == 0) _tile_dpbssd(0, 4, 6);
    if constexpr (tile == 0) _tile_dpbssd(0, 5, 7);
    if constexpr (tile == 1) _tile_dpbssd(1, 4, 6);
    if constexpr (tile == 1) _tile_dpbssd(1, 5, 7);
    if constexpr (tile == 2) _tile_dpbssd(2, 4, 6);
    if constexpr (tile == 2) _tile_dpbssd(2, 5, 7);
    if constexpr (tile == 3) _tile_dpbssd(3, 4, 6);
    if constexpr (tile == 3) _tile_dpbssd(3, 5, 7);
  } else {
    constexpr bool kOtherWeights = products == 2 || tile < 2;
    if constexpr (tile == 0) _tile_loadd(4, values, group);
    if constexpr (tile == 2) _tile_loadd(5, values, group);
    if constexpr (tile % 2 == 0 && kOtherWeights) _tile_loadd(6, weights, 128);
    if constexpr (tile % 2 == 1 && kOtherWeights) _tile_loadd(7, weights, 128);
    if constexpr (tile == 0) _tile_dpbssd(0, 4, 6);
    if constexpr (tile == 1) _tile_dpbssd(1, 4, 7);
    if constexpr (tile == 2) _tile_dpbssd(2, 5, 6);
    if constexpr (tile == 3) _tile_dpbssd(3, 5, 7);
  }
}

/// Starts product `product`; `unpacks` the one 4 further on.
template <Numbers numbers, int group, int products, int product>
[[gnu::always_inline]] inline void start_step(const Run& run, bool unpacks) {
  start_product<numbers, group, products, product % 4, product / products>(run);
  if constexpr (numbers != Numbers::kQ8) {
    constexpr int kNext = (product + 4) / products;
    if (!unpacks) return;
    unpack<numbers, group, products>(run.panel + kNext * Format<numbers, group>::kBlockBytes,
                                     product % products, unpacked_of<group, products, kNext>(run));
  }
}

[[gnu::always_inline]] inline void add_sums(const int32_t* sums, const float* x_scales,
                                            const std::byte* w_scales, __m512 (&totals)[16]) {
  const __m512 w_scale =
      _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(w_scales)));
  // Else g++ keeps the address of every element, most of them spilled to vector registers.
  __asm__("" : "+r"(sums), "+r"(x_scales));
  const __m512 minus_start = _mm512_set1_ps(-kStartValue);
  for (int row = 0; row < 16; ++row) {
    const __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + row * 16), minus_start);
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(x_scales[row]), w_scale);
    totals[row] = _mm512_fmadd_ps(sum, scale, totals[row]);
  }
}

/// The end of one of 8 products, tile by tile of c and in a tile group by group.
template <int products, int step, int block_bytes>
[[gnu::always_inline]] inline void finish_step(const Run& run, __m512 (&totals)[16]) {
  constexpr int kGroups = kAtOnce / products;
  constexpr int kTile = step / kGroups;
  constexpr int kGroup = step % kGroups;
  float* out = run.c + kTile / 2 * kTileRows * 32 + kTile % 2 * 16;
  if constexpr (kGroup == 0) {
    for (int row = 0; row < 16; ++row) {
      totals[row] = run.add ? _mm512_load_ps(out + row * 32) : _mm512_setzero_ps();
    }
  }
  add_sums(run.finishing[slot_of(kGroup * products + kTile)],
           run.x_scales + kGroup * products * 8 + kTile / 2 * kTileRows,
           run.panel + kGroup * block_bytes + kTile % 2 * 32, totals);
  if constexpr (kGroup == kGroups - 1) {
    for (int row = 0; row < 16; ++row) _mm512_store_ps(out + row * 32, totals[row]);
  }
}

/// One step of the pipeline: product 8 + step leaves its tile, product 12 + step starts in it (if
/// `more`, or step < 4), product `step` is added to c.
template <Numbers numbers, int group, int products, int step>
[[gnu::always_inline]] inline void pipeline_step(const Run& run, bool more, __m512 (&totals)[16]) {
  constexpr int kBlockBytes = Format<numbers, group>::kBlockBytes;
  constexpr int64_t kLines = (kBlockBytes / products + 63) / 64;
  store_tile<step % 4>(run.leaving[slot_of(step)]);
  if (step < 4 || more) start_step<numbers, group, products, 12 + step>(run, more);
  finish_step<products, step, kBlockBytes>(run, totals);
  if (run.streams) prefetch_lines(run.panel + kReadAhead + step * kLines * 64, kLines);
}

/// The first 12 products start, or 8 if that is all (`more` is false); 8 leave their tiles.
template <Numbers numbers, int group, int products>
void begin_pipeline(const Run& run, bool more) {
  if constexpr (numbers != Numbers::kQ8) {
    constexpr int kBlockBytes = Format<numbers, group>::kBlockBytes;
    unpack<numbers, group, 1>(run.panel, 0, run.unpacked);
    if constexpr (products == 2) {
      unpack<numbers, group, 1>(run.panel + kBlockBytes, 0, run.unpacked + group * 32);
    }
  }
  start_step<numbers, group, products, 0>(run, true);
  start_step<numbers, group, products, 1>(run, true);
  start_step<numbers, group, products, 2>(run, true);
  start_step<numbers, group, products, 3>(run, true);
  store_tile<0>(run.finishing[slot_of(0)]);
  start_step<numbers, group, products, 4>(run, more);
  store_tile<1>(run.finishing[slot_of(1)]);
  start_step<numbers, group, products, 5>(run, more);
  store_tile<2>(run.finishing[slot_of(2)]);
  start_step<numbers, group, products, 6>(run, more);
  store_tile<3>(run.finishing[slot_of(3)]);
  start_step<numbers, group, products, 7>(run, more);
  store_tile<0>(run.finishing[slot_of(4)]);
  if (more) start_step<numbers, group, products, 8>(run, true);
  store_tile<1>(run.finishing[slot_of(5)]);
  if (more) start_step<numbers, group, products, 9>(run, true);
  store_tile<2>(run.finishing[slot_of(6)]);
  if (more) start_step<numbers, group, products, 10>(run, true);
  store_tile<3>(run.finishing[slot_of(7)]);
  if (more) start_step<numbers, group, products, 11>(run, true);
}

template <int products, int block_bytes>
void end_pipeline(const Run& run) {
  __m512 totals[16];
  finish_step<products, 0, block_bytes>(run, totals);
  finish_step<products, 1, block_bytes>(run, totals);
  finish_step<products, 2, block_bytes>(run, totals);
  finish_step<products, 3, block_bytes>(run, totals);
  finish_step<products, 4, block_bytes>(run, totals);
  finish_step<products, 5, block_bytes>(run, totals);
  finish_step<products, 6, block_bytes>(run, totals);
  finish_step<products, 7, block_bytes>(run, totals);
}

/// c += a multiple of 8 / products groups.
template <Numbers numbers, int group, int products>
void add_many(Run run, int64_t num_groups) {
  constexpr int kGroups = kAtOnce / products;
  constexpr int kBlockBytes = Format<numbers, group>::kBlockBytes;
  begin_pipeline<numbers, group, products>(run, num_groups > kGroups);
  for (int64_t left = num_groups - kGroups; left > 0; left -= kGroups) {
    const bool more = left > kGroups;
    __m512 totals[16];
    pipeline_step<numbers, group, products, 0>(run, more, totals);
    pipeline_step<numbers, group, products, 1>(run, more, totals);
    pipeline_step<numbers, group, products, 2>(run, more, totals);
    pipeline_step<numbers, group, products, 3>(run, more, totals);
    pipeline_step<numbers, group, products, 4>(run, more, totals);
    pipeline_step<numbers, group, products, 5>(run, more, totals);
    pipeline_step<numbers, group, products, 6>(run, more, totals);
    pipeline_step<numbers, group, products, 7>(run, more, totals);
    run.values += kAtOnce * 8 * group;
    run.x_scales += kAtOnce * 8;
    run.panel += kGroups * kBlockBytes;
    swap(run.finishing, run.leaving);
    run.add = true;
  }
  end_pipeline<products, kBlockBytes>(run);
}

/// c += one group.
template <Numbers numbers, int group, int products>
void add_one(const Run& run) {
  if constexpr (numbers != Numbers::kQ8) unpack<numbers, group, 1>(run.panel, 0, run.unpacked);
  start_product<numbers, group, products, 0, 0>(run);
  start_product<numbers, group, products, 1, 0>(run);
  if constexpr (products == 4) start_product<numbers, group, products, 2, 0>(run);
  if constexpr (products == 4) start_product<numbers, group, products, 3, 0>(run);
  store_tile<0>(run.finishing[0]);
  store_tile<1>(run.finishing[1]);
  if constexpr (products == 4) store_tile<2>(run.finishing[2]);
  if constexpr (products == 4) store_tile<3>(run.finishing[3]);
  for (int tile = 0; tile < products; ++tile) {
    float* out = run.c + tile / 2 * kTileRows * 32 + tile % 2 * 16;
    __m512 totals[16];
    __asm__("" : "+r"(out));
    for (int row = 0; row < 16; ++row) {
      totals[row] = run.add ? _mm512_load_ps(out + row * 32) : _mm512_setzero_ps();
    }
    add_sums(run.finishing[tile], run.x_scales + tile / 2 * kTileRows, run.panel + tile % 2 * 32,
             totals);
    for (int row = 0; row < 16; ++row) _mm512_store_ps(out + row * 32, totals[row]);
  }
}

template <Numbers numbers, int group, int products>
void quantised_tiles(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add,
                     float* c) {
  constexpr int64_t kGroups = kAtOnce / products;
  constexpr int64_t kUnpacked =
      numbers == Numbers::kQ8 ? 64 : kUnpackedGroups<products> * group * 32;
  alignas(64) int32_t sums[16][256];
  alignas(64) std::byte unpacked[kUnpacked];
  Run run = {x.values, x.scales, panel, unpacked, sums, sums + 2, c, add, x.streams};
  const int64_t many = num_blocks / kGroups * kGroups;
  if (many > 0) add_many<numbers, group, products>(run, many);
  for (int64_t block = many; block < num_blocks; ++block) {
    run.add = add || block > 0;
    run.values = x.values + block * x.padded_rows * group;
    run.x_scales = x.scales + block * x.padded_rows;
    run.panel = panel + block * Format<numbers, group>::kBlockBytes;
    add_one<numbers, group, products>(run);
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
  const bool few = x.rows <= few_rows(group);
  (few ? kGemmAvx512Bf16.q8 : gemm_tiles<Numbers::kQ8>)(x, panel, num_blocks, group, add, c);
}

void gemm_q4(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group, bool add,
             float* c) {
  const bool few = x.rows <= few_rows(group);
  (few ? kGemmAvx512Bf16.q4 : gemm_tiles<Numbers::kQ4>)(x, panel, num_blocks, group, add, c);
}

void gemm_q4z(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
              bool add, float* c) {
  const bool few = x.rows <= few_rows(group);
  (few ? kGemmAvx512Bf16.q4z : gemm_tiles<Numbers::kQ4Z>)(x, panel, num_blocks, group, add, c);
}
