#pragma once

#include "cardloom/ops/kv_append.h"

namespace cardloom {

/// Keys are walked in blocks of this many at fixed absolute positions, whatever the cache's own
/// block size: so a row's bits depend on its keys alone (promise 1). 32 = one cache block of the
/// engine's default, and a score row of two AVX-512 registers.
inline constexpr int kAttentionKeyBlock = 32;

struct PagedAttentionArgs {
  static constexpr OpId kOp = OpId::kPagedAttention;
  TensorView q;
  KvLayer cache;
  TensorView block_tables;
  TensorView token_sequences;
  TensorView context_lens;
  TensorView out;
  float scale = 0;
  std::int64_t first_head = 0;
  std::int64_t heads_per_group = 1;
  std::int64_t first_group = 0;
};

namespace ops {

struct PagedAttentionOptions {
  float scale;                   ///< of the scores, 1/sqrt(D); no default
  std::int64_t first_head;       ///< global index of q's head 0
  std::int64_t heads_per_group;  ///< global head j reads global KV group j / heads_per_group
  std::int64_t first_group;      ///< global index of the cache's group 0
};

/// out[t, h, :] = softmax over j < n of (scale * q[t, h, :] . key_j) . value_j
/// with n = context_lens[t] and key_j, value_j of the head's group at position j of the sequence
/// token_sequences[t], found through its block table
///
/// q                f32|bf16  [T, heads, D], any strides
/// cache            as q      see KvLayer; written by kv_append before, this step's tokens too
/// block_tables     i32       [S, max_blocks], any strides; entries beyond a sequence's
///                            need are not read
/// token_sequences  i32       [T], any stride; row of block_tables
/// context_lens     i32       [T], any stride; keys token t sees, itself included; 0: out is 0
/// out              as q      [T, heads, D], any strides without overlap; may be q itself (the
///                            original failure's view), else apart from it
///
/// In f32: online softmax over blocks of kAttentionKeyBlock keys at absolute positions; a row's
/// bits depend on its q, its keys and values only - not on T, the chunking of the prompt, the
/// cache's block size, threads or neighbours. Keys from n on are never read.
/// An index outside its table or cache is a kInvalidArgument (with both numbers) when the kernel
/// runs. Throws kInvalidArgument on operands that do not fit.
/// Source: Kwon et al. 2023, arXiv:2309.06180; Milakov and Gimelshein 2018, arXiv:1805.02867,
/// alg. 3.
void paged_attention(Stream& stream, const TensorView& q, const KvLayer& cache,
                     const TensorView& block_tables, const TensorView& token_sequences,
                     const TensorView& context_lens, const TensorView& out,
                     const PagedAttentionOptions& options, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
