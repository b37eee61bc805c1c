#include "cardloom/tokenizer/vocabulary.h"

#include <algorithm>
#include <cstring>

namespace cardloom {
namespace {

/// Mixes all bits of a and b into each other, by way of their 128-bit product.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Product = unsigned __int128;
  const Product product = static_cast<Product>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t hash_of(std::string_view bytes) {
  constexpr std::uint64_t kOdd1 = 0x9E3779B97F4A7C15;  // the golden ratio
  constexpr std::uint64_t kOdd2 = 0xE7037ED1A0B428DB;
  std::uint64_t hash = bytes.size() ^ kOdd1;
  while (bytes.size() > 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = mix(hash ^ word, kOdd2);
    bytes.remove_prefix(8);
  }
  std::uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  return mix(hash ^ word, kOdd1);
}

std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

}  // namespace

std::string_view Vocabulary::bytes(std::int32_t id) const {
  const std::uint64_t begin = begins_[static_cast<std::size_t>(id)];
  return std::string_view(blob_).substr(begin, begins_[static_cast<std::size_t>(id) + 1] - begin);
}

std::size_t Vocabulary::slot_of(std::string_view wanted, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  while (slots_[i].id >= 0 && (slots_[i].tag != tag_of(hash) || bytes(slots_[i].id) != wanted)) {
    i = (i + 1) & mask;
  }
  return i;
}

void Vocabulary::grow() {
  slots_.assign(std::max<std::size_t>(1024, slots_.size() * 2), Slot{});
  for (std::int32_t id = 0; id < size(); ++id) {
    const std::uint64_t hash = hash_of(bytes(id));
    slots_[slot_of(bytes(id), hash)] = {tag_of(hash), id};
  }
}

std::int32_t Vocabulary::append(std::string_view bytes) {
  const std::int32_t id = size();
  if ((static_cast<std::size_t>(id) + 1) * 2 > slots_.size()) grow();
  const std::uint64_t hash = hash_of(bytes);
  Slot& slot = slots_[slot_of(bytes, hash)];
  if (slot.id >= 0) return slot.id;
  slot = {tag_of(hash), id};
  blob_ += bytes;
  begins_.push_back(blob_.size());
  max_token_bytes_ = std::max(max_token_bytes_, bytes.size());
  return -1;
}

std::int32_t Vocabulary::find(std::string_view bytes) const {
  if (bytes.size() > max_token_bytes_ || slots_.empty()) return -1;
  return slots_[slot_of(bytes, hash_of(bytes))].id;
}

}  // namespace cardloom
