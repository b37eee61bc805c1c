#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cardloom/oplog/op_log.h"

namespace cardloom::app {

/// A record of an operator log that has outlived the log.
struct OpCall {
  OpRecord record;
  std::string scope;  ///< layer path
  std::string site;   ///< "decoder_layer.cc:41"
};

/// Collects all calls of a log whose ring is shorter than a run: read() after every step.
class OpCollector {
 public:
  void read(const OpLog& log);
  [[nodiscard]] const std::vector<OpCall>& calls() const { return calls_; }
  /// Records that the ring had lost before they were read.
  [[nodiscard]] std::uint64_t num_lost() const { return num_lost_; }

 private:
  std::vector<OpCall> calls_;
  std::uint64_t last_ = 0;
  std::uint64_t num_lost_ = 0;
};

/// Where two runs first differ.
struct OpDifference {
  std::string op;
  std::string scope;
  std::string site;
  int rank = -1;  ///< -1: the sum over all ranks
  std::uint64_t one = 0;
  std::uint64_t many = 0;
  std::string operands;  ///< of the call on one card
};

struct OpComparison {
  std::int64_t num_replicated = 0;  ///< each rank's outputs must be the whole, and were compared
  std::int64_t num_added_up = 0;    ///< ranks hold columns: fingerprints add up to the whole's
  std::int64_t num_covered = 0;     ///< ranks overlap (shared KV heads): the next operator tells
  std::int64_t num_unmatched = 0;   ///< calls that some rank did not make
  std::int64_t num_different = 0;
  std::optional<OpDifference> first;

  [[nodiscard]] std::int64_t num_compared() const { return num_replicated + num_added_up; }
};

/// Compares a run on one card with the same run on several, call by call: calls are the same if
/// step, layer path, operator and their number among such are. A fingerprint sums over elements and
/// counts rows but not columns (ops/op_launch.h): hence outputs cut by columns add up, modulo 2^64.
///
/// one   calls of the only rank
/// many  calls of each rank
[[nodiscard]] OpComparison compare_calls(const std::vector<OpCall>& one,
                                         const std::vector<std::vector<OpCall>>& many);

/// How the inputs of operators lay in memory, and what it cost.
struct LayoutRow {
  OpId op = OpId::kMatmul;
  const char* layout = "";  ///< of the least regular input: contiguous, strided rows, strided
  std::int64_t calls = 0;
  std::int64_t copies = 0;
  std::int64_t bytes = 0;
};

/// One row for each operator and layout met, in the order of OpId.
[[nodiscard]] std::vector<LayoutRow> audit_layouts(const std::vector<std::vector<OpCall>>& ranks);

}  // namespace cardloom::app
