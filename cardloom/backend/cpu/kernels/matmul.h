#pragma once

#include "cardloom/ops/conv2d.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/matmul_all_reduce.h"

namespace cardloom::cpu {

void matmul(const KernelContext& context, const MatmulArgs& args);
void conv2d(const KernelContext& context, const Conv2dArgs& args);
void matmul_all_reduce(const KernelContext& context, const MatmulAllReduceArgs& args);

}  // namespace cardloom::cpu
