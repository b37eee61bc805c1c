#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>
#include <stdio.h>  // jpeglib.h uses FILE without including it

#include <algorithm>
#include <csetjmp>
#include <new>
#include <vector>

#include "cardloom/image/decode_formats.h"

namespace cardloom::image_formats {
namespace {

// A progressive JPEG may repeat a scan of a few bytes without end, and each costs a walk over all
// blocks. Encoders write about 10; the standard's own bit-by-bit extreme for 4 components is 4
// * 13.
constexpr int kMaxScans = 200;

enum class Outcome { kDone, kSuspended, kFailed };

/// libjpeg's state and the way out of its errors. The functions that call setjmp hold no object
/// with a destructor, so that a longjmp skips none.
struct Decoder {
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors = {};
  jpeg_source_mgr source = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf escape;
  bool too_many_scans = false;
  bool created = false;
  char message[JMSG_LENGTH_MAX] = "";

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() {
    if (created) jpeg_destroy_decompress(&info);
  }
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->escape, 1);
}

// Warnings (a wrong restart marker, surplus bytes) are kept silent and the picture decoded: so does
// the reference.
void on_message(j_common_ptr /*info*/, int /*level*/) {}
void on_output(j_common_ptr /*info*/) {}

void on_progress(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  if (decoder->info.input_scan_number <= kMaxScans) return;
  decoder->too_many_scans = true;
  std::longjmp(decoder->escape, 1);
}

// The source is the whole file in memory. At its end it *suspends*, where libjpeg's own memory
// source makes up an end marker and fills the rest with grey: a truncated picture must be refused,
// and the reference refuses it in the same way.
void on_init_source(j_decompress_ptr /*info*/) {}
boolean on_fill(j_decompress_ptr /*info*/) { return FALSE; }
void on_skip(j_decompress_ptr info, long num_bytes) {
  if (num_bytes <= 0) return;
  jpeg_source_mgr& source = *info->src;
  const std::size_t skipped = std::min(static_cast<std::size_t>(num_bytes), source.bytes_in_buffer);
  source.next_input_byte += skipped;
  source.bytes_in_buffer -= skipped;
}
void on_term_source(j_decompress_ptr /*info*/) {}

Outcome read_header(Decoder& decoder, const std::uint8_t* data, std::size_t size) {
  jpeg_decompress_struct& info = decoder.info;
  info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = on_error;
  decoder.errors.emit_message = on_message;
  decoder.errors.output_message = on_output;
  info.client_data = &decoder;
  if (setjmp(decoder.escape) != 0) return Outcome::kFailed;  // NOLINT: libjpeg's way
  jpeg_create_decompress(&info);
  decoder.created = true;
  decoder.source = {data,          size, on_init_source, on_fill, on_skip, jpeg_resync_to_restart,
                    on_term_source};
  info.src = &decoder.source;
  decoder.progress.progress_monitor = on_progress;
  info.progress = &decoder.progress;
  return jpeg_read_header(&info, TRUE) == JPEG_HEADER_OK ? Outcome::kDone : Outcome::kSuspended;
}

/// (a * b) / 255 rounded, as Pillow's MULDIV255 does it.
std::uint8_t multiply_divide_255(unsigned a, unsigned b) {
  const unsigned t = a * b + 128;
  return static_cast<std::uint8_t>(((t >> 8) + t) >> 8);
}

/// Pillow's CMYK to RGB of samples that lie inverted in the file: there 255 means no ink, so that
/// rgb = (255 - ink) * (255 - black) / 255 is a product of the file's own bytes.
void write_cmyk_row(const std::uint8_t* cmyk, std::uint8_t* rgb, std::size_t width) {
  for (std::size_t x = 0; x < width; ++x) {
    const unsigned light = cmyk[x * 4 + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const unsigned ink = 255U - cmyk[x * 4 + c];
      // Not light * (255 - ink) / 255: the two round differently.
      rgb[x * 3 + c] = static_cast<std::uint8_t>(light - multiply_divide_255(ink, light));
    }
  }
}

/// Fills rgb[height * width * 3]. `cmyk_row` has room for a row of 4 bytes a pixel.
Outcome read_pixels(Decoder& decoder, std::uint8_t* rgb, std::uint8_t* cmyk_row) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.escape) != 0) return Outcome::kFailed;  // NOLINT: libjpeg's way
  const bool is_cmyk = info.num_components == 4;
  info.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  if (jpeg_start_decompress(&info) == FALSE) return Outcome::kSuspended;
  while (info.output_scanline < info.output_height) {
    const std::size_t width = info.output_width;
    std::uint8_t* target = rgb + std::size_t{info.output_scanline} * width * 3;
    JSAMPROW row = is_cmyk ? cmyk_row : target;
    if (jpeg_read_scanlines(&info, &row, 1) != 1) return Outcome::kSuspended;
    if (is_cmyk) write_cmyk_row(cmyk_row, target, width);
  }
  return Outcome::kDone;  // with every row read, a missing end marker is no loss
}

Error failure(const Input& input, const Decoder& decoder) {
  if (decoder.too_many_scans) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("{}: the JPEG has more than {} scans, the limit", input.name, kMaxScans),
        "a picture has one scan, a progressive one about 10",
        "open and save it again with a picture editor", input.caller);
  }
  switch (decoder.errors.msg_code) {
    case JERR_BAD_PRECISION:
      return input.unsupported("samples of other than 8 bits");
    case JERR_SOF_UNSUPPORTED:
      return input.unsupported("a lossless or hierarchical coding");
    case JERR_ARITH_NOTIMPL:
      return input.unsupported("arithmetic coding");
    case JERR_CONVERSION_NOTIMPL:
      return input.unsupported("an unusual colour space");
    case JERR_EMPTY_IMAGE:
    case JERR_IMAGE_TOO_BIG: {
      const Result<Image> refusal =
          allocate_image(input, decoder.info.image_width, decoder.info.image_height);
      return refusal ? input.damaged(decoder.message) : refusal.error();
    }
    case JERR_OUT_OF_MEMORY:
      throw std::bad_alloc();
    default:
      return input.damaged(decoder.message);
  }
}

}  // namespace

Result<Image> decode_jpeg(const Input& input) {
  Decoder decoder;
  switch (read_header(decoder, input.data(), input.bytes.size())) {
    case Outcome::kDone:
      break;
    case Outcome::kSuspended:
      return input.truncated("the header is incomplete");
    case Outcome::kFailed:
      return failure(input, decoder);
  }
  const jpeg_decompress_struct& info = decoder.info;
  Result<Image> image = allocate_image(input, info.image_width, info.image_height);
  if (!image) return image;
  if (info.num_components != 1 && info.num_components != 3 && info.num_components != 4) {
    return input.unsupported(fmt::format("{} colour channels", info.num_components));
  }
  std::vector<std::uint8_t> cmyk_row(info.num_components == 4 ? std::size_t{info.image_width} * 4
                                                              : 0);
  switch (read_pixels(decoder, image->rgb.data(), cmyk_row.data())) {
    case Outcome::kDone:
      return image;
    case Outcome::kFailed:
      return failure(input, decoder);
    case Outcome::kSuspended:
      break;
  }
  return input.truncated(
      fmt::format("row {} of {} is the last that is there", info.output_scanline, image->height));
}

}  // namespace cardloom::image_formats
