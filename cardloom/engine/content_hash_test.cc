#include "cardloom/engine/content_hash.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cardloom {
namespace {

std::string hex(const ContentHash& hash) {
  std::string text;
  for (const std::byte byte : std::as_bytes(std::span(hash.words))) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  return text;
}

std::vector<std::byte> bytes(std::size_t count, unsigned modulus) {
  std::vector<std::byte> bytes(count);
  for (std::size_t index = 0; index < count; ++index) {
    bytes[index] = static_cast<std::byte>(index % modulus);
  }
  return bytes;
}

// Expected values: Python's hashlib.blake2b(..., digest_size=32).
TEST(ContentHash, IsBlake2b) {
  EXPECT_EQ(hex(ContentHasher().finish()),
            "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  ContentHasher abc;
  abc.add(std::as_bytes(std::span("abc", 3)));
  EXPECT_EQ(hex(abc.finish()), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  ContentHasher block;  // exactly one block: it is the last one
  block.add(bytes(128, 256));
  EXPECT_EQ(hex(block.finish()),
            "c3582f71ebb2be66fa5dd750f80baae97554f3b015663c8be377cfcb2488c1d1");
}

TEST(ContentHash, DoesNotDependOnThePiecesThatAreAdded) {
  const std::vector<std::byte> all = bytes(1000, 251);
  for (const std::size_t piece : {1U, 7U, 128U, 129U, 1000U}) {
    ContentHasher hasher;
    for (std::size_t begin = 0; begin < all.size(); begin += piece) {
      hasher.add(std::span(all).subspan(begin, std::min(piece, all.size() - begin)));
    }
    EXPECT_EQ(hex(hasher.finish()),
              "b372d0608f720c8c3dd41e9c8eecb10143b41abe520b616607e754bf79c08331")
        << piece;
  }
}

}  // namespace
}  // namespace cardloom
