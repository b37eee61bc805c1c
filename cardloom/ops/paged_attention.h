#pragma once

#include "cardloom/ops/kv_append.h"

namespace cardloom {

/// Keys are walked in blocks of this many at fixed absolute positions, whatever the cache's own
/// block size: so a row's bits depend on its keys alone (promise 1). 512 = long enough that taking
/// a block's sums into the row's costs 1/20 of making them, short enough that the scores and
/// weights of 32 rows (100 KB) stay in L2 and that the blocks of one row keep many threads busy.
inline constexpr std::int64_t kAttentionKeyBlock = 512;

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
/// q                f32|bf16     [T, heads, D], any strides
/// cache            as q, or i8  see KvLayer; i8 only if q is bf16; written by kv_append before,
///                               this step's tokens too
/// block_tables     i32          [S, max_blocks], any strides; entries beyond a sequence's need
///                               are not read
/// token_sequences  i32          [T], any stride; row of block_tables
/// context_lens     i32          [T], any stride; keys token t sees, itself included; 0: out is 0
/// out              as q         [T, heads, D], any strides without overlap; may be q itself (the
///                               original failure's view), else apart from it
///
/// key_j and value_j of an i8 cache are the bf16 numbers that it stands for (see KvLayer), the same
/// bits on every instruction path; all that follows is as for a cache of bf16 that holds them.
/// A row's keys are taken in blocks b of kAttentionKeyBlock at absolute positions. Of each, in f32,
///   t_j = (q . key_j) * (scale * log2 e)      max_b = max of t_j
///   w_j = 2^(t_j - max_b)                      rounded to bf16 if q is bf16
///   total_b = sum of w_j                       sum_b[d] = sum of w_j * value_j[d]
/// and in order of b the running (max, total, sum) takes them in: both sides times
/// 2^(own max - higher max), then added. out = sum / total. Products of bf16 are exact, sums f32;
/// in which order a block's sums run is the instruction path's choice. A row's bits depend on its
/// q, its keys and values only - not on T, the chunking of the prompt, the cache's block size,
/// threads or neighbours. Keys from n on are never read.
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
