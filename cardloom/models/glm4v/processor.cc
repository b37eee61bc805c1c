#include "cardloom/models/glm4v/processor.h"

#include <fmt/format.h>

#include "cardloom/base/file.h"
#include "cardloom/image/normalize.h"
#include "cardloom/image/resize.h"

namespace cardloom::glm4v {
namespace {

/// A file of 64 million pixels, the default limit, stays below it in every format but raw 16-bit
/// PNG.
constexpr std::int64_t kMaxFileBytes = std::int64_t{256} << 20;

std::string pictures(std::size_t count) {
  return fmt::format("{} picture{}", count, count == 1 ? "" : "s");
}

/// Whether three ids at `index` are begin-of-image, any, end-of-image; otherwise what is wrong.
Status check_place(std::span<const std::int32_t> ids, std::int64_t index, const Glm4vConfig& config,
                   Location caller) {
  const auto size = static_cast<std::int64_t>(ids.size());
  const auto id_at = [&](std::int64_t at) { return ids[static_cast<std::size_t>(at)]; };
  if (index < 0 || index > size - 3) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("a picture at id {} needs 3 ids, but there are {} in all", index, size), {},
        "write begin-of-image, any id, end-of-image for each picture", caller);
  }
  if (id_at(index) != *config.boi_token_id || id_at(index + 2) != *config.eoi_token_id) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("a picture at id {} must read {} (begin of image), any id, {} (end of image), "
                    "but reads {} {} {}",
                    index, *config.boi_token_id, *config.eoi_token_id, id_at(index),
                    id_at(index + 1), id_at(index + 2)),
        {}, "write begin-of-image, any id, end-of-image for each picture", caller);
  }
  return {};
}

Status check_pictures(const TokenizedChat& chat, std::span<const Tensor> pixel_values,
                      const Glm4vConfig& config, Location caller) {
  if (chat.images.size() != pixel_values.size()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the prompt has places for {}, but {} came with it",
                                  pictures(chat.images.size()), pictures(pixel_values.size())),
                      {}, "give as many pictures as the conversation shows", caller);
  }
  if (pixel_values.empty()) return {};
  if (!config.vision || !config.boi_token_id || !config.eoi_token_id) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("this model takes no pictures, but the prompt has {}", pixel_values.size()),
        "config.json has no vision_config", "leave the pictures out", caller);
  }
  const std::int64_t size = config.vision->image_size;
  std::int64_t free_from = 0;
  for (std::size_t index = 0; index < pixel_values.size(); ++index) {
    const std::int64_t place = chat.images[index].begin_of_image_index;
    if (place < free_from) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("picture {} is at id {}, but must not begin before id {}",
                                    index + 1, place, free_from),
                        {}, "list places in order; each takes 3 ids", caller);
    }
    if (Status status = check_place(chat.ids, place, config, caller); !status) return status;
    free_from = place + 3;
    const TensorView& view = pixel_values[index].view();
    if (view.dtype != DType::kF32 || view.rank != 3 || view.shape[0] != 3 ||
        view.shape[1] != size || view.shape[2] != size) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("pixel values of picture {} must be f32[3, {}, {}], but are {}",
                                    index + 1, size, size, to_string(view)),
                        {}, "make them with load_pixel_values for this model", caller);
    }
  }
  return {};
}

void append_row(Prompt& prompt, std::int32_t token_id, std::int64_t position) {
  prompt.token_ids.push_back(token_id);
  prompt.positions.push_back(static_cast<std::int32_t>(position));
}

void append_picture(Prompt& prompt, std::int64_t image, std::int64_t position,
                    const Glm4vConfig& config) {
  const auto begin = static_cast<std::int64_t>(prompt.token_ids.size());
  const std::int64_t num_rows = config.vision->rows_per_image();
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const std::int64_t offset = row == 0 ? 0 : row == num_rows - 1 ? 2 : 1;
    append_row(prompt, *config.boi_token_id, position + offset);
  }
  prompt.image_spans.push_back({begin, begin + num_rows, image});
}

}  // namespace

Result<Prompt> make_prompt(const TokenizedChat& chat, std::vector<Tensor> pixel_values,
                           const Glm4vConfig& config, Location caller) {
  if (Status status = check_pictures(chat, pixel_values, config, caller); !status) {
    return status.error();
  }
  Prompt prompt;
  const auto num_ids = static_cast<std::int64_t>(chat.ids.size());
  std::size_t image = 0;
  for (std::int64_t index = 0; index < num_ids;) {
    if (image < chat.images.size() && chat.images[image].begin_of_image_index == index) {
      append_picture(prompt, static_cast<std::int64_t>(image), index, config);
      ++image;
      index += 3;
    } else {
      append_row(prompt, chat.ids[static_cast<std::size_t>(index)], index);
      ++index;
    }
  }
  prompt.next_position = static_cast<std::int32_t>(num_ids);
  prompt.images = std::move(pixel_values);
  return prompt;
}

Result<TokenizedChat> find_pictures(std::vector<std::int32_t> ids, std::int64_t num_pictures,
                                    const Glm4vConfig& config, Location caller) {
  TokenizedChat chat;
  if (num_pictures > 0 && config.boi_token_id && config.eoi_token_id) {
    const auto size = static_cast<std::int64_t>(ids.size());
    for (std::int64_t index = 0; index < size; ++index) {
      if (ids[static_cast<std::size_t>(index)] != *config.boi_token_id) continue;
      if (Status status = check_place(ids, index, config, caller); !status) return status.error();
      chat.images.push_back({index, {}});
      index += 2;
    }
    if (static_cast<std::int64_t>(chat.images.size()) != num_pictures) {
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("the ids have places for {}, but {} came with them",
                      pictures(chat.images.size()),
                      pictures(static_cast<std::size_t>(num_pictures))),
          {},
          fmt::format("write {} {} {} among the ids for each picture", *config.boi_token_id,
                      config.pad_token_id.value_or(*config.boi_token_id), *config.eoi_token_id),
          caller);
    }
  }
  chat.ids = std::move(ids);
  return chat;
}

Tensor make_pixel_values(const Image& image, std::int64_t image_size, Location caller) {
  const Image resized = resize_bicubic(image, image_size, image_size, caller);
  Tensor pixel_values(DType::kF32, {3, image_size, image_size}, {}, caller);
  normalize(resized, pixel_values, caller);
  return pixel_values;
}

Result<Tensor> load_pixel_values(std::span<const std::byte> bytes, std::string_view name,
                                 std::int64_t image_size, const DecodeOptions& options,
                                 Location caller) {
  Result<Image> image = decode_image(bytes, name, options, caller);
  if (!image) return image.error();
  return make_pixel_values(*image, image_size, caller);
}

Result<Tensor> load_pixel_values(const std::string& path, std::int64_t image_size,
                                 const DecodeOptions& options, Location caller) {
  Result<std::string> bytes = read_file(path, kMaxFileBytes, caller);
  if (!bytes) return bytes.error();
  return load_pixel_values(std::as_bytes(std::span(bytes->data(), bytes->size())), path, image_size,
                           options, caller);
}

}  // namespace cardloom::glm4v
