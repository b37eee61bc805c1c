// The CPU backend's tables, written out: which kernel serves which operator, dtype and path.
#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/attention_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"
#include "cardloom/backend/cpu/kernels/matmul.h"
#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/row_tables.h"

namespace cardloom::cpu {

const GemmKernels& gemm_kernels(Isa isa) {
  switch (isa) {
    case Isa::kPlain:
      return kGemmPlain;
    case Isa::kAvx2:
      return kGemmAvx2;
    case Isa::kAvx512:
      return kGemmAvx512;
    case Isa::kAvx512Bf16:
      return kGemmAvx512Bf16;
    case Isa::kAmx:
      return kGemmAmx;
  }
  return kGemmPlain;
}

const RowKernels& row_kernels(Isa isa) {
  switch (isa) {
    case Isa::kPlain:
      return kRowPlain;
    case Isa::kAvx2:
      return kRowAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Bf16:
    case Isa::kAmx:
      return kRowAvx512;
  }
  return kRowPlain;
}

const AttentionTable& attention_table(Isa isa) {
  switch (isa) {
    case Isa::kPlain:
      return kAttentionPlain;
    case Isa::kAvx2:
      return kAttentionAvx2;
    case Isa::kAvx512:
      return kAttentionAvx512;
    case Isa::kAvx512Bf16:
      return kAttentionAvx512Bf16;
    case Isa::kAmx:
      return kAttentionAmx;
  }
  return kAttentionPlain;
}

namespace {

void add_row_kernels(KernelTable& table) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    table.set<RmsNormArgs>(dtype, rms_norm);
    table.set<LayerNormArgs>(dtype, layer_norm);
    table.set<RotaryEmbeddingArgs>(dtype, rotary_embedding);
    table.set<SiluAndMulArgs>(dtype, silu_and_mul);
    table.set<GeluArgs>(dtype, gelu);
    table.set<AddArgs>(dtype, add);
    table.set<ScaleArgs>(dtype, scale);
  }
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    table.set<KvAppendArgs>(dtype, kv_append);
    table.set<PagedAttentionArgs>(dtype, paged_attention);
    table.set<AttentionArgs>(dtype, attention);
    table.set<EmbeddingLookupArgs>(dtype, embedding_lookup);
  }
  for (int dtype = 0; dtype < kNumDTypes; ++dtype) {
    table.set<CopyArgs>(static_cast<DType>(dtype), copy);
    table.set<AllGatherArgs>(static_cast<DType>(dtype), all_gather);
  }
  table.set<TopKArgs>(DType::kF32, top_k);
}

void add_matrix_kernels(KernelTable& table) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    table.set<MatmulArgs>(dtype, matmul);
    table.set<MatmulAllReduceArgs>(dtype, matmul_all_reduce);
    table.set<Conv2dArgs>(dtype, conv2d);
  }
}

}  // namespace

KernelTable make_kernel_table() {
  KernelTable table;
  add_matrix_kernels(table);
  add_row_kernels(table);
  return table;
}

}  // namespace cardloom::cpu
