#include "cardloom/models/glm4v/weights.h"

#include <fmt/format.h>

#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "cardloom/base/parallel.h"
#include "cardloom/layers/rotary_table.h"
#include "cardloom/models/glm4v/weight_names.h"

namespace cardloom::glm4v {
namespace {

/// Counts what has been packed, over the threads of all ranks.
class Progress {
 public:
  Progress(const LoadOptions& options, std::int64_t total)
      : report_(options.progress), total_(total) {}

  void add(std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    if (report_) report_(done_, total_);
  }

 private:
  std::mutex mutex_;  ///< guards done_; held while reporting, so that reports come in order
  std::int64_t done_ = 0;
  const std::function<void(std::int64_t, std::int64_t)>& report_;
  std::int64_t total_;
};

/// Reads and packs what one rank holds.
class RankLoader {
 public:
  RankLoader(const Glm4vConfig& config, const WeightStore& store, const LoadOptions& options,
             int rank, Progress& progress)
      : config_(config),
        store_(store),
        tp_(static_cast<int>(options.devices.size())),
        rank_(rank),
        device_(options.devices[static_cast<std::size_t>(rank)]),
        dtype_(options.dtype),
        formats_(weight_formats(options.dtype, options.weights, options.vision_weights)),
        share_(share_of_rank(config, tp_, rank)),
        progress_(progress) {
    parallel_ = run_serially;
    if (options.parallel_for) {
      parallel_ = [&options, rank](std::int64_t n, const std::function<void(std::int64_t)>& body) {
        options.parallel_for(rank, n, body);
      };
    }
  }

  RankWeights load() {
    RankWeights weights;
    will_read_layer(0);
    weights.share = share_;
    weights.embedding = vocabulary_rows();
    weights.cos_sin = make_rotary_table({.num_positions = config_.max_positions,
                                         .rotary_dim = config_.rotary_dim,
                                         .theta = config_.rope_theta,
                                         .dtype = dtype_},
                                        device_);
    for (std::int64_t layer = 0; layer < config_.num_layers; ++layer) {
      will_read_layer(layer + 1);
      weights.layers.push_back(text_layer(layer));
    }
    weights.final_norm = vector(names::kFinalNorm);
    weights.lm_head = rows(names::kOutputLayer, formats_.text, nullptr, {share_.vocabulary});
    if (config_.vision) {
      weights.vision = vision();
      weights.projector = projector();
    }
    return weights;
  }

 private:
  using Parts = std::vector<IndexRange>;

  [[nodiscard]] TensorView find(const std::string& name) const {
    return store_.tensor(name).value_or_throw();
  }

  /// Large tensors: the disk works on the next ones while these are packed. Beyond the last layer
  /// comes what is loaded then.
  void will_read_layer(std::int64_t layer) const {
    if (layer >= config_.num_layers) return store_.will_read(names::kOutputLayer);
    for (const char* part : {names::kQkvWeight, names::kO, names::kGateUp, names::kDown}) {
      store_.will_read(names::text_layer(layer, part));
    }
  }
  void will_read_vision_layer(std::int64_t layer) const {
    if (layer >= config_.vision->num_layers) return;
    for (const char* part : {names::kVisionQkvWeight, names::kVisionDenseWeight,
                             names::kVisionFc1Weight, names::kVisionFc2Weight}) {
      store_.will_read(names::vision_layer(layer, part));
    }
  }

  void count(std::int64_t elements) { progress_.add(elements * size_of(dtype_)); }

  Tensor vector(const std::string& name) {
    const TensorView whole = find(name);
    count(whole.num_elements());
    return make_f32_vector(whole, device_);
  }

  NormStorage norm(const std::string& weight, const std::string& bias) {
    return {vector(weight), vector(bias)};
  }

  /// The leaves of this rank on the row axis of a producer whose section begins at `base`.
  void append_leaves(Parts& parts, const LeafPlan& plan, std::int64_t base) const {
    const IndexRange leaves = leaves_of_rank(plan.num_leaves, tp_, rank_);
    for (std::int64_t leaf = leaves.begin; leaf < leaves.end; ++leaf) {
      parts.push_back({base + plan.border[leaf], base + plan.border[leaf + 1]});
    }
  }

  /// Runs `pack` on the tensor `name`; what it refuses is told with that name.
  template <class Pack>
  static void pack_named(const std::string& name, const Pack& pack) {
    try {
      pack();
    } catch (const Exception& failure) {
      Error error = failure.error();
      error.message = fmt::format("tensor \"{}\": {}", name, error.message);
      throw Exception(std::move(error));
    }
  }

  /// Packs rows `parts` of `w` [N, K], one piece each, behind the `begin` columns there are.
  void add_rows(const std::string& name, PackedWeight& packed, const TensorView& w,
                WeightFormat format, const Parts& parts, std::int64_t begin) {
    packed.add_columns(w.slice(0, 0, 0), format, begin);  // K is known also without rows
    for (const IndexRange& part : parts) {
      pack_named(name, [&] {
        packed.add_columns(w.slice(0, part.begin, part.end), format, begin, parallel_);
      });
      begin += part.size();
      count(part.size() * w.shape[1]);
    }
  }

