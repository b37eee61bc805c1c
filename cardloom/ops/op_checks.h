#pragma once

#include "cardloom/ops/kv_append.h"
#include "cardloom/ops/op_launch.h"

namespace cardloom {

/// Whether both views name the same elements in the same order, so that an operator that reads an
/// element before it writes it may be given both.
[[nodiscard]] bool is_same_view(const TensorView& a, const TensorView& b);

/// Throws kInvalidArgument "<op>: out must be <name> itself or apart from it" unless it is.
void require_itself_or_apart(const OpLaunch& launch, const TensorView& output,
                             const TensorView& input, const char* name);

/// Throws kInvalidArgument "<op>: <name> must be f32, bf16 or f16" unless `view` is.
void require_floating(const OpLaunch& launch, const TensorView& view, const char* name);

/// Throws kInvalidArgument "<op>: <name> must be f32 [H], H = <length>" unless `view` is.
void require_f32_vector(const OpLaunch& launch, const TensorView& view, std::int64_t length,
                        const char* name);

/// Throws kInvalidArgument unless a cache of i8 has scales of its shape and any other has none.
/// Names the scales with their shape: they may be beyond the operands on record.
void require_scales(const OpLaunch& launch, const KvLayer& cache);

}  // namespace cardloom
