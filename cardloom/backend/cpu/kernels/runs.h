#pragma once

#include <cstddef>
#include <cstdint>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/row_kernels.h"

/// Between views of any strides and the contiguous f32 runs that RowKernels work on.
namespace cardloom::cpu {

/// n elements of a view along one axis.
struct Run {
  DType dtype = DType::kF32;
  std::byte* data = nullptr;
  std::int64_t stride = 1;  ///< in elements
};

/// Row `index...` of `view` along its last axis.
[[nodiscard]] Run row_of(const TensorView& view, std::int64_t i, std::int64_t j = 0,
                         std::int64_t k = 0);

/// The run as f32: where it lies if it is that already, else converted into `scratch`.
[[nodiscard]] const float* read_run(const RowKernels& kernels, const Run& run, std::int64_t n,
                                    float* scratch);
/// The same, always in `scratch`.
void load_run(const RowKernels& kernels, const Run& run, std::int64_t n, float* scratch);

/// Where to compute what write_run then stores: the run itself if it is contiguous f32, else
/// `scratch`.
[[nodiscard]] float* target_of(const Run& run, std::int64_t n, float* scratch);
/// Rounds n numbers into the run; nothing if they are there already.
void write_run(const RowKernels& kernels, const float* from, const Run& run, std::int64_t n);

/// Copies n elements of one dtype bit by bit.
void copy_run(const Run& from, const Run& to, std::int64_t n);

/// A view of rank 1 as contiguous f32: where it lies, or in `scratch`.
[[nodiscard]] const float* read_vector(const RowKernels& kernels, const TensorView& view,
                                       float* scratch);

}  // namespace cardloom::cpu
