#pragma once

#include <cstddef>
#include <span>

#include "cardloom/base/location.h"
#include "cardloom/image/image.h"

namespace cardloom {

/// The EXIF orientation 1..8 of a JPEG (APP1), PNG (eXIf) or WebP (EXIF) file; 1, which means
/// "as stored", if there is none, if it is damaged, or if the file is of another kind.
[[nodiscard]] int find_exif_orientation(std::span<const std::byte> picture);

/// The same from the EXIF block alone: a TIFF header ("II*" or "MM") and its first directory.
[[nodiscard]] int parse_exif_orientation(std::span<const std::byte> tiff);

/// The picture as it is meant to be seen. With W, H the size of `image`, out(x, y) is
///
///     1  image(x, y)                    5  image(y, x)                    transposed
///     2  image(W-1-x, y)   mirrored     6  image(y, H-1-x)                turned right
///     3  image(W-1-x, H-1-y)  half turn 7  image(W-1-y, H-1-x)
///     4  image(x, H-1-y)   upside down  8  image(W-1-y, x)                turned left
///
/// and for 5..8 out is H wide and W high. Throws kInvalidArgument if `orientation` is not 1..8 or
/// the image's sizes do not agree. Source: EXIF 2.32, tag 274; equal to Pillow's
/// ImageOps.exif_transpose.
[[nodiscard]] Image apply_orientation(const Image& image, int orientation,
                                      Location caller = Location::current());

}  // namespace cardloom
