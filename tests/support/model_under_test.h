#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/comm/thread_communicator.h"
#include "cardloom/layers/trace.h"
#include "cardloom/models/registry.h"

namespace cardloom::testing {

/// Rows of a picture in a prompt.
struct PromptPicture {
  std::int64_t first_row = 0;
  TensorView embeds;  ///< [rows, H], the model's dtype
};

struct TestPrompt {
  std::vector<std::int32_t> ids;        ///< one a row
  std::vector<std::int32_t> positions;  ///< one a row
  std::int32_t next_position = 0;       ///< of the first generated token
  std::vector<PromptPicture> pictures;
};

struct ModelUnderTestOptions {
  int tp = 1;
  DType dtype = DType::kF32;
  cpu::Isa isa = cpu::supported_isas().back();
  std::int64_t block_size = 16;
  std::int64_t max_rows = 640;  ///< of the one sequence
};

/// A model on `tp` ranks that are threads, and one sequence: the least that runs a model. Every
/// call checks that all ranks end with the same bits and that the workspace stayed within the
/// model's own estimate.
class ModelUnderTest {
 public:
  ModelUnderTest(const LoadedModelDirectory& directory, const ModelUnderTestOptions& options);
  ~ModelUnderTest();

  /// Embeds of pictures (f32 [3, S, S]), one tensor [rows, H] of the model's dtype each.
  /// `borders` are where the tower's layers are parted into stages, ascending.
  [[nodiscard]] std::vector<Tensor> encode(const std::vector<TensorView>& pictures,
                                           VisionCut cut = VisionCut::kHeads,
                                           Trace* trace = nullptr,
                                           const std::vector<int>& borders = {});

  /// Begins a new sequence with `prompt`, `chunk` rows a step (0: all at once); f32 [rows, V].
  [[nodiscard]] Tensor prompt_logits(const TestPrompt& prompt, std::int64_t chunk = 0,
                                     Trace* trace = nullptr);
  /// One more row behind the sequence; f32 [1, V].
  [[nodiscard]] Tensor next_logits(std::int32_t id, std::int32_t position, Trace* trace = nullptr);

  [[nodiscard]] Model& model(int rank) const { return *models_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] const OpLog& log(int rank) const;
  /// The largest workspace use of the last call, over ranks, and that rank's estimate.
  [[nodiscard]] std::int64_t peak_bytes() const { return peak_bytes_; }
  [[nodiscard]] std::int64_t planned_bytes() const { return planned_bytes_; }

 private:
  struct Rank;
  using Estimate = std::function<std::int64_t(const Model&)>;
  using Work = std::function<void(int rank, const StepContext& step)>;
  void run(const Estimate& estimate, Trace* trace, const Work& work);
  Tensor forward(const TestPrompt& prompt, std::int64_t begin, std::int64_t end, Trace* trace);

  ModelUnderTestOptions options_;
  std::unique_ptr<ThreadGroup> group_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<std::unique_ptr<Model>> models_;
  std::int64_t num_rows_ = 0;  ///< in the cache
  std::int64_t peak_bytes_ = 0;
  std::int64_t planned_bytes_ = 0;
};

/// Whether both have the same dtype, shape and bits (contiguous views).
[[nodiscard]] bool same_bits(const TensorView& a, const TensorView& b);

/// The index of the largest value of row `row` of f32 [rows, V].
[[nodiscard]] std::int32_t argmax(const TensorView& logits, std::int64_t row);

}  // namespace cardloom::testing
