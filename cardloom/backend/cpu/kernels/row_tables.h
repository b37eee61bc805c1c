#pragma once

#include "cardloom/backend/cpu/kernels/row_kernels.h"

namespace cardloom::cpu {

// One table an instruction path, each in a translation unit of its own flags.
extern const RowKernels kRowPlain;

}  // namespace cardloom::cpu
