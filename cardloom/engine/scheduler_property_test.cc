// The scheduler under random events, against a KV cache and picture slots that are played: a block
// holds, for each of its rows, the hash of all that the row can see. Whatever is lost, taken twice
// or shared wrongly shows as a row with another history than its sequence's.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "cardloom/engine/scheduler.h"

namespace cardloom {
namespace {

constexpr std::int64_t kImageRows = 3;
constexpr std::int32_t kVocab = 4;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t value = a * 0x9e3779b97f4a7c15U + b;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

/// One random thing that happens; the numbers mean what `kind` makes of them.
struct Happening {
  enum Kind { kSubmit, kStep, kStepWithCancel, kStepThatFails, kCancel };
  int kind = kSubmit;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
};
void showValue(const Happening& happening, std::ostream& out) {
  out << "{" << happening.kind << ", " << happening.a << ", " << happening.b << "}";
}

/// Documents that begin alike, so that prefixes are found; some show a picture.
Request make_request(std::uint32_t a, std::uint32_t b, std::int64_t context) {
  Request request;
  Prompt& prompt = request.prompt;
  const std::uint32_t document = a % 3;
  const std::int64_t rows = 1 + (a / 8) % (context - 3);
  const bool has_picture = a / 1024 % 3 == 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint64_t word = row < 5 ? 7U : mix(document, static_cast<std::uint64_t>(row));
    prompt.token_ids.push_back(static_cast<std::int32_t>(word % kVocab));
    prompt.positions.push_back(static_cast<std::int32_t>(row));
  }
  prompt.next_position = static_cast<std::int32_t>(rows);
  for (std::int64_t at = 2; has_picture && at + kImageRows <= rows && at < 10; at += 4) {
    const std::int64_t index = static_cast<std::int64_t>(prompt.images.size());
    prompt.image_spans.push_back({at, at + kImageRows, index});
    prompt.images.emplace_back(DType::kF32, std::initializer_list<std::int64_t>{3, 1, 1});
    *prompt.images.back().view().at<float>() = static_cast<float>((b + index) % 3);
  }
  request.priority = static_cast<Priority>(b / 4 % 3);
  request.max_tokens = b / 16 % 9;
  request.cache_salt = b / 256 % 5 == 0 ? 1 : 0;
  request.prompt_logits = b / 2048 % 9 == 0;
  return request;
}

class World {
 public:
  World(const SchedulerLimits& limits, std::int64_t context)
      : limits_(limits),
        context_(context),
        scheduler_(limits),
        rows_(static_cast<std::size_t>(limits.num_blocks * limits.block_size)),
        pictures_(static_cast<std::size_t>(limits.num_picture_slots), -1) {}

  void happen(const Happening& happening) {
    switch (happening.kind) {
      case Happening::kSubmit:
        if (requests_.size() < 40) submit(make_request(happening.a, happening.b, context_));
        break;
      case Happening::kCancel:
        cancel(happening.a);
        break;
      default:
        step(happening);
    }
    check_books();
  }

  void submit(Request request) {
    auto sequence = std::make_unique<Sequence>(
        ++last_id_, std::move(request),
        SequenceOptions{.block_size = limits_.block_size, .context_tokens = context_});
    requests_.insert(last_id_);
    scheduler_.add(std::move(sequence));
  }

