#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "cardloom/backend/cpu/machine_probe.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/quant/packed_matrix.h"

/// What a phase of `bench` has to do, counted from the config, and what the machine allows.
namespace cardloom::app {

/// How weights are stored.
struct BenchFormats {
  WeightFormat text = WeightFormat::kBF16;
  WeightFormat vision = WeightFormat::kBF16;
  std::string text_name = "bf16";
  std::string vision_name = "bf16";
};
/// As the options say. Throws Failure(kExitUsage) if there is no such format.
[[nodiscard]] BenchFormats bench_formats(const CommonOptions& options);

/// A multiply-add counts as 2 operations. Products and attention are counted; norms, activations
/// and sampling are not.
struct Work {
  double bytes = 0;  ///< packed weights read, KV cache read and written
  double flops = 0;
};

/// Counts work. `kv_bytes_per_token` is of all layers on all cards.
class WorkCounter {
 public:
  WorkCounter(const glm4v::Glm4vConfig& config, const BenchFormats& formats,
              double kv_bytes_per_token);

  /// A prompt of `rows` rows in `steps` steps, logits of the last row alone: of the other rows the
  /// last layer computes keys and values and no more.
  [[nodiscard]] Work prefill(std::int64_t rows, std::int64_t steps) const;
  /// One step of `batch` sequences that have `context` rows each, the new one included.
  [[nodiscard]] Work decode(std::int64_t batch, double context) const;
  /// One picture through tower and projector.
  [[nodiscard]] Work vision() const;

 private:
  [[nodiscard]] Work product(double rows, std::int64_t N, std::int64_t K,
                             WeightFormat format) const;
  [[nodiscard]] Work qkv(double rows) const;
  [[nodiscard]] Work rest_of_layer(double rows, double keys) const;

  const glm4v::Glm4vConfig& config_;
  BenchFormats formats_;
  double kv_bytes_per_token_;
};

/// Which of the machine's limits allows less, and how near a measured time comes to it.
struct LimitVerdict {
  std::string name;     ///< "bandwidth", "bf16", "vnni" or "f32"
  double value = 0;     ///< bytes a second or operations a second
  double fraction = 0;  ///< measured by limit; 1 is all that the machine can do
};

/// The unit that a format's products are judged by: of f32 the path's multiply-adds; of bf16 the
/// fastest that the path has (tiles; the dot instruction, or multiply-adds where those are faster);
/// of int8 and int4 VNNI, also where tiles are faster, and multiply-adds where there is none.
struct ComputeLimit {
  std::string name;
  double flops = 0;  ///< operations a second
};
[[nodiscard]] ComputeLimit compute_limit(const std::string& format_name,
                                         const std::string& instruction_path,
                                         const cpu::MachineFigures& machine);

[[nodiscard]] LimitVerdict judge(const Work& work, double seconds, const ComputeLimit& compute,
                                 double read_bytes_per_s);

/// "1,4,16" as numbers of [low, high]. Throws Failure(kExitUsage), naming the item that is none.
[[nodiscard]] std::vector<std::int64_t> parse_list(const char* option, const std::string& text,
                                                   std::int64_t low, std::int64_t high);

/// The middle one; of an even number the mean of both. 0 of none.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace cardloom::app
