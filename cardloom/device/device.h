#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/parallel.h"
#include "cardloom/device/kernel_table.h"
#include "cardloom/tensor/device_id.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom {

/// The largest calls that will come to a card: what the scratch memory of its kernels depends on.
struct ScratchNeeds {
  struct Product {
    std::int64_t rows = 0;
    std::int64_t depth = 0;  ///< K of this rank
  };
  struct Attention {
    std::int64_t rows = 0;
    std::int64_t heads = 0;  ///< of this rank
    std::int64_t groups = 0;
    std::int64_t head_dim = 0;
    std::int64_t keys = 0;  ///< of one sequence
  };
  DType dtype = DType::kBF16;  ///< of activations
  std::vector<Product> products{};
  std::vector<Attention> attentions{};
  std::int64_t width = 0;           ///< of rows that are normed
  std::int64_t candidate_rows = 0;  ///< of logits of which the largest are wanted
  std::int64_t candidates = 0;      ///< how many of each
  std::int64_t vocabulary = 0;      ///< of this rank
  // What ranks send each other, if there are several:
  std::int64_t exchanged_rows = 0;
  std::int64_t exchanged_columns = 0;
  std::int64_t gathered_bytes = 0;
};

/// A card: something that holds one shard of the model and runs kernels on it.
class Device {
 public:
  virtual ~Device() = default;
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] virtual DeviceId id() const = 0;
  [[nodiscard]] virtual const KernelTable& kernels() const = 0;
  /// Moves the calling thread to the card: a stream's executor before its first kernel, and the
  /// thread that first writes the card's weights (a CPU card pins it to its first core, so that
  /// pages come to lie in the memory next to it).
  virtual void bind_thread() = 0;
  /// How many threads (CPU) work on one kernel.
  [[nodiscard]] virtual int num_threads() const = 0;
  /// Work of the host for the card on all of its threads, as a ParallelFor (a CPU card packs its
  /// weights so). Only from a thread that bind_thread() moved here, and while no stream runs.
  virtual void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body) {
    run_serially(count, body);
  }
  /// Takes and touches the scratch memory that kernels need for such calls, so that none of them
  /// finds the machine's memory gone. Throws kResourceExhausted. As parallel_for.
  virtual void reserve_scratch(const ScratchNeeds& needs) { static_cast<void>(needs); }
  /// The instruction path that decides the bits of results: "avx512_bf16", "avx2", "plain".
  [[nodiscard]] virtual std::string_view instruction_path() const = 0;
};

}  // namespace cardloom
