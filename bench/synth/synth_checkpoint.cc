#include "bench/synth/synth_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "bench/synth/pool.h"
#include "cardloom/base/base64.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/glm4v/weight_names.h"
#include "cardloom/weights/safetensors_writer.h"

namespace cardloom::synth {
namespace {

constexpr std::int64_t kPoolNumbers = std::int64_t{1} << 22;
constexpr std::int64_t kMaxLayers = 1024;

/// From the first special id on, in the order of glm-4v-9b's tokenizer_config.json.
constexpr const char* kSpecialTokens[] = {"<|endoftext|>",
                                          "[MASK]",
                                          "[gMASK]",
                                          "[sMASK]",
                                          "<sop>",
                                          "<eop>",
                                          "<|system|>",
                                          "<|user|>",
                                          "<|assistant|>",
                                          "<|observation|>",
                                          "<|begin_of_image|>",
                                          "<|end_of_image|>",
                                          "<|begin_of_video|>",
                                          "<|end_of_video|>"};

Status write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (file) return {};
  return make_error(ErrorCode::kResourceExhausted, fmt::format("cannot write {}", path.string()),
                    std::strerror(errno), "check the folder, its permissions and the disk's space");
}

/// The config with so many layers; without vision_config for no vision layers.
json::object cut_config(const json::object& config, const SynthOptions& options) {
  json::object cut = config;
  cut[cut.contains("num_layers") ? "num_layers" : "num_hidden_layers"] = options.text_layers;
  if (options.vision_layers == 0) {
    for (const char* name : {"vision_config", "boi_token_id", "eoi_token_id"}) cut.erase(name);
  } else if (json::value* vision = cut.if_contains("vision_config")) {
    vision->as_object()["num_hidden_layers"] = options.vision_layers;
  }
  return cut;
}

/// Token `rank`: a byte, or from 256 on the words "aa", "ab" ... "zz", "aaa" and so on.
std::string token(std::int64_t rank) {
  if (rank < 256) return std::string(1, static_cast<char>(rank));
  std::int64_t number = rank - 256;
  std::int64_t words = 26 * 26;
  std::size_t letters = 2;
  for (; number >= words; words *= 26, ++letters) number -= words;
  std::string word(letters, 'a');
  for (std::size_t at = letters; at-- > 0; number /= 26) {
    word[at] = static_cast<char>('a' + number % 26);
  }
  return word;
}

/// The ids that the config names are special; below the least of them all are ordinary.
std::int64_t num_ordinary_tokens(const glm4v::Glm4vConfig& config) {
  std::int64_t least = config.vocab_size;
  for (const std::int32_t id : config.eos_token_ids) least = std::min<std::int64_t>(least, id);
  if (config.pad_token_id) least = std::min<std::int64_t>(least, *config.pad_token_id);
  return least;
}

Status write_tokenizer(const std::filesystem::path& folder, const glm4v::Glm4vConfig& config) {
  const std::int64_t num_ordinary = num_ordinary_tokens(config);
  std::string ranks;
  for (std::int64_t rank = 0; rank < num_ordinary; ++rank) {
    ranks += fmt::format("{} {}\n", encode_base64(token(rank)), rank);
  }
  json::object added;
  std::int64_t id = num_ordinary;
  for (const char* spelling : kSpecialTokens) {
    added[std::to_string(id++)] = {
        {"content", spelling}, {"lstrip", false}, {"rstrip", false}, {"special", true}};
  }
  const json::object tokenizer{{"tokenizer_class", "ChatGLM4Tokenizer"},
                               {"added_tokens_decoder", std::move(added)}};
  if (Status status = write_text(folder / "tokenizer.model", ranks); !status) return status;
  return write_text(folder / "tokenizer_config.json", json::serialize(tokenizer) + "\n");
}

bool ends_with_any(const std::string& name, std::initializer_list<const char*> ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [&](const char* end) { return name.ends_with(end); });
}

bool is_norm(const std::string& name) {
  return ends_with_any(name, {"layernorm.weight", "norm1.weight"});
}
bool is_norm_bias(const std::string& name) {
  return ends_with_any(name, {"layernorm.bias", "norm1.bias"});
}

/// Values of tensors, as views that take next to no memory.
class Values {
 public:
  explicit Values(std::uint64_t seed) : seed_(seed), pool_(bf16_pool(seed, kPoolNumbers, 0.02F)) {}

