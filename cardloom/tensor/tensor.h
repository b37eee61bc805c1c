#pragma once

#include <memory>

#include "cardloom/tensor/tensor_view.h"

namespace cardloom {

/// Gives a mapping of `bytes` back to the system.
struct UnmapMemory {
  std::size_t bytes = 0;
  void operator()(std::byte* data) const;
};

/// Host memory that owns what a contiguous TensorView looks at: 64-byte aligned, zeroed, and mapped
/// but not touched until somebody writes (so that the first writer's NUMA node gets it).
class Tensor {
 public:
  Tensor() = default;

  /// Throws kInvalidArgument for a bad shape, kResourceExhausted (with the bytes) if memory is
  /// short.
  Tensor(DType dtype, std::initializer_list<std::int64_t> shape, DeviceId device = {},
         Location caller = Location::current());

  [[nodiscard]] const TensorView& view() const { return view_; }
  operator const TensorView&() const { return view_; }  // NOLINT: a Tensor is usable as its view

  /// Takes all pages from the system now, on the calling thread's NUMA node if they are not there
  /// yet; what is written stays. Throws kResourceExhausted, with the bytes, if the system has none.
  void populate(Location caller = Location::current()) const;

  [[nodiscard]] std::int64_t size_bytes() const {
    return memory_ ? view_.num_elements() * size_of(view_.dtype) : 0;
  }

 private:
  std::unique_ptr<std::byte, UnmapMemory> memory_;
  TensorView view_;
};

/// Tensor::populate for any memory of ours; its first page may begin before `data`.
void populate_memory(std::byte* data, std::int64_t bytes, Location caller = Location::current());

}  // namespace cardloom
