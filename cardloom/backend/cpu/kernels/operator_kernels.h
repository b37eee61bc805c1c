#pragma once

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/ops/all_gather.h"
#include "cardloom/ops/attention.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/embedding_lookup.h"
#include "cardloom/ops/kv_append.h"
#include "cardloom/ops/layer_norm.h"
#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/rms_norm.h"
#include "cardloom/ops/rotary_embedding.h"
#include "cardloom/ops/top_k.h"

/// The CPU's kernels of the operators on rows: the contracts are the operators' own.
namespace cardloom::cpu {

void rms_norm(const KernelContext& context, const RmsNormArgs& args);
void layer_norm(const KernelContext& context, const LayerNormArgs& args);
void rotary_embedding(const KernelContext& context, const RotaryEmbeddingArgs& args);
void kv_append(const KernelContext& context, const KvAppendArgs& args);
void paged_attention(const KernelContext& context, const PagedAttentionArgs& args);
void attention(const KernelContext& context, const AttentionArgs& args);
void silu_and_mul(const KernelContext& context, const SiluAndMulArgs& args);
void gelu(const KernelContext& context, const GeluArgs& args);
void copy(const KernelContext& context, const CopyArgs& args);
void add(const KernelContext& context, const AddArgs& args);
void scale(const KernelContext& context, const ScaleArgs& args);
void all_gather(const KernelContext& context, const AllGatherArgs& args);
void embedding_lookup(const KernelContext& context, const EmbeddingLookupArgs& args);
/// Columns of a row of logits in one task of top_k.
inline constexpr std::int64_t kTopKColumns = 16384;
void top_k(const KernelContext& context, const TopKArgs& args);

}  // namespace cardloom::cpu
