#include "cardloom/tokenizer/rank_file.h"

#include <gtest/gtest.h>

#include "cardloom/base/file.h"

namespace cardloom {
namespace {

std::string tiny_ranks() {
  return *read_file(CARDLOOM_SOURCE_DIR "/tests/golden/tiny/ckpt/tokenizer.model", 1 << 20);
}

/// The tiny file with `from` replaced by `to`, and the error that gives.
Error error_with(const std::string& from, const std::string& to) {
  std::string text = tiny_ranks();
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos);
  text.replace(at, from.size(), to);
  const Result<Vocabulary> tokens = parse_rank_file(text, "tokenizer.model");
  EXPECT_FALSE(tokens) << from << " -> " << to;
  return tokens ? Error{} : tokens.error();
}

TEST(RankFile, ReadsTokensInOrder) {
  const Result<Vocabulary> tokens = parse_rank_file(tiny_ranks(), "tokenizer.model");
  ASSERT_TRUE(tokens) << tokens.error().describe();
  EXPECT_EQ(tokens->size(), 416);
  EXPECT_EQ(tokens->bytes(10), "\n");
  EXPECT_EQ(tokens->find("\xFF"), 255);
  std::string text = tiny_ranks();
  ASSERT_EQ(text.back(), '\n');
  text.pop_back();
  EXPECT_EQ(parse_rank_file(text, "x")->size(), 416) << "the last newline may be missing";
}

TEST(RankFile, NamesTheFirstWrongLine) {
  const std::string line = "tokenizer.model, line 4: ";
  const std::string form = line + "must be base64, one space and a rank";
  const std::string base64 = line + "the token is not valid base64";
  EXPECT_EQ(error_with("Aw== 3\n", "Aw== 4\n").message, line + "rank must be 3, is 4");
  EXPECT_EQ(error_with("Aw== 3\n", "").message, line + "rank must be 3, is 4");
  EXPECT_EQ(error_with("Aw== 3\n", "Aw== 3\nAw== 3\n").message,
            "tokenizer.model, line 5: rank must be 4, is 3");
  EXPECT_EQ(error_with("Aw== 3\n", "Ag== 3\n").message, line + "the same token as line 3");
  for (const char* bad :
       {"Aw==3\n", "\n", "Aw== \n", "Aw==  3\n", "Aw== 3 \n", "Aw== 3\r\n", "Aw== +3\n",
        "Aw== -3\n", "Aw== 3x\n", "Aw==\t3\n", "Aw== 99999999999999999999\n"}) {
    EXPECT_EQ(error_with("Aw== 3\n", bad).message, form) << bad;
  }
  for (const char* bad : {" 3\n", "Aw= 3\n", "Aw 3\n", "Aw=== 3\n", "Ax== 3\n", "A=w= 3\n",
                          "==== 3\n", "Aw*= 3\n", "A-__ 3\n", "Aw==Aw== 3\n", "AwB= 3\n"}) {
    EXPECT_EQ(error_with("Aw== 3\n", bad).message, base64) << bad;
  }
  EXPECT_EQ(error_with("Aw== 3\n", std::string(5468, 'A') + " 3\n").message,
            line + "a token may have at most 4096 bytes");
  const Error error = error_with("Aw== 3\n", "\x01\xFF" + std::string(100, 'y') + "\n");
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_EQ(error.detail, "the line is \"\\x01\\xff" + std::string(38, 'y') + "...\"");
}

TEST(RankFile, WantsEverySingleByte) {
  EXPECT_EQ(error_with("Aw== 3\n", "AwM= 3\n").message,
            "tokenizer.model must hold all 256 single bytes, lacks 0x03");
  EXPECT_EQ(parse_rank_file("", "empty").error().message,
            "empty must hold all 256 single bytes, lacks 0x00");
}

}  // namespace
}  // namespace cardloom
