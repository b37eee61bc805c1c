#include "tests/support/model_under_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <thread>

#include "cardloom/base/integer_math.h"

namespace cardloom::testing {
namespace {

template <class T>
Tensor make_tensor(DType dtype, const std::vector<T>& values) {
  Tensor tensor(dtype, {static_cast<std::int64_t>(values.size())});
  if (!values.empty()) std::memcpy(tensor.view().data, values.data(), values.size() * sizeof(T));
  return tensor;
}

/// What rows [begin, end) of a prompt are to a step of one sequence; owns what ModelInput looks at.
struct StepInput {
  StepInput(const TestPrompt& prompt, std::int64_t begin, std::int64_t end,
            const ModelUnderTestOptions& options) {
    const std::int64_t B = options.block_size;
    const std::int64_t num_blocks = ceil_div(options.max_rows, B);
    std::vector<std::int32_t> ids, positions, sequences, lens, rows, table;
    std::vector<std::int64_t> slots;
    for (std::int64_t block = 0; block < num_blocks; ++block) {  // backwards: not the identity
      table.push_back(static_cast<std::int32_t>(num_blocks - 1 - block));
    }
    for (std::int64_t row = begin; row < end; ++row) {
      ids.push_back(prompt.ids[static_cast<std::size_t>(row)]);
      positions.push_back(prompt.positions[static_cast<std::size_t>(row)]);
      slots.push_back(table[static_cast<std::size_t>(row / B)] * B + row % B);
      sequences.push_back(0);
      lens.push_back(static_cast<std::int32_t>(row + 1));
      rows.push_back(static_cast<std::int32_t>(row - begin));
    }
    tensors.push_back(make_tensor(DType::kI32, ids));
    tensors.push_back(make_tensor(DType::kI32, positions));
    tensors.push_back(make_tensor(DType::kI64, slots));
    tensors.push_back(make_tensor(DType::kI32, sequences));
    tensors.push_back(make_tensor(DType::kI32, lens));
    tensors.push_back(make_tensor(DType::kI32, table));
    tensors.push_back(make_tensor(DType::kI32, rows));
    for (const PromptPicture& picture : prompt.pictures) {
      const std::int64_t first = std::max(begin, picture.first_row);
      const std::int64_t last = std::min(end, picture.first_row + picture.embeds.shape[0]);
      if (first >= last) continue;
      images.push_back({first - begin, picture.embeds.slice(0, first - picture.first_row,
                                                            last - picture.first_row)});
    }
  }

  [[nodiscard]] ModelInput view() const {
    return {.token_ids = tensors[0],
            .positions = tensors[1],
            .slot_mapping = tensors[2],
            .token_sequences = tensors[3],
            .context_lens = tensors[4],
            .block_tables = tensors[5].view().unflatten(0, tensors[5].view().shape[0]),
            .logits_rows = tensors[6],
            .image_rows = images};
  }

  std::vector<Tensor> tensors;
  std::vector<ImageRows> images;
};

}  // namespace

struct ModelUnderTest::Rank {
  Rank(int rank, const ModelUnderTestOptions& options)
      : device(rank, {.cpus = {0}, .pinned = false, .isa = options.isa}),
        log(rank, options.tp),
        stream(device, log) {}

