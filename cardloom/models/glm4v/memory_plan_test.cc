#include "cardloom/models/glm4v/memory_plan.h"

#include <gtest/gtest.h>

#include "cardloom/models/glm4v/weight_names.h"
#include "cardloom/weights/test_support.h"

namespace cardloom::glm4v {
namespace {

const std::string kSource = CARDLOOM_SOURCE_DIR;

Glm4vConfig config_at(const std::string& path) {
  return parse_config(testing_support::read_bytes(kSource + path), path).value_or_throw();
}

Glm4vConfig glm4v_9b() { return config_at("/tests/configs/glm-4v-9b.json"); }

MemoryPlanOptions with_tp(int tp) {
  MemoryPlanOptions options;
  options.tp = tp;
  return options;
}

TEST(MemoryPlan, CountsTheRealModelOnOneCard) {
  const MemoryPlan plan = plan_memory(glm4v_9b(), with_tp(1));
  ASSERT_EQ(plan.cards.size(), 1U);
  const CardMemory& card = plan.cards[0];
  EXPECT_EQ(card.parameters.total(), 13906320896);
  EXPECT_EQ(card.weights_bytes.total(), 13906320896 * 2);
  // The three numbers that the model's authors published.
  EXPECT_EQ(card.parameters.text_attention + card.parameters.text_mlp, 8158433280);
  const std::int64_t patch_embedding = 1792 + 1792 * 3 * 14 * 14 + 1792 + 6401 * 1792;
  EXPECT_EQ(card.parameters.vision - patch_embedding, 4279387392);
  EXPECT_EQ(card.parameters.embedding, 151552LL * 4096);
  EXPECT_EQ(card.kv_bytes_per_token, 40960);
  EXPECT_EQ(card.rotary_bytes, 4LL * 8192 * 64);
  EXPECT_EQ(plan_memory(config_at("/tests/configs/glm-4-9b-chat.json"), with_tp(1))
                .cards[0]
                .parameters.total(),
            9399951360);
}

TEST(MemoryPlan, AgreesWithTheTableOfNames) {
  for (const char* path :
       {"/tests/golden/tiny/ckpt/config.json", "/tests/configs/glm-4v-9b.json"}) {
    const Glm4vConfig config = config_at(path);
    EXPECT_EQ(plan_memory(config, with_tp(1)).cards[0].parameters.total(), num_parameters(config));
  }
}

/// What is cut adds up to the whole; what is replicated is on each card.
TEST(MemoryPlan, CutsExactlyForEveryTp) {
  const Glm4vConfig config = glm4v_9b();
  const VisionConfig& vision = *config.vision;
  const std::int64_t kv = 2 * config.num_layers * config.head_dim * (config.hidden_size + 1);
  const std::int64_t text_norms = config.num_layers * config.hidden_size;
  const std::int64_t vision_whole = vision.hidden_size * (2 + 3 * 14 * 14 + vision.num_positions) +
                                    vision.num_layers * 6 * vision.hidden_size;
  const std::int64_t projector_whole =
      config.hidden_size * (vision.hidden_size * 4 + 1 + config.hidden_size + 4);
  const WeightParts one = plan_memory(config, with_tp(1)).cards[0].parameters;
  for (int tp = 1; tp <= kMaxLeaves; ++tp) {
    const MemoryPlan plan = plan_memory(config, with_tp(tp));
    ASSERT_EQ(plan.cards.size(), static_cast<std::size_t>(tp));
    WeightParts sum;
    std::int64_t groups = 0;
    for (const CardMemory& card : plan.cards) {
      sum.embedding += card.parameters.embedding;
      sum.text_attention += card.parameters.text_attention;
      sum.text_mlp += card.parameters.text_mlp;
      sum.lm_head += card.parameters.lm_head;
      sum.vision += card.parameters.vision;
      sum.projector += card.parameters.projector;
      groups += card.share.kv_groups.size();
      EXPECT_EQ(card.weights_bytes.vision, 2 * card.parameters.vision);
      EXPECT_EQ(card.kv_bytes_per_token, 20480 * card.share.kv_groups.size());
    }
    EXPECT_EQ(sum.embedding, one.embedding);
    EXPECT_EQ(sum.lm_head, one.lm_head + (tp - 1) * config.hidden_size);
    EXPECT_EQ(sum.text_mlp, one.text_mlp + (tp - 1) * text_norms);
    EXPECT_EQ(sum.text_attention, one.text_attention + (tp - 1) * text_norms + (groups - 2) * kv);
    EXPECT_EQ(sum.vision, one.vision + (tp - 1) * vision_whole);
    EXPECT_EQ(sum.projector, one.projector + (tp - 1) * projector_whole);
  }
  EXPECT_EQ(plan_memory(config, with_tp(2)).cards[1].share.kv_groups, (IndexRange{1, 2}));
  EXPECT_EQ(plan_memory(config, with_tp(8)).cards[3].share.kv_groups, (IndexRange{0, 1}));
  EXPECT_EQ(plan_memory(config, with_tp(3)).cards[1].share.kv_groups, (IndexRange{0, 2}));
}

TEST(MemoryPlan, GivesCardsBeyondTheHeadsNone) {
  const Glm4vConfig config = config_at("/tests/golden/tiny/ckpt/config.json");
  const MemoryPlan plan = plan_memory(config, with_tp(8));
  EXPECT_EQ(plan.cards[3].share.heads, (IndexRange{3, 4}));
  EXPECT_EQ(plan.cards[4].share.heads.size(), 0);
  EXPECT_EQ(plan.cards[4].kv_bytes_per_token, 0);
  EXPECT_EQ(plan.cards[4].share.features.size(), 16);
}

TEST(MemoryPlan, CountsQuantisedWeightsWithTheirScales) {
  const Glm4vConfig config = glm4v_9b();
  const CardMemory plain = plan_memory(config, with_tp(1)).cards[0];
  MemoryPlanOptions options;
  options.weights = parse_weight_format("q8").value_or_throw();
  const MemoryPlan plan = plan_memory(config, options);
  EXPECT_EQ(to_string(*plan.options.weights), "q8:32");
  EXPECT_EQ(to_string(*plan.options.vision_weights), "bf16");
  const CardMemory& q8 = plan.cards[0];
  EXPECT_EQ(q8.parameters.total(), plain.parameters.total());
  EXPECT_EQ(q8.weights_bytes.vision, plain.weights_bytes.vision);
  EXPECT_EQ(q8.weights_bytes.embedding, plain.weights_bytes.embedding);
  // 32 numbers of a byte and a scale of two; the final norm as it was.
  EXPECT_EQ(q8.weights_bytes.lm_head, 151552LL * 4096 / 32 * 34 + 2 * 4096);
  options.weights = parse_weight_format("q4z:128").value_or_throw();
  options.vision_weights = parse_weight_format("q4:64").value_or_throw();
  const CardMemory q4 = plan_memory(config, options).cards[0];
  EXPECT_EQ(q4.weights_bytes.lm_head, 151552LL * 4096 / 128 * 68 + 2 * 4096);
  EXPECT_EQ(q4.weights_bytes.projector - 2 * 5 * 4096,
            (4096LL * 4 * 1792 + 4096LL * 4096 + 3LL * 13696 * 4096) / 64 * 34);
}

TEST(MemoryPlan, CountsAQuantisedKvCacheWithItsScales) {
  MemoryPlanOptions options = with_tp(2);
  options.kv_cache = DType::kI8;
  const MemoryPlan plan = plan_memory(glm4v_9b(), options);
  const MemoryPlan bf16 = plan_memory(glm4v_9b(), with_tp(2));
  EXPECT_EQ(plan.cards[1].kv_bytes_per_token, 2 * 40 * (128 + 4));
  EXPECT_EQ(*plan.options.kv_cache, DType::kI8);
  EXPECT_EQ(*bf16.options.kv_cache, DType::kBF16);
  options.dtype = DType::kF32;
  try {
    (void)plan_memory(glm4v_9b(), options);
    FAIL() << "must throw";
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "the KV cache is q8, but the model computes in f32");
  }
}

TEST(MemoryPlan, RefusesFormatsThatDoNotGoWithTheDtype) {
  const auto message = [](DType dtype, const char* text, const char* vision) {
    try {
      (void)weight_formats(dtype, parse_weight_format(text).value_or_throw(),
                           parse_weight_format(vision).value_or_throw());
    } catch (const Exception& failure) {
      return failure.error().message;
    }
    return std::string("fine");
  };
  EXPECT_EQ(message(DType::kF32, "f32", "f32"), "fine");
  EXPECT_EQ(message(DType::kBF16, "q4", "q8:128"), "fine");
  EXPECT_EQ(message(DType::kF32, "q8", "f32"), "weights are q8:32, but the model computes in f32");
  EXPECT_EQ(message(DType::kF32, "f32", "bf16"), "weights are bf16, but the model computes in f32");
  EXPECT_EQ(message(DType::kBF16, "bf16", "f32"),
            "weights are f32, but the model computes in bf16");
}

TEST(MemoryPlan, RefusesWhatDoesNotWork) {
  const Glm4vConfig config = glm4v_9b();
  EXPECT_THROW((void)plan_memory(config, with_tp(0)), Exception);
  EXPECT_THROW((void)plan_memory(config, with_tp(9)), Exception);
  MemoryPlanOptions options;
  options.dtype = DType::kI8;
  EXPECT_THROW((void)plan_memory(config, options), Exception);
}

}  // namespace
}  // namespace cardloom::glm4v
