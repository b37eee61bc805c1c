#include "cardloom/weights/weight_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cardloom/base/file.h"
#include "cardloom/base/json.h"
#include "cardloom/weights/printable.h"

namespace cardloom {
namespace {

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";

/// An index needs about 100 bytes a tensor; this allows for half a million tensors.
constexpr std::int64_t kMaxIndexBytes = 64 << 20;

using Shards = std::map<std::string, SafetensorsFile, std::less<>>;

std::string join(const std::string& folder, const std::string& name) {
  return (std::filesystem::path(folder) / name).string();
}

bool exists(const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is as good as absent, and is reported so
  return std::filesystem::exists(path, ignored);
}

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

Error bad_index(const std::string& path, const std::string& rule) {
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{}: {}", path, rule), {},
                    "download the index again");
}

void sort_entries(TensorIndex& index) {
  std::sort(index.entries.begin(), index.entries.end(),
            [](const TensorIndexEntry& a, const TensorIndexEntry& b) { return a.name < b.name; });
  std::sort(index.shards.begin(), index.shards.end());
  index.shards.erase(std::unique(index.shards.begin(), index.shards.end()), index.shards.end());
}

/// Names and shards of an index file; shapes still unknown.
Result<TensorIndex> read_weight_map(const std::string& path) {
  const Result<std::string> text = read_file(path, kMaxIndexBytes);
  if (!text) return text.error();
  const Result<json::value> parsed = parse_json(*text, path);
  if (!parsed) return parsed.error();
  const json::object* top = parsed->if_object();
  const json::value* map = top == nullptr ? nullptr : top->if_contains("weight_map");
  if (map == nullptr || !map->is_object()) return bad_index(path, "there is no object weight_map");
  TensorIndex index;
  index.source = path;
  for (const auto& pair : map->get_object()) {
    const std::string name(pair.key());
    const json::string* shard = pair.value().if_string();
    if (shard == nullptr) {
      return bad_index(path,
                       fmt::format("the shard of tensor {} must be a string", printable(name)));
    }
    const std::string shard_name(*shard);
    if (!is_plain_file_name(shard_name)) {
      return bad_index(path, fmt::format("the shard of tensor {} is {}, it must be the name of a "
                                         "file in the same folder",
                                         printable(name), printable(shard_name)));
    }
    TensorIndexEntry entry;
    entry.name = name;
    entry.shard = shard_name;
    index.entries.push_back(std::move(entry));
    index.shards.push_back(shard_name);
  }
  sort_entries(index);
  return index;
}

/// The index of a checkpoint that is one file.
TensorIndex index_of(const SafetensorsFile& file) {
  TensorIndex index;
  index.source = file.path();
  index.shards = {kSingleName};
  for (const SafetensorInfo& tensor : file.header().tensors) {
    TensorIndexEntry entry;
    entry.name = tensor.name;
    entry.shard = kSingleName;
    entry.shape = tensor.shape;
    entry.dtype_name = tensor.dtype_name;
    index.entries.push_back(std::move(entry));
  }
  sort_entries(index);
  return index;
}

/// Fills in shapes and dtypes from the shards; checks that each holds what the index promises.
Status add_headers(TensorIndex& index, const Shards& shards) {
  for (TensorIndexEntry& entry : index.entries) {
    const auto shard = shards.find(entry.shard);
    if (shard == shards.end()) continue;
    const SafetensorInfo* tensor = shard->second.find(entry.name);
    if (tensor == nullptr) {
      return make_error(
          ErrorCode::kDataLoss,
          fmt::format("{}: tensor {} is missing", shard->second.path(), printable(entry.name)),
          fmt::format("{} says that this shard holds it", index.source),
          "download this shard and the index again, from the same revision");
    }
    entry.shape = tensor->shape;
    entry.dtype_name = tensor->dtype_name;
  }
  for (const auto& [name, file] : shards) {
    for (const SafetensorInfo& tensor : file.header().tensors) {
      const TensorIndexEntry* entry = index.find(tensor.name);
      if (entry == nullptr || entry->shard != name) index.unindexed_names.push_back(tensor.name);
    }
  }
  return {};
}

/// The index, with every shard that is there opened into `shards`.
Result<TensorIndex> open_checkpoint(const std::string& folder, Shards& shards) {
  const std::string index_path = join(folder, kIndexName);
  const std::string single_path = join(folder, kSingleName);
  if (!exists(index_path)) {
    if (!exists(single_path)) {
      return make_error(ErrorCode::kNotFound, fmt::format("{}: there are no weights", folder),
                        fmt::format("neither {} nor {} is there", kIndexName, kSingleName),
                        "give the folder of a Hugging Face checkpoint in safetensors format");
    }
    Result<SafetensorsFile> file = SafetensorsFile::open(single_path);
    if (!file) return file.error();
    TensorIndex index = index_of(*file);
    shards.emplace(kSingleName, *std::move(file));
    return index;
  }
  Result<TensorIndex> index = read_weight_map(index_path);
  if (!index) return index;
  for (const std::string& shard : index->shards) {
    const std::string path = join(folder, shard);
    if (!exists(path)) {
      index->missing_shards.push_back(shard);
      continue;
    }
    Result<SafetensorsFile> file = SafetensorsFile::open(path);
    if (!file) return file.error();
    shards.emplace(shard, *std::move(file));
  }
  if (const Status status = add_headers(*index, shards); !status) return status.error();
  return index;
}

}  // namespace

const TensorIndexEntry* TensorIndex::find(std::string_view name) const {
  const auto place = std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const TensorIndexEntry& entry, std::string_view key) { return entry.name < key; });
  return place == entries.end() || place->name != name ? nullptr : &*place;
}

Result<TensorIndex> read_tensor_index(const std::string& model_directory) {
  Shards shards;
  return open_checkpoint(model_directory, shards);
}

Result<WeightStore> WeightStore::open(const std::string& model_directory, Location caller) {
  WeightStore store;
  Result<TensorIndex> index = open_checkpoint(model_directory, store.shards_);
  if (!index) return index.error();
  store.index_ = *std::move(index);
  const std::vector<std::string>& missing = store.index_.missing_shards;
  if (!missing.empty()) {
    return make_error(
        ErrorCode::kNotFound,
        fmt::format("{}: shard {} is missing", model_directory, printable(missing.front())),
        fmt::format("{} of the {} shards that {} names are missing", missing.size(),
                    store.index_.shards.size(), kIndexName),
        "download the missing files into the folder", caller);
  }
  return store;
}

Result<TensorView> WeightStore::tensor(std::string_view name) const {
  const TensorIndexEntry* entry = find(name);
  if (entry == nullptr) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{}: there is no tensor {}", index_.source, printable(name)),
                      fmt::format("the checkpoint has {} tensors", index_.entries.size()));
  }
  return shards_.find(entry->shard)->second.tensor(name);
}

void WeightStore::will_read(std::string_view name) const {
  if (const TensorIndexEntry* entry = find(name))
    shards_.find(entry->shard)->second.will_read(name);
}

void WeightStore::was_read(std::string_view name) const {
  if (const TensorIndexEntry* entry = find(name)) shards_.find(entry->shard)->second.was_read(name);
}

}  // namespace cardloom
