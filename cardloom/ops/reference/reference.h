#pragma once

#include "cardloom/ops/all_gather.h"
#include "cardloom/ops/attention.h"
#include "cardloom/ops/conv2d.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/embedding_lookup.h"
#include "cardloom/ops/kv_append.h"
#include "cardloom/ops/layer_norm.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/matmul_all_reduce.h"
#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/rms_norm.h"
#include "cardloom/ops/rotary_embedding.h"
#include "cardloom/ops/top_k.h"

namespace cardloom {

/// What this rank enters a call of `op` with that makes `out` [M, N].
[[nodiscard]] CallDescriptor describe_call(const KernelContext& context, OpId op,
                                           const TensorView& out);

}  // namespace cardloom

/// The plain C++ of every operator: its definition, the oracle of the tests, and what runs where a
/// device has no kernel. One thread, host memory, any strides; no speed.
namespace cardloom::reference {

void matmul(const KernelContext& context, const MatmulArgs& args);
void matmul_all_reduce(const KernelContext& context, const MatmulAllReduceArgs& args);
void all_gather(const KernelContext& context, const AllGatherArgs& args);
void embedding_lookup(const KernelContext& context, const EmbeddingLookupArgs& args);
void rms_norm(const KernelContext& context, const RmsNormArgs& args);
void layer_norm(const KernelContext& context, const LayerNormArgs& args);
void rotary_embedding(const KernelContext& context, const RotaryEmbeddingArgs& args);
void kv_append(const KernelContext& context, const KvAppendArgs& args);
void paged_attention(const KernelContext& context, const PagedAttentionArgs& args);
void attention(const KernelContext& context, const AttentionArgs& args);
void conv2d(const KernelContext& context, const Conv2dArgs& args);
void silu_and_mul(const KernelContext& context, const SiluAndMulArgs& args);
void gelu(const KernelContext& context, const GeluArgs& args);
void copy(const KernelContext& context, const CopyArgs& args);
void add(const KernelContext& context, const AddArgs& args);
void scale(const KernelContext& context, const ScaleArgs& args);
void top_k(const KernelContext& context, const TopKArgs& args);

}  // namespace cardloom::reference
