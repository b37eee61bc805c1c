#include "cardloom/weights/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <numeric>

#include "cardloom/base/integer_math.h"
#include "cardloom/weights/printable.h"

namespace cardloom {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");

constexpr struct {
  DType dtype;
  std::string_view name;
} kDTypeNames[] = {
    {DType::kF32, "F32"}, {DType::kBF16, "BF16"}, {DType::kF16, "F16"}, {DType::kI8, "I8"},
    {DType::kU8, "U8"},   {DType::kI32, "I32"},   {DType::kI64, "I64"},
};

constexpr std::size_t kMaxAxes = 64;  // no tensor has more; bounds what a hostile header allocates

Error damaged(const std::string& path, const std::string& rule, std::string detail = {},
              std::string remedy = "download the file again") {
  return make_error(ErrorCode::kDataLoss, fmt::format("{}: {}", path, rule), std::move(detail),
                    std::move(remedy));
}

/// Boost.JSON's event handler: builds the header while the text is read, so that a header of 100 MB
/// never becomes a tree of a gigabyte, and sees names that appear twice, which a tree would
/// swallow.
class HeaderHandler {
 public:
  // NOLINTBEGIN(readability-identifier-naming): Boost.JSON asks for these names
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
  // NOLINTEND(readability-identifier-naming)
  using Failure = boost::json::error_code;
  using Text = boost::json::string_view;

  SafetensorsHeader header;
  std::string rule;  ///< what was broken, if parsing stopped because of this handler

  bool on_document_begin(Failure&) { return true; }
  bool on_document_end(Failure&) { return true; }

  bool on_object_begin(Failure& failure) {
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop && name_ == "__metadata__") {
      if (metadata_seen_) return fail(failure, "__metadata__ appears twice");
      metadata_seen_ = true;
      place_ = Place::kMetadata;
    } else if (place_ == Place::kTop) {
      place_ = Place::kTensor;
      tensor_ = {};
      tensor_.name = name_;
      offsets_.clear();
      has_dtype_ = has_shape_ = has_offsets_ = false;
    } else {
      return unexpected(failure, "an object");
    }
    return true;
  }

  bool on_object_end(std::size_t, Failure& failure) {
    if (place_ == Place::kTensor) return finish_tensor(failure);
    place_ = place_ == Place::kMetadata ? Place::kTop : Place::kOutside;
    return true;
  }

  bool on_array_begin(Failure& failure) {
    if (place_ == Place::kTensor && field_ == "shape") {
      place_ = Place::kShape;
      return true;
    }
    if (place_ == Place::kTensor && field_ == "data_offsets") {
      place_ = Place::kOffsets;
      return true;
    }
    return unexpected(failure, "a list");
  }

  bool on_array_end(std::size_t, Failure&) {
    place_ = Place::kTensor;
    return true;
  }

  bool on_key_part(Text part, std::size_t, Failure&) {
    text_.append(part.data(), part.size());
    return true;
  }

  bool on_key(Text part, std::size_t, Failure& failure) {
    text_.append(part.data(), part.size());
    std::string& key = place_ == Place::kTop ? name_ : field_;
    key = std::move(text_);
    text_.clear();
    if (place_ != Place::kTensor) return true;
    bool* seen = field_ == "dtype"          ? &has_dtype_
                 : field_ == "shape"        ? &has_shape_
                 : field_ == "data_offsets" ? &has_offsets_
                                            : nullptr;
    if (seen == nullptr) {
      return fail(failure, fmt::format("tensor {} has an unknown field {}", printable(name_),
                                       printable(field_)));
    }
    if (*seen) {
      return fail(failure, fmt::format("tensor {} has {} twice", printable(name_), field_));
    }
    *seen = true;
    return true;
  }

  bool on_string_part(Text part, std::size_t, Failure&) {
    text_.append(part.data(), part.size());
    return true;
  }

  bool on_string(Text part, std::size_t, Failure& failure) {
    text_.append(part.data(), part.size());
    std::string value = std::move(text_);
    text_.clear();
    if (place_ == Place::kTensor && field_ == "dtype") {
      tensor_.dtype_name = std::move(value);
      tensor_.dtype = dtype_of_safetensors_name(tensor_.dtype_name);
      return true;
    }
    if (place_ != Place::kMetadata) return unexpected(failure, "a string");
    if (!header.metadata.emplace(field_, std::move(value)).second) {
      return fail(failure, fmt::format("__metadata__ has {} twice", printable(field_)));
    }
    return true;
  }

  bool on_int64(std::int64_t value, Text, Failure& failure) {
    if (place_ != Place::kShape && place_ != Place::kOffsets) {
      return unexpected(failure, "a number");
    }
    std::vector<std::int64_t>& list = place_ == Place::kShape ? tensor_.shape : offsets_;
    if (value < 0) {
      return fail(failure, fmt::format("tensor {}: {} holds {}, less than 0", printable(name_),
                                       field_, value));
    }
    const std::size_t most = place_ == Place::kShape ? kMaxAxes : 2;
    if (list.size() == most) {
      return fail(failure, fmt::format("tensor {}: {} holds more than {} numbers", printable(name_),
                                       field_, most));
    }
    list.push_back(value);
    return true;
  }

