#include "cardloom/ops/op_launch.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "cardloom/comm/communicator.h"

namespace cardloom {
namespace {

std::uint64_t mix(
    std::uint64_t value) {  // splitmix64's finaliser: every input bit moves every output bit
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

std::uint64_t bits_at(const std::byte* address, std::int64_t size) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, address, static_cast<std::size_t>(size));  // little endian: low bytes
  return bits;
}

/// Calls visit(index along axis 0, address) for every element.
template <class Visit>
void for_each_element(const TensorView& view, Visit visit) {
  std::int64_t index[TensorView::kMaxRank] = {};
  const std::int64_t count = view.num_elements();
  const std::int64_t size = size_of(view.dtype);
  for (std::int64_t element = 0; element < count; ++element) {
    std::int64_t offset = 0;
    for (int axis = 0; axis < view.rank; ++axis) offset += index[axis] * view.stride[axis];
    visit(index[0], view.data + offset * size);
    for (int axis = view.rank - 1; axis >= 0; --axis) {
      if (++index[axis] < view.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

TensorView view_of(const OperandRecord& operand) {
  TensorView view;
  view.data = reinterpret_cast<std::byte*>(operand.address);
  view.dtype = operand.dtype;
  view.device = operand.device;
  view.rank = operand.rank;
  std::memcpy(view.shape, operand.shape, sizeof view.shape);
  std::memcpy(view.stride, operand.stride, sizeof view.stride);
  return view;
}

float element_f32(DType dtype, const std::byte* address) {
  const auto bits = static_cast<std::uint32_t>(bits_at(address, size_of(dtype)));
  if (dtype == DType::kF32) return std::bit_cast<float>(bits);
  if (dtype == DType::kBF16) return to_f32(bf16{static_cast<std::uint16_t>(bits)});
  return to_f32(f16{static_cast<std::uint16_t>(bits)});
}

/// Throws kDataLoss naming the first element of `view` that is no finite number.
void require_finite(const TensorView& view) {
  if (!is_floating(view.dtype)) return;
  std::int64_t position = 0;
  for_each_element(view, [&](std::int64_t row, const std::byte* address) {
    const float value = element_f32(view.dtype, address);
    if (!std::isfinite(value)) {
      throw_error(ErrorCode::kDataLoss, fmt::format("the output has a {}", value),
                  fmt::format("element {} in row-major order, row {}", position, row),
                  "look at the first operator that reports this; a damaged weight is likely");
    }
    ++position;
  });
}

}  // namespace

OpLaunch::OpLaunch(Stream& stream, OpId op, std::initializer_list<Operand> operands,
                   Location caller)
    : stream_(stream),
      record_(stream.log().open(op, operands.begin(), static_cast<int>(operands.size()), caller)) {}

OpLaunch::~OpLaunch() {
  if (!enqueued_) OpLog::set_state(record_, OpState::kFailed);
}

void OpLaunch::require(bool holds, const char* rule) const {
  if (!holds) refuse(rule);
}

void OpLaunch::refuse(const std::string& rule, ErrorCode code) const {
  throw Exception(stream_.log().make_error(record_, code, rule));
}

void OpLaunch::require_own_memory(const TensorView& output) const {
  require(!has_internal_overlap(output), "out must not name one element twice");
}

void OpLaunch::require_apart(const TensorView& output, const TensorView& input,
                             const char* name) const {
  if (may_overlap(output, input)) refuse(fmt::format("out must not overlap {}", name));
}

bool OpLaunch::begin(Stream& stream, OpRecord& record) {
  if (stream.failed()) {
    OpLog::set_state(record, OpState::kSkipped);
    return false;
  }
  OpLog::set_state(record, OpState::kRunning);
  return true;
}

void OpLaunch::finish(Stream& stream, OpRecord& record) {
  const StreamOptions& options = stream.options();
  if (options.fingerprints || options.launch_blocking >= 2) {
    for (int index = 0; index < record.num_operands; ++index) {
      if (record.operands[index].role != OperandRole::kOutput) continue;
      const TensorView view = view_of(record.operands[index]);
      if (options.fingerprints) record.fingerprint += fingerprint(view);
      if (options.launch_blocking >= 2) require_finite(view);
    }
  }
  stream.log().finish(record, OpState::kDone);
}

void OpLaunch::fail(Stream& stream, OpRecord& record, const std::exception& failure) {
  OpLog::set_state(record, OpState::kFailed);
  if (const auto* group = dynamic_cast<const GroupFailure*>(&failure)) {
    stream.fail(group->error());  // already told by the rank that failed first
    return;
  }
  const auto* named = dynamic_cast<const Exception*>(&failure);
  if (named == nullptr) {
    stream.fail(stream.log().make_error(record, ErrorCode::kInternal, failure.what()));
    return;
  }
  Error error = named->error();
  const std::string name(to_string(record.op));
  if (!error.message.starts_with(name)) error.message = name + ": " + error.message;
  if (!error.detail.empty()) error.detail += "; ";
  error.detail += stream.log().describe(record);
  error.at = stream.log().location(record);
  stream.fail(error);
}

std::uint64_t fingerprint(const TensorView& view) {
  std::uint64_t sum = 0;
  const std::int64_t size = size_of(view.dtype);
  for_each_element(view, [&](std::int64_t row, const std::byte* address) {
    sum += mix(mix(static_cast<std::uint64_t>(row)) ^ bits_at(address, size));
  });
  return sum;
}

}  // namespace cardloom
