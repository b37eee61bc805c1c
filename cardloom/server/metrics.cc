#include "cardloom/server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>

#include <filesystem>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

namespace cardloom::server {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's bounds, so that its dashboards read ours as they read theirs.
const Buckets kFirstTokenBuckets = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                    1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
const Buckets kTokenGapBuckets = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                  .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
const Buckets kLatencyBuckets = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
const Buckets kTokenCountBuckets = {1,   2,    5,    10,   20,    50,    100,   200,
                                    500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
const Buckets kChoicesBuckets = {1, 2, 5, 10, 20};
const Buckets kStageBuckets = {.0001, .0005, .001, .0025, .005, .01, .025, .05, .1,
                               .25,   .5,    1,    2.5,   5,    10,  30,   60};
const Buckets kHttpBuckets = {.001, .0025, .005, .01, .025, .05, .1, .25,
                              .5,   1,     2.5,  5,   10,   30,  60, 300};

/// A series under our name and, if asked for, one under vLLM's.
struct Pair {
  prometheus::Histogram* ours = nullptr;
  prometheus::Histogram* vllm = nullptr;

  void observe(double value) const {
    ours->Observe(value);
    if (vllm != nullptr) vllm->Observe(value);
  }
};

prometheus::Family<prometheus::Counter>& counters(prometheus::Registry& registry, const char* name,
                                                  const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Histogram* stage(prometheus::Registry& registry, const char* name, const char* help) {
  return &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({},
                                                                                    kStageBuckets);
}

/// One line of the text format that is read and not kept.
struct Reading {
  const char* name;       ///< nullptr: vLLM's alone
  const char* vllm_name;  ///< nullptr: none
  const char* help;
  prometheus::MetricType type;
  double value;
};

/// One sample of a family, with its labels.
prometheus::ClientMetric sample(const prometheus::Labels& labels, double value) {
  prometheus::ClientMetric made;
  for (const auto& [name, text] : labels) made.label.push_back({name, text});
  made.gauge.value = value;
  return made;
}

void append_reading(std::vector<prometheus::MetricFamily>& families, const std::string& name,
                    const Reading& reading, const prometheus::Labels& labels) {
  prometheus::ClientMetric metric = sample(labels, reading.value);
  metric.counter.value = reading.value;  // the type chooses which of the two is told
  families.push_back({name, reading.help, reading.type, {metric}});
}

/// By the first bytes, as the decoder will judge.
const char* format_of(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xD8\xFF")) return "jpeg";
  if (bytes.starts_with("\x89PNG")) return "png";
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP")) return "webp";
  return "other";
}

/// This process as Prometheus' own clients tell of theirs; what /proc does not tell is left out.
void append_process(std::vector<prometheus::MetricFamily>& families) {
  using prometheus::MetricType;
  const auto append = [&](const char* name, const char* help, MetricType type, double value) {
    append_reading(families, name, {name, nullptr, help, type, value}, {});
  };
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  append("process_cpu_seconds_total", "User and system CPU time spent.", MetricType::Counter,
         seconds(used.ru_utime) + seconds(used.ru_stime));
  if (const ProcessMemory memory = process_memory(); memory.resident_bytes > 0) {
    append("process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge,
           static_cast<double>(memory.virtual_bytes));
    append("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
           static_cast<double>(memory.resident_bytes));
  }
  std::error_code failure;
  const std::filesystem::directory_iterator files("/proc/self/fd", failure);
  if (!failure) {
    append("process_open_fds", "Open files.", MetricType::Gauge,
           static_cast<double>(std::distance(begin(files), end(files)) - 1));  // less this look
  }
}

/// The plan of memory; `table` nullptr: none yet.
void append_memory(std::vector<prometheus::MetricFamily>& families, const MemoryTable* table) {
  using prometheus::MetricType;
  if (table == nullptr) return;
  prometheus::MetricFamily cards{
      "cardloom_device_memory_bytes", "Reserved on each card, by kind.", MetricType::Gauge, {}};
  prometheus::MetricFamily requests{"cardloom_request_memory_bytes",
                                    "What requests can take at most, by kind.",
                                    MetricType::Gauge,
                                    {}};
  for (const MemoryItem& item : table->reserved) {
    for (std::size_t rank = 0; rank < item.cards.size(); ++rank) {
      cards.metric.push_back(sample({{"device", std::to_string(rank)}, {"kind", item.kind}},
                                    static_cast<double>(item.cards[rank])));
    }
  }
  for (const MemoryItem& item : table->requests) {
    requests.metric.push_back(sample({{"kind", item.kind}}, static_cast<double>(item.total())));
  }
  families.push_back(std::move(cards));
  families.push_back(std::move(requests));
}

prometheus::MetricFamily step_rows_family(const char* name, const StepRows& rows,
                                          const prometheus::Labels& labels) {
  prometheus::ClientMetric made = sample(labels, 0);
  std::uint64_t num_steps = 0;
  for (std::size_t index = 0; index < rows.counts.size(); ++index) {
    num_steps += rows.counts[index];
    const bool is_last = index == StepRows::kBounds.size();
    const double bound = is_last ? std::numeric_limits<double>::infinity()
                                 : static_cast<double>(StepRows::kBounds[index]);
    made.histogram.bucket.push_back({.cumulative_count = num_steps, .upper_bound = bound});
  }
  made.histogram.sample_count = num_steps;
  made.histogram.sample_sum = static_cast<double>(rows.sum);
  return {name, "Rows of a step of the model.", prometheus::MetricType::Histogram, {made}};
}

/// What the engine tells with labels of its own.
void append_engine(std::vector<prometheus::MetricFamily>& families, const EngineStats& engine,
                   const CacheText& cache) {
  using prometheus::MetricType;
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const std::int64_t for_blocks =
      engine.waiting - engine.waiting_for_step - engine.waiting_for_place;
  families.push_back(
      {"cardloom_requests_waiting_by_reason",
       "Sequences that wait: for the next step, for one of those that run to end, for blocks.",
       MetricType::Gauge,
       {sample({{"reason", "step"}}, number(engine.waiting_for_step)),
        sample({{"reason", "place"}}, number(engine.waiting_for_place)),
        sample({{"reason", "blocks"}}, number(for_blocks))}});
  families.push_back(step_rows_family("cardloom_step_rows", engine.step_rows, {}));
  if (engine.kv_blocks == 0) return;  // not loaded
  families.push_back({"cardloom_cache_config_info",
                      "What the caches are.",
                      MetricType::Gauge,
                      {sample({{"block_size", std::to_string(cache.block_size)},
                               {"num_blocks", std::to_string(engine.kv_blocks)},
                               {"kv_cache", cache.kv_cache},
                               {"num_picture_slots", std::to_string(cache.num_picture_slots)}},
                              1)}});
}

/// The same as vLLM tells it.
void append_vllm_engine(std::vector<prometheus::MetricFamily>& families, const EngineStats& engine,
                        const CacheText& cache, const prometheus::Labels& labels) {
  using prometheus::MetricType;
  const auto with = [&](prometheus::Labels more) {
    more.insert(labels.begin(), labels.end());
    return more;
  };
  // Deferred are those that could not run if there were room, as for an adapter or a remote cache.
  families.push_back({"vllm:num_requests_waiting_by_reason",
                      "Sequences that wait.",
                      MetricType::Gauge,
                      {sample(with({{"reason", "capacity"}}), static_cast<double>(engine.waiting)),
                       sample(with({{"reason", "deferred"}}), 0)}});
  families.push_back(step_rows_family("vllm:iteration_tokens_total", engine.step_rows, labels));
  if (engine.kv_blocks == 0) return;
  families.push_back({"vllm:cache_config_info",
                      "What the cache is.",
                      MetricType::Gauge,
                      {sample(with({{"block_size", std::to_string(cache.block_size)},
                                    {"num_gpu_blocks", std::to_string(engine.kv_blocks)},
                                    {"cache_dtype", cache.kv_cache},
                                    {"enable_prefix_caching", "True"}}),
                              1)}});
}

std::vector<Reading> readings_of(const EngineStats& engine, const http::ServerStats& http) {
  using prometheus::MetricType;
  const auto number = [](auto value) { return static_cast<double>(value); };
  const double blocks = engine.kv_blocks > 0 ? number(engine.kv_blocks) : 1;
  return {
      {"cardloom_requests_running", "vllm:num_requests_running", "Sequences that have KV blocks.",
       MetricType::Gauge, number(engine.running)},
      {"cardloom_requests_waiting", "vllm:num_requests_waiting", "Sequences that wait for blocks.",
       MetricType::Gauge, number(engine.waiting)},
      {"cardloom_kv_cache_usage_ratio", "vllm:kv_cache_usage_perc",
       "Part of the KV blocks that running sequences use.", MetricType::Gauge,
       number(engine.kv_blocks_used) / blocks},
      {"cardloom_kv_blocks", nullptr, "KV blocks in all.", MetricType::Gauge,
       number(engine.kv_blocks)},
      {"cardloom_kv_blocks_cached", nullptr, "KV blocks kept for their contents only.",
       MetricType::Gauge, number(engine.kv_blocks_cached)},
      {"cardloom_steps_total", nullptr, "Steps of the model.", MetricType::Counter,
       number(engine.steps)},
      {"cardloom_step_seconds_total", nullptr, "Time the cards spent in steps.",
       MetricType::Counter, engine.step_seconds},
      {"cardloom_prompt_tokens_total", nullptr, "Rows of prompts that were computed.",
       MetricType::Counter, number(engine.prompt_tokens)},
      // vLLM counts what was found with what was computed, and what was found twice.
      {nullptr, "vllm:prompt_tokens_total", "Rows of prompts, computed or found.",
       MetricType::Counter, number(engine.prompt_tokens + engine.prefix_hits)},
      {nullptr, "vllm:prompt_tokens_cached_total", "Rows of prompts that were not computed.",
       MetricType::Counter, number(engine.prefix_hits)},
      {"cardloom_generation_tokens_total", "vllm:generation_tokens_total", "Tokens generated.",
       MetricType::Counter, number(engine.generated_tokens)},
      {"cardloom_prefix_cache_queries_total", "vllm:prefix_cache_queries_total",
       "Prompt rows looked up in the prefix cache.", MetricType::Counter,
       number(engine.prefix_queries)},
      {"cardloom_prefix_cache_hits_total", "vllm:prefix_cache_hits_total",
       "Prompt rows found in the prefix cache.", MetricType::Counter, number(engine.prefix_hits)},
      {"cardloom_picture_cache_queries_total", "vllm:mm_cache_queries_total",
       "Pictures looked up in the cache of encoded pictures.", MetricType::Counter,
       number(engine.picture_queries)},
      {"cardloom_picture_cache_hits_total", "vllm:mm_cache_hits_total",
       "Pictures found in the cache of encoded pictures.", MetricType::Counter,
       number(engine.picture_hits)},
      {"cardloom_preemptions_total", "vllm:num_preemptions_total",
       "Times a sequence gave up its blocks.", MetricType::Counter, number(engine.preemptions)},
      {"cardloom_requests_corrupted_total", "vllm:corrupted_requests_total",
       "Sequences that ended because no logit was a number.", MetricType::Counter,
       number(engine.corrupted)},
      {"cardloom_speculated_tokens_total", nullptr, "Tokens proposed by look-up.",
       MetricType::Counter, number(engine.speculated)},
      {"cardloom_accepted_tokens_total", nullptr, "Proposed tokens that were right.",
       MetricType::Counter, number(engine.accepted)},
      {"cardloom_connections", nullptr, "Open connections.", MetricType::Gauge,
       number(http.connections)},
      {"cardloom_connections_accepted_total", nullptr, "Connections accepted.", MetricType::Counter,
       number(http.accepted)},
      {"cardloom_pending_body_bytes", nullptr, "Of request bodies that are read or wait.",
       MetricType::Gauge, number(http.body_bytes)},
      {"cardloom_slow_clients_total", nullptr, "Clients cut because they did not read.",
       MetricType::Counter, number(http.slow_clients)},
  };
}

}  // namespace

struct Metrics::Series {
  Series(bool with_vllm_names, std::string served_model)
      : vllm_names(with_vllm_names), model(std::move(served_model)) {}

  Pair pair(const char* name, const char* vllm_name, const char* help, const Buckets& buckets) {
    const auto add = [&](const char* series, const prometheus::Labels& labels) {
      return &prometheus::BuildHistogram().Name(series).Help(help).Register(registry).Add(labels,
                                                                                          buckets);
    };
    return {add(name, {}), vllm_names ? add(vllm_name, vllm_labels()) : nullptr};
  }
  /// Those that vLLM's dashboards choose by.
  [[nodiscard]] prometheus::Labels vllm_labels(prometheus::Labels more = {}) const {
    more.emplace("model_name", model);
    more.emplace("engine", "0");
    return more;
  }

  bool vllm_names;
  std::string model;
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& http_requests =
      counters(registry, "cardloom_http_requests_total", "Requests by handler, method, status.");
  prometheus::Family<prometheus::Histogram>& http_seconds =
      prometheus::BuildHistogram()
          .Name("cardloom_http_request_duration_seconds")
          .Help("From a request's head to the end of its reply.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& rejections =
      counters(registry, "cardloom_requests_rejected_total", "Requests refused, by reason.");
  prometheus::Family<prometheus::Counter>& cancels =
      counters(registry, "cardloom_requests_cancelled_total", "Requests cancelled, by whom.");
  prometheus::Family<prometheus::Counter>& pictures =
      counters(registry, "cardloom_images_total", "Pictures of requests, by format and result.");
  prometheus::Family<prometheus::Counter>& replies =
      counters(registry, "cardloom_replies_total", "Complete replies, by finish reason.");
  prometheus::Family<prometheus::Counter>* vllm_replies =
      vllm_names
          ? &counters(registry, "vllm:request_success_total", "Complete replies, by finish reason.")
          : nullptr;
  prometheus::Counter& image_bytes =
      counters(registry, "cardloom_image_bytes_total", "Bytes of pictures' files.").Add({});
  prometheus::Counter& image_tokens =
      counters(registry, "cardloom_image_tokens_total", "Prompt rows of pictures.").Add({});
  Pair first_token =
      pair("cardloom_time_to_first_token_seconds", "vllm:time_to_first_token_seconds",
           "From a request's arrival to its first token.", kFirstTokenBuckets);
  Pair token_gap = pair("cardloom_inter_token_latency_seconds", "vllm:inter_token_latency_seconds",
                        "Between two tokens of a sequence.", kTokenGapBuckets);
  /// Its name before vLLM 0.11, which many dashboards still ask for.
  prometheus::Histogram* older_token_gap = vllm_names
                                               ? &prometheus::BuildHistogram()
                                                      .Name("vllm:time_per_output_token_seconds")
                                                      .Help("Between two tokens of a sequence.")
                                                      .Register(registry)
                                                      .Add(vllm_labels(), kTokenGapBuckets)
                                               : nullptr;
  Pair total = pair("cardloom_request_duration_seconds", "vllm:e2e_request_latency_seconds",
                    "From a request's arrival to its last token.", kLatencyBuckets);
  Pair queue = pair("cardloom_request_queue_seconds", "vllm:request_queue_time_seconds",
                    "Waiting for the first step.", kLatencyBuckets);
  Pair prefill = pair("cardloom_request_prefill_seconds", "vllm:request_prefill_time_seconds",
                      "Running the prompt.", kLatencyBuckets);
  Pair decode = pair("cardloom_request_decode_seconds", "vllm:request_decode_time_seconds",
                     "From the first token to the last.", kLatencyBuckets);
  Pair inference = pair("cardloom_request_inference_seconds", "vllm:request_inference_time_seconds",
                        "From the first step to the last token.", kLatencyBuckets);
  Pair choices = pair("cardloom_request_choices", "vllm:request_params_n",
                      "Choices that a request asks for.", kChoicesBuckets);
  Pair max_tokens = pair("cardloom_request_max_tokens", "vllm:request_params_max_tokens",
                         "Tokens that a request allows an answer.", kTokenCountBuckets);
  Pair prompt_tokens = pair("cardloom_request_prompt_tokens", "vllm:request_prompt_tokens",
                            "Rows of a request's prompt.", kTokenCountBuckets);
  Pair generation_tokens =
      pair("cardloom_request_generation_tokens", "vllm:request_generation_tokens",
           "Tokens generated for a request.", kTokenCountBuckets);
  prometheus::Histogram* image_fetch =
      stage(registry, "cardloom_image_fetch_seconds", "Getting a request's pictures.");
  prometheus::Histogram* image_decode =
      stage(registry, "cardloom_image_decode_seconds", "Decoding a request's pictures.");
  prometheus::Histogram* image_preprocess =
      stage(registry, "cardloom_image_preprocess_seconds", "Resizing a request's pictures.");
  prometheus::Histogram* image_encode =
      stage(registry, "cardloom_image_encode_seconds", "Encoding a request's pictures.");
};

Metrics::Metrics(bool vllm_names, const std::string& model)
    : series_(std::make_unique<Series>(vllm_names, model)) {}
Metrics::~Metrics() = default;

void Metrics::count_http(std::string_view handler, std::string_view method, int status) {
  series_->http_requests
      .Add({{"handler", std::string(handler)},
            {"method", std::string(method)},
            {"status", std::to_string(status)}})
      .Increment();
}

void Metrics::observe_http(std::string_view handler, std::string_view method, int status,
                           double seconds) {
  count_http(handler, method, status);
  series_->http_seconds.Add({{"handler", std::string(handler)}}, kHttpBuckets).Observe(seconds);
}

void Metrics::observe_rejection(std::string_view reason) {
  series_->rejections.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::observe_cancel(std::string_view by) {
  series_->cancels.Add({{"by", std::string(by)}}).Increment();
}

void Metrics::observe_picture(std::string_view bytes, std::string_view result) {
  series_->pictures.Add({{"format", format_of(bytes)}, {"result", std::string(result)}})
      .Increment();
  series_->image_bytes.Increment(static_cast<double>(bytes.size()));
}

void Metrics::observe_wishes(std::int64_t n, std::int64_t max_tokens) {
  series_->choices.observe(static_cast<double>(n));
  if (max_tokens > 0) series_->max_tokens.observe(static_cast<double>(max_tokens));
}

void Metrics::observe_first_token(double seconds) { series_->first_token.observe(seconds); }
void Metrics::observe_token_gap(double seconds) {
  series_->token_gap.observe(seconds);
  if (series_->older_token_gap != nullptr) series_->older_token_gap->Observe(seconds);
}

void Metrics::observe_reply(std::string_view finish_reason, const api::Usage& usage,
                            const api::ReplyTimings& timings, double total_s) {
  constexpr double kMilli = 1e-3;
  const std::string reason(finish_reason);
  series_->replies.Add({{"finish_reason", reason}}).Increment();
  if (series_->vllm_replies != nullptr) {
    series_->vllm_replies->Add(series_->vllm_labels({{"finished_reason", reason}})).Increment();
  }
  series_->total.observe(total_s);
  series_->queue.observe(timings.queue_ms * kMilli);
  series_->prefill.observe(timings.prefill_ms * kMilli);
  series_->decode.observe(timings.decode_ms * kMilli);
  series_->inference.observe((timings.prefill_ms + timings.decode_ms) * kMilli);
  series_->prompt_tokens.observe(static_cast<double>(usage.prompt_tokens));
  series_->generation_tokens.observe(static_cast<double>(usage.completion_tokens));
  if (usage.image_tokens == 0) return;
  series_->image_tokens.Increment(static_cast<double>(usage.image_tokens));
  series_->image_fetch->Observe(timings.image_fetch_ms * kMilli);
  series_->image_decode->Observe(timings.image_decode_ms * kMilli);
  series_->image_preprocess->Observe(timings.image_preprocess_ms * kMilli);
  series_->image_encode->Observe(timings.image_encode_ms * kMilli);
}

std::string Metrics::text(const Sources& sources) const {
  std::vector<prometheus::MetricFamily> families = series_->registry.Collect();
  const EngineStats engine = sources.engine();
  for (const Reading& reading : readings_of(engine, sources.http())) {
    if (reading.name != nullptr) append_reading(families, reading.name, reading, {});
    if (series_->vllm_names && reading.vllm_name != nullptr) {
      append_reading(families, reading.vllm_name, reading, series_->vllm_labels());
    }
  }
  append_engine(families, engine, sources.cache);
  if (series_->vllm_names) {
    append_vllm_engine(families, engine, sources.cache, series_->vllm_labels());
  }
  append_process(families);
  append_memory(families, sources.memory);
  families.push_back(
      {"cardloom_build_info",
       "What runs here.",
       prometheus::MetricType::Gauge,
       {sample({{"version", sources.version}, {"isa", sources.isa}, {"model", series_->model}},
               1)}});
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace cardloom::server
