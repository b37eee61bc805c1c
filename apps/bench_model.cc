#include "apps/bench_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/session.h"
#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

/// Longer lists take hours; nobody means them.
constexpr std::size_t kMaxListItems = 32;

Work operator+(Work a, Work b) { return {a.bytes + b.bytes, a.flops + b.flops}; }
Work operator*(double times, Work work) { return {times * work.bytes, times * work.flops}; }

}  // namespace

BenchFormats bench_formats(const CommonOptions& options) {
  const glm4v::WeightFormats formats = formats_of(options);
  return {formats.text, formats.vision, to_string(formats.text), to_string(formats.vision)};
}

WorkCounter::WorkCounter(const glm4v::Glm4vConfig& config, const BenchFormats& formats,
                         double kv_bytes_per_token)
    : config_(config), formats_(formats), kv_bytes_per_token_(kv_bytes_per_token) {}

Work WorkCounter::product(double rows, std::int64_t N, std::int64_t K, WeightFormat format) const {
  return {static_cast<double>(packed_bytes(format, N, K)),
          2 * rows * static_cast<double>(N) * static_cast<double>(K)};
}

Work WorkCounter::qkv(double rows) const {
  return product(rows, config_.qkv_features(), config_.hidden_size, formats_.text);
}

/// What follows a layer's keys and values: o and the MLP, and attention to `keys` keys in all.
Work WorkCounter::rest_of_layer(double rows, double keys) const {
  const WeightFormat format = formats_.text;
  const std::int64_t H = config_.hidden_size;
  const std::int64_t I = config_.intermediate_size;
  const std::int64_t width = config_.num_heads * config_.head_dim;
  Work work = product(rows, H, width, format) + product(rows, 2 * I, H, format) +
              product(rows, H, I, format);
  work.flops += 4 * keys * static_cast<double>(width);
  return work;
}

Work WorkCounter::prefill(std::int64_t rows, std::int64_t steps) const {
  const auto M = static_cast<double>(rows);
  const auto L = static_cast<double>(config_.num_layers);
  Work work = L * qkv(M) + (L - 1) * rest_of_layer(M, M * (M + 1) / 2);
  work.bytes *= static_cast<double>(steps);  // a chunk reads all weights again
  work = work + rest_of_layer(1, M) +
         product(1, config_.vocab_size, config_.hidden_size, formats_.text);
  work.bytes += kv_bytes_per_token_ * M;
  return work;
}

Work WorkCounter::decode(std::int64_t batch, double context) const {
  const auto B = static_cast<double>(batch);
  Work work = static_cast<double>(config_.num_layers) * (qkv(B) + rest_of_layer(B, B * context)) +
              product(B, config_.vocab_size, config_.hidden_size, formats_.text);
  work.bytes += kv_bytes_per_token_ * B * context;
  return work;
}

Work WorkCounter::vision() const {
  if (!config_.vision) return {};
  const glm4v::VisionConfig& vision = *config_.vision;
  const WeightFormat format = formats_.vision;
  const auto P = static_cast<double>(vision.num_positions);
  const std::int64_t W = vision.hidden_size;
  Work layer = product(P, 3 * W, W, format) + product(P, W, W, format) +
               product(P, vision.intermediate_size, W, format) +
               product(P, W, vision.intermediate_size, format);
  layer.flops += 4 * P * P * static_cast<double>(W);
  const auto R = static_cast<double>(vision.num_projected());
  const std::int64_t H = config_.hidden_size;
  const std::int64_t I = config_.intermediate_size;
  const std::int64_t patch = vision.in_channels * vision.patch_size * vision.patch_size;
  return static_cast<double>(vision.num_layers) * layer +
         product(static_cast<double>(vision.num_patches()), W, patch, format) +
         product(R, H, 4 * W, format) + product(R, H, H, format) + product(R, 2 * I, H, format) +
         product(R, H, I, format);
}

ComputeLimit compute_limit(const std::string& format_name, const std::string& instruction_path,
                           const cpu::MachineFigures& machine) {
  double f32 = machine.f32_flops;
  if (instruction_path == "plain") f32 = machine.plain_f32_flops;
  if (instruction_path == "avx2") f32 = machine.avx2_f32_flops;
  const bool has_dot = instruction_path == "avx512_bf16" || instruction_path == "amx";
  if (format_name == "f32" || !has_dot) return {"f32", f32};
  if (format_name != "bf16") return {"vnni", machine.vnni_ops};
  const double bf16 = instruction_path == "amx" ? machine.amx_bf16_flops : machine.bf16_flops;
  return bf16 >= f32 ? ComputeLimit{"bf16", bf16} : ComputeLimit{"f32", f32};
}

LimitVerdict judge(const Work& work, double seconds, const ComputeLimit& compute,
                   double read_bytes_per_s) {
  if (seconds <= 0) return {};
  const bool by_compute =
      compute.flops > 0 &&
      (read_bytes_per_s <= 0 || work.flops / compute.flops > work.bytes / read_bytes_per_s);
  if (by_compute) return {compute.name, compute.flops, work.flops / seconds / compute.flops};
  if (read_bytes_per_s <= 0) return {};
  return {"bandwidth", read_bytes_per_s, work.bytes / seconds / read_bytes_per_s};
}

std::vector<std::int64_t> parse_list(const char* option, const std::string& text, std::int64_t low,
                                     std::int64_t high) {
  std::vector<std::int64_t> numbers;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const std::optional<std::int64_t> number = parse_number<std::int64_t>(item);
    if (!number) {
      fail_usage(fmt::format("{} is \"{}\", but \"{}\" in it is no number", option,
                             text.substr(0, 200), item.substr(0, 60)),
                 fmt::format("numbers of {} to {} with commas between them", low, high),
                 fmt::format("{} 1,4,16", option));
    }
    check_range(option, *number, low, high);
    numbers.push_back(*number);
    at = end + 1;
  }
  if (numbers.size() > kMaxListItems) {
    fail_usage(fmt::format("{} lists {} numbers, but takes at most {}", option, numbers.size(),
                           kMaxListItems),
               {}, fmt::format("{} 1,4,16", option));
  }
  return numbers;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace cardloom::app
