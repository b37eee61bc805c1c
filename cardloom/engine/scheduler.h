#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <unordered_set>
#include <vector>

#include "cardloom/engine/block_cache.h"
#include "cardloom/engine/picture_slots.h"
#include "cardloom/engine/sequence.h"

namespace cardloom {

struct SchedulerLimits {
  std::int64_t max_sequences = 1;    ///< running at once
  std::int64_t max_rows = 1;         ///< of a step
  std::int64_t max_logits_rows = 1;  ///< of a step
  std::int64_t max_pictures = 1;     ///< of an encode step
  std::int64_t block_size = 32;
  std::int64_t num_blocks = 0;         ///< >= those of one whole context
  std::int64_t num_picture_slots = 0;  ///< >= the pictures that a context can show
  std::int64_t max_positions = 0;      ///< of the model's table
  /// Steps after which a sequence counts as one class higher than it came: so that nobody waits
  /// for ever, also under load of higher classes that never ends.
  std::int64_t aging_steps = 256;
  std::int64_t max_proposed = 0;  ///< tokens to propose by look-up; 0: none
  bool shares_blocks = true;      ///< whether a sequence uses what others have computed
};

/// A picture to be encoded into its slot, on behalf of a sequence.
struct ScheduledPicture {
  std::uint64_t sequence_id = 0;
  std::size_t picture = 0;  ///< index of the sequence's pictures
  std::int32_t slot = 0;
  bool wants_embeds = false;  ///< whether the sequence keeps the encoded rows
};

/// What the scheduler has counted since it began.
struct SchedulerCounts {
  std::uint64_t prefix_queries = 0;  ///< prompt rows of admitted sequences
  std::uint64_t prefix_hits = 0;     ///< of these, whose keys were in the cache
  std::uint64_t picture_queries = 0;
  std::uint64_t picture_hits = 0;
  std::uint64_t preemptions = 0;
};

/// Owns the sequences and decides who has blocks, picture slots and rows of the next step. Pure
/// logic: no device, no clock; the same calls give the same decisions.
///
/// *Order.* Class first, arrival next. After every aging_steps a sequence counts as one class
/// higher, so the oldest of all comes first in the end, whoever arrives.
///
/// *Admission* is by free blocks: the first in order gets blocks for all the rows it knows, as long
/// as running sequences keep one block each to grow into. Nobody overtakes the first in order; if
/// it came with a higher class than somebody running counts as, that one gives way.
///
/// *Pre-emption*: a running sequence that needs a block when there is none takes it from the last
/// in order (perhaps itself), which waits again, with its tokens; what it had computed is computed
/// again, unless it is still in the cache. The first in order always gets on: all blocks are at
/// least a whole context. So there is no dead-lock.
///
/// *A step* has one row of each sequence that decodes, those that waited longest in front; then
/// chunks of prompts in order; then rows of proposed tokens, if there is room.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  /// Takes a sequence, which waits then.
  Sequence& add(std::unique_ptr<Sequence> sequence);
  /// Gives it back and frees what it holds; nothing if there is none.
  std::unique_ptr<Sequence> remove(std::uint64_t id);
  /// nullptr if there is none.
  [[nodiscard]] Sequence* find(std::uint64_t id) const;

  /// Before each step: makes room for the rows of running sequences, and admits others.
  void admit();
  /// Pictures of running sequences, to be encoded in steps of their own; call while none are.
  [[nodiscard]] std::vector<ScheduledPicture> schedule_pictures() const;
  /// The rows of a step; empty if nobody is ready, which is when pictures are to be encoded first
  /// or when there is no sequence.
  [[nodiscard]] std::vector<ScheduledRows> schedule_rows();

  /// Keeps the slots of pictures that are being encoded, whatever becomes of their sequences.
  void begin_pictures(const std::vector<ScheduledPicture>& pictures);
  /// Ends that; `encoded`: the pictures lie in their slots.
  void end_pictures(const std::vector<ScheduledPicture>& pictures, bool encoded);
  /// Whether somebody still wants one of the pictures that are being encoded.
  [[nodiscard]] bool wants_one_of(const std::vector<ScheduledPicture>& pictures) const;
  /// Of the rows scheduled, so many from the first have their keys in the cache to stay.
  void rows_done(Sequence& sequence, const ScheduledRows& rows, std::int64_t num_kept);
  /// Running sequences that have a picture in this slot.
  [[nodiscard]] std::vector<std::uint64_t> users_of_slot(std::int32_t slot) const;

  [[nodiscard]] bool empty() const { return sequences_.empty(); }
  [[nodiscard]] std::vector<std::uint64_t> ids() const;
  [[nodiscard]] std::int64_t num_running() const {
    return static_cast<std::int64_t>(running_.size());
  }
  [[nodiscard]] std::int64_t num_waiting() const {
    return static_cast<std::int64_t>(sequences_.size() - running_.size());
  }
  /// Of those that wait, who does so because as many run as may; the others lack blocks or slots.
  [[nodiscard]] std::int64_t num_waiting_for_place() const {
    return lacks_places_ ? num_waiting() : 0;
  }
  [[nodiscard]] const BlockCache& blocks() const { return blocks_; }
  [[nodiscard]] const PictureSlots& slots() const { return slots_; }
  [[nodiscard]] const SchedulerCounts& counts() const { return counts_; }

 private:
  struct Budget;
  static constexpr std::size_t kNumClasses = 3;

  [[nodiscard]] std::int64_t class_of(const Sequence& sequence) const;
  [[nodiscard]] bool is_before(const Sequence& a, const Sequence& b) const;
  [[nodiscard]] std::vector<Sequence*> running_in_order() const;
  [[nodiscard]] Sequence* first_waiting() const;

  bool grow(Sequence& sequence, std::int64_t num_rows);
  bool try_admit(Sequence& sequence);
  bool make_room_for(const Sequence& sequence);
  bool acquire_slots(Sequence& sequence, std::int64_t first_row);
  void release_slots(Sequence& sequence);
  void release_all(Sequence& sequence);
  void preempt(Sequence& sequence);
  [[nodiscard]] std::int64_t blocks_to_grow_into() const;
  [[nodiscard]] std::int64_t count_cached_blocks(Sequence& sequence) const;
  void share_computed_blocks(Sequence& sequence);
  [[nodiscard]] bool has_its_pictures(const Sequence& sequence) const;
  void schedule_chunk(Sequence& sequence, Budget& budget, std::vector<ScheduledRows>& scheduled);
  void schedule_proposal(Sequence& sequence, ScheduledRows& rows, Budget& budget);

  SchedulerLimits limits_;
  BlockCache blocks_;
  PictureSlots slots_;
  std::map<std::uint64_t, std::unique_ptr<Sequence>> sequences_;  ///< in order of arrival
  std::vector<Sequence*> running_;
  std::map<std::uint64_t, Sequence*> waiting_[kNumClasses];  ///< by the class they came with
  std::uint64_t now_ = 0;                                    ///< calls of admit()
  bool lacks_places_ = false;  ///< whether the last admit() ended because as many run as may
  SchedulerCounts counts_;
};

}  // namespace cardloom
