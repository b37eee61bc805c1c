#include "cardloom/engine/content_hash.h"

#include <algorithm>
#include <cstring>

namespace cardloom {
namespace {

constexpr std::array<std::uint64_t, 8> kInitial = {
    0x6a09e667f3bcc908U, 0xbb67ae8584caa73bU, 0x3c6ef372fe94f82bU, 0xa54ff53a5f1d36f1U,
    0x510e527fade682d1U, 0x9b05688c2b3e6c1fU, 0x1f83d9abfb41bd6bU, 0x5be0cd19137e2179U};

constexpr int kRounds = 12;

/// The order of message words in each round: RFC 7693, section 2.7; rounds 10 and 11 are 0 and 1.
constexpr std::uint8_t kOrder[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                         {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                         {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                         {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                         {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                         {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                         {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                         {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                         {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                         {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

constexpr std::uint64_t rotate_right(std::uint64_t word, int bits) {
  return (word >> bits) | (word << (64 - bits));
}

/// The mixing function G of section 3.1 on a column or diagonal.
void mix(std::uint64_t& a, std::uint64_t& b, std::uint64_t& c, std::uint64_t& d, std::uint64_t x,
         std::uint64_t y) {
  a += b + x;
  d = rotate_right(d ^ a, 32);
  c += d;
  b = rotate_right(b ^ c, 24);
  a += b + y;
  d = rotate_right(d ^ a, 16);
  c += d;
  b = rotate_right(b ^ c, 63);
}

}  // namespace

ContentHasher::ContentHasher() : state_(kInitial) {
  constexpr std::uint64_t kParameters = 0x01010000U ^ sizeof(ContentHash);  // no key; 32 bytes out
  state_[0] ^= kParameters;
}

void ContentHasher::compress(bool is_last) {
  std::array<std::uint64_t, 16> m;
  std::memcpy(m.data(), block_.data(), kBlockBytes);  // words are little-endian, as every card is
  std::array<std::uint64_t, 16> v;
  std::copy(state_.begin(), state_.end(), v.begin());
  std::copy(kInitial.begin(), kInitial.end(), v.begin() + 8);
  v[12] ^= num_bytes_;
  if (is_last) v[14] = ~v[14];
  for (int round = 0; round < kRounds; ++round) {
    const std::uint8_t* s = kOrder[round % 10];
    mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
    mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
    mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
    mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
    mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
    mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
    mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
    mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
  }
  for (std::size_t word = 0; word < state_.size(); ++word) {
    state_[word] ^= v[word] ^ v[word + 8];
  }
}

void ContentHasher::add(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (num_buffered_ == kBlockBytes) {  // not before more comes: the last block is marked
      num_bytes_ += kBlockBytes;
      compress(false);
      num_buffered_ = 0;
    }
    const std::size_t count = std::min(bytes.size(), kBlockBytes - num_buffered_);
    std::memcpy(block_.data() + num_buffered_, bytes.data(), count);
    num_buffered_ += count;
    bytes = bytes.subspan(count);
  }
}

void ContentHasher::add(std::uint32_t number) { add(std::as_bytes(std::span(&number, 1))); }
void ContentHasher::add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }
void ContentHasher::add(const ContentHash& hash) { add(std::as_bytes(std::span(hash.words))); }

ContentHash ContentHasher::finish() {
  std::fill(block_.begin() + static_cast<std::ptrdiff_t>(num_buffered_), block_.end(),
            std::byte{0});
  num_bytes_ += num_buffered_;
  compress(true);
  ContentHash hash;
  std::copy_n(state_.begin(), hash.words.size(), hash.words.begin());
  return hash;
}

}  // namespace cardloom
