// The CPU backend's tables, written out: which kernel serves which operator, dtype and path.
#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"
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

KernelTable make_kernel_table() {
  KernelTable table;
  return table;
}

}  // namespace cardloom::cpu
