#include "cardloom/engine/admission.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

constexpr std::int64_t kContext = 16;

ModelInfo model(std::int64_t image_rows = 4) {
  return {.architecture = "test",
          .vocab_size = 100,
          .hidden_size = 8,
          .num_layers = 1,
          .num_kv_heads = 1,
          .head_dim = 4,
          .max_positions = 32,
          .image_rows = image_rows,
          .image_size = 8};
}

Request request(std::int32_t rows) {
  Request request;
  for (std::int32_t row = 0; row < rows; ++row) {
    request.prompt.token_ids.push_back(row);
    request.prompt.positions.push_back(row);
  }
  request.prompt.next_position = rows;
  return request;
}

Request with_picture(std::int32_t rows, const ImageSpan& span, std::int64_t size = 8) {
  Request made = request(rows);
  made.prompt.image_spans.push_back(span);
  made.prompt.images.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{3, size, size});
  return made;
}

Error refused(const Request& request, const ModelInfo& info = model()) {
  const Status status = check_request(request, info, kContext);
  if (status) return make_error(ErrorCode::kInternal, "accepted");
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  return status.error();
}

TEST(Admission, TakesPromptsUpToTheContext) {
  EXPECT_TRUE(check_request(request(1), model(), kContext).ok());
  EXPECT_TRUE(check_request(request(kContext), model(), kContext).ok());
  EXPECT_TRUE(check_request(with_picture(9, {2, 6, 0}), model(), kContext).ok());
}

TEST(Admission, TellsTheNumbersOfAPromptThatIsTooLong) {
  Error error = refused(with_picture(17, {2, 6, 0}));
  EXPECT_EQ(error.message, "the prompt has 17 rows, but the context holds 16");
  EXPECT_EQ(error.detail, "13 rows of text, 4 of 1 picture");
  EXPECT_EQ(error.remedy,
            "shorten the text or send fewer pictures, or load the model with a longer context (up "
            "to 32)");
  ModelInfo full = model();
  full.max_positions = kContext;
  EXPECT_EQ(refused(request(17), full).remedy, "shorten the text or send fewer pictures");
}

TEST(Admission, NamesWhatIsWrongWithRows) {
  EXPECT_EQ(refused(request(0)).message, "the prompt has no tokens");
  Request uneven = request(3);
  uneven.prompt.positions.pop_back();
  EXPECT_EQ(refused(uneven).message, "the prompt has 3 rows, but 2 positions");
  Request token = request(3);
  token.prompt.token_ids[1] = 100;
  EXPECT_EQ(refused(token).message, "token id 100 (row 1) is outside the vocabulary of 100 ids");
  token.prompt.token_ids[1] = -1;
  EXPECT_EQ(refused(token).message, "token id -1 (row 1) is outside the vocabulary of 100 ids");
  Request position = request(3);
  position.prompt.positions[2] = 32;
  EXPECT_EQ(refused(position).message, "position 32 (row 2) is outside the table of 32 positions");
  Request next = request(3);
  next.prompt.next_position = 33;
  EXPECT_EQ(refused(next).message,
            "the first generated position is 33, but the table has 32 positions");
}

TEST(Admission, NamesWhatIsWrongWithPictures) {
  EXPECT_EQ(refused(with_picture(9, {2, 6, 0}), model(0)).message,
            "this model takes no pictures, but the prompt has 1");
  EXPECT_EQ(refused(with_picture(9, {2, 5, 0})).message,
            "the span of rows 2 to 5 has 3 rows, but a picture has 4");
  EXPECT_EQ(refused(with_picture(9, {6, 10, 0})).message,
            "the span of rows 6 to 10 must lie between rows 0 and 9");
  EXPECT_EQ(refused(with_picture(9, {-1, 3, 0})).message,
            "the span of rows -1 to 3 must lie between rows 0 and 9");
  EXPECT_EQ(refused(with_picture(9, {2, 6, 1})).message,
            "the span of rows 2 to 6 names picture 1, but there are 1");
  EXPECT_EQ(refused(with_picture(9, {2, 6, 0}, 9)).message,
            "picture 0 must be f32[3, 8, 8], but is f32[3, 9, 9]{81, 9, 1}@cpu:0");
  Request overlapping = with_picture(9, {2, 6, 0});
  overlapping.prompt.image_spans.push_back({4, 8, 0});
  EXPECT_EQ(refused(overlapping).message, "the span of rows 4 to 8 must lie between rows 6 and 9");
  Request unused = with_picture(9, {2, 6, 0});
  unused.prompt.images.emplace_back();
  EXPECT_EQ(refused(unused).message, "picture 1 has no place in the prompt");
}

TEST(Admission, ChecksSamplingAndLimits) {
  Request hot = request(3);
  hot.sampling.temperature = -1;
  EXPECT_EQ(refused(hot).message, "temperature is -1, but must be a finite number >= 0");
  Request negative = request(3);
  negative.max_tokens = -5;
  EXPECT_EQ(refused(negative).message, "max_tokens is -5, but must be >= 0");
  Request least = request(3);
  least.min_tokens = -1;
  EXPECT_EQ(refused(least).message, "min_tokens is -1, but must be >= 0");
  least.min_tokens = 5;
  EXPECT_TRUE(check_request(least, model(), kContext).ok());
  least.max_tokens = 4;
  EXPECT_EQ(refused(least).message, "min_tokens is 5, but max_tokens is 4");
}

}  // namespace
}  // namespace cardloom
