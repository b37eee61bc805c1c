#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

struct SiluAndMulArgs {
  static constexpr OpId kOp = OpId::kSiluAndMul;
  TensorView gate;
  TensorView up;
  TensorView out;
};
struct GeluArgs {
  static constexpr OpId kOp = OpId::kGelu;
  TensorView x;
  TensorView out;
};
struct CopyArgs {
  static constexpr OpId kOp = OpId::kCopy;
  TensorView x;
  TensorView out;
};
struct AddArgs {
  static constexpr OpId kOp = OpId::kAdd;
  TensorView a;
  TensorView b;
  TensorView out;
};
struct ScaleArgs {
  static constexpr OpId kOp = OpId::kScale;
  TensorView x;
  TensorView out;
  float factor = 1;
};

// Operators on elements: every operand has out's shape (rank 1 to 4) and any strides; out names no
// element twice and is an input itself or apart from it. f32 arithmetic, one rounding; an element's
// bits depend on its inputs alone. All throw kInvalidArgument on operands that do not fit.
namespace ops {

/// out = gate * sigmoid(gate) * up           gate, up, out: one of f32|bf16|f16
/// Source: Shazeer 2020, arXiv:2002.05202, eq. (6) (SwiGLU).
void silu_and_mul(Stream& stream, const TensorView& gate, const TensorView& up,
                  const TensorView& out, Location caller = Location::current());

/// out = x/2 * (1 + erf(x / sqrt(2)))        x, out: one of f32|bf16|f16; exact, not the tanh form
/// Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2.
void gelu(Stream& stream, const TensorView& x, const TensorView& out,
          Location caller = Location::current());

/// out = x, converted                         any dtypes; floating to floating rounds to nearest
/// even, equal dtypes copy bits; integers only to the same dtype
void copy(Stream& stream, const TensorView& x, const TensorView& out,
          Location caller = Location::current());

/// out = a + b                                a, b, out: each f32|bf16|f16
void add(Stream& stream, const TensorView& a, const TensorView& b, const TensorView& out,
         Location caller = Location::current());

/// out = x * factor                           x, out: each f32|bf16|f16
void scale(Stream& stream, const TensorView& x, float factor, const TensorView& out,
           Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