  /// Rows `parts` of a linear weight, in this order; `bias_name` may be null.
  LinearStorage rows(const std::string& name, WeightFormat format, const char* bias_name,
                     const Parts& parts) {
    LinearStorage linear;
    add_rows(name, linear.weight, find(name), format, parts, 0);
    store_.was_read(name);
    if (bias_name == nullptr) return linear;
    const TensorView whole = find(bias_name);
    linear.bias = Tensor(DType::kF32, {linear.weight.matrix().N}, device_);
    std::int64_t begin = 0;
    for (const IndexRange& part : parts) {
      convert_elements(whole.slice(0, part.begin, part.end),
                       linear.bias.view().slice(0, begin, begin + part.size()));
      begin += part.size();
    }
    count(begin);
    return linear;
  }

  /// The leaves of this rank on the column axis of a row-parallel weight.
  LinearStorage leaves(const std::string& name, WeightFormat format, const char* bias_name,
                       const LeafPlan& plan) {
    const TensorView w = find(name);
    const IndexRange own = leaves_of_rank(plan.num_leaves, tp_, rank_);
    LinearStorage linear;
    pack_named(name, [&] {
      linear.weight =
          PackedWeight::leaves(w, format, plan.border, plan.num_leaves, static_cast<int>(own.begin),
                               static_cast<int>(own.end), parallel_);
    });
    store_.was_read(name);
    count(w.shape[0] * linear.weight.matrix().K);
    if (bias_name != nullptr) linear.bias = vector(bias_name);
    return linear;
  }

  /// A weight that every rank holds, [N, ...] read as (N, K).
  LinearStorage whole(const std::string& name, const char* bias_name) {
    TensorView w = find(name);
    while (w.rank > 2) w = w.flatten(1);
    LinearStorage linear;
    add_rows(name, linear.weight, w, formats_.vision, {{0, w.shape[0]}}, 0);
    store_.was_read(name);
    if (bias_name != nullptr) linear.bias = vector(bias_name);
    return linear;
  }

  Tensor vocabulary_rows() {
    const TensorView whole = find(names::kWordEmbeddings);
    const IndexRange own = share_.vocabulary;
    Tensor embedding(dtype_, {own.size(), config_.hidden_size}, device_);
    convert_elements(whole.slice(0, own.begin, own.end), embedding, parallel_);
    store_.was_read(names::kWordEmbeddings);
    count(own.size() * config_.hidden_size);
    return embedding;
  }

  TextLayerWeights text_layer(std::int64_t layer) {
    const auto name = [layer](const char* part) { return names::text_layer(layer, part); };
    const std::int64_t D = config_.head_dim;
    const std::int64_t groups_begin = config_.num_heads * D;
    const LeafPlan heads = plan_head_leaves(config_.num_heads, D);
    const LeafPlan features = plan_feature_leaves(config_.intermediate_size);

    Parts qkv;
    append_leaves(qkv, heads, 0);
    for (const std::int64_t section : {groups_begin, groups_begin + config_.num_kv_heads * D}) {
      for (std::int64_t group = share_.kv_groups.begin; group < share_.kv_groups.end; ++group) {
        qkv.push_back({section + group * D, section + (group + 1) * D});
      }
    }
    Parts gate_up;
    append_leaves(gate_up, features, 0);
    append_leaves(gate_up, features, config_.intermediate_size);

    TextLayerWeights weights;
    weights.input_norm = vector(name(names::kInputNorm));
    weights.qkv = rows(name(names::kQkvWeight), formats_.text, name(names::kQkvBias).c_str(), qkv);
    weights.o = leaves(name(names::kO), formats_.text, nullptr, heads);
    weights.post_norm = vector(name(names::kPostNorm));
    weights.gate_up = rows(name(names::kGateUp), formats_.text, nullptr, gate_up);
    weights.down = leaves(name(names::kDown), formats_.text, nullptr, features);
    return weights;
  }

  VisionLayerWeights vision_layer(std::int64_t layer) {
    const auto name = [layer](const char* part) { return names::vision_layer(layer, part); };
    const VisionConfig& config = *config_.vision;
    const LeafPlan heads = plan_head_leaves(config.num_heads, config.head_dim);
    const LeafPlan features = plan_feature_leaves(config.intermediate_size);
    Parts qkv;
    for (const std::int64_t section : {0, 1, 2}) {
      append_leaves(qkv, heads, section * config.hidden_size);
    }
    Parts fc1;
    append_leaves(fc1, features, 0);

    VisionLayerWeights weights;
    weights.qkv = rows(name(names::kVisionQkvWeight), formats_.vision,
                       name(names::kVisionQkvBias).c_str(), qkv);
    weights.dense = leaves(name(names::kVisionDenseWeight), formats_.vision,
                           name(names::kVisionDenseBias).c_str(), heads);
    weights.input_norm =
        norm(name(names::kVisionInputNormWeight), name(names::kVisionInputNormBias));
    weights.fc1 = rows(name(names::kVisionFc1Weight), formats_.vision,
                       name(names::kVisionFc1Bias).c_str(), fc1);
    weights.fc2 = leaves(name(names::kVisionFc2Weight), formats_.vision,
                         name(names::kVisionFc2Bias).c_str(), features);
    weights.post_norm = norm(name(names::kVisionPostNormWeight), name(names::kVisionPostNormBias));
    return weights;
  }

