#include "cardloom/oplog/op_log.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include "cardloom/base/check.h"

namespace cardloom {
namespace {

/// Call sites of operators in the source text: some hundreds; scopes: layers x parts.
constexpr std::uint32_t kMaxSites = 1024;
constexpr std::uint32_t kMaxScopes = 4096;
constexpr std::size_t kSiteSlots = std::size_t{4} * kMaxSites;  // load factor 1/4

struct SiteName {
  char file[96] = {};
  char function[60] = {};
  std::uint32_t line = 0;
};
struct ScopeName {
  char path[96] = {};
};

/// Copies as much as fits, keeping the END of a path, which is what tells.
template <std::size_t size>
void assign_tail(char (&target)[size], std::string_view text) {
  if (text.size() >= size) text.remove_prefix(text.size() - size + 1);
  std::memcpy(target, text.data(), text.size());
  target[text.size()] = '\0';
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

struct OpLogMemory {
  std::uint32_t num_sites = 1;   // id 0 = "the table is full"
  std::uint32_t num_scopes = 1;  // id 0 = no scope
  SiteName sites[kMaxSites];
  ScopeName scopes[kMaxScopes];
  OpRecord records[OpLog::kNumRecords];
};

OpLog::OpLog(int rank, int world_size) : rank_(rank), world_size_(world_size) {
  void* address = ::mmap(nullptr, sizeof(OpLogMemory), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    throw_error(ErrorCode::kResourceExhausted, "no memory for the operator log",
                fmt::format("{} bytes", sizeof(OpLogMemory)));
  }
  memory_ = new (address) OpLogMemory();
  site_slots_.resize(kSiteSlots);
  locations_.resize(kMaxSites);
}

std::int64_t OpLog::reserved_bytes() {
  return static_cast<std::int64_t>(sizeof(OpLogMemory) + kSiteSlots * sizeof(SiteSlot) +
                                   kMaxSites * sizeof(Location));
}

OpLog::~OpLog() { ::munmap(memory_, sizeof(OpLogMemory)); }

OpRecord& OpLog::open(OpId op, const Operand* operands, int num_operands, Location caller) {
  OpRecord& record = memory_->records[sequence_ % kNumRecords];
  while (state(record) == OpState::kOpen || state(record) == OpState::kRunning) {
    std::this_thread::yield();  // ends: the stream skips or finishes every launch
  }
  record.sequence = ++sequence_;
  record.site_id = intern_site(caller);
  record.scope_id = scope_stack_.empty() ? 0 : scope_stack_.back();
  record.step_id = step_id_;
  record.copies = 0;
  record.copy_bytes = 0;
  record.fingerprint = 0;
  record.opened_ns = now_ns();
  record.started_ns = record.finished_ns = 0;
  record.op = op;
  record.rank = static_cast<std::uint8_t>(rank_);
  record.num_operands = 0;
  for (int index = 0; index < num_operands && record.num_operands < kMaxOperands; ++index) {
    const TensorView& view = operands[index].view;
    if (view.rank == 0 && view.data == nullptr)
      continue;  // an option left out: no bias, no residual
    OperandRecord& operand = record.operands[record.num_operands++];
    operand.address = reinterpret_cast<std::uint64_t>(view.data);
    std::memcpy(operand.shape, view.shape, sizeof operand.shape);
    std::memcpy(operand.stride, view.stride, sizeof operand.stride);
    operand.dtype = view.dtype;
    operand.rank = static_cast<std::int8_t>(view.rank);
    operand.device = view.device;
    operand.role = operands[index].role;
  }
  set_state(record, OpState::kOpen);
  return record;
}

void OpLog::set_state(OpRecord& record, OpState state) {
  if (state == OpState::kRunning) record.started_ns = now_ns();
  if (state == OpState::kDone || state == OpState::kFailed) record.finished_ns = now_ns();
  std::atomic_ref<OpState>(record.state).store(state, std::memory_order_release);
}

void OpLog::finish(OpRecord& record, OpState state) {
  copies_.copies += record.copies;
  copies_.bytes += record.copy_bytes;
  set_state(record, state);
}

OpState OpLog::state(const OpRecord& record) {
  // atomic_ref wants a mutable object; the load does not write.
  return std::atomic_ref<OpState>(const_cast<OpState&>(record.state))
      .load(std::memory_order_acquire);
}

std::uint32_t OpLog::intern_site(Location caller) {
  std::size_t slot = (reinterpret_cast<std::uintptr_t>(caller.file) >> 3) * 31 + caller.line;
  for (;; ++slot) {
    SiteSlot& entry = site_slots_[slot % kSiteSlots];
    if (entry.file == caller.file && entry.line == caller.line) return entry.id;
    if (entry.file != nullptr) continue;
    if (memory_->num_sites == kMaxSites) return 0;
    const std::uint32_t id = memory_->num_sites++;
    assign_tail(memory_->sites[id].file, caller.file);
    assign_tail(memory_->sites[id].function, caller.function);
    memory_->sites[id].line = caller.line;
    locations_[id] = caller;
    entry = {caller.file, caller.line, id};
    return id;
  }
}

std::size_t OpLog::ScopeKeyHash::operator()(const ScopeKey& key) const {
  return (static_cast<std::size_t>(key.parent) * 1000003U +
          reinterpret_cast<std::uintptr_t>(key.name)) *
             1000003U +
         static_cast<std::size_t>(key.index);
}

std::uint32_t OpLog::intern_scope(std::uint32_t parent, const char* name, std::int64_t index) {
  const auto [entry, is_new] = scope_ids_.try_emplace(ScopeKey{parent, name, index}, 0U);
  if (!is_new) return entry->second;
  if (memory_->num_scopes == kMaxScopes) return 0;
  std::string path(memory_->scopes[parent].path);
  if (!path.empty()) path += '.';
  path += name;
  if (index >= 0) path += fmt::format(".{}", index);
  entry->second = memory_->num_scopes++;
  assign_tail(memory_->scopes[entry->second].path, path);
  return entry->second;
}

void OpLog::enter_scope(const char* name, std::int64_t index) {
  const std::uint32_t parent = scope_stack_.empty() ? 0 : scope_stack_.back();
  scope_stack_.push_back(intern_scope(parent, name, index));
}

void OpLog::leave_scope() {
  CARDLOOM_ASSERT(!scope_stack_.empty());
  scope_stack_.pop_back();
}

std::string_view OpLog::scope() const {
  return scope_stack_.empty() ? std::string_view() : memory_->scopes[scope_stack_.back()].path;
}

std::string_view OpLog::scope(const OpRecord& record) const {
  return memory_->scopes[record.scope_id].path;
}

std::string OpLog::site(const OpRecord& record) const {
  const Location at = location(record);
  return fmt::format("{}:{}", at.file, at.line);
}

Location OpLog::location(const OpRecord& record) const { return locations_[record.site_id]; }

std::string OpLog::describe(const OpRecord& record) const {
  std::string text = record.num_operands > 0 ? "operands " : "";
  for (int index = 0; index < record.num_operands; ++index) {
    text += (index == 0 ? "" : ", ") + to_string(record.operands[index]);
  }
  text += fmt::format("; launch {}, rank {} of {}", record.sequence, record.rank, world_size_);
  if (record.scope_id != 0) text += fmt::format(", {}", scope(record));
  return text;
}

Error OpLog::make_error(const OpRecord& record, ErrorCode code, std::string_view what,
                        std::string remedy) const {
  return {code, fmt::format("{}: {}", to_string(record.op), what), describe(record),
          std::move(remedy), location(record)};
}

std::vector<OpRecord> OpLog::snapshot(std::uint64_t after) const {
  std::vector<OpRecord> records;
  const std::uint64_t oldest = sequence_ > kNumRecords ? sequence_ - kNumRecords : 0;
  for (std::uint64_t sequence = std::max(after, oldest); sequence < sequence_; ++sequence) {
    records.push_back(memory_->records[sequence % kNumRecords]);
  }
  return records;
}

const OpRecord* OpLog::find(OpState wanted) const {
  const std::uint64_t oldest = sequence_ > kNumRecords ? sequence_ - kNumRecords : 0;
  for (std::uint64_t sequence = oldest; sequence < sequence_; ++sequence) {
    const OpRecord& record = memory_->records[sequence % kNumRecords];
    if (state(record) == wanted) return &record;
  }
  return nullptr;
}

std::string_view to_string(OpId op) {
  switch (op) {
    case OpId::kMatmul:
      return "matmul";
    case OpId::kMatmulAllReduce:
      return "matmul_all_reduce";
    case OpId::kAllGather:
      return "all_gather";
    case OpId::kRmsNorm:
      return "rms_norm";
    case OpId::kLayerNorm:
      return "layer_norm";
    case OpId::kRotaryEmbedding:
      return "rotary_embedding";
    case OpId::kKvAppend:
      return "kv_append";
    case OpId::kPagedAttention:
      return "paged_attention";
    case OpId::kAttention:
      return "attention";
    case OpId::kSiluAndMul:
      return "silu_and_mul";
    case OpId::kGelu:
      return "gelu";
    case OpId::kConv2d:
      return "conv2d";
    case OpId::kEmbeddingLookup:
      return "embedding_lookup";
    case OpId::kCopy:
      return "copy";
    case OpId::kAdd:
      return "add";
    case OpId::kScale:
      return "scale";
    case OpId::kTopK:
      return "top_k";
  }
  return "?";
}

std::string_view to_string(OpState state) {
  switch (state) {
    case OpState::kFree:
      return "free";
    case OpState::kOpen:
      return "open";
    case OpState::kRunning:
      return "running";
    case OpState::kDone:
      return "done";
    case OpState::kFailed:
      return "failed";
    case OpState::kSkipped:
      return "skipped";
  }
  return "?";
}

std::string to_string(const OperandRecord& operand) {
  if (operand.role == OperandRole::kWeight) {
    return fmt::format("{}({}, {})", to_string(operand.dtype), operand.shape[0], operand.shape[1]);
  }
  TensorView view;
  view.dtype = operand.dtype;
  view.device = operand.device;
  view.rank = operand.rank;
  std::memcpy(view.shape, operand.shape, sizeof view.shape);
  std::memcpy(view.stride, operand.stride, sizeof view.stride);
  return to_string(view);
}

}  // namespace cardloom
