#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {
namespace {

constexpr std::int64_t kRunColumns = 1024;   ///< gathered at a time where a row is not dense
constexpr std::int64_t kBlockColumns = 256;  ///< skipped together if none comes far enough

constexpr std::int32_t kNoKey = std::numeric_limits<std::int32_t>::min();

/// Integers in the order of the numbers: vectors of them have a maximum on every path, and NaN has
/// a place, last. -0 + 0 is 0.
inline std::int32_t key_of(float value) {
  const auto bits = std::bit_cast<std::int32_t>(value + 0.0F);
  return value != value ? kNoKey : bits ^ ((bits >> 31) & std::numeric_limits<std::int32_t>::max());
}

struct Entry {
  std::int32_t key;
  std::int32_t column;
};

/// The first k entries, best first. Columns are offered in rising order, so of equal keys the
/// earlier stays in front.
class Best {
 public:
  Best(Entry* entries, std::int64_t k) : entries_(entries), k_(k) {}

  /// Keys up to this one need not be offered.
  [[nodiscard]] std::int32_t bar() const { return size_ < k_ ? kNoKey : entries_[k_ - 1].key; }

  void offer(Entry entry) {
    if (entry.key <= bar()) return;
    std::int64_t place = size_ < k_ ? size_++ : k_ - 1;
    for (; place > 0 && entries_[place - 1].key < entry.key; --place) {
      entries_[place] = entries_[place - 1];
    }
    entries_[place] = entry;
  }

  void offer_all(const RowKernels& rows, const float* values, std::int64_t first_column,
                 std::int64_t n) {
    for (std::int64_t begin = 0; begin < n; begin += kBlockColumns) {
      const std::int64_t count = std::min(kBlockColumns, n - begin);
      if (key_of(rows.largest(values + begin, count)) <= bar()) continue;
      for (std::int64_t i = begin; i < begin + count; ++i) {
        offer({key_of(values[i]), static_cast<std::int32_t>(first_column + i)});
      }
    }
  }

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] const Entry& at(std::int64_t i) const { return entries_[i]; }

 private:
  Entry* entries_;
  std::int64_t k_;
  std::int64_t size_ = 0;
};

void write_row(const TopKArgs& args, std::int64_t m, const Best& best) {
  for (std::int64_t i = 0; i < args.values.shape[1]; ++i) {
    float value = 0;
    std::int32_t id = -1;
    if (i < best.size()) {
      value = reference::load(args.x, m, best.at(i).column);
      id = static_cast<std::int32_t>(args.first_id) + best.at(i).column;
    }
    reference::store(args.values, value, m, i);
    std::memcpy(reference::address(args.ids, m, i), &id, sizeof id);
  }
}

}  // namespace

/// Each task finds the best of some columns of a row; then each row's finds are joined in order.
void top_k(const KernelContext& context, const TopKArgs& args) {
  CpuDevice& device = cpu_device(context);
  const std::int64_t M = args.x.shape[0];
  const std::int64_t n = args.x.shape[1];
  const std::int64_t k = args.values.shape[1];
  if (M == 0 || k == 0) return;
  const std::int64_t num_chunks = ceil_div(n, kTopKColumns);
  const std::int64_t num_lists = M * num_chunks + 1;  // and one to join in
  const auto entry_bytes = static_cast<std::int64_t>(sizeof(Entry));
  auto* entries = reinterpret_cast<Entry*>(device.scratch(
      CpuDevice::kShared,
      num_lists * (k * entry_bytes + static_cast<std::int64_t>(sizeof(std::int64_t)))));
  auto* sizes = reinterpret_cast<std::int64_t*>(entries + num_lists * k);

  device.pool().parallel_for(M * num_chunks, [&](std::int64_t task, int worker) {
    Best best(entries + task * k, k);
    const std::int64_t end = std::min(n, (task % num_chunks + 1) * kTopKColumns);
    for (std::int64_t column = task % num_chunks * kTopKColumns; column < end;) {
      const std::int64_t count = std::min(kRunColumns, end - column);
      auto* scratch = reinterpret_cast<float*>(
          device.scratch(worker, kRunColumns * static_cast<std::int64_t>(sizeof(float))));
      const Run run{args.x.dtype, reference::address(args.x, task / num_chunks, column),
                    args.x.stride[1]};
      best.offer_all(device.rows(), read_run(device.rows(), run, count, scratch), column, count);
      column += count;
    }
    sizes[task] = best.size();
  });

  for (std::int64_t m = 0; m < M; ++m) {
    Best best(entries + M * num_chunks * k, k);
    for (std::int64_t list = m * num_chunks; list < (m + 1) * num_chunks; ++list) {
      for (std::int64_t i = 0; i < sizes[list]; ++i) best.offer(entries[list * k + i]);
    }
    write_row(args, m, best);
  }
}

}  // namespace cardloom::cpu
