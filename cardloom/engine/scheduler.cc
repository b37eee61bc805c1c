#include "cardloom/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "cardloom/base/check.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/engine/ngram_proposer.h"

namespace cardloom {
namespace {

using HashSet = std::unordered_set<ContentHash, ContentHashHash>;

std::int64_t table_size(const Sequence& sequence) {
  return static_cast<std::int64_t>(sequence.block_table.size());
}

}  // namespace

/// What is left of a step's limits, and what the step computes.
struct Scheduler::Budget {
  std::int64_t rows = 0;
  std::int64_t logits = 0;
  std::int64_t spare_blocks = 0;  ///< beyond those that running sequences may grow into
  HashSet blocks{};               ///< keys of whole blocks that will have been computed

  void spend(const ScheduledRows& scheduled) {
    rows -= scheduled.num_rows;
    logits -= scheduled.num_logits;
  }
};

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits), blocks_(limits.num_blocks), slots_(limits.num_picture_slots) {}

Sequence& Scheduler::add(std::unique_ptr<Sequence> sequence) {
  Sequence& added = *sequence;
  added.arrival_step = now_;
  waiting_[static_cast<std::size_t>(added.request().priority)].emplace(added.id(), &added);
  sequences_.emplace(added.id(), std::move(sequence));
  return added;
}

std::unique_ptr<Sequence> Scheduler::remove(std::uint64_t id) {
  const auto entry = sequences_.find(id);
  if (entry == sequences_.end()) return nullptr;
  std::unique_ptr<Sequence> sequence = std::move(entry->second);
  sequences_.erase(entry);
  if (std::erase(running_, sequence.get()) > 0) {
    release_all(*sequence);
  } else {
    waiting_[static_cast<std::size_t>(sequence->request().priority)].erase(id);
  }
  return sequence;
}

Sequence* Scheduler::find(std::uint64_t id) const {
  const auto entry = sequences_.find(id);
  return entry == sequences_.end() ? nullptr : entry->second.get();
}

std::vector<std::uint64_t> Scheduler::ids() const {
  std::vector<std::uint64_t> ids;
  for (const auto& entry : sequences_) ids.push_back(entry.first);
  return ids;
}

std::vector<std::uint64_t> Scheduler::users_of_slot(std::int32_t slot) const {
  std::vector<std::uint64_t> ids;
  for (const Sequence* sequence : running_) {
    const auto& pictures = sequence->pictures;
    if (std::any_of(pictures.begin(), pictures.end(),
                    [&](const SequencePicture& picture) { return picture.slot == slot; })) {
      ids.push_back(sequence->id());
    }
  }
  return ids;
}

// --- Order ---

std::int64_t Scheduler::class_of(const Sequence& sequence) const {
  const auto age = static_cast<std::int64_t>(now_ - sequence.arrival_step);
  const auto came_with = static_cast<std::int64_t>(sequence.request().priority);
  return std::max<std::int64_t>(0, came_with - age / limits_.aging_steps);
}

bool Scheduler::is_before(const Sequence& a, const Sequence& b) const {
  const std::int64_t class_a = class_of(a);
  const std::int64_t class_b = class_of(b);
  return class_a != class_b ? class_a < class_b : a.id() < b.id();
}

std::vector<Sequence*> Scheduler::running_in_order() const {
  std::vector<Sequence*> ordered = running_;
  std::sort(ordered.begin(), ordered.end(),
            [this](const Sequence* a, const Sequence* b) { return is_before(*a, *b); });
  return ordered;
}

/// Of those that came with one class the oldest is first, so three are enough to look at.
Sequence* Scheduler::first_waiting() const {
  Sequence* first = nullptr;
  for (const auto& waiting : waiting_) {
    if (waiting.empty()) continue;
    Sequence* oldest = waiting.begin()->second;
    if (first == nullptr || is_before(*oldest, *first)) first = oldest;
  }
  return first;
}

// --- Blocks and slots ---

/// Whether the sequence has blocks for so many rows, now.
bool Scheduler::grow(Sequence& sequence, std::int64_t num_rows) {
  while (table_size(sequence) * limits_.block_size < num_rows) {
    const std::optional<std::int32_t> block = blocks_.allocate();
    if (!block) return false;
    sequence.block_table.push_back(*block);
  }
  return true;
}