  cpu::CpuDevice device;
  OpLog log;
  Stream stream;
  std::unique_ptr<KvCache> cache;
};

ModelUnderTest::ModelUnderTest(const LoadedModelDirectory& directory,
                               const ModelUnderTestOptions& options)
    : options_(options),
      // Ranks share the few cores of a test machine: spinning would only steal time.
      group_(std::make_unique<ThreadGroup>(options.tp, ThreadGroupOptions{.spins = 0})) {
  std::vector<Device*> devices;
  for (int rank = 0; rank < options.tp; ++rank) {
    ranks_.push_back(std::make_unique<Rank>(rank, options));
    ranks_.back()->stream.set_failure_hook(
        [this, rank](const Error& error) { group_->communicator(rank).abort(error); });
    devices.push_back(&ranks_.back()->device);
  }
  models_ = load_models(directory, devices, {.dtype = options.dtype});
  for (int rank = 0; rank < options.tp; ++rank) {
    const ModelInfo& info = model(rank).info();
    ranks_[static_cast<std::size_t>(rank)]->cache =
        std::make_unique<KvCache>(info.num_layers, ceil_div(options.max_rows, options.block_size),
                                  options.block_size, info.num_kv_heads, info.head_dim, info.dtype,
                                  devices[static_cast<std::size_t>(rank)]->id());
  }
}

ModelUnderTest::~ModelUnderTest() = default;

const OpLog& ModelUnderTest::log(int rank) const {
  return ranks_[static_cast<std::size_t>(rank)]->log;
}

void ModelUnderTest::run(const Estimate& estimate, Trace* trace, const Work& work) {
  std::vector<std::exception_ptr> failures(ranks_.size());
  std::vector<std::unique_ptr<Workspace>> workspaces;
  for (std::size_t place = 0; place < ranks_.size(); ++place) {
    workspaces.push_back(
        std::make_unique<Workspace>(estimate(*models_[place]), ranks_[place]->device.id()));
  }
  {
    std::vector<std::jthread> threads;
    for (std::size_t place = 0; place < ranks_.size(); ++place) {
      threads.emplace_back([&, place] {
        Stream& stream = ranks_[place]->stream;
        const int rank = static_cast<int>(place);
        try {
          work(rank, {stream, group_->communicator(rank), *workspaces[place],
                      rank == 0 ? trace : nullptr});
          stream.synchronize();
        } catch (const Exception& failure) {
          group_->communicator(rank).abort(failure.error());
          failures[place] = std::current_exception();
          try {
            stream.synchronize();       // nothing may run on when its operands are gone
          } catch (const Exception&) {  // the failure kept above came first
          }
          stream.reset();
        }
      });
    }
  }
  if (group_->communicator(0).aborted()) group_->reset();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  peak_bytes_ = 0;
  planned_bytes_ = 0;
  for (const std::unique_ptr<Workspace>& workspace : workspaces) {
    const std::int64_t planned = workspace->capacity_bytes();
    EXPECT_LE(planned, workspace->peak_bytes() + workspace->peak_bytes() / 10 + (64 << 10));
    if (workspace->peak_bytes() <= peak_bytes_) continue;
    peak_bytes_ = workspace->peak_bytes();
    planned_bytes_ = planned;
  }
}

std::vector<Tensor> ModelUnderTest::encode(const std::vector<TensorView>& pictures, VisionCut cut,
                                           Trace* trace, const std::vector<int>& borders) {
  const ModelInfo& info = model(0).info();
  std::vector<std::vector<Tensor>> hidden(ranks_.size());
  std::vector<std::vector<Tensor>> embeds(ranks_.size());
  std::vector<std::vector<PictureJob>> jobs(ranks_.size());
  for (std::size_t place = 0; place < ranks_.size(); ++place) {
    for (const TensorView& picture : pictures) {
      hidden[place].emplace_back(Tensor(info.dtype, {info.vision_rows, info.vision_hidden_size}));
      embeds[place].emplace_back(Tensor(info.dtype, {info.image_rows, info.hidden_size}));
      jobs[place].push_back({picture, hidden[place].back(), embeds[place].back()});
    }
  }
  const auto tp = static_cast<std::int64_t>(ranks_.size());
  const auto num_pictures = static_cast<std::int64_t>(pictures.size());
  const auto estimate = [&](const Model& each) {  // kPictures is estimated for tp or more pictures
    return each.encode_workspace_bytes(cut == VisionCut::kHeads      ? 1
                                       : cut == VisionCut::kPictures ? std::max(tp, num_pictures)
                                                                     : num_pictures);
  };
  std::vector<VisionStage> stages;
  for (const int border : borders) {
    stages.push_back({stages.empty() ? 0 : stages.back().end_layer, border});
  }
  stages.push_back({borders.empty() ? 0 : borders.back(), info.num_vision_layers});
  for (const VisionStage& stage : stages) {
    run(estimate, trace, [&](int rank, const StepContext& step) {
      std::vector<PictureJob> own = jobs[static_cast<std::size_t>(rank)];
      for (PictureJob& job : own) {  // what a stage has no business with is not there
        if (stage.first_layer > 0) job.pixel_values = {};
        if (stage.end_layer < info.num_vision_layers) job.embeds = {};
      }
      const VisionCut used = model(rank).encode(step, own, cut, stage);
      if (cut != VisionCut::kAuto) {
        EXPECT_EQ(used, cut);
      }
      step.stream.synchronize();  // before the jobs go
    });
  }
  for (std::size_t place = 1; place < ranks_.size(); ++place) {
    for (std::size_t picture = 0; picture < pictures.size(); ++picture) {
      EXPECT_TRUE(same_bits(embeds[place][picture], embeds[0][picture]))
          << "rank " << place << ", picture " << picture;
    }
  }
  return std::move(embeds[0]);
}

Tensor ModelUnderTest::forward(const TestPrompt& prompt, std::int64_t begin, std::int64_t end,
                               Trace* trace) {
  const std::int64_t T = end - begin;
  const std::int64_t V = model(0).info().vocab_size;
  const StepInput input(prompt, begin, end, options_);
  std::vector<Tensor> logits;
  for (std::size_t place = 0; place < ranks_.size(); ++place) {
    logits.emplace_back(Tensor(DType::kF32, {T, V}));
  }
  run([&](const Model& each) { return each.forward_workspace_bytes(T, T); }, trace,
      [&](int rank, const StepContext& step) {
        const auto place = static_cast<std::size_t>(rank);
        model(rank).forward(step, input.view(), *ranks_[place]->cache, {.logits = logits[place]});
      });
  for (std::size_t place = 1; place < ranks_.size(); ++place) {
    EXPECT_TRUE(same_bits(logits[place], logits[0])) << "rank " << place;
  }
  num_rows_ = end;
  return std::move(logits[0]);
}

Tensor ModelUnderTest::prompt_logits(const TestPrompt& prompt, std::int64_t chunk, Trace* trace) {
  const auto num_rows = static_cast<std::int64_t>(prompt.ids.size());
  const std::int64_t V = model(0).info().vocab_size;
  if (chunk == 0) chunk = num_rows;
  Tensor all(DType::kF32, {num_rows, V});
  for (std::int64_t begin = 0; begin < num_rows; begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, num_rows);
    const Tensor part = forward(prompt, begin, end, trace);
    std::memcpy(all.view().at<float>(begin), part.view().data,
                static_cast<std::size_t>(part.size_bytes()));
  }
  return all;
}

Tensor ModelUnderTest::next_logits(std::int32_t id, std::int32_t position, Trace* trace) {
  const auto rows = static_cast<std::size_t>(num_rows_) + 1;
  const TestPrompt prompt{.ids = std::vector<std::int32_t>(rows, id),
                          .positions = std::vector<std::int32_t>(rows, position),
                          .pictures = {}};
  return forward(prompt, num_rows_, num_rows_ + 1, trace);
}

bool same_bits(const TensorView& a, const TensorView& b) {
  if (!same_shape(a, b) || a.dtype != b.dtype || !a.is_contiguous() || !b.is_contiguous()) {
    return false;
  }
  const std::int64_t bytes = a.num_elements() * size_of(a.dtype);
  return bytes == 0 || std::memcmp(a.data, b.data, static_cast<std::size_t>(bytes)) == 0;
}

std::int32_t argmax(const TensorView& logits, std::int64_t row) {
  const float* values = logits.at<float>(row);
  return static_cast<std::int32_t>(std::max_element(values, values + logits.shape[1]) - values);
}

}  // namespace cardloom::testing
