// The CPU backend's tables, written out: which kernel serves which operator, dtype and path.
#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"
#include "cardloom/backend/cpu/kernels/matmul.h"
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
  }
  return kGemmPlain;
}

const RowKernels& row_kernels(Isa) { return kRowPlain; }

namespace {

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
  return table;
}

}  // namespace cardloom::cpu
