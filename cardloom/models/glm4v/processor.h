#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/image/decode.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/prompt.h"

namespace cardloom::glm4v {

/// The rows that a conversation and its pictures are for the model.
///
/// An id is a row at the position of its index. A picture's three ids (begin-of-image, any, end-
/// of-image) become rows_per_image() rows instead, one position for each id: with b the index of
/// begin-of-image, the first row has b, all patch rows b + 1, the last row b + 2. The first
/// generated token has the position behind the last id: the number of ids, not of rows. Several
/// pictures, which the reference refuses, follow the same rule each.
///
/// pixel_values  f32 [3, image_size, image_size] each, in the order of chat.images
///
/// Returns kInvalidArgument with the numbers if the counts of pictures differ, a place is not
/// begin-of-image, id, end-of-image, places are not in order and apart, a picture has another
/// shape, or the model takes none.
/// Source: glm-4v-9b, modeling_chatglm.py, `ChatGLMModel.forward` (position_ids) and
/// `_update_model_kwargs_for_generation`.
Result<Prompt> make_prompt(const TokenizedChat& chat, std::vector<Tensor> pixel_values,
                           const Glm4vConfig& config, Location caller = Location::current());

/// A chat of raw ids: every begin-of-image, which must be followed by one id and end-of-image, is
/// the place of a picture. Without pictures to place (`num_pictures` 0) all ids are plain tokens,
/// as the reference takes them.
///
/// Returns kInvalidArgument with the numbers if there are more or fewer places than pictures or
/// the ids around a begin-of-image are not as above.
Result<TokenizedChat> find_pictures(std::vector<std::int32_t> ids, std::int64_t num_pictures,
                                    const Glm4vConfig& config,
                                    Location caller = Location::current());

/// pixel_values f32 [3, image_size, image_size] of a decoded picture: resized without regard to its
/// proportions, normalised; bit for bit as the reference's preprocessing.
[[nodiscard]] Tensor make_pixel_values(const Image& image, std::int64_t image_size,
                                       Location caller = Location::current());

/// The same of the picture in a file's bytes, decoded first.
/// `name` stands in front of every message. Returns as decode_image does.
Result<Tensor> load_pixel_values(std::span<const std::byte> bytes, std::string_view name,
                                 std::int64_t image_size, const DecodeOptions& options = {},
                                 Location caller = Location::current());

/// The same of a file of at most 256 MiB. Also returns as read_file does.
Result<Tensor> load_pixel_values(const std::string& path, std::int64_t image_size,
                                 const DecodeOptions& options = {},
                                 Location caller = Location::current());

}  // namespace cardloom::glm4v
