#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "cardloom/comm/thread_communicator.h"
#include "cardloom/engine/engine.h"

namespace cardloom::testing {

/// What goes wrong, when and where: in forward call or encode call `call` of rank `rank`, from 1.
struct Fault {
  enum class Kind { kNone, kThrow, kThrowStandard, kKernelThrows, kStall, kNanLogits };
  Kind kind = Kind::kNone;
  int rank = 0;
  int call = 0;
  bool in_encode = false;
  std::chrono::milliseconds stall{0};
};

/// What all ranks of a HistoryModel share with the test.
struct HistoryModelControl {
  Fault fault;
  int num_layers = 1;
  std::atomic<bool> release_stall{false};
  std::atomic<int> num_encoded{0};  ///< pictures, on rank 0: through their last stage
  std::atomic<int> num_forward{0};  ///< calls, on rank 0
  std::atomic<int> copies_per_forward{0};
  std::int64_t max_rows_seen = 0;  ///< on rank 0's thread; read between steps
};

constexpr std::int64_t kHistoryVocab = 61;
constexpr std::int64_t kHistoryImageRows = 5;
constexpr std::int64_t kHistoryImageSize = 2;
constexpr int kHistoryVisionLayers = 3;
constexpr std::int64_t kHistoryMaxPositions = 400;

/// A model small enough to be checked by hand, yet with all that an engine can get wrong: a row's
/// logits are a hash of everything the row can see - ids or picture rows and positions, in order -
/// *read back through the block tables from the KV cache*, where each rank wrote it. Ranks compute
/// the columns of logits that they own and gather them through the communicator.
class HistoryModel final : public Model {
 public:
  HistoryModel(Communicator& comm, std::shared_ptr<HistoryModelControl> control);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t forward_workspace_bytes(std::int64_t T, std::int64_t R) const override;
  [[nodiscard]] std::int64_t encode_workspace_bytes(std::int64_t num_pictures) const override;
  VisionCut encode(const StepContext& step, std::span<const PictureJob> pictures, VisionCut cut,
                   const VisionStage& stage) override;
  void forward(const StepContext& step, const ModelInput& input, const KvCache& kv_cache,
               const ModelOutput& output) override;

 private:
  [[nodiscard]] bool fails_now(const Fault::Kind& kind, bool in_encode) const;
  void throw_if_told(bool in_encode) const;

  Communicator& comm_;
  std::shared_ptr<HistoryModelControl> control_;
  ModelInfo info_;
  int num_forward_ = 0;
  int num_encode_ = 0;
};

/// Lets a stalled kernel go on whose engine is gone already, and waits until its thread holds
/// nothing more: it must end before the process does.
void release_stuck_thread(const std::shared_ptr<HistoryModelControl>& control);

/// The logits that HistoryModel must give for the last of `history`'s rows: the definition, without
/// cache, chunks, ranks or engine. A row: the id, or the value of a picture's row; its position.
struct HistoryRow {
  float value = 0;
  std::int32_t position = 0;
};
std::vector<float> history_logits(const std::vector<HistoryRow>& history);
/// Value of row `row` of the picture `pixel_values`.
float history_picture_row(const TensorView& pixel_values, std::int64_t row);

/// `tp` CPU cards that are threads of this process.
CardGroup make_cards(int tp, ThreadGroupOptions options = {.spins = 0});
/// Makes HistoryModels.
ModelFactory history_models(std::shared_ptr<HistoryModelControl> control);

/// A prompt of `rows` ids that depend on `seed`.
Prompt make_prompt(std::int32_t rows, std::uint32_t seed);
/// The same with a picture behind row `at`.
Prompt make_picture_prompt(std::int32_t rows, std::int32_t at, std::uint32_t seed);

/// The ids that greedy decoding must give, by the definition.
std::vector<std::int32_t> expected_ids(const Prompt& prompt, std::int64_t num_tokens);

}  // namespace cardloom::testing