  VisionWeights vision() {
    VisionWeights weights;
    weights.patch = whole(names::kPatchWeight, names::kPatchBias);
    const TensorView positions = find(names::kPositionEmbedding);
    const std::int64_t num_positions = positions.shape[0];
    const std::int64_t width = positions.shape[1];
    weights.positions = Tensor(dtype_, {num_positions - 1, width}, device_);
    convert_elements(positions.slice(0, 1, num_positions), weights.positions);
    weights.cls_row = sum(find(names::kClsEmbedding), positions.slice(0, 0, 1));
    count((num_positions + 1) * width);
    for (std::int64_t layer = 0; layer < config_.vision->num_layers; ++layer) {
      will_read_vision_layer(layer + 1);
      weights.layers.push_back(vision_layer(layer));
    }
    return weights;
  }

  ProjectorWeights projector() {
    const LeafPlan features = plan_feature_leaves(config_.intermediate_size);
    Parts own;
    append_leaves(own, features, 0);
    ProjectorWeights weights;
    weights.conv = whole(names::kConvWeight, names::kConvBias);
    weights.linear = whole(names::kProjectorLinear, nullptr);
    weights.norm = norm(names::kProjectorNormWeight, names::kProjectorNormBias);
    add_rows(names::kProjectorGate, weights.gate_up.weight, find(names::kProjectorGate),
             formats_.vision, own, 0);
    add_rows(names::kProjectorUp, weights.gate_up.weight, find(names::kProjectorUp),
             formats_.vision, own, share_.features.size());
    store_.was_read(names::kProjectorGate);
    store_.was_read(names::kProjectorUp);
    weights.down = leaves(names::kProjectorDown, formats_.vision, nullptr, features);
    weights.boi = scaled_row(names::kBoi);
    weights.eoi = scaled_row(names::kEoi);
    return weights;
  }

  /// [1, n] in the model's dtype, each number of f(index) rounded once.
  template <class Value>
  [[nodiscard]] Tensor make_row(std::int64_t n, Value value) const {
    Tensor exact(DType::kF32, {1, n});
    for (std::int64_t index = 0; index < n; ++index) {
      exact.view().at<float>()[index] = value(index);
    }
    Tensor row(dtype_, {1, n}, device_);
    convert_elements(exact, row);
    return row;
  }

  [[nodiscard]] Tensor sum(const TensorView& a, const TensorView& b) const {
    const Tensor left = make_f32_vector(a);
    const Tensor right = make_f32_vector(b);
    return make_row(a.num_elements(), [&](std::int64_t index) {
      return left.view().at<float>()[index] + right.view().at<float>()[index];
    });
  }

  Tensor scaled_row(const char* name) {
    const Tensor row = vector(name);
    const auto factor = static_cast<float>(config_.vision->scaling_factor);
    return make_row(row.view().num_elements(),
                    [&](std::int64_t index) { return row.view().at<float>()[index] / factor; });
  }

  const Glm4vConfig& config_;
  const WeightStore& store_;
  int tp_;
  int rank_;
  DeviceId device_;
  DType dtype_;
  const WeightFormats formats_;
  CardShare share_;
  Progress& progress_;
  ParallelFor parallel_;
};

std::int64_t planned_bytes(const Glm4vConfig& config, int tp, DType dtype) {
  const MemoryPlan plan = plan_memory(config, {.tp = tp, .dtype = dtype});
  std::int64_t bytes = 0;
  for (const CardMemory& card : plan.cards) bytes += card.parameters.total() * size_of(dtype);
  return bytes;
}

}  // namespace

std::vector<RankWeights> load_weights(const Glm4vConfig& config, const WeightStore& store,
                                      const LoadOptions& options) {
  const int tp = static_cast<int>(options.devices.size());
  check_tp(tp).or_throw();
  check_weights(config, store.index()).or_throw();
  Progress progress(options, planned_bytes(config, tp, options.dtype));

  std::vector<RankWeights> ranks(static_cast<std::size_t>(tp));
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(tp));
  std::vector<std::jthread> threads;
  threads.reserve(ranks.size());
  for (int rank = 0; rank < tp; ++rank) {
    threads.emplace_back([&, place = static_cast<std::size_t>(rank), rank] {
      try {
        if (options.bind_thread) options.bind_thread(rank);
        ranks[place] = RankLoader(config, store, options, rank, progress).load();
      } catch (...) {
        failures[place] = std::current_exception();  // rethrown by the caller's thread below
      }
    });
  }
  threads.clear();  // joins
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return ranks;
}

}  // namespace cardloom::glm4v