bool Scheduler::acquire_slots(Sequence& sequence, std::int64_t first_row) {
  std::int64_t num_found = 0;
  for (SequencePicture& picture : sequence.pictures) {
    if (picture.end_row <= first_row) {
      ++num_found;
      continue;
    }
    const std::optional<std::int32_t> slot = slots_.acquire(picture.key);
    if (!slot) {
      release_slots(sequence);
      return false;
    }
    picture.slot = *slot;
    num_found += slots_.is_ready(*slot) || slots_.cache().num_users(*slot) > 1 ? 1 : 0;
  }
  if (sequence.times.preemptions == 0) {
    sequence.times.cached_pictures = num_found;
    counts_.picture_queries += sequence.pictures.size();
    counts_.picture_hits += static_cast<std::uint64_t>(num_found);
  }
  return true;
}

void Scheduler::release_slots(Sequence& sequence) {
  for (SequencePicture& picture : sequence.pictures) {
    if (picture.slot < 0) continue;
    slots_.release(picture.slot);
    picture.slot = -1;
  }
}

void Scheduler::release_all(Sequence& sequence) {
  while (!sequence.block_table.empty()) {  // the last first, see BlockCache::release
    blocks_.release(sequence.block_table.back());
    sequence.block_table.pop_back();
  }
  release_slots(sequence);
  sequence.num_cached_rows = 0;
  sequence.num_published_blocks = 0;
  sequence.proposal.clear();
}

void Scheduler::preempt(Sequence& sequence) {
  release_all(sequence);
  ++sequence.times.preemptions;
  ++counts_.preemptions;
  std::erase(running_, &sequence);
  waiting_[static_cast<std::size_t>(sequence.request().priority)].emplace(sequence.id(), &sequence);
}

/// From the first, how many whole blocks of the sequence lie in the cache. Its last row does not
/// count: that one's logits are wanted.
std::int64_t Scheduler::count_cached_blocks(Sequence& sequence) const {
  if (!limits_.shares_blocks || sequence.request().prompt_logits) return 0;
  std::int64_t count = 0;
  while ((count + 1) * limits_.block_size < sequence.num_rows() &&
         blocks_.find(sequence.block_key(count))) {
    ++count;
  }
  return count;
}

/// One for each running sequence that is not at its end: who is admitted shall not be sent away
/// in the next step already.
std::int64_t Scheduler::blocks_to_grow_into() const {
  return std::count_if(running_.begin(), running_.end(), [this](const Sequence* sequence) {
    return table_size(*sequence) < ceil_div(sequence->max_rows(), limits_.block_size);
  });
}

// --- Admission ---

bool Scheduler::try_admit(Sequence& sequence) {
  if (num_running() >= limits_.max_sequences) return false;
  const std::int64_t num_blocks = ceil_div(sequence.num_rows(), limits_.block_size);
  const std::int64_t num_cached = count_cached_blocks(sequence);
  std::int64_t num_taken = num_blocks - num_cached;
  for (std::int64_t block = 0; block < num_cached; ++block) {
    const std::int32_t found = *blocks_.find(sequence.block_key(block));
    num_taken += blocks_.num_users(found) == 0 ? 1 : 0;  // idle: available until it is shared
  }
  if (num_taken + blocks_to_grow_into() > blocks_.num_available()) return false;
  if (!acquire_slots(sequence, num_cached * limits_.block_size)) return false;

  for (std::int64_t block = 0; block < num_cached; ++block) {
    sequence.block_table.push_back(*blocks_.share(sequence.block_key(block)));
  }
  const bool has_blocks = grow(sequence, sequence.num_rows());
  CARDLOOM_ASSERT(has_blocks);
  static_cast<void>(has_blocks);
  sequence.num_cached_rows = num_cached * limits_.block_size;
  sequence.num_published_blocks = num_cached;
  if (sequence.times.preemptions == 0) {
    sequence.times.cached_rows = sequence.num_cached_rows;
    counts_.prefix_queries += static_cast<std::uint64_t>(sequence.num_rows());
    counts_.prefix_hits += static_cast<std::uint64_t>(sequence.num_cached_rows);
  }
  return true;
}

/// Sends the last in order away if `sequence` came with a higher class than it counts as and
/// blocks, or a place, can be had in this way.
bool Scheduler::make_room_for(const Sequence& sequence) {
  const auto came_with = static_cast<std::int64_t>(sequence.request().priority);
  Sequence* last = nullptr;
  std::int64_t num_blocks = blocks_.num_available() - blocks_to_grow_into();
  for (Sequence* running : running_) {
    if (class_of(*running) <= came_with) continue;
    num_blocks += table_size(*running);
    if (last == nullptr || is_before(*last, *running)) last = running;
  }
  if (last == nullptr || num_blocks < ceil_div(sequence.num_rows(), limits_.block_size)) {
    return false;
  }
  preempt(*last);
  return true;
}