  bool on_uint64(std::uint64_t value, Text, Failure& failure) {
    if (place_ != Place::kShape && place_ != Place::kOffsets) {
      return unexpected(failure, "a number");
    }
    return fail(failure, fmt::format("tensor {}: {} holds {}, more than {}", printable(name_),
                                     field_, value, INT64_MAX));
  }

  bool on_number_part(Text, Failure&) { return true; }
  bool on_double(double, Text, Failure& failure) { return unexpected(failure, "a fraction"); }
  bool on_bool(bool, Failure& failure) { return unexpected(failure, "true or false"); }
  bool on_null(Failure& failure) { return unexpected(failure, "null"); }
  bool on_comment_part(Text, Failure&) { return true; }
  bool on_comment(Text, Failure&) { return true; }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  bool fail(Failure& failure, std::string broken) {
    rule = std::move(broken);
    failure = boost::json::error::syntax;
    return false;
  }

  bool unexpected(Failure& failure, const char* what) {
    switch (place_) {
      case Place::kOutside:
        return fail(failure, "the header must be a JSON object");
      case Place::kTop:
        return fail(failure, fmt::format("{} must be an object, not {}", printable(name_), what));
      case Place::kMetadata:
        return fail(failure, fmt::format("__metadata__ {} must be a string, not {}",
                                         printable(field_), what));
      default:
        break;
    }
    const char* wanted = field_ == "dtype" ? "a string" : "a list of whole numbers";
    return fail(failure,
                fmt::format("tensor {}: {} must be {}, not {}", printable(name_), field_, wanted,
                            place_ == Place::kTensor ? what : "a list with other things"));
  }

  bool finish_tensor(Failure& failure) {
    const char* missing = !has_dtype_     ? "dtype"
                          : !has_shape_   ? "shape"
                          : !has_offsets_ ? "data_offsets"
                                          : nullptr;
    if (missing != nullptr) {
      return fail(failure, fmt::format("tensor {} has no {}", printable(name_), missing));
    }
    if (offsets_.size() != 2) {
      return fail(failure, fmt::format("tensor {}: data_offsets must hold 2 numbers, not {}",
                                       printable(name_), offsets_.size()));
    }
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    header.tensors.push_back(std::move(tensor_));
    place_ = Place::kTop;
    return true;
  }

  Place place_ = Place::kOutside;
  std::string text_;   ///< the pieces of a key or string so far
  std::string name_;   ///< the last key of the outermost object
  std::string field_;  ///< the last key inside it
  SafetensorInfo tensor_;
  std::vector<std::int64_t> offsets_;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  bool metadata_seen_ = false;
};

/// The JSON text of the header, or what is wrong with the length in front of it.
Result<std::string_view> header_text(std::span<const std::byte> prefix, std::int64_t file_size,
                                     const std::string& path) {
  constexpr std::int64_t kLengthBytes = 8;
  const std::string_view text(reinterpret_cast<const char*>(prefix.data()), prefix.size());
  if (text.starts_with("version https://git-lfs")) {
    return damaged(path, "is a Git LFS pointer, not the weights themselves", {},
                   "fetch the file itself: git lfs pull");
  }
  if (file_size < kLengthBytes || text.size() < kLengthBytes) {
    return damaged(path, fmt::format("file has {} bytes, a safetensors file at least {}", file_size,
                                     kLengthBytes));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof length);
  if (length > static_cast<std::uint64_t>(kMaxSafetensorsHeaderBytes)) {
    return damaged(path,
                   fmt::format("the header claims {} bytes, the limit is {}", length,
                               kMaxSafetensorsHeaderBytes),
                   {}, "give a safetensors file; this one is damaged or of another kind");
  }
  const auto available = std::min(file_size, static_cast<std::int64_t>(text.size()));
  if (static_cast<std::int64_t>(length) > available - kLengthBytes) {
    return damaged(path, fmt::format("file has {} bytes, its header alone needs {}", available,
                                     kLengthBytes + static_cast<std::int64_t>(length)));
  }
  return text.substr(kLengthBytes, length);
}

/// Bytes of a tensor, or nothing if they overflow. Lengths of 0 count as 1 in the overflow check,
/// so that strides made from the shape are safe too.
std::optional<std::int64_t> bytes_of(const SafetensorInfo& tensor) {
  std::optional<std::int64_t> bytes = tensor.dtype ? size_of(*tensor.dtype) : 1;
  bool empty = false;
  for (const std::int64_t length : tensor.shape) {
    empty = empty || length == 0;
    bytes = checked_mul(*bytes, std::max<std::int64_t>(length, 1));
    if (!bytes) return std::nullopt;
  }
  return empty ? 0 : bytes;
}