  /// Everything that is left ends in bounded time, and then nothing is held.
  void drain() {
    for (int steps = 0; !scheduler_.empty(); ++steps) {
      RC_ASSERT(steps < 10'000);
      step({Happening::kStep, 0, 0});
    }
    if (!encoding_.empty()) end_encoding(false);
    check_books();
    RC_ASSERT(scheduler_.blocks().num_used() == 0);
    RC_ASSERT(scheduler_.blocks().num_available() == limits_.num_blocks);
    RC_ASSERT(scheduler_.slots().cache().num_used() == 0);
  }

  [[nodiscard]] bool has_ended(std::uint64_t id) const { return !requests_.contains(id); }
  [[nodiscard]] std::uint64_t last_id() const { return last_id_; }
  [[nodiscard]] const Scheduler& scheduler() const { return scheduler_; }

  void step(const Happening& happening) {
    if (!encoding_.empty() && !scheduler_.wants_one_of(encoding_)) end_encoding(false);
    scheduler_.admit();
    if (encoded_last_) {  // as the engine takes turns
      encoded_last_ = !run_rows(happening) && encode(happening);
    } else {
      encoded_last_ = encode(happening);
      if (!encoded_last_ && !run_rows(happening)) RC_ASSERT(scheduler_.empty());
    }
  }

 private:
  void end(std::uint64_t id) {
    requests_.erase(id);
    RC_ASSERT(scheduler_.remove(id) != nullptr);
    RC_ASSERT(scheduler_.find(id) == nullptr);
  }

  void cancel(std::uint32_t number) {
    if (requests_.empty()) return;
    auto entry = requests_.begin();
    std::advance(entry, static_cast<std::ptrdiff_t>(number % requests_.size()));
    end(*entry);
  }

  /// Pictures take one to three steps, as the kind of happening has it; the last writes slots.
  bool encode(const Happening& happening) {
    if (encoding_.empty()) begin_encoding();
    if (encoding_.empty()) return false;
    if (happening.kind == Happening::kStepWithCancel) cancel(happening.a);
    if (happening.kind == Happening::kStepThatFails) {
      for (const ScheduledPicture& picture : encoding_) {
        for (const std::uint64_t id : scheduler_.users_of_slot(picture.slot)) end(id);
      }
      end_encoding(false);
    } else if (happening.b % 3 == 0) {
      for (std::size_t index = 0; index < encoding_.size(); ++index) {
        pictures_[static_cast<std::size_t>(encoding_[index].slot)] = encoding_numbers_[index];
      }
      end_encoding(true);
    }
    return true;
  }

  void begin_encoding() {
    encoding_ = scheduler_.schedule_pictures();
    RC_ASSERT(static_cast<std::int64_t>(encoding_.size()) <= limits_.max_pictures);
    std::set<std::int32_t> slots;
    encoding_numbers_.clear();
    for (const ScheduledPicture& picture : encoding_) {
      RC_ASSERT(slots.insert(picture.slot).second);  // never twice in a step
      RC_ASSERT(!scheduler_.slots().is_ready(picture.slot));
      encoding_numbers_.push_back(
          picture_number(*scheduler_.find(picture.sequence_id), picture.picture));
    }
    scheduler_.begin_pictures(encoding_);
  }

  void end_encoding(bool encoded) {
    scheduler_.end_pictures(encoding_, encoded);
    encoding_.clear();
  }

  bool run_rows(const Happening& happening) {
    const std::vector<ScheduledRows> scheduled = scheduler_.schedule_rows();
    if (scheduled.empty()) return false;
    std::int64_t num_rows = 0;
    std::int64_t num_logits = 0;
    std::set<std::uint64_t> seen;
    for (const ScheduledRows& rows : scheduled) {
      RC_ASSERT(seen.insert(rows.sequence_id).second);
      num_rows += rows.num_rows;
      num_logits += rows.num_logits;
      compute(*scheduler_.find(rows.sequence_id), rows,
              happening.kind == Happening::kStepThatFails);
    }
    RC_ASSERT(num_rows <= limits_.max_rows);
    RC_ASSERT(num_logits <= limits_.max_logits_rows);
    if (happening.kind == Happening::kStepWithCancel) cancel(happening.a);
    for (const ScheduledRows& rows : scheduled) {
      if (has_ended(rows.sequence_id)) continue;
      if (happening.kind == Happening::kStepThatFails) {
        end(rows.sequence_id);
      } else {
        choose(*scheduler_.find(rows.sequence_id), rows);
      }
    }
    return true;
  }

  /// Each row's history, from what the cache says of the row before.
  void compute(const Sequence& sequence, const ScheduledRows& rows, bool fails) {
    RC_ASSERT(rows.first_row == sequence.num_cached_rows);
    RC_ASSERT(rows.num_rows >= 1);
    for (std::int64_t row = rows.first_row; row < rows.first_row + rows.num_rows; ++row) {
      RC_ASSERT(row < context_);
      const std::uint64_t before = row == 0 ? sequence.request().cache_salt : at(sequence, row - 1);
      at(sequence, row) = fails ? 0xbad : mix(before, value(sequence, row, false));
    }
  }

  void choose(Sequence& sequence, const ScheduledRows& rows) {
    const std::vector<std::int32_t> proposal = std::exchange(sequence.proposal, {});
    const auto num_proposed = static_cast<std::int64_t>(proposal.size());
    std::int64_t kept = rows.num_rows - num_proposed;
    const bool asks_all =
        sequence.request().prompt_logits && rows.first_row < sequence.num_prompt_rows();
    if (rows.first_row + kept < sequence.num_rows()) {
      RC_ASSERT(rows.num_logits == (asks_all ? rows.num_rows : 0));
      scheduler_.rows_done(sequence, rows, kept);
      return;
    }
    RC_ASSERT(rows.num_logits == (asks_all ? rows.num_rows : num_proposed + 1));
    auto next = proposal.begin();
    for (;;) {
      const std::uint64_t history = at(sequence, rows.first_row + kept - 1);
      const auto token = static_cast<std::int32_t>(history % kVocab);
      sequence.append_token(token);
      const bool ends =
          sequence.num_rows() > context_ ||
          sequence.stop.check(token, sequence.num_generated()) != StopChecker::Verdict::kGoOn;
      if (ends) {
        scheduler_.rows_done(sequence, rows, kept);
        return end(sequence.id());
      }
      if (next == proposal.end() || token != *next) break;
      ++next;
      ++kept;
    }
    scheduler_.rows_done(sequence, rows, kept);
  }

  static std::int32_t picture_number(const Sequence& sequence, std::size_t picture) {
    const Tensor& pixels = *sequence.pictures[picture].pixels;
    return static_cast<std::int32_t>(*pixels.view().at<float>());
  }

  /// What the row itself is: a token, or a row of the picture that it shows (`truly`) or that lies
  /// in the slot it reads.
  [[nodiscard]] std::uint64_t value(const Sequence& sequence, std::int64_t row, bool truly) const {
    for (const ImageSpan& span : sequence.request().prompt.image_spans) {
      if (row < span.begin || row >= span.end) continue;
      const auto picture = static_cast<std::size_t>(span.image);
      const std::int32_t slot = sequence.pictures[picture].slot;
      if (!truly) {
        RC_ASSERT(slot >= 0);
        RC_ASSERT(scheduler_.slots().is_ready(slot));
      }
      const std::int32_t number =
          truly ? picture_number(sequence, picture) : pictures_[static_cast<std::size_t>(slot)];
      return mix(static_cast<std::uint64_t>(1000 + number),
                 static_cast<std::uint64_t>(row - span.begin));
    }
    return static_cast<std::uint64_t>(sequence.token(row));
  }

  std::uint64_t& at(const Sequence& sequence, std::int64_t row) {
    const std::int64_t B = limits_.block_size;
    const std::int64_t block = sequence.block_table[static_cast<std::size_t>(row / B)];
    return rows_[static_cast<std::size_t>(block * B + row % B)];
  }

  void check_books() {
    const BlockCache& blocks = scheduler_.blocks();
    std::map<std::int32_t, std::int32_t> users;
    std::map<std::int32_t, std::int32_t> slot_users;
    for (const ScheduledPicture& picture : encoding_) ++slot_users[picture.slot];
    RC_ASSERT(scheduler_.ids().size() == requests_.size());
    for (const std::uint64_t id : requests_) {
      const Sequence& sequence = *scheduler_.find(id);
      for (const SequencePicture& picture : sequence.pictures) {
        if (picture.slot >= 0) ++slot_users[picture.slot];
      }
      for (std::size_t index = 0; index < sequence.block_table.size(); ++index) {
        const std::int32_t block = sequence.block_table[index];
        ++users[block];
        // Only whole blocks that are computed may have several users.
        const auto end = (static_cast<std::int64_t>(index) + 1) * limits_.block_size;
        if (end > sequence.num_cached_rows) RC_ASSERT(blocks.num_users(block) == 1);
      }
      RC_ASSERT(sequence.num_cached_rows < sequence.num_rows());
      check_history(sequence);
    }
    std::int64_t num_used = 0;
    for (std::int32_t block = 0; block < limits_.num_blocks; ++block) {
      RC_ASSERT(blocks.num_users(block) == users[block]);
      num_used += users[block] > 0 ? 1 : 0;
    }
    RC_ASSERT(blocks.num_used() == num_used);
    for (std::int32_t slot = 0; slot < limits_.num_picture_slots; ++slot) {
      RC_ASSERT(scheduler_.slots().cache().num_users(slot) == slot_users[slot]);
    }
    RC_ASSERT(scheduler_.num_running() <= limits_.max_sequences);
  }

  void check_history(const Sequence& sequence) {
    std::uint64_t history = sequence.request().cache_salt;
    for (std::int64_t row = 0; row < sequence.num_cached_rows; ++row) {
      history = mix(history, value(sequence, row, true));
      RC_ASSERT(at(sequence, row) == history);
    }
  }

  SchedulerLimits limits_;
  std::int64_t context_;
  Scheduler scheduler_;
  std::vector<std::uint64_t> rows_;     ///< [block, row of it]
  std::vector<std::int32_t> pictures_;  ///< [slot]
  std::set<std::uint64_t> requests_;    ///< that have not ended
  std::uint64_t last_id_ = 0;
  std::vector<ScheduledPicture> encoding_;      ///< pictures that are being encoded
  std::vector<std::int32_t> encoding_numbers_;  ///< likewise: what they show
  bool encoded_last_ = false;
};

rc::Gen<Happening> a_happening() {
  return rc::gen::build<Happening>(
      rc::gen::set(&Happening::kind, rc::gen::weightedElement<int>({{6, Happening::kSubmit},
                                                                    {20, Happening::kStep},
                                                                    {2, Happening::kStepWithCancel},
                                                                    {1, Happening::kStepThatFails},
                                                                    {1, Happening::kCancel}})),
      rc::gen::set(&Happening::a, rc::gen::inRange<std::uint32_t>(0, 1U << 16)),
      rc::gen::set(&Happening::b, rc::gen::inRange<std::uint32_t>(0, 1U << 16)));
}

SchedulerLimits some_limits(std::int64_t context) {
  SchedulerLimits limits;
  limits.block_size = *rc::gen::inRange<std::int64_t>(1, 6);
  const std::int64_t context_blocks = (context + limits.block_size - 1) / limits.block_size;
  limits.num_blocks = context_blocks * *rc::gen::inRange<std::int64_t>(4, 13) / 4;
  limits.num_picture_slots = context / kImageRows + *rc::gen::inRange<std::int64_t>(0, 4);
  limits.max_sequences = *rc::gen::inRange<std::int64_t>(1, 9);
  limits.max_rows = *rc::gen::inRange<std::int64_t>(1, 24);
  limits.max_logits_rows = *rc::gen::inRange<std::int64_t>(1, 9);
  limits.max_pictures = *rc::gen::inRange<std::int64_t>(1, 4);
  limits.max_positions = context;
  limits.aging_steps = *rc::gen::inRange<std::int64_t>(1, 30);
  limits.max_proposed = *rc::gen::element<std::int64_t>(0, 0, 2, 5);
  limits.shares_blocks = *rc::gen::weightedElement<bool>({{9, true}, {1, false}});
  return limits;
}

// 100 games of about 1,600 events, the events of a game growing.
TEST(SchedulerProperties, NothingIsLostLeakedOrSharedWrongly) {
  std::int64_t num_events = 0;
  std::uint64_t num_hits = 0;
  std::uint64_t num_pictures = 0;
  std::uint64_t num_preemptions = 0;
  const bool holds = rc::check([&] {
    const std::int64_t context = *rc::gen::inRange<std::int64_t>(8, 40);
    World world(some_limits(context), context);
    const auto events =
        *rc::gen::scale(64.0, rc::gen::container<std::vector<Happening>>(a_happening()));
    for (const Happening& event : events) world.happen(event);
    world.drain();
    num_events += static_cast<std::int64_t>(events.size());
    num_hits += world.scheduler().counts().prefix_hits;
    num_pictures += world.scheduler().counts().picture_hits;
    num_preemptions += world.scheduler().counts().preemptions;
  });
  EXPECT_TRUE(holds);
  // The games were about something.
  EXPECT_GT(num_events, 100'000);
  EXPECT_GT(num_hits, 10'000U);
  EXPECT_GT(num_pictures, 1'000U);
  EXPECT_GT(num_preemptions, 500U);
}

// A request of the lowest class ends although higher ones come faster than they can be served.
TEST(SchedulerProperties, NobodyStarvesUnderLoadOfHigherClasses) {
  EXPECT_TRUE(rc::check([] {
    constexpr std::int64_t kContext = 24;
    SchedulerLimits limits = some_limits(kContext);
    World world(limits, kContext);
    const auto flood = [&](int count) {
      for (int index = 0; index < count; ++index) {
        Request request = make_request(*rc::gen::inRange<std::uint32_t>(0, 1U << 16), 0, kContext);
        request.priority = Priority::kHigh;
        request.max_tokens = 4;
        world.submit(std::move(request));
      }
    };
    flood(8);
    Request low = make_request(*rc::gen::inRange<std::uint32_t>(0, 1U << 16), 0, kContext);
    low.priority = Priority::kLow;
    low.max_tokens = 8;
    world.submit(std::move(low));
    const std::uint64_t id = world.last_id();
    // Its own class after two ages; by then so many came before it, each with so many rows and
    // pictures, of which every step does at least one; and its own.
    const std::int64_t work_of_one = 2 * (kContext + 4) + kContext / kImageRows;
    const std::int64_t ahead = 8 + 2 * limits.aging_steps + limits.max_sequences;
    std::int64_t steps = 0;
    while (!world.has_ended(id)) {
      RC_ASSERT(++steps < (ahead + 1) * work_of_one);
      if (world.scheduler().num_waiting() < 4) flood(1);
      world.step({Happening::kStep, 0, 0});
    }
  }));
}

}  // namespace
}  // namespace cardloom
