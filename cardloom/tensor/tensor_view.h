#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "cardloom/base/location.h"
#include "cardloom/tensor/device_id.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom {

/// A window on somebody else's memory: what lies where, never who owns it.
///
/// Written, here as in errors and logs, `bf16[T, H]{ld, 1}@cpu:0`: element
/// type, shape, strides, device; T = tokens, H = hidden_size. Strides count
/// elements, not bytes; 0 repeats an axis, a negative one reverses it.
/// Element [i, j, ..] lies at data + (i*stride[0] + j*stride[1] + ..) * size_of(dtype).
/// A view is *contiguous* if stride[a] == product of shape[a+1..] on every axis longer than 1.
/// Quantised and packed weights are no views: see quant/packed_matrix.h.
struct TensorView {
  static constexpr int kMaxRank = 4;

  std::byte* data = nullptr;  ///< element [0, ..., 0], an address on `device`
  DType dtype = DType::kF32;
  DeviceId device{};
  int rank = 0;
  std::int64_t shape[kMaxRank] = {};   ///< 0 beyond `rank`
  std::int64_t stride[kMaxRank] = {};  ///< in elements

  /// Indices [begin, end) of `axis`, in the same memory. May be empty.
  /// Throws kInvalidArgument, naming the caller, if they leave the axis.
  [[nodiscard]] TensorView slice(int axis, std::int64_t begin, std::int64_t end,
                                 Location caller = Location::current()) const;

  /// One axis read as two, [.., a * b, ..] as [.., a, b, ..]. Works on a strided
  /// axis too: that is how a fused QKV matrix yields its heads without a copy.
  /// Throws kInvalidArgument if `b` does not divide the axis or the rank is full.
  [[nodiscard]] TensorView unflatten(int axis, std::int64_t b,
                                     Location caller = Location::current()) const;

  /// Two neighbouring axes read as one, the inverse of unflatten.
  /// Throws kInvalidArgument if stride[axis] != shape[axis+1] * stride[axis+1] (axes of length 1
  /// or an empty view always merge).
  [[nodiscard]] TensorView flatten(int axis, Location caller = Location::current()) const;

  /// The axes in the order `axes`, a permutation of 0..rank-1. Throws kInvalidArgument if it is
  /// none.
  [[nodiscard]] TensorView permute(std::initializer_list<int> axes,
                                   Location caller = Location::current()) const;

  /// Axes `a` and `b` exchanged.
  [[nodiscard]] TensorView transpose(int a, int b, Location caller = Location::current()) const;

  /// An axis of length 1 repeated `count` times with stride 0.
  /// Throws kInvalidArgument if the axis is longer than 1.
  [[nodiscard]] TensorView expand(int axis, std::int64_t count,
                                  Location caller = Location::current()) const;

  /// The axis in reverse order (negative stride).
  [[nodiscard]] TensorView reverse(int axis, Location caller = Location::current()) const;

  /// Index `index` of `axis`, that axis dropped. Throws kInvalidArgument if it leaves the axis.
  [[nodiscard]] TensorView select(int axis, std::int64_t index,
                                  Location caller = Location::current()) const;

  /// Product of the shape; 1 for rank 0.
  [[nodiscard]] std::int64_t num_elements() const {
    std::int64_t count = 1;
    for (int axis = 0; axis < rank; ++axis) count *= shape[axis];
    return count;
  }

  /// Whether neighbours on the last axis are adjacent, which is what the fastest
  /// path of most kernels asks for: the rows themselves may lie any distance apart.
  [[nodiscard]] bool has_dense_rows() const {
    return rank == 0 || stride[rank - 1] == 1 || shape[rank - 1] <= 1;
  }

  [[nodiscard]] bool is_contiguous() const {
    std::int64_t expected = 1;
    for (int axis = rank - 1; axis >= 0; --axis) {
      if (shape[axis] > 1 && stride[axis] != expected) return false;
      expected *= shape[axis];
    }
    return true;
  }

  /// The address of element [i, j], typed; rank and dtype are the caller's business.
  template <class T>
  [[nodiscard]] T* at(std::int64_t i = 0, std::int64_t j = 0, std::int64_t k = 0) const {
    return reinterpret_cast<T*>(data) + i * stride[0] + j * stride[1] + k * stride[2];
  }
};

/// A contiguous view of `data`. Throws kInvalidArgument on more than 4 axes or a negative length.
[[nodiscard]] TensorView make_view(void* data, DType dtype,
                                   std::initializer_list<std::int64_t> shape, DeviceId device = {},
                                   Location caller = Location::current());

[[nodiscard]] bool same_shape(const TensorView& a, const TensorView& b);

/// The same elements with axes of length 1 dropped and mergeable neighbours merged, order kept; so
/// that most 3-D inputs become a 2-D (row stride, column stride) again. An empty view stays as it
/// is.
[[nodiscard]] TensorView canonicalise(const TensorView& view);

/// The bytes [begin, end) that a view can touch, relative to `data`; {0, 0} if it is empty.
struct ByteRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
[[nodiscard]] ByteRange byte_range(const TensorView& view);

/// Whether the memory ranges of two views intersect. Interleaved views (q and k slices of one
/// buffer) may be reported although no element is shared, unless both have the same row stride and
/// their columns are apart, which is recognised.
[[nodiscard]] bool may_overlap(const TensorView& a, const TensorView& b);

/// Whether two indices of one view may name the same element (an output must not).
/// Exact for canonical views whose axes nest; otherwise errs on the side of true.
[[nodiscard]] bool has_internal_overlap(const TensorView& view);

/// `bf16[3, 4096]{4608, 1}@cpu:0`.
[[nodiscard]] std::string to_string(const TensorView& view);

}  // namespace cardloom