void Scheduler::admit() {
  ++now_;
  for (Sequence* sequence : running_in_order()) {
    // Those behind may be waiting again by now: they have no blocks and ask for none.
    while (!sequence->block_table.empty() && !grow(*sequence, sequence->num_rows())) {
      preempt(*running_in_order().back());
    }
  }
  while (Sequence* sequence = first_waiting()) {
    if (try_admit(*sequence)) {
      waiting_[static_cast<std::size_t>(sequence->request().priority)].erase(sequence->id());
      running_.push_back(sequence);
    } else if (!make_room_for(*sequence)) {
      break;
    }
  }
  lacks_places_ = num_running() >= limits_.max_sequences;
}

// --- Steps ---

std::vector<ScheduledPicture> Scheduler::schedule_pictures() const {
  std::vector<ScheduledPicture> scheduled;
  for (const Sequence* sequence : running_in_order()) {
    for (std::size_t index = 0; index < sequence->pictures.size(); ++index) {
      const std::int32_t slot = sequence->pictures[index].slot;
      if (slot < 0 || slots_.is_ready(slot)) continue;
      if (std::any_of(scheduled.begin(), scheduled.end(),
                      [&](const ScheduledPicture& other) { return other.slot == slot; })) {
        continue;
      }
      if (static_cast<std::int64_t>(scheduled.size()) == limits_.max_pictures) return scheduled;
      scheduled.push_back({sequence->id(), index, slot, sequence->request().prompt_logits});
    }
  }
  return scheduled;
}

void Scheduler::begin_pictures(const std::vector<ScheduledPicture>& pictures) {
  for (const ScheduledPicture& picture : pictures) slots_.hold(picture.slot);
}

void Scheduler::end_pictures(const std::vector<ScheduledPicture>& pictures, bool encoded) {
  for (const ScheduledPicture& picture : pictures) {
    if (encoded) slots_.set_ready(picture.slot);
    slots_.release(picture.slot);
  }
}

bool Scheduler::wants_one_of(const std::vector<ScheduledPicture>& pictures) const {
  return std::any_of(pictures.begin(), pictures.end(), [this](const ScheduledPicture& picture) {
    return slots_.cache().num_users(picture.slot) > 1;  // beside who holds it
  });
}

bool Scheduler::has_its_pictures(const Sequence& sequence) const {
  return std::all_of(sequence.pictures.begin(), sequence.pictures.end(),
                     [this](const SequencePicture& picture) {
                       return picture.slot < 0 || slots_.is_ready(picture.slot);
                     });
}

std::vector<ScheduledRows> Scheduler::schedule_rows() {
  std::vector<ScheduledRows> scheduled;
  Budget budget{limits_.max_rows, limits_.max_logits_rows};
  const std::vector<Sequence*> ordered = running_in_order();
  std::vector<Sequence*> decoding;
  for (Sequence* sequence : ordered) {
    if (sequence->is_decoding()) decoding.push_back(sequence);
  }
  std::stable_sort(decoding.begin(), decoding.end(), [](const Sequence* a, const Sequence* b) {
    return a->last_step < b->last_step;
  });
  for (const Sequence* sequence : decoding) {
    if (budget.rows == 0 || budget.logits == 0) break;
    scheduled.push_back({sequence->id(), sequence->num_cached_rows, 1, 1});
    budget.spend(scheduled.back());
  }
  const std::size_t num_decoding = scheduled.size();
  for (Sequence* sequence : ordered) {
    if (!sequence->is_decoding()) schedule_chunk(*sequence, budget, scheduled);
  }
  budget.spare_blocks = std::max<std::int64_t>(0, blocks_.num_available() - blocks_to_grow_into());
  for (std::size_t index = 0; limits_.max_proposed > 0 && index < num_decoding; ++index) {
    schedule_proposal(*decoding[index], scheduled[index], budget);
  }
  for (const ScheduledRows& rows : scheduled) sequences_.at(rows.sequence_id)->last_step = now_;
  return scheduled;
}

