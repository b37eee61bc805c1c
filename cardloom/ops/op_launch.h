#pragma once

#include <array>
#include <string>

#include "cardloom/device/stream.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom {

/// Operands of a call, as the operator log keeps them.
[[nodiscard]] inline Operand in(const TensorView& view) { return {view, OperandRole::kInput}; }
[[nodiscard]] inline Operand out(const TensorView& view) { return {view, OperandRole::kOutput}; }
[[nodiscard]] inline Operand weight(const PackedMatrix& w) {
  return {w.as_operand(), OperandRole::kWeight};
}

/// One use of one operator on one stream. It is on record before its arguments are checked and
/// before its kernel may run, so that every failure, now or later on another thread, can name the
/// line of model code that asked. Every operator is: record, require, enqueue.
class OpLaunch {
 public:
  OpLaunch(Stream& stream, OpId op, std::initializer_list<Operand> operands, Location caller);
  ~OpLaunch();
  OpLaunch(const OpLaunch&) = delete;
  OpLaunch& operator=(const OpLaunch&) = delete;

  /// Throws kInvalidArgument "<op>: <rule>" with the record's operands, unless `holds`.
  void require(bool holds, const char* rule) const;
  /// The same with a rule that carries values, built only when it is broken:
  /// `if (bad) launch.refuse(fmt::format(...))`.
  [[noreturn]] void refuse(const std::string& rule,
                           ErrorCode code = ErrorCode::kInvalidArgument) const;

  /// The output must not share memory with itself (broadcast) nor with `input`.
  void require_own_memory(const TensorView& output) const;
  void require_apart(const TensorView& output, const TensorView& input, const char* name) const;

  /// Runs the device's kernel for (Args::kOp, dtype), or `reference` if it has none, after all
  /// earlier work of the stream; returns at once. A failure becomes an Error with this launch's
  /// record, kept by the stream; if the failing code threw an Exception, its message is kept and
  /// its detail joined to the record's.
  template <class Args>
  void enqueue(DType dtype, Kernel<Args> reference, const Args& args) {
    const Kernel<Args> found = stream_.device().kernels().template find<Args>(dtype);
    const Kernel<Args> kernel = found != nullptr ? found : reference;
    enqueued_ = true;
    stream_.launch([stream = &stream_, record = &record_, kernel, args] {
      if (!begin(*stream, *record)) return;
      const KernelContext context{&stream->device(), &stream->log(), record};
      try {
        kernel(context, args);
        finish(*stream, *record);
      } catch (const std::exception& failure) {
        fail(*stream, *record, failure);
      }
    });
  }

 private:
  static bool begin(Stream& stream, OpRecord& record);
  static void finish(Stream& stream, OpRecord& record);
  static void fail(Stream& stream, OpRecord& record, const std::exception& failure);

  Stream& stream_;
  OpRecord& record_;
  bool enqueued_ = false;
};

/// What `check` compares: over all elements of `view`, the sum modulo 2^64 of a 64-bit mix of
/// (index along axis 0, the element's bits). Independent of layout and of the order of the other
/// axes, so the fingerprints of a tensor's column shards add up to the fingerprint of the whole.
[[nodiscard]] std::uint64_t fingerprint(const TensorView& view);

}  // namespace cardloom
