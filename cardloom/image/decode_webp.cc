#include <fmt/format.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>
#include <new>

#include "cardloom/image/decode_formats.h"

namespace cardloom::image_formats {
namespace {

const char* describe(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OK:
      return "ok";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_INVALID_PARAM:
      return "a frame does not fit its canvas";
    case VP8_STATUS_BITSTREAM_ERROR:
      return "the bit stream is broken";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "a feature that libwebp does not know";
    case VP8_STATUS_SUSPENDED:
      return "suspended";
    case VP8_STATUS_USER_ABORT:
      return "aborted";
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the data ends too early";
  }
  return "an unknown status";
}

Error failure(const Input& input, VP8StatusCode status) {
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) return input.truncated(describe(status));
  return input.damaged(describe(status));
}

/// The size that the RIFF header states, itself and its 8 bytes included.
std::uint64_t riff_size(const Input& input) {
  const std::uint8_t* bytes = input.data() + 4;
  return 8 + (std::uint64_t{bytes[0]} | std::uint64_t{bytes[1]} << 8 |
              std::uint64_t{bytes[2]} << 16 | std::uint64_t{bytes[3]} << 24);
}

/// One coded frame into the rectangle of `image` whose upper left corner is (x, y). Alpha is not
/// asked for, so that colours under transparent pixels stay as they were coded.
VP8StatusCode decode_frame(const std::uint8_t* data, std::size_t size, Image& image, std::int64_t x,
                           std::int64_t y) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return VP8_STATUS_INVALID_PARAM;
  const std::int64_t stride = image.width * 3;
  const std::int64_t offset = y * stride + x * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.rgb.data() + offset;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = image.rgb.size() - static_cast<std::size_t>(offset);
  return WebPDecode(data, size, &config);
}

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

/// The first frame of an animation, on a black canvas where it does not cover it.
VP8StatusCode decode_first_frame(const Input& input, Image& image) {
  const WebPData data = {input.data(), input.bytes.size()};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  if (demuxer == nullptr) return VP8_STATUS_BITSTREAM_ERROR;
  WebPIterator frame;
  if (WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) return VP8_STATUS_BITSTREAM_ERROR;
  VP8StatusCode status = VP8_STATUS_INVALID_PARAM;
  WebPBitstreamFeatures features;
  // The coded size decides what is written, so it and not only the container's word must fit.
  if (WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &features) == VP8_STATUS_OK &&
      frame.x_offset >= 0 && frame.y_offset >= 0 &&
      std::int64_t{frame.x_offset} + features.width <= image.width &&
      std::int64_t{frame.y_offset} + features.height <= image.height) {
    status = decode_frame(frame.fragment.bytes, frame.fragment.size, image, frame.x_offset,
                          frame.y_offset);
  }
  WebPDemuxReleaseIterator(&frame);
  return status;
}

}  // namespace

Result<Image> decode_webp(const Input& input) {
  WebPBitstreamFeatures features;
  const VP8StatusCode header = WebPGetFeatures(input.data(), input.bytes.size(), &features);
  if (header != VP8_STATUS_OK) return failure(input, header);
  Result<Image> image = allocate_image(input, features.width, features.height);
  if (!image) return image;
  // libwebp decodes what it can of a cut file; the reference refuses it.
  if (riff_size(input) > input.bytes.size()) {
    return input.truncated(fmt::format("its header promises {} bytes", riff_size(input)));
  }
  const VP8StatusCode status = features.has_animation != 0
                                   ? decode_first_frame(input, *image)
                                   : decode_frame(input.data(), input.bytes.size(), *image, 0, 0);
  if (status != VP8_STATUS_OK) return failure(input, status);
  return image;
}

}  // namespace cardloom::image_formats
