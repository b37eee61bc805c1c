#include "tests/engine/history_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/ops/op_launch.h"
#include "cardloom/ops/top_k.h"

namespace cardloom::testing {
namespace {

std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

struct HistoryHash {
  std::uint64_t bits = 1;
  void add(float value, float position) {
    std::uint32_t words[2];
    std::memcpy(words, &value, 4);
    std::memcpy(words + 1, &position, 4);
    bits = mix(bits ^ words[0]) + words[1];
  }
  [[nodiscard]] float logit(std::int64_t id) const {
    const std::uint64_t hash = mix(bits + static_cast<std::uint64_t>(id) * 7919);
    return static_cast<float>(hash >> 40) * 0x1p-20F - 8;  // 24 bits: few ties
  }
};

/// First launch of a forward: every rank writes all rows into its own cache.
/// The operator's name and dtype are ones that no card has a kernel for.
struct WriteArgs {
  static constexpr OpId kOp = OpId::kScale;
  TensorView token_ids;
  TensorView positions;
  TensorView slot_mapping;
  TensorView values;  ///< f32 [T]: picture rows; NaN: the token's id
  KvLayer cache;
  int copies = 0;
};

void write_rows(const KernelContext& context, const WriteArgs& args) {
  const std::int64_t block_size = args.cache.keys.shape[1];
  for (std::int64_t row = 0; row < args.token_ids.shape[0]; ++row) {
    const std::int64_t slot = *args.slot_mapping.at<std::int64_t>(row);
    const float picture = *args.values.at<float>(row);
    const float value =
        picture == picture ? picture : static_cast<float>(*args.token_ids.at<std::int32_t>(row));
    *args.cache.keys.at<float>(slot / block_size, slot % block_size) = value;
    *args.cache.values.at<float>(slot / block_size, slot % block_size) =
        static_cast<float>(*args.positions.at<std::int32_t>(row));
  }
  for (int copy = 0; copy < args.copies; ++copy) context.count_copy(100);
}

/// Second launch: columns of this rank, then everybody's.
struct LogitsArgs {
  static constexpr OpId kOp = OpId::kScale;
  TensorView token_sequences;
  TensorView context_lens;
  TensorView block_tables;
  TensorView logits_rows;
  KvLayer cache;
  TensorView logits;
  Communicator* comm = nullptr;
  HistoryModelControl* control = nullptr;
  Fault fault;  ///< of this very launch
};

void stall(const LogitsArgs& args) {
  const auto end = std::chrono::steady_clock::now() + args.fault.stall;
  while (std::chrono::steady_clock::now() < end && !args.control->release_stall.load()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::int64_t first_column(int rank, int world_size) { return kHistoryVocab * rank / world_size; }

void compute_own_columns(const LogitsArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t block_size = args.cache.keys.shape[1];
  for (std::int64_t index = 0; index < args.logits_rows.shape[0]; ++index) {
    const std::int32_t row = *args.logits_rows.at<std::int32_t>(index);
    const std::int32_t sequence = *args.token_sequences.at<std::int32_t>(row);
    HistoryHash hash;
    for (std::int32_t key = 0; key < *args.context_lens.at<std::int32_t>(row); ++key) {
      const std::int64_t block = *args.block_tables.at<std::int32_t>(sequence, key / block_size);
      hash.add(*args.cache.keys.at<float>(block, key % block_size),
               *args.cache.values.at<float>(block, key % block_size));
    }
    for (std::int64_t id = begin; id < end; ++id) {
      *args.logits.at<float>(index, id) = args.fault.kind == Fault::Kind::kNanLogits
                                              ? std::numeric_limits<float>::quiet_NaN()
                                              : hash.logit(id);
    }
  }
}

/// Rows of all ranks' columns through the communicator's buffers; one call.
void gather(const KernelContext& context, const LogitsArgs& args) {
  Communicator& comm = *args.comm;
  const std::int64_t R = args.logits.shape[0];
  CallDescriptor descriptor{.op = OpId::kAllGather, .M = R, .N = kHistoryVocab};
  const std::uint64_t call = comm.enter(descriptor, *context.log, *context.record);
  const auto columns = [&](int rank, std::int64_t& begin, std::int64_t& count) {
    begin = first_column(rank, comm.world_size());
    count = first_column(rank + 1, comm.world_size()) - begin;
  };
  std::int64_t begin = 0;
  std::int64_t count = 0;
  columns(comm.rank(), begin, count);
  for (std::int64_t row = 0; row < R; ++row) {
    std::memcpy(comm.buffer(comm.rank(), call) + row * count * 4, args.logits.at<float>(row, begin),
                static_cast<std::size_t>(count * 4));
  }
  comm.post(call, 0);
  for (int peer = 0; peer < comm.world_size(); ++peer) {
    if (peer == comm.rank()) continue;
    comm.expect(peer, call);
    comm.wait(peer, call, 0);
    columns(peer, begin, count);
    for (std::int64_t row = 0; row < R; ++row) {
      std::memcpy(args.logits.at<float>(row, begin), comm.buffer(peer, call) + row * count * 4,
                  static_cast<std::size_t>(count * 4));
    }
  }
}

void history_logits_kernel(const KernelContext& context, const LogitsArgs& args) {
  if (args.fault.kind == Fault::Kind::kKernelThrows) {
    throw_error(ErrorCode::kDataLoss, "the kernel broke", "on purpose");
  }
  if (args.fault.kind == Fault::Kind::kStall) stall(args);
  compute_own_columns(args, first_column(args.comm->rank(), args.comm->world_size()),
                      first_column(args.comm->rank() + 1, args.comm->world_size()));
  gather(context, args);
}

struct EncodeArgs {
  static constexpr OpId kOp = OpId::kScale;
  VisionStage stage;
  PictureJob job;
};

/// Each layer doubles the hidden state, which the last stage undoes, exactly: so a stage that is
/// left out, repeated or given another picture's state is seen.
void encode_kernel(const KernelContext&, const EncodeArgs& args) {
  const auto& [pixel_values, hidden, embeds] = args.job;
  for (std::int64_t row = 0; row < hidden.shape[0]; ++row) {
    float& state = *hidden.at<float>(row, 0);
    if (args.stage.first_layer == 0) state = history_picture_row(pixel_values, row);
    state = std::ldexp(state, args.stage.end_layer - args.stage.first_layer);
    if (args.stage.end_layer < kHistoryVisionLayers) continue;
    for (std::int64_t column = 0; column < embeds.shape[1]; ++column) {
      *embeds.at<float>(row, column) =
          std::ldexp(state, -kHistoryVisionLayers) + static_cast<float>(column);
    }
  }
}

}  // namespace

HistoryModel::HistoryModel(Communicator& comm, std::shared_ptr<HistoryModelControl> control)
    : comm_(comm), control_(std::move(control)) {
  info_ = {.architecture = "history",
           .dtype = DType::kF32,
           .vocab_size = kHistoryVocab,
           .hidden_size = 3,
           .num_layers = control_->num_layers,
           .num_kv_heads = 1,
           .head_dim = 1,
           .max_positions = kHistoryMaxPositions,
           .image_rows = kHistoryImageRows,
           .image_size = kHistoryImageSize,
           .num_vision_layers = kHistoryVisionLayers,
           .vision_rows = kHistoryImageRows,
           .vision_hidden_size = 1};
}

std::int64_t HistoryModel::forward_workspace_bytes(std::int64_t T, std::int64_t R) const {
  return T * 4 + R * kHistoryVocab * 4 + 128;
}
std::int64_t HistoryModel::encode_workspace_bytes(std::int64_t num_pictures) const {
  return num_pictures * 64;
}

bool HistoryModel::fails_now(const Fault::Kind& kind, bool in_encode) const {
  const Fault& fault = control_->fault;
  return fault.kind == kind && fault.in_encode == in_encode && fault.rank == comm_.rank() &&
         fault.call == (in_encode ? num_encode_ : num_forward_);
}

void HistoryModel::throw_if_told(bool in_encode) const {
  if (fails_now(Fault::Kind::kThrow, in_encode)) {
    throw_error(ErrorCode::kInvalidArgument, "matmul: x must fit w", "operands of rank 1");
  }
  if (fails_now(Fault::Kind::kThrowStandard, in_encode)) {
    throw std::runtime_error("something else");
  }
}

VisionCut HistoryModel::encode(const StepContext& step, std::span<const PictureJob> pictures,
                               VisionCut cut, const VisionStage& stage) {
  ++num_encode_;
  const bool is_last = stage.end_layer == kHistoryVisionLayers;
  for (const PictureJob& picture : pictures) {
    (void)step.workspace.take(DType::kU8, {64});
    OpLaunch launch(step.stream, OpId::kScale,
                    {in(stage.first_layer == 0 ? picture.pixel_values : picture.hidden),
                     out(is_last ? picture.embeds : picture.hidden)},
                    Location::current());
    launch.enqueue<EncodeArgs>(DType::kI8, encode_kernel, {stage, picture});
    if (comm_.rank() == 0 && is_last) ++control_->num_encoded;
    throw_if_told(true);
  }
  const bool has_enough = static_cast<int>(pictures.size()) >= comm_.world_size();
  if (cut != VisionCut::kAuto) return cut;
  return has_enough ? VisionCut::kPictures : VisionCut::kHeads;
}

void HistoryModel::forward(const StepContext& step, const ModelInput& input,
                           const KvCache& kv_cache, const ModelOutput& output) {
  ++num_forward_;
  const std::int64_t T = input.token_ids.shape[0];
  if (comm_.rank() == 0) {
    ++control_->num_forward;
    control_->max_rows_seen = std::max(control_->max_rows_seen, T);
  }
  const TensorView values = step.workspace.take(DType::kF32, {T});
  const std::int64_t R = input.logits_rows.shape[0];
  const TensorView logits =
      output.logits.rank > 0 ? output.logits : step.workspace.take(DType::kF32, {R, kHistoryVocab});
  for (std::int64_t row = 0; row < T; ++row) {
    *values.at<float>(row) = std::numeric_limits<float>::quiet_NaN();
  }
  for (const ImageRows& image : input.image_rows) {
    for (std::int64_t row = 0; row < image.embeds.shape[0]; ++row) {
      *values.at<float>(image.first_row + row) = *image.embeds.at<float>(row, 0);
    }
  }
  const OpScope scope(step.stream.log(), "history", 3);
  {
    OpLaunch launch(step.stream, OpId::kScale, {in(input.token_ids)}, Location::current());
    launch.enqueue<WriteArgs>(DType::kI8, write_rows,
                              {input.token_ids, input.positions, input.slot_mapping, values,
                               kv_cache.layer(0), control_->copies_per_forward.load()});
  }
  throw_if_told(false);
  LogitsArgs args{input.token_sequences,
                  input.context_lens,
                  input.block_tables,
                  input.logits_rows,
                  kv_cache.layer(0),
                  logits,
                  &comm_,
                  control_.get(),
                  {}};
  for (const Fault::Kind kind :
       {Fault::Kind::kKernelThrows, Fault::Kind::kStall, Fault::Kind::kNanLogits}) {
    if (fails_now(kind, false)) args.fault = control_->fault;
  }
  OpLaunch launch(step.stream, OpId::kScale, {in(input.logits_rows), out(logits)},
                  Location::current());
  launch.enqueue<LogitsArgs>(DType::kI8, history_logits_kernel, args);
  if (output.logits.rank > 0) return;
  const std::int64_t begin = first_column(comm_.rank(), comm_.world_size());
  const std::int64_t end = first_column(comm_.rank() + 1, comm_.world_size());
  ops::top_k(step.stream, logits.slice(1, begin, end), begin, output.candidate_logits,
             output.candidate_ids);
}

std::vector<float> history_logits(const std::vector<HistoryRow>& history) {
  HistoryHash hash;
  for (const HistoryRow& row : history) hash.add(row.value, static_cast<float>(row.position));
  std::vector<float> logits;
  for (std::int64_t id = 0; id < kHistoryVocab; ++id) logits.push_back(hash.logit(id));
  return logits;
}

float history_picture_row(const TensorView& pixel_values, std::int64_t row) {
  float sum = 0.25F;
  for (std::int64_t element = 0; element < pixel_values.num_elements(); ++element) {
    sum += reinterpret_cast<const float*>(pixel_values.data)[element];
  }
  return sum + 16 * static_cast<float>(row);
}

CardGroup make_cards(int tp, ThreadGroupOptions options) {
  auto group = std::make_shared<ThreadGroup>(tp, options);
  CardGroup cards;
  for (int rank = 0; rank < tp; ++rank) {
    cards.devices.push_back(std::make_unique<cpu::CpuDevice>(rank, cpu::CpuDeviceOptions{}));
  }
  cards.communicator = [group](int rank) -> Communicator& { return group->communicator(rank); };
  cards.reset = [group] { group->reset(); };
  cards.keep_alive = group;
  return cards;
}

void release_stuck_thread(const std::shared_ptr<HistoryModelControl>& control) {
  control->release_stall = true;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (control.use_count() > 1 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(control.use_count(), 1);
}

ModelFactory history_models(std::shared_ptr<HistoryModelControl> control) {
  return [control](const CardGroup& cards) {
    std::vector<std::unique_ptr<Model>> models;
    for (std::size_t rank = 0; rank < cards.devices.size(); ++rank) {
      models.push_back(
          std::make_unique<HistoryModel>(cards.communicator(static_cast<int>(rank)), control));
    }
    return models;
  };
}

Prompt make_prompt(std::int32_t rows, std::uint32_t seed) {
  Prompt prompt;
  for (std::int32_t row = 0; row < rows; ++row) {
    prompt.token_ids.push_back(static_cast<std::int32_t>(
        mix(seed * 1000 + static_cast<std::uint32_t>(row)) % kHistoryVocab));
    prompt.positions.push_back(row);
  }
  prompt.next_position = rows;
  return prompt;
}

Prompt make_picture_prompt(std::int32_t rows, std::int32_t at, std::uint32_t seed) {
  Prompt prompt = make_prompt(rows, seed);
  prompt.token_ids.insert(prompt.token_ids.begin() + at, kHistoryImageRows, 60);
  prompt.positions.clear();
  for (std::int32_t position = 0; position <= rows; ++position) {
    const std::int64_t count = position == at ? kHistoryImageRows : 1;  // a picture has one for all
    prompt.positions.insert(prompt.positions.end(), static_cast<std::size_t>(count), position);
  }
  prompt.next_position = rows + 1;
  prompt.image_spans.push_back({at, at + kHistoryImageRows, 0});
  Tensor pixels(DType::kF32, {3, kHistoryImageSize, kHistoryImageSize});
  for (std::int64_t element = 0; element < pixels.view().num_elements(); ++element) {
    pixels.view().at<float>()[element] = static_cast<float>(mix(seed + 99U) % 8U);
  }
  prompt.images.push_back(std::move(pixels));
  return prompt;
}

std::vector<std::int32_t> expected_ids(const Prompt& prompt, std::int64_t num_tokens) {
  std::vector<HistoryRow> history;
  for (std::size_t row = 0; row < prompt.token_ids.size(); ++row) {
    history.push_back({static_cast<float>(prompt.token_ids[row]), prompt.positions[row]});
  }
  for (const ImageSpan& span : prompt.image_spans) {
    for (std::int64_t row = span.begin; row < span.end; ++row) {
      history[static_cast<std::size_t>(row)].value = history_picture_row(
          prompt.images[static_cast<std::size_t>(span.image)], row - span.begin);
    }
  }
  std::vector<std::int32_t> ids;
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    const std::vector<float> logits = history_logits(history);
    ids.push_back(
        static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    history.push_back(
        {static_cast<float>(ids.back()), prompt.next_position + static_cast<std::int32_t>(token)});
  }
  return ids;
}

}  // namespace cardloom::testing