/// Goes on behind blocks that somebody else has computed since this sequence was admitted.
void Scheduler::share_computed_blocks(Sequence& sequence) {
  if (sequence.num_cached_rows % limits_.block_size != 0) return;
  const std::int64_t num_before = sequence.num_cached_rows / limits_.block_size;
  const std::int64_t num_cached = count_cached_blocks(sequence);
  for (std::int64_t block = num_before; block < num_cached; ++block) {
    std::int32_t& entry = sequence.block_table[static_cast<std::size_t>(block)];
    blocks_.release(std::exchange(entry, *blocks_.share(sequence.block_key(block))));
  }
  if (num_cached <= num_before) return;
  sequence.num_cached_rows = num_cached * limits_.block_size;
  sequence.num_published_blocks = num_cached;
  if (sequence.times.preemptions > 0) return;
  const std::int64_t num_new = (num_cached - num_before) * limits_.block_size;
  sequence.times.cached_rows += num_new;
  counts_.prefix_hits += static_cast<std::uint64_t>(num_new);
}

/// The longest chunk that fits of the rows that are left; none if the step computes the same block
/// for somebody else, which this sequence shares next time.
void Scheduler::schedule_chunk(Sequence& sequence, Budget& budget,
                               std::vector<ScheduledRows>& scheduled) {
  if (budget.rows == 0) return;
  share_computed_blocks(sequence);
  if (!has_its_pictures(sequence)) return;
  const std::int64_t first_row = sequence.num_cached_rows;
  const std::int64_t B = limits_.block_size;
  const bool may_share = limits_.shares_blocks && !sequence.request().prompt_logits;
  if (may_share && first_row % B == 0 && first_row + B < sequence.num_rows() &&
      budget.blocks.contains(sequence.block_key(first_row / B))) {
    return;
  }
  const std::int64_t left = sequence.num_rows() - first_row;
  ScheduledRows chunk{sequence.id(), first_row, std::min(left, budget.rows), 0};
  if (sequence.request().prompt_logits && first_row < sequence.num_prompt_rows()) {
    chunk.num_rows =
        std::min({chunk.num_rows, budget.logits, sequence.num_prompt_rows() - first_row});
    chunk.num_logits = chunk.num_rows;
  } else if (chunk.num_rows == left) {
    if (budget.logits > 0) {
      chunk.num_logits = 1;
    } else {
      --chunk.num_rows;  // the last row waits for a step that can take its logits
    }
  }
  if (chunk.num_rows == 0) return;
  for (std::int64_t block = ceil_div(first_row, B); (block + 1) * B <= first_row + chunk.num_rows;
       ++block) {
    budget.blocks.insert(sequence.block_key(block));
  }
  scheduled.push_back(chunk);
  budget.spend(chunk);
}

/// Adds rows of tokens that may follow, where no limit and no other sequence is in the way.
void Scheduler::schedule_proposal(Sequence& sequence, ScheduledRows& rows, Budget& budget) {
  sequence.proposal.clear();
  if (sequence.request().prompt_logits) return;
  const std::int64_t num_rows = sequence.num_rows();
  const std::int64_t size_before = table_size(sequence);
  const std::int64_t rows_with_blocks = (size_before + budget.spare_blocks) * limits_.block_size;
  const std::int64_t most = std::min({limits_.max_proposed, budget.rows, budget.logits,
                                      rows_with_blocks - num_rows, sequence.max_rows() - num_rows,
                                      limits_.max_positions - sequence.position(num_rows)});
  if (most <= 0) return;
  std::vector<std::int32_t> proposal = propose_by_lookup(sequence.tokens(), most);
  const auto count = static_cast<std::int64_t>(proposal.size());
  const bool has_blocks = grow(sequence, num_rows + count);
  CARDLOOM_ASSERT(has_blocks);
  static_cast<void>(has_blocks);
  budget.spare_blocks -= table_size(sequence) - size_before;
  sequence.proposal = std::move(proposal);
  rows.num_rows += count;
  rows.num_logits += count;
  budget.rows -= count;
  budget.logits -= count;
}

void Scheduler::rows_done(Sequence& sequence, const ScheduledRows& rows, std::int64_t num_kept) {
  sequence.num_cached_rows = rows.first_row + num_kept;
  if (limits_.shares_blocks) {
    for (std::int64_t& block = sequence.num_published_blocks;
         (block + 1) * limits_.block_size <= sequence.num_cached_rows; ++block) {
      blocks_.publish(sequence.block_table[static_cast<std::size_t>(block)],
                      sequence.block_key(block));
    }
  }
  for (SequencePicture& picture : sequence.pictures) {
    if (picture.slot < 0 || picture.end_row > sequence.num_cached_rows) continue;
    slots_.release(picture.slot);
    picture.slot = -1;
  }
}

}  // namespace cardloom
