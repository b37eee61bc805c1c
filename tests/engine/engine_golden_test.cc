// GLM-4V through processor and engine, as a command runs it: the oracle's greedy ids, and the same
// bits of logits for every number of cards, chunk of prompt and neighbour.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "cardloom/models/glm4v/processor.h"
#include "tests/engine/history_model.h"
#include "tests/support/golden.h"

namespace cardloom::testing {
namespace {

struct Setting {
  int tp = 1;
  DType dtype = DType::kF32;
  EngineOptions engine{};
};

std::unique_ptr<Engine> make_engine(const Golden& golden, const Setting& setting) {
  const ModelFactory factory = [&](const CardGroup& cards) {
    std::vector<Device*> devices;
    for (const auto& device : cards.devices) devices.push_back(device.get());
    return load_models(golden.open(), devices, {.dtype = setting.dtype});
  };
  return std::make_unique<Engine>(make_cards(setting.tp), factory, setting.engine);
}

Request make_request(const Golden& golden, std::size_t index, bool prompt_logits) {
  const glm4v::Glm4vConfig config = golden.open().config;
  std::vector<std::int32_t> ids;
  for (const json::value& id : golden.cases()[index].at("ids").as_array()) {
    ids.push_back(id.to_number<std::int32_t>());
  }
  const std::string picture = golden.picture_of(index);
  std::vector<Tensor> pixels;
  if (!picture.empty()) {
    const TensorView golden_pixels = golden.pixel_values(picture);
    pixels.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{3, golden_pixels.shape[1],
                                                                         golden_pixels.shape[2]});
    std::memcpy(pixels[0].view().data, golden_pixels.data,
                static_cast<std::size_t>(pixels[0].size_bytes()));
  }
  const auto num_pictures = static_cast<std::int64_t>(pixels.size());
  const TokenizedChat chat =
      glm4v::find_pictures(std::move(ids), num_pictures, config).value_or_throw();
  Request request;
  request.prompt = glm4v::make_prompt(chat, std::move(pixels), config).value_or_throw();
  request.max_tokens = 16;
  request.prompt_logits = prompt_logits;
  return request;
}

struct Answer {
  std::vector<std::int32_t> ids;
  std::vector<float> logits;  ///< of every prompt row, if asked for
};

/// Runs cases, `together` at a time.
std::vector<Answer> run(const Golden& golden, const Setting& setting,
                        const std::vector<std::size_t>& cases, bool prompt_logits) {
  const auto engine = make_engine(golden, setting);
  std::vector<Answer> answers(cases.size());
  const auto together = static_cast<std::size_t>(setting.engine.max_sequences);
  for (std::size_t first = 0; first < cases.size(); first += together) {
    std::map<std::uint64_t, std::size_t> places;
    for (std::size_t place = first; place < std::min(first + together, cases.size()); ++place) {
      Request request = make_request(golden, cases[place], prompt_logits);
      places[engine->submit(std::move(request)).value_or_throw()] = place;
    }
    while (!engine->idle()) {
      for (const SequenceEvent& event : engine->step()) {
        EXPECT_NE(event.finish, FinishReason::kError) << event.error.describe();
        answers[places.at(event.sequence_id)].ids.push_back(event.token_id);
      }
    }
    for (const auto& [id, place] : places) {
      const Tensor logits = engine->take_prompt_logits(id);
      if (!prompt_logits) continue;
      const float* values = logits.view().at<float>();
      answers[place].logits.assign(values, values + logits.view().num_elements());
    }
  }
  return answers;
}

std::vector<std::size_t> all_cases(const Golden& golden) {
  std::vector<std::size_t> cases;
  for (std::size_t index = 0; index < golden.cases().size(); ++index) cases.push_back(index);
  return cases;
}

TEST(EngineGolden, GivesTheOraclesGreedyIds) {
  for (const char* name : {"tiny", "f32", "onekv"}) {
    const Golden golden(name);
    for (const int tp : {1, 3}) {
      const auto answers =
          run(golden, {.tp = tp, .engine = {.max_sequences = 4, .max_step_tokens = 40}},
              all_cases(golden), false);
      for (std::size_t index = 0; index < answers.size(); ++index) {
        const json::object& golden_case = golden.cases()[index].as_object();
        const std::size_t num_tokens = golden_case.at("greedy_ids").as_array().size();
        ASSERT_GE(answers[index].ids.size(), num_tokens);
        for (std::size_t step = 0; step < num_tokens; ++step) {
          const double margin =
              golden_case.at("greedy_margins").as_array()[step].to_number<double>();
          if (margin < golden.tolerance("logits")) break;  // a tie
          EXPECT_EQ(answers[index].ids[step],
                    golden_case.at("greedy_ids").as_array()[step].to_number<std::int32_t>())
              << name << ", tp " << tp << ", case " << index << ", token " << step;
        }
      }
    }
  }
}

// Promise 1 on the real model.
TEST(EngineGolden, LogitsHaveTheSameBitsForCardsChunksAndNeighbours) {
  const Golden golden("tiny");
  const std::vector<std::size_t> cases{5, 0, 7, 8};  // three with pictures
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    std::vector<Answer> expected;
    for (const std::size_t index : cases) {
      expected.push_back(run(golden, {.dtype = dtype}, {index}, true)[0]);
    }
    for (const int tp : {1, 2, 3, 8}) {
      for (const std::int64_t chunk : {1, 7, 64}) {
        Setting setting{.tp = tp, .dtype = dtype};
        setting.engine.max_sequences = 4;
        setting.engine.max_step_tokens = chunk;
        setting.engine.block_size = 16;
        const auto answers = run(golden, setting, cases, true);
        for (std::size_t place = 0; place < cases.size(); ++place) {
          const std::string where = std::string(to_string(dtype)) + ", tp " + std::to_string(tp) +
                                    ", chunk " + std::to_string(chunk) + ", case " +
                                    std::to_string(cases[place]);
          EXPECT_EQ(answers[place].ids, expected[place].ids) << where;
          ASSERT_EQ(answers[place].logits.size(), expected[place].logits.size());
          EXPECT_EQ(std::memcmp(answers[place].logits.data(), expected[place].logits.data(),
                                expected[place].logits.size() * sizeof(float)),
                    0)
              << where;
        }
      }
    }
  }
}

}  // namespace
}  // namespace cardloom::testing
