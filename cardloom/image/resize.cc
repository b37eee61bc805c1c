#include "cardloom/image/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/image/decode.h"

namespace cardloom {
namespace {

// Pillow's: 8 bits are the sample's and 2 are headroom (the sign, and the kernel's overshoot: the
// absolute weights of one output pixel sum to at most 1.25).
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

// The picture is resized in upright stripes of the result, as wide as this allows: one stripe for
// any usual size. (The weights of one axis need no limit: about 4 * in + 5 * out numbers.)
constexpr std::int64_t kMaxRingBytes = 32 << 20;

double bicubic(double x) {
  constexpr double kA = -0.5;
  if (x < 0.0) x = -x;
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0.0;
}

std::uint8_t clip8(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

/// Input pixels [first, first + count) make one output pixel.
struct Window {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// One axis of the resize: which input pixels make output pixel i, and with what weights. The order
/// of the floating-point operations is Pillow's.
class Axis {
 public:
  Axis(std::int64_t in, std::int64_t out)
      : in_(in),
        scale_(static_cast<double>(in) / static_cast<double>(out)),
        filter_scale_(std::max(scale_, 1.0)),
        support_(2.0 * filter_scale_) {}

  /// No window is longer.
  [[nodiscard]] std::int64_t max_window() const {
    return std::min(in_, static_cast<std::int64_t>(std::ceil(support_)) * 2 + 1);
  }

  [[nodiscard]] Window window(std::int64_t i) const {
    const double center = center_of(i);
    const std::int64_t first =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support_ + 0.5));
    const std::int64_t end = std::min(in_, static_cast<std::int64_t>(center + support_ + 0.5));
    return {first, end - first};
  }

  /// Fills weights[0 .. window(i).count), in units of 2^-22.
  Window weights(std::int64_t i, std::int32_t* weights, std::vector<double>& scratch) const {
    const Window w = window(i);
    scratch.resize(static_cast<std::size_t>(w.count));
    const double center = center_of(i);
    const double inverse_scale = 1.0 / filter_scale_;
    double total = 0.0;
    for (std::int64_t j = 0; j < w.count; ++j) {
      const double weight =
          bicubic((static_cast<double>(j + w.first) - center + 0.5) * inverse_scale);
      scratch[static_cast<std::size_t>(j)] = weight;
      total += weight;
    }
    for (std::int64_t j = 0; j < w.count; ++j) {
      double weight = scratch[static_cast<std::size_t>(j)];
      if (total != 0.0) weight /= total;
      const double scaled = weight * (1 << kPrecisionBits);
      weights[j] = static_cast<std::int32_t>(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
    }
    return w;
  }

 private:
  [[nodiscard]] double center_of(std::int64_t i) const {
    return (static_cast<double>(i) + 0.5) * scale_;
  }

  std::int64_t in_;
  double scale_;
  double filter_scale_;
  double support_;
};

/// Columns [begin, begin + count) of the result, for every input row.
class HorizontalPass {
 public:
  HorizontalPass(const Axis& axis, bool is_needed, std::int64_t begin, std::int64_t count)
      : is_needed_(is_needed), begin_(begin), count_(count), stride_(axis.max_window()) {
    if (!is_needed_) return;
    weights_.resize(static_cast<std::size_t>(count * stride_));
    windows_.reserve(static_cast<std::size_t>(count));
    std::vector<double> scratch;
    for (std::int64_t i = 0; i < count; ++i) {
      windows_.push_back(axis.weights(begin + i, weights_.data() + i * stride_, scratch));
    }
  }

  void run(const std::uint8_t* in, std::uint8_t* out) const {
    if (!is_needed_) {
      std::memcpy(out, in + begin_ * 3, static_cast<std::size_t>(count_ * 3));
      return;
    }
    for (std::int64_t i = 0; i < count_; ++i) {
      const Window window = windows_[static_cast<std::size_t>(i)];
      const std::int32_t* weights = weights_.data() + i * stride_;
      const std::uint8_t* pixel = in + window.first * 3;
      std::int32_t red = kHalf;
      std::int32_t green = kHalf;
      std::int32_t blue = kHalf;
      for (std::int64_t j = 0; j < window.count; ++j) {
        red += pixel[j * 3] * weights[j];
        green += pixel[j * 3 + 1] * weights[j];
        blue += pixel[j * 3 + 2] * weights[j];
      }
      out[i * 3] = clip8(red);
      out[i * 3 + 1] = clip8(green);
      out[i * 3 + 2] = clip8(blue);
    }
  }

 private:
  bool is_needed_;
  std::int64_t begin_;
  std::int64_t count_;
  std::int64_t stride_;
  std::vector<std::int32_t> weights_;
  std::vector<Window> windows_;
};

void add_row(const std::uint8_t* row, std::int32_t weight, std::int32_t* sums, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += weight * row[i];
}

/// Columns [begin, begin + count) of the result. The input rows of one output row's window lie
/// resized along x in a ring; windows only move forward, so each input row is resized once.
void resize_stripe(const Image& image, Image& out, std::int64_t begin, std::int64_t count) {
  const HorizontalPass horizontal(Axis(image.width, out.width), image.width != out.width, begin,
                                  count);
  const Axis vertical(image.height, out.height);
  const std::int64_t ring_rows = vertical.max_window();
  const std::int64_t row_bytes = count * 3;
  std::vector<std::uint8_t> ring(static_cast<std::size_t>(ring_rows * row_bytes));
  const auto ring_row = [&](std::int64_t y) { return ring.data() + y % ring_rows * row_bytes; };
  std::vector<std::int32_t> weights(static_cast<std::size_t>(ring_rows));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(row_bytes));
  std::vector<double> scratch;
  std::int64_t next_row = 0;
  for (std::int64_t y = 0; y < out.height; ++y) {
    const Window window = vertical.weights(y, weights.data(), scratch);
    for (; next_row < window.first + window.count; ++next_row) {
      horizontal.run(image.row(next_row), ring_row(next_row));
    }
    std::fill(sums.begin(), sums.end(), kHalf);
    for (std::int64_t j = 0; j < window.count; ++j) {
      add_row(ring_row(window.first + j), weights[static_cast<std::size_t>(j)], sums.data(),
              row_bytes);
    }
    std::transform(sums.begin(), sums.end(), out.row(y) + begin * 3, clip8);
  }
}

void check(const Image& image, std::int64_t width, std::int64_t height, Location caller) {
  if (!image.is_consistent()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("resize_bicubic: a picture of {} x {} pixels cannot have {} bytes",
                            image.width, image.height, image.rgb.size()),
                {}, {}, caller);
  }
  if (std::min(width, height) < 1 ||
      std::max({width, height, image.width, image.height}) > kMaxImageSide) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("resize_bicubic: sides must be 1..{}, not {} x {} to {} x {}",
                            kMaxImageSide, image.width, image.height, width, height),
                {}, {}, caller);
  }
}

}  // namespace

Image resize_bicubic(const Image& image, std::int64_t width, std::int64_t height, Location caller) {
  check(image, width, height, caller);
  if (width == image.width && height == image.height) return image;
  Image out{width, height, {}};
  out.rgb.resize(static_cast<std::size_t>(width * height * 3));
  const std::int64_t ring_rows = Axis(image.height, height).max_window();
  const std::int64_t stripe = std::clamp<std::int64_t>(kMaxRingBytes / (ring_rows * 3), 1, width);
  for (std::int64_t begin = 0; begin < width; begin += stripe) {
    resize_stripe(image, out, begin, std::min(stripe, width - begin));
  }
  return out;
}

}  // namespace cardloom
