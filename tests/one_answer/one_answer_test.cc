// Promise 1 on the trained demonstration model: the logits and the answer are the same bits for 1
// to 8 cards, for any cut of the prompt, alone and beside others, whichever way pictures are cut,
// on every instruction path of this machine, in both compute dtypes and with quantised weights and
// KV cache; and as a server runs it: with cached prefixes and pictures, after a pre-emption,
// guessed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <span>

#include "cardloom/backend/backends.h"
#include "cardloom/backend/cpu/isa.h"
#include "cardloom/engine/engine.h"
#include "cardloom/engine/engine_loop.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/glm4v/processor.h"
#include "cardloom/models/registry.h"
#include "cardloom/tokenizer/tokenizer.h"

namespace cardloom {
namespace {

const std::string kDemo = std::string(CARDLOOM_SOURCE_DIR) + "/demo/";
constexpr std::int64_t kMaxTokens = 48;

/// What is read once for all runs.
struct Model {
  LoadedModelDirectory directory = open_model(kDemo + "glm-4v-nano").value_or_throw();
  std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(directory.path).value_or_throw();
};
const Model& model() {
  static const Model loaded;
  return loaded;
}

struct Question {
  std::string text;
  std::vector<std::string> pictures;
};

Prompt make_prompt(const Question& question) {
  ChatMessage message;
  message.role = "user";
  message.content = question.text;
  message.images = question.pictures;
  const TokenizedChat chat =
      tokenize_chat(*model().tokenizer, ChatStyle::kGlm4v, std::span(&message, 1)).value_or_throw();
  std::vector<Tensor> pixels;
  for (const std::string& picture : question.pictures) {
    pixels.push_back(glm4v::load_pixel_values(kDemo + "pictures/" + picture,
                                              model().directory.config.vision->image_size)
                         .value_or_throw());
  }
  return glm4v::make_prompt(chat, std::move(pixels), model().directory.config).value_or_throw();
}

struct Setting {
  int tp = 1;
  int threads = 1;
  std::string isa;
  WeightFormat weights = WeightFormat::kBF16;  ///< of text and vision; f32: computed in f32
  std::optional<DType> kv_cache{};
  std::int64_t chunk = 512;
  int neighbours = 0;
  VisionCut cut = VisionCut::kHeads;
};

struct Answer {
  std::vector<std::int32_t> ids;
  std::vector<std::byte> logits;  ///< of every prompt row
};

Request make_request(const Question& question) {
  Request request;
  request.prompt = make_prompt(question);
  request.max_tokens = kMaxTokens;
  request.stop_ids = model().directory.config.eos_token_ids;
  return request;
}

std::unique_ptr<Engine> make_engine(const Setting& setting, const EngineOptions& options) {
  PlacedCards placed =
      make_cards({.num_cards = setting.tp, .threads_per_card = setting.threads, .isa = setting.isa})
          .value_or_throw();
  const ModelFactory factory = [&](const CardGroup& cards) {
    std::vector<Device*> devices;
    for (const auto& device : cards.devices) devices.push_back(device.get());
    const bool is_f32 = setting.weights == WeightFormat::kF32;
    return load_models(model().directory, devices,
                       {.dtype = is_f32 ? DType::kF32 : DType::kBF16,
                        .weights = setting.weights,
                        .vision_weights = setting.weights});
  };
  return std::make_unique<Engine>(std::move(placed.cards), factory, options);
}

Answer ask(const Question& question, const Setting& setting) {
  EngineOptions options;
  options.context_tokens = 512;
  options.max_sequences = 4;
  options.max_step_tokens = setting.chunk;
  options.vision_cut = setting.cut;
  options.kv_cache = setting.kv_cache;
  const std::unique_ptr<Engine> loaded = make_engine(setting, options);
  Engine& engine = *loaded;
  const Question neighbours[] = {
      {"Hello!", {}}, {"图中有什么？", {"scene-2.png"}}, {"Who are you?", {}}};
  for (int index = 0; index < setting.neighbours; ++index) {
    (void)engine.submit(make_request(neighbours[index])).value_or_throw();
  }
  Request request = make_request(question);
  request.prompt_logits = true;
  const std::uint64_t id = engine.submit(std::move(request)).value_or_throw();
  Answer answer;
  while (!engine.idle()) {
    for (const SequenceEvent& event : engine.step()) {
      if (event.finish == FinishReason::kError) throw Exception(event.error);
      if (event.sequence_id == id && event.token_id >= 0) answer.ids.push_back(event.token_id);
    }
  }
  const Tensor logits = engine.take_prompt_logits(id);
  answer.logits.resize(static_cast<std::size_t>(logits.size_bytes()));
  std::memcpy(answer.logits.data(), logits.view().data, answer.logits.size());
  return answer;
}

const Question kScene{"What is in this picture?", {"scene-1.jpg"}};

class OneAnswer : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  [[nodiscard]] Setting setting() const {
    Setting setting;
    setting.isa = std::get<0>(GetParam());
    if (std::get<1>(GetParam()) == "q8kv") {
      setting.kv_cache = DType::kI8;
    } else {
      setting.weights = parse_weight_format(std::get<1>(GetParam())).value_or_throw();
    }
    return setting;
  }
  void expect_same(const Question& question, const Setting& other, const Answer& expected,
                   const std::string& what) {
    const Answer answer = ask(question, other);
    EXPECT_EQ(answer.ids, expected.ids) << what;
    EXPECT_TRUE(answer.logits == expected.logits) << what;
  }
};

TEST_P(OneAnswer, OnEveryNumberOfCards) {
  const Answer expected = ask(kScene, setting());
  if (!setting().weights.is_quantised() && !setting().kv_cache) {
    EXPECT_EQ(
        model().tokenizer->decode(expected.ids),
        "\nAn orange square at the top left, a blue star at the bottom left and a green digit 1 at "
        "the bottom right.");
  }
  for (int tp = 2; tp <= 8; ++tp) {
    Setting other = setting();
    other.tp = tp;
    expect_same(kScene, other, expected, "tp " + std::to_string(tp));
  }
}

TEST_P(OneAnswer, InAnyChunksAndBesideOthers) {
  const Answer expected = ask(kScene, setting());
  for (const int tp : {1, 3}) {
    for (const std::int64_t chunk : {1, 7, 64}) {
      Setting other = setting();
      other.tp = tp;
      other.chunk = chunk;
      expect_same(kScene, other, expected, "chunks of " + std::to_string(chunk));
    }
    Setting other = setting();
    other.tp = tp;
    other.neighbours = 3;
    expect_same(kScene, other, expected, "beside 3 others");
    other.chunk = 7;
    other.threads = 2;
    expect_same(kScene, other, expected, "beside 3 others, chunks of 7, 2 threads a card");
  }
}

TEST_P(OneAnswer, WhicheverWayPicturesAreCut) {
  const Question two{"What is in this picture?", {"scene-1.jpg", "scene-3.png"}};
  const Answer expected = ask(two, setting());
  for (const VisionCut cut : {VisionCut::kHeads, VisionCut::kPictures, VisionCut::kAuto}) {
    Setting other = setting();
    other.tp = 2;
    other.cut = cut;
    expect_same(two, other, expected, "cut " + std::to_string(static_cast<int>(cut)));
  }
}

TEST(QuantisedKvCache, IsUsedAndKeepsTheAnswer) {
  Setting setting;
  const Answer bf16 = ask(kScene, setting);
  setting.kv_cache = DType::kI8;
  const Answer q8 = ask(kScene, setting);
  EXPECT_EQ(q8.ids, bf16.ids);
  EXPECT_FALSE(q8.logits == bf16.logits);
}

// --- As a server runs it ---

/// A token and what was known of it: logprobs are f64 made of all logits of its row.
struct Told {
  std::vector<std::int32_t> ids;
  std::vector<double> logprobs;
  friend bool operator==(const Told&, const Told&) = default;
};

/// Question `number` of a server's day; every second one is sampled.
Request served_request(int number) {
  const Question questions[] = {kScene,
                                {"What is in this picture?", {"scene-2.png"}},
                                {"Is there a circle?", {"scene-1.jpg"}},
                                {"Hello!", {}}};
  Request request = make_request(questions[number % 4]);
  if (number % 2 == 1) request.sampling.temperature = 0.8;
  request.sampling.seed = static_cast<std::uint64_t>(number);
  request.sampling.num_logprobs = 5;
  return request;
}

/// Submits questions [begin, end) together; their answers in order.
std::vector<Told> serve(Engine& engine, int begin, int end) {
  std::map<std::uint64_t, std::size_t> places;
  for (int number = begin; number < end; ++number) {
    const std::size_t place = places.size();
    places[engine.submit(served_request(number)).value_or_throw()] = place;
  }
  std::vector<Told> all(places.size());
  while (!engine.idle()) {
    for (const SequenceEvent& event : engine.step()) {
      if (event.finish == FinishReason::kError) throw Exception(event.error);
      if (event.token_id < 0) continue;
      Told& told = all[places.at(event.sequence_id)];
      told.ids.push_back(event.token_id);
      told.logprobs.push_back(event.logprobs->chosen.logprob);
      for (const TokenLogprob& each : event.logprobs->top) told.logprobs.push_back(each.logprob);
    }
  }
  EXPECT_EQ(engine.stats().kv_blocks_used, 0);
  return all;
}

class Served : public ::testing::TestWithParam<int> {
 protected:
  static constexpr int kQuestions = 4;
  static EngineOptions options() {
    return {.context_tokens = 96, .max_sequences = 4, .block_size = 4};
  }
  /// Each alone, on one card, on an engine that shares nothing.
  static const std::vector<Told>& expected() {
    static const std::vector<Told> answers = [] {
      std::vector<Told> alone;
      for (int number = 0; number < kQuestions; ++number) {
        EngineOptions plain = options();
        plain.prefix_cache = false;
        alone.push_back(serve(*make_engine({}, plain), number, number + 1).front());
      }
      return alone;
    }();
    return answers;
  }
  static std::unique_ptr<Engine> engine_with(const EngineOptions& options) {
    Setting setting;
    setting.tp = GetParam();
    return make_engine(setting, options);
  }
};

TEST_P(Served, FromTheCachesOfPrefixesAndPictures) {
  const auto engine = engine_with(options());
  EXPECT_EQ(serve(*engine, 0, kQuestions), expected());
  const EngineStats fresh = engine->stats();
  EXPECT_EQ(fresh.picture_hits, 1U);  // questions 0 and 2 show the same
  EXPECT_EQ(serve(*engine, 0, kQuestions), expected());
  const EngineStats again = engine->stats();
  EXPECT_GT(again.prefix_hits, fresh.prefix_hits + 48);
  EXPECT_EQ(again.picture_hits, fresh.picture_hits + 3);
}

TEST_P(Served, AfterGivingWayToOthers) {
  EngineOptions tight = options();
  tight.kv_tokens = 96;
  tight.max_step_tokens = 40;
  const auto engine = engine_with(tight);
  EXPECT_EQ(serve(*engine, 0, kQuestions), expected());
  EXPECT_GT(engine->stats().preemptions, 0U);
}

TEST_P(Served, WithGuessedTokens) {
  EngineOptions guessing = options();
  guessing.speculate_ngram = 4;
  const auto engine = engine_with(guessing);
  EXPECT_EQ(serve(*engine, 0, kQuestions), expected());
  EXPECT_GT(engine->stats().speculated, 0U);
  RecordProperty("accepted", static_cast<int>(engine->stats().accepted));
}

INSTANTIATE_TEST_SUITE_P(Tp, Served, ::testing::Values(1, 2, 3));

std::vector<std::string> path_names() {
  std::vector<std::string> names;
  for (const cpu::Isa isa : cpu::supported_isas()) names.emplace_back(to_string(isa));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Nano, OneAnswer,
                         ::testing::Combine(::testing::ValuesIn(path_names()),
                                            ::testing::Values("bf16", "f32", "q8", "q4", "q4z:64",
                                                              "q8kv")),
                         [](const auto& each) {
                           std::string format = std::get<1>(each.param);
                           std::replace(format.begin(), format.end(), ':', '_');
                           return std::get<0>(each.param) + "_" + format;
                         });

}  // namespace
}  // namespace cardloom
