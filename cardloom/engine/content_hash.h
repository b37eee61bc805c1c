#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace cardloom {

/// 256 bits that stand for a content. Equal hashes are taken for equal contents without a look:
/// nobody can make two contents with the same BLAKE2b hash, not even somebody who chooses both.
/// With a weak hash a request could be given the cached keys of somebody else's prompt.
struct ContentHash {
  std::array<std::uint64_t, 4> words{};

  friend bool operator==(const ContentHash&, const ContentHash&) = default;
};

/// For hash tables: the words are as good as random already.
struct ContentHashHash {
  std::size_t operator()(const ContentHash& hash) const {
    return static_cast<std::size_t>(hash.words[0]);
  }
};

/// BLAKE2b-256 of all that is added, in order; about 1 GB/s, without instructions of its own.
/// Source: RFC 7693.
class ContentHasher {
 public:
  ContentHasher();

  void add(std::span<const std::byte> bytes);
  void add(std::uint32_t number);
  void add(std::uint64_t number);
  void add(const ContentHash& hash);

  /// Of what was added; the hasher is used up.
  [[nodiscard]] ContentHash finish();

 private:
  static constexpr std::size_t kBlockBytes = 128;

  void compress(bool is_last);

  std::array<std::uint64_t, 8> state_;
  std::array<std::byte, kBlockBytes> block_{};
  std::size_t num_buffered_ = 0;  ///< bytes of block_
  std::uint64_t num_bytes_ = 0;   ///< compressed so far
};

}  // namespace cardloom
