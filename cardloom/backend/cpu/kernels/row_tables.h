#pragma once

#include "cardloom/backend/cpu/kernels/row_kernels.h"

namespace cardloom::cpu {

// One table an instruction path, each in a translation unit of its own flags.
extern const RowKernels kRowPlain;
extern const RowKernels kRowAvx2;
extern const RowKernels kRowAvx512;  // avx512_bf16 too: its conversions flush subnormals

}  // namespace cardloom::cpu
