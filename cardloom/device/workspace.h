#pragma once

#include <initializer_list>

#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// Scratch memory of one rank for one step: tensors are taken in order and given back all at once.
///
/// Kernels of a stream run in order, so memory given back may be taken again at once by later
/// launches of the same stream.
class Workspace {
 public:
  explicit Workspace(std::int64_t capacity_bytes, DeviceId device = {});

  /// An uninitialised contiguous tensor, 64-byte aligned, valid until the scope it was taken in
  /// ends. Throws kResourceExhausted with the bytes asked for, in use and planned.
  [[nodiscard]] TensorView take(DType dtype, std::initializer_list<std::int64_t> shape,
                                Location caller = Location::current());

  /// What take() of such a tensor uses up.
  [[nodiscard]] static std::int64_t bytes_of(DType dtype,
                                             std::initializer_list<std::int64_t> shape);

  /// As Tensor::populate.
  void populate() const { memory_.populate(); }

  [[nodiscard]] std::int64_t capacity_bytes() const { return memory_.size_bytes(); }
  /// The most that was ever in use.
  [[nodiscard]] std::int64_t peak_bytes() const { return peak_; }

  /// Gives back what was taken since it was made.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), mark_(workspace.used_) {}
    ~Scope() { workspace_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    std::int64_t mark_;
  };

 private:
  Tensor memory_;
  DeviceId device_;
  std::int64_t used_ = 0;
  std::int64_t peak_ = 0;
};

}  // namespace cardloom
