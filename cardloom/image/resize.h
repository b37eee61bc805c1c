#pragma once

#include <cstdint>

#include "cardloom/base/location.h"
#include "cardloom/image/image.h"

namespace cardloom {

/// The picture at another size, bit for bit as Pillow's `image.resize((width, height), BICUBIC)`.
///
/// One axis after the other, x first, rounded to bytes in between; an axis that keeps its length is
/// left alone. On an axis that goes from `in` to `out` pixels, with s = in / out and f = max(s, 1),
///
///     out[i] = clip( (2^21 + sum over j of in[j] * round(2^22 * w(j) / sum of w)) >> 22 )
///     w(j)   = bicubic((j + 0.5 - (i + 0.5) * s) / f),   |j + 0.5 - (i + 0.5) * s| < 2 f
///     bicubic(x) = 1.5|x|^3 - 2.5|x|^2 + 1 for |x| < 1;  -0.5|x|^3 + 2.5|x|^2 - 4|x| + 2 for |x| <
///     2
///
/// that is, a = -0.5, and a kernel widened when shrinking. Beyond the result, memory stays at some
/// 50 MB for whatever sizes with sides up to kMaxImageSide.
/// Throws kInvalidArgument if a side, old or new, is not 1..kMaxImageSide or the image's sizes do
/// not agree. Source: Keys 1981, eq. (4), for bicubic; Pillow 9.4 src/libImaging/Resample.c for the
/// arithmetic.
[[nodiscard]] Image resize_bicubic(const Image& image, std::int64_t width, std::int64_t height,
                                   Location caller = Location::current());

}  // namespace cardloom