Status check_tensor(const SafetensorInfo& tensor, const std::string& path) {
  if (tensor.begin > tensor.end) {
    return damaged(path, fmt::format("tensor {} begins at {} and ends before that, at {}",
                                     printable(tensor.name), tensor.begin, tensor.end));
  }
  const std::optional<std::int64_t> bytes = bytes_of(tensor);
  if (!bytes) {
    return damaged(path, fmt::format("tensor {} of shape {} has more bytes than can be counted",
                                     printable(tensor.name), shape_text(tensor.shape)));
  }
  if (tensor.dtype && *bytes != tensor.end - tensor.begin) {
    return damaged(path, fmt::format("tensor {} of {} {} needs {} bytes, its data_offsets hold {}",
                                     printable(tensor.name), tensor.dtype_name,
                                     shape_text(tensor.shape), *bytes, tensor.end - tensor.begin));
  }
  return {};
}

/// Fills by_name; refuses a name that appears twice.
Status index_names(SafetensorsHeader& header, const std::string& path) {
  const std::vector<SafetensorInfo>& tensors = header.tensors;
  std::vector<std::size_t>& order = header.by_name;
  order.resize(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (tensors[order[i]].name != tensors[order[i - 1]].name) continue;
    return damaged(path, fmt::format("tensor {} appears twice", printable(tensors[order[i]].name)));
  }
  return {};
}

Status check_overlap(const SafetensorsHeader& header, const std::string& path) {
  std::vector<const SafetensorInfo*> order;
  for (const SafetensorInfo& tensor : header.tensors) {
    if (tensor.begin < tensor.end) order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->begin < b->begin; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const SafetensorInfo& left = *order[i - 1];
    const SafetensorInfo& right = *order[i];
    if (right.begin >= left.end) continue;
    return damaged(
        path, fmt::format("tensors {} [{}, {}) and {} [{}, {}) overlap", printable(left.name),
                          left.begin, left.end, printable(right.name), right.begin, right.end));
  }
  return {};
}

Status check_inside_file(const SafetensorsHeader& header, std::int64_t file_size,
                         const std::string& path) {
  const SafetensorInfo* last = nullptr;
  for (const SafetensorInfo& tensor : header.tensors) {
    if (last == nullptr || tensor.end > last->end) last = &tensor;
  }
  if (last == nullptr || last->end <= file_size - header.data_begin) return {};
  const std::optional<std::int64_t> described = checked_add(header.data_begin, last->end);
  return damaged(path,
                 fmt::format("file has {} bytes, its header describes {}", file_size,
                             described ? std::to_string(*described) : "more than can be counted"),
                 fmt::format("tensor {} is data bytes [{}, {}), data begins at {}",
                             printable(last->name), last->begin, last->end, header.data_begin),
                 "the file is cut off or damaged: download it again");
}

}  // namespace

std::optional<DType> dtype_of_safetensors_name(std::string_view name) {
  for (const auto& row : kDTypeNames) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

std::string_view safetensors_name_of(DType dtype) {
  for (const auto& row : kDTypeNames) {
    if (row.dtype == dtype) return row.name;
  }
  return "?";
}

const SafetensorInfo* SafetensorsHeader::find(std::string_view name) const {
  const auto place =
      std::lower_bound(by_name.begin(), by_name.end(), name,
                       [&](std::size_t i, std::string_view key) { return tensors[i].name < key; });
  if (place == by_name.end() || tensors[*place].name != name) return nullptr;
  return &tensors[*place];
}

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file_prefix,
                                                   std::int64_t file_size,
                                                   const std::string& path) {
  const Result<std::string_view> text = header_text(file_prefix, file_size, path);
  if (!text) return text.error();
  boost::json::basic_parser<HeaderHandler> parser{boost::json::parse_options{}};
  HeaderHandler& handler = parser.handler();
  boost::json::error_code failure;
  const std::size_t consumed = parser.write_some(false, text->data(), text->size(), failure);
  if (!failure && consumed < text->size()) failure = boost::json::error::extra_data;
  if (failure) {
    return damaged(path, handler.rule.empty() ? "the header is not valid JSON" : handler.rule,
                   fmt::format("{}byte {} of the {} bytes of header",
                               handler.rule.empty() ? failure.message() + " at " : "", consumed,
                               text->size()));
  }
  SafetensorsHeader header = std::move(handler.header);
  header.data_begin = 8 + static_cast<std::int64_t>(text->size());
  for (const SafetensorInfo& tensor : header.tensors) {
    if (const Status status = check_tensor(tensor, path); !status) return status.error();
  }
  if (const Status status = index_names(header, path); !status) return status.error();
  if (const Status status = check_overlap(header, path); !status) return status.error();
  if (const Status status = check_inside_file(header, file_size, path); !status) {
    return status.error();
  }
  return header;
}

}  // namespace cardloom
