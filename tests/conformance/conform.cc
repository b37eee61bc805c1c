#include "tests/conformance/conform.h"

#include <gtest/gtest.h>

namespace cardloom::testing {
namespace {

void write_values(const OperandSpec& spec, const TensorView& view, std::uint64_t seed) {
  if (spec.values.empty()) {
    fill(view, seed, spec.low, spec.high);
  } else {
    assign(view, spec.values);
  }
}

/// Inputs of one case in one layout; operands with listed values are not broadcast.
std::vector<LaidOut> lay_out(const OpCase& op_case, const Layout& layout) {
  std::vector<LaidOut> inputs;
  for (const OperandSpec& spec : op_case.inputs) {
    const bool plain = layout.broadcast && !spec.values.empty();
    inputs.push_back(plain ? contiguous(spec.dtype, spec.shape)
                           : layout.make(spec.dtype, spec.shape));
    write_values(spec, inputs.back(), inputs.size());
  }
  return inputs;
}

Views views_of(const std::vector<LaidOut>& operands) {
  Views views;
  for (const LaidOut& operand : operands) views.push_back(operand.view);
  return views;
}

LaidOut make_output(const OpCase& op_case, const Layout& layout) {
  LaidOut out = layout.make(op_case.output.dtype, op_case.output.shape);
  write_values(op_case.output, out, 99);
  return out;
}

void launch(Card& card, const OpCase& op_case, const Views& inputs, const TensorView& out) {
  op_case.run(card.stream, inputs, out);
  card.stream.synchronize();
}

const Layout& contiguous_layout() { return layouts().front(); }

/// The case on contiguous copies of `inputs`.
LaidOut run_contiguous(Card& card, const OpCase& op_case, const Views& inputs) {
  std::vector<LaidOut> copies;
  for (const TensorView& input : inputs) copies.push_back(to_contiguous(input));
  LaidOut out = make_output(op_case, contiguous_layout());
  launch(card, op_case, views_of(copies), out);
  return out;
}

void expect_near_reference(Card& card, const OpCase& op_case) {
  const std::vector<LaidOut> inputs = lay_out(op_case, contiguous_layout());
  const LaidOut expected = make_output(op_case, contiguous_layout());
  op_case.reference(views_of(inputs), expected);
  const LaidOut out = run_contiguous(card, op_case, views_of(inputs));
  if (op_case.tolerance == 0) {
    EXPECT_EQ(to_bytes(out), to_bytes(expected));
  } else {
    EXPECT_LE(largest_difference(out, expected), op_case.tolerance);
  }
}

void expect_same_in_layout(Card& card, const OpCase& op_case, const Layout& layout) {
  SCOPED_TRACE(layout.name);
  const std::vector<LaidOut> inputs = lay_out(op_case, layout);
  const LaidOut expected = run_contiguous(card, op_case, views_of(inputs));
  const LaidOut out = make_output(op_case, layout.broadcast ? contiguous_layout() : layout);
  launch(card, op_case, views_of(inputs), out);
  EXPECT_EQ(to_bytes(out), to_bytes(expected));
  EXPECT_TRUE(out.gaps_untouched());
}

/// Rows [0, at) and [at, end) in two launches.
void expect_same_when_cut(Card& card, const OpCase& op_case, std::int64_t at) {
  SCOPED_TRACE("cut at row " + std::to_string(at));
  const std::vector<LaidOut> inputs = lay_out(op_case, contiguous_layout());
  const LaidOut expected = run_contiguous(card, op_case, views_of(inputs));
  const LaidOut out = make_output(op_case, contiguous_layout());
  const std::int64_t rows = op_case.output.shape[0];
  for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, at}, {at, rows}}) {
    Views part;
    for (std::size_t index = 0; index < inputs.size(); ++index) {
      const TensorView& view = inputs[index].view;
      part.push_back(op_case.inputs[index].has_rows ? view.slice(0, begin, end) : view);
    }
    launch(card, op_case, part, out.view.slice(0, begin, end));
  }
  EXPECT_EQ(to_bytes(out), to_bytes(expected));
}

}  // namespace

double tolerance_of(DType dtype, double tolerance) {
  if (dtype == DType::kBF16) return tolerance + 0x1p-7;
  if (dtype == DType::kF16) return tolerance + 0x1p-10;
  return tolerance;
}

void for_each_card(const std::function<void(Card&)>& body) {
  for (const cpu::Isa isa : cpu::supported_isas()) {
    for (const int num_threads : {1, 3}) {
      SCOPED_TRACE(std::string(to_string(isa)) + ", threads " + std::to_string(num_threads));
      Card card(isa, num_threads);
      body(card);
    }
  }
}

void expect_conforms(const OpCase& op_case) {
  SCOPED_TRACE(op_case.name + " on " +
               to_string(contiguous(op_case.output.dtype, op_case.output.shape).view));
  std::optional<std::pair<std::string, std::vector<std::byte>>> path_bits;
  for_each_card([&](Card& card) {
    expect_near_reference(card, op_case);
    const std::vector<LaidOut> inputs = lay_out(op_case, contiguous_layout());
    const std::vector<std::byte> bits = to_bytes(run_contiguous(card, op_case, views_of(inputs)));
    const std::string path(card.device.instruction_path());
    if (path_bits && path_bits->first == path) {
      EXPECT_EQ(bits, path_bits->second) << "with another number of threads";
    }
    path_bits = {path, bits};
    for (const Layout& layout : layouts()) expect_same_in_layout(card, op_case, layout);
    if (!op_case.output.has_rows) return;
    const std::int64_t rows = op_case.output.shape[0];
    for (const std::int64_t at : {std::int64_t{1}, rows / 2, rows - 1}) {
      if (at > 0 && at < rows) expect_same_when_cut(card, op_case, at);
    }
  });
}

}  // namespace cardloom::testing
