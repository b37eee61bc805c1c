#include "apps/op_compare.h"

#include <cstring>
#include <map>
#include <tuple>

namespace cardloom::app {
namespace {

using Key = std::tuple<std::uint32_t, std::string, OpId, std::int64_t>;

/// Keys of calls in order: the last part numbers calls that are otherwise alike.
std::vector<Key> keys_of(const std::vector<OpCall>& calls) {
  std::map<std::tuple<std::uint32_t, std::string, OpId>, std::int64_t> counts;
  std::vector<Key> keys;
  keys.reserve(calls.size());
  for (const OpCall& call : calls) {
    const std::int64_t number = counts[{call.record.step_id, call.scope, call.record.op}]++;
    keys.emplace_back(call.record.step_id, call.scope, call.record.op, number);
  }
  return keys;
}

std::vector<OperandRecord> outputs_of(const OpRecord& record) {
  std::vector<OperandRecord> outputs;
  for (int index = 0; index < record.num_operands; ++index) {
    if (record.operands[index].role == OperandRole::kOutput) {
      outputs.push_back(record.operands[index]);
    }
  }
  return outputs;
}

std::int64_t num_elements(const OperandRecord& operand) {
  std::int64_t count = 1;
  for (int axis = 0; axis < operand.rank; ++axis) count *= operand.shape[axis];
  return count;
}

bool same_shape(const OperandRecord& a, const OperandRecord& b) {
  return a.rank == b.rank && std::memcmp(a.shape, b.shape, sizeof a.shape) == 0;
}

enum class Share { kWhole, kNothing, kPart };

Share share_of(const std::vector<OperandRecord>& whole, const std::vector<OperandRecord>& own) {
  bool equal = whole.size() == own.size();
  bool empty = true;
  for (std::size_t index = 0; index < own.size(); ++index) {
    equal = equal && same_shape(whole[index], own[index]);
    empty = empty && num_elements(own[index]) == 0;
  }
  if (equal) return Share::kWhole;
  return empty ? Share::kNothing : Share::kPart;
}

/// Whether the ranks' outputs, side by side along any axis but the first, are as large as the
/// whole.
bool adds_up(const std::vector<OperandRecord>& whole, const std::vector<const OpCall*>& ranks) {
  for (std::size_t index = 0; index < whole.size(); ++index) {
    std::int64_t sum = 0;
    for (const OpCall* call : ranks) {
      const std::vector<OperandRecord> own = outputs_of(call->record);
      if (own.size() != whole.size() || own[index].rank != whole[index].rank) return false;
      if (own[index].rank == 0 || own[index].shape[0] != whole[index].shape[0]) return false;
      sum += num_elements(own[index]);
    }
    if (sum != num_elements(whole[index])) return false;
  }
  return true;
}

std::string operands_text(const OpRecord& record) {
  std::string text;
  for (int index = 0; index < record.num_operands; ++index) {
    text += (index == 0 ? "" : ", ") + to_string(record.operands[index]);
  }
  return text;
}

OpDifference difference(const OpCall& one, int rank, std::uint64_t many) {
  return {.op = std::string(to_string(one.record.op)),
          .scope = one.scope,
          .site = one.site,
          .rank = rank,
          .one = one.record.fingerprint,
          .many = many,
          .operands = operands_text(one.record)};
}

void compare_call(const OpCall& one, const std::vector<const OpCall*>& ranks,
                  OpComparison& result) {
  const std::vector<OperandRecord> whole = outputs_of(one.record);
  bool replicated = true;
  std::optional<OpDifference> found;
  std::uint64_t sum = 0;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::uint64_t fingerprint = ranks[rank]->record.fingerprint;
    sum += fingerprint;
    const Share share = share_of(whole, outputs_of(ranks[rank]->record));
    if (share == Share::kPart) replicated = false;
    if (share == Share::kWhole && fingerprint != one.record.fingerprint && !found) {
      found = difference(one, static_cast<int>(rank), fingerprint);
    }
  }
  if (replicated) {
    ++result.num_replicated;
  } else if (adds_up(whole, ranks)) {
    ++result.num_added_up;
    if (!found && sum != one.record.fingerprint) found = difference(one, -1, sum);
  } else {
    ++result.num_covered;
  }
  if (!found) return;
  ++result.num_different;
  if (!result.first) result.first = std::move(found);
}

/// 0 contiguous, 1 rows apart but dense, 2 anything.
int layout_class(const OpRecord& record) {
  int worst = 0;
  for (int index = 0; index < record.num_operands; ++index) {
    const OperandRecord& operand = record.operands[index];
    if (operand.role != OperandRole::kInput) continue;
    TensorView view;
    view.rank = static_cast<int>(operand.rank);
    std::memcpy(view.shape, operand.shape, sizeof view.shape);
    std::memcpy(view.stride, operand.stride, sizeof view.stride);
    const int own = view.is_contiguous() || view.num_elements() == 0 ? 0
                    : view.has_dense_rows()                          ? 1
                                                                     : 2;
    worst = std::max(worst, own);
  }
  return worst;
}

}  // namespace

void OpCollector::read(const OpLog& log) {
  for (const OpRecord& record : log.snapshot(last_)) {
    num_lost_ += record.sequence - last_ - 1;
    last_ = record.sequence;
    calls_.push_back({record, std::string(log.scope(record)), log.site(record)});
  }
}

OpComparison compare_calls(const std::vector<OpCall>& one,
                           const std::vector<std::vector<OpCall>>& many) {
  std::vector<std::map<Key, const OpCall*>> by_key(many.size());
  for (std::size_t rank = 0; rank < many.size(); ++rank) {
    const std::vector<Key> keys = keys_of(many[rank]);
    for (std::size_t index = 0; index < keys.size(); ++index) {
      by_key[rank][keys[index]] = &many[rank][index];
    }
  }
  OpComparison result;
  const std::vector<Key> keys = keys_of(one);
  for (std::size_t index = 0; index < keys.size(); ++index) {
    std::vector<const OpCall*> ranks;
    for (const auto& calls : by_key) {
      const auto found = calls.find(keys[index]);
      if (found != calls.end()) ranks.push_back(found->second);
    }
    if (ranks.size() < many.size()) {
      ++result.num_unmatched;
    } else {
      compare_call(one[index], ranks, result);
    }
  }
  return result;
}

std::vector<LayoutRow> audit_layouts(const std::vector<std::vector<OpCall>>& ranks) {
  static constexpr const char* kNames[] = {"contiguous", "strided rows", "strided"};
  std::map<std::pair<OpId, int>, LayoutRow> rows;
  for (const auto& calls : ranks) {
    for (const OpCall& call : calls) {
      const int layout = layout_class(call.record);
      LayoutRow& row = rows[{call.record.op, layout}];
      row.op = call.record.op;
      row.layout = kNames[layout];
      ++row.calls;
      row.copies += call.record.copies;
      row.bytes += static_cast<std::int64_t>(call.record.copy_bytes);
    }
  }
  std::vector<LayoutRow> sorted;
  sorted.reserve(rows.size());
  for (const auto& [key, row] : rows) sorted.push_back(row);
  return sorted;
}

}  // namespace cardloom::app
