#pragma once

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"

namespace cardloom::cpu {

// One table an instruction path, each in a translation unit of its own flags.
extern const GemmKernels kGemmPlain;
extern const GemmKernels kGemmAvx2;
extern const GemmKernels kGemmAvx512;
extern const GemmKernels kGemmAvx512Bf16;
extern const GemmKernels kGemmAmx;

}  // namespace cardloom::cpu
