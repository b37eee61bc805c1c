#pragma once

#include <array>

#include "cardloom/device/kernel.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom {

inline constexpr int kNumDTypes = static_cast<int>(DType::kI64) + 1;

/// A device's kernels by operator and dtype, filled in one function of the backend.
class KernelTable {
 public:
  template <class Args>
  void set(DType dtype, Kernel<Args> kernel) {
    slot(Args::kOp, dtype) = reinterpret_cast<Untyped>(kernel);
  }

  /// The device's kernel, or nullptr: then ops/reference serves.
  template <class Args>
  [[nodiscard]] Kernel<Args> find(DType dtype) const {
    return reinterpret_cast<Kernel<Args>>(
        kernels_[static_cast<std::size_t>(Args::kOp)][static_cast<std::size_t>(dtype)]);
  }

 private:
  using Untyped = void (*)();
  Untyped& slot(OpId op, DType dtype) {
    return kernels_[static_cast<std::size_t>(op)][static_cast<std::size_t>(dtype)];
  }
  std::array<std::array<Untyped, kNumDTypes>, kNumOps> kernels_{};
};

}  // namespace cardloom
