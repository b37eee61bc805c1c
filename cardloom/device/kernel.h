#pragma once

#include "cardloom/oplog/op_record.h"

namespace cardloom {

class Device;
class OpLog;

/// What a kernel gets besides its operands.
struct KernelContext {
  Device* device = nullptr;
  const OpLog* log = nullptr;
  OpRecord* record = nullptr;  ///< of the running launch: packs and copies are counted there

  /// Counts one pack or copy that a layout forced (promise 2: never hidden).
  void count_copy(std::int64_t bytes) const {
    ++record->copies;
    record->copy_bytes += static_cast<std::uint64_t>(bytes);
  }
};

/// A kernel of one operator: `Args` is the operator's POD of operands and options and has a
/// `static constexpr OpId kOp`. It runs on the stream's executor thread and may throw Exception.
template <class Args>
using Kernel = void (*)(const KernelContext&, const Args&);

}  // namespace cardloom
