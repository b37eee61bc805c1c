#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/base/location.h"
#include "cardloom/oplog/op_record.h"

namespace cardloom {

/// One operand of a call being opened.
struct Operand {
  TensorView view;
  OperandRole role = OperandRole::kInput;
};

struct OpLogMemory;

/// Packs and copies that layouts forced.
struct LayoutCopies {
  std::uint64_t copies = 0;
  std::uint64_t bytes = 0;
};

/// One rank's ring of operator records: the spine of error reports, the layout audit, `check` and
/// the per-stage timings.
///
/// The rank's own thread opens records and scopes; the stream's executor moves their state on
/// (set_state). Everything else (snapshot, describe) is for the rank's own thread, or for anybody
/// once the stream is idle. Opening costs tens of nanoseconds: no strings, locks or allocation
/// after a call site and a scope have been seen once.
class OpLog {
 public:
  explicit OpLog(int rank = 0, int world_size = 1);
  ~OpLog();
  OpLog(const OpLog&) = delete;
  OpLog& operator=(const OpLog&) = delete;

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int world_size() const { return world_size_; }

  /// A new record in state kOpen. Waits while the slot still belongs to an unfinished operator, so
  /// a record is never overwritten under a running kernel. Operands beyond six, and absent
  /// ones (rank 0, no data), are left out.
  OpRecord& open(OpId op, const Operand* operands, int num_operands, Location caller);

  static void set_state(OpRecord& record, OpState state);
  /// Ends an operator that ran: kDone or kFailed, its copies added to layout_copies(). For the
  /// executor.
  void finish(OpRecord& record, OpState state);
  [[nodiscard]] static OpState state(const OpRecord& record);

  /// The step that records opened from now on belong to.
  void set_step(std::uint32_t step_id) { step_id_ = step_id; }

  /// Enters `name` (a literal) or `name.index` below the current scope; leave_scope() goes back.
  void enter_scope(const char* name, std::int64_t index = -1);
  void leave_scope();
  /// The current layer path, "text.layers.17.mlp".
  [[nodiscard]] std::string_view scope() const;

  [[nodiscard]] std::string_view scope(const OpRecord& record) const;
  /// "decoder_layer.cc:41" of the call.
  [[nodiscard]] std::string site(const OpRecord& record) const;
  [[nodiscard]] Location location(const OpRecord& record) const;

  /// "operands f32[3, 4]{4, 1}@cpu:0, ...; launch 17, rank 1 of 2, text.layers.17.mlp".
  [[nodiscard]] std::string describe(const OpRecord& record) const;

  /// An Error whose message begins with the operator's name and whose detail is describe().
  [[nodiscard]] Error make_error(const OpRecord& record, ErrorCode code, std::string_view what,
                                 std::string remedy = {}) const;

  /// Copies of the records with sequence > `after`, oldest first, as far as the ring still has
  /// them.
  [[nodiscard]] std::vector<OpRecord> snapshot(std::uint64_t after = 0) const;
  /// The oldest record in `state` or nullptr; unlike snapshot(), also while kernels run, for the
  /// rank's own thread. Its times and counts may be changing.
  [[nodiscard]] const OpRecord* find(OpState state) const;
  [[nodiscard]] std::uint64_t last_sequence() const { return sequence_; }
  /// Of all operators that have ended, also those that the ring has forgotten.
  [[nodiscard]] LayoutCopies layout_copies() const { return copies_; }

  /// What a log takes, in bytes.
  [[nodiscard]] static std::int64_t reserved_bytes();

  static constexpr int kNumRecords = 2048;

 private:
  std::uint32_t intern_site(Location caller);
  std::uint32_t intern_scope(std::uint32_t parent, const char* name, std::int64_t index);

  struct ScopeKey {
    std::uint32_t parent;
    const char* name;
    std::int64_t index;
    friend bool operator==(const ScopeKey&, const ScopeKey&) = default;
  };
  struct ScopeKeyHash {
    std::size_t operator()(const ScopeKey& key) const;
  };
  struct SiteSlot {
    const char* file = nullptr;
    unsigned line = 0;
    std::uint32_t id = 0;
  };

  OpLogMemory* memory_ = nullptr;  ///< one mapping: names and records, no pointers inside
  int rank_;
  int world_size_;
  std::uint64_t sequence_ = 0;
  std::uint32_t step_id_ = 0;
  LayoutCopies copies_;  ///< written by the executor, read while it is idle
  std::vector<std::uint32_t> scope_stack_;
  /// By site id; literals, so that an Error may keep them longer than the log lives. Sized once:
  /// the executor reads while the launching thread adds.
  std::vector<Location> locations_;
  std::vector<SiteSlot> site_slots_;  ///< open addressing by (file, line)
  std::unordered_map<ScopeKey, std::uint32_t, ScopeKeyHash> scope_ids_;
};

/// Names the layer that operators belong to, for as long as it lives.
class OpScope {
 public:
  OpScope(OpLog& log, const char* name, std::int64_t index = -1) : log_(log) {
    log_.enter_scope(name, index);
  }
  ~OpScope() { log_.leave_scope(); }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

 private:
  OpLog& log_;
};

}  // namespace cardloom
