#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/tensor/tensor_view.h"

namespace cardloom {

/// Every operator there is. The name of an operator in code, errors, logs and tables.
enum class OpId : std::uint8_t {
  kMatmul,
  kMatmulAllReduce,
  kAllGather,
  kRmsNorm,
  kLayerNorm,
  kRotaryEmbedding,
  kKvAppend,
  kPagedAttention,
  kAttention,
  kSiluAndMul,
  kGelu,
  kConv2d,
  kEmbeddingLookup,
  kCopy,
  kAdd,
  kScale,
  kTopK,
};
inline constexpr int kNumOps = static_cast<int>(OpId::kTopK) + 1;

/// "matmul_all_reduce".
[[nodiscard]] std::string_view to_string(OpId op);

enum class OpState : std::uint8_t { kFree, kOpen, kRunning, kDone, kFailed, kSkipped };
[[nodiscard]] std::string_view to_string(OpState state);

/// What an operand is to its operator. A packed weight has a shape but no strides.
enum class OperandRole : std::uint8_t { kInput, kOutput, kWeight };

/// One operand as it was at the call: enough to write `bf16[T, H]{ld, 1}@cpu:0` later.
struct OperandRecord {
  std::uint64_t address = 0;
  std::int64_t shape[TensorView::kMaxRank] = {};
  std::int64_t stride[TensorView::kMaxRank] = {};
  DType dtype = DType::kF32;
  std::int8_t rank = 0;
  DeviceId device{};
  OperandRole role = OperandRole::kInput;
};

inline constexpr int kMaxOperands = 6;

/// One use of one operator by one rank. A POD without pointers: records lie in a ring that can live
/// in shared memory and outlive the process that wrote it; names are ids into the same memory.
struct alignas(64) OpRecord {
  std::uint64_t sequence = 0;  ///< launch number on this rank, from 1; 0 = never used
  std::uint32_t site_id = 0;   ///< interned call site (file, line, function)
  std::uint32_t scope_id = 0;  ///< interned layer path, `text.layers.17.mlp`
  std::uint32_t step_id = 0;   ///< which step of the model; 0 outside one
  std::uint32_t copies = 0;    ///< packs and copies that a layout forced
  std::uint64_t copy_bytes = 0;
  std::uint64_t fingerprint = 0;  ///< of the outputs, if the stream takes fingerprints; else 0
  std::int64_t opened_ns = 0;     ///< steady clock
  std::int64_t started_ns = 0;
  std::int64_t finished_ns = 0;
  OpId op = OpId::kMatmul;
  OpState state = OpState::kFree;  ///< read and written atomically, see OpLog
  std::uint8_t num_operands = 0;
  std::uint8_t rank = 0;  ///< the rank (card), not the number of axes
  OperandRecord operands[kMaxOperands];
};
static_assert(sizeof(OpRecord) == 576, "header line and a half plus six operands of 80 bytes");

/// `bf16[3, 4096]{4608, 1}@cpu:0`, or `bf16(4096, 4096)` for a packed weight.
[[nodiscard]] std::string to_string(const OperandRecord& operand);

}  // namespace cardloom