  /// Row n of a random tensor begins n * step numbers behind row 0: any two overlap, yet differ.
  Result<TensorView> of(const glm4v::ExpectedTensor& tensor) {
    TensorView view;
    view.dtype = DType::kBF16;
    view.rank = static_cast<int>(tensor.shape.size());
    std::int64_t columns = 1;
    for (int axis = view.rank; axis-- > 0;) {
      view.shape[axis] = tensor.shape[static_cast<std::size_t>(axis)];
      if (axis == 0 && view.rank > 1) break;
      view.stride[axis] = columns;
      columns *= view.shape[axis];
    }
    const bool is_constant = is_norm(tensor.name) || is_norm_bias(tensor.name);
    const std::int64_t rows = view.rank > 1 ? view.shape[0] : 1;
    const std::int64_t room = kPoolNumbers - columns;
    if (!is_constant && room < rows) {
      return make_error(
          ErrorCode::kInvalidArgument, fmt::format("{} is too large to be made up", tensor.name),
          fmt::format("{} rows of {}; {} numbers in all", rows, columns, kPoolNumbers));
    }
    if (is_constant) {
      for (std::int64_t& stride : view.stride) stride = 0;
      view.data = reinterpret_cast<std::byte*>(is_norm(tensor.name) ? &one_ : &zero_);
      return view;
    }
    const std::int64_t step = view.rank > 1 ? room / rows : 0;
    if (view.rank > 1) view.stride[0] = step;
    Random random(seed_, tensor.name);
    const std::int64_t begin = random.below(room - step * (rows - 1) + 1);
    view.data = reinterpret_cast<std::byte*>(pool_.data() + begin);
    return view;
  }

 private:
  std::uint64_t seed_;
  std::vector<std::uint16_t> pool_;
  bf16 one_ = to_bf16(1.0F);
  bf16 zero_ = to_bf16(0.0F);
};

using Shard = std::vector<std::pair<std::string, TensorView>>;

std::int64_t bytes_of(const TensorView& view) { return view.num_elements() * size_of(view.dtype); }

struct Shards {
  std::vector<Shard> shards;
  std::int64_t bytes = 0;
};

Result<Shards> cut_into_shards(const std::vector<glm4v::ExpectedTensor>& tensors, Values& values,
                               std::int64_t shard_bytes) {
  Shards cut;
  std::int64_t in_shard = 0;
  for (const glm4v::ExpectedTensor& tensor : tensors) {
    const Result<TensorView> view = values.of(tensor);
    if (!view) return view.error();
    const std::int64_t bytes = bytes_of(*view);
    if (cut.shards.empty() || in_shard + bytes > shard_bytes) {
      cut.shards.emplace_back();
      in_shard = 0;
    }
    in_shard += bytes;
    cut.bytes += bytes;
    cut.shards.back().emplace_back(tensor.name, *view);
  }
  return cut;
}

Result<SynthSummary> write_weights(const std::filesystem::path& folder,
                                   const glm4v::Glm4vConfig& config, const SynthOptions& options) {
  Values values(options.seed);
  const std::vector<glm4v::ExpectedTensor> tensors = glm4v::expected_tensors(config);
  const Result<Shards> cut = cut_into_shards(tensors, values, options.shard_bytes);
  if (!cut) return cut.error();
  SynthSummary summary{.num_tensors = static_cast<std::int64_t>(tensors.size()),
                       .num_shards = static_cast<std::int64_t>(cut->shards.size()),
                       .bytes = cut->bytes};
  json::object weight_map;
  std::int64_t done = 0;
  for (std::size_t index = 0; index < cut->shards.size(); ++index) {
    const std::string name =
        fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, cut->shards.size());
    const Shard& shard = cut->shards[index];
    const Status status = write_safetensors((folder / name).string(), shard, {{"format", "pt"}});
    if (!status) return status.error();
    for (const auto& [tensor, view] : shard) {
      weight_map[tensor] = name;
      done += bytes_of(view);
    }
    if (options.progress) options.progress(done, summary.bytes);
  }
  const json::object index{{"metadata", {{"total_size", summary.bytes}}},
                           {"weight_map", std::move(weight_map)}};
  const Status status =
      write_text(folder / "model.safetensors.index.json", json::serialize(index) + "\n");
  if (!status) return status.error();
  return summary;
}

Status check_layers(const char* name, std::int64_t layers, std::int64_t least) {
  if (layers >= least && layers <= kMaxLayers) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} is {}, but must be {} to {}", name, layers, least, kMaxLayers));
}

}  // namespace

Result<SynthSummary> write_checkpoint(const std::string& config_text, const SynthOptions& options) {
  if (Status status = check_layers("--text-layers", options.text_layers, 1); !status) {
    return status.error();
  }
  if (Status status = check_layers("--vision-layers", options.vision_layers, 0); !status) {
    return status.error();
  }
  Result<json::value> parsed = parse_json(config_text, "config.json");
  if (!parsed) return parsed.error();
  if (!parsed->is_object()) {
    return make_error(ErrorCode::kInvalidArgument, "config.json must be a JSON object");
  }
  const json::object cut = cut_config(parsed->as_object(), options);
  const std::string text = json::serialize(cut) + "\n";
  const Result<glm4v::Glm4vConfig> config = glm4v::parse_config(text, "config.json");
  if (!config) return config.error();

  const std::filesystem::path folder(options.out);
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) {
    return make_error(ErrorCode::kNotFound, fmt::format("cannot make the folder {}", options.out),
                      failure.message());
  }
  if (Status status = write_text(folder / "config.json", text); !status) return status.error();
  const json::object generation{{"do_sample", false},
                                {"eos_token_id", cut.at("eos_token_id")},
                                {"pad_token_id", cut.at("pad_token_id")}};
  Status status = write_text(folder / "generation_config.json", json::serialize(generation) + "\n");
  if (status) status = write_tokenizer(folder, *config);
  if (!status) return status.error();
  return write_weights(folder, *config, options);
}

}  // namespace cardloom::synth
