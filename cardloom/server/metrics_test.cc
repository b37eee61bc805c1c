#include "cardloom/server/metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "cardloom/base/json.h"
#include "cardloom/server/cards_feed.h"
#include "cardloom/server/picture_budget.h"
#include "cardloom/server/task_pool.h"

namespace cardloom::server {
namespace {

Metrics::Sources sources() {
  Metrics::Sources sources;
  sources.engine = [] {
    EngineStats stats;
    stats.running = 3;
    stats.kv_blocks = 8;
    stats.kv_blocks_used = 2;
    stats.prompt_tokens = 70;
    stats.prefix_hits = 30;
    stats.waiting = 6;
    stats.waiting_for_step = 1;
    stats.waiting_for_place = 2;
    stats.corrupted = 1;
    for (const std::int64_t rows : {1, 1, 8, 40'000}) stats.step_rows.observe(rows);
    return stats;
  };
  sources.http = [] { return http::ServerStats{.connections = 5}; };
  sources.version = "1.2";
  sources.isa = "avx2";
  sources.cache = {.block_size = 32, .kv_cache = "q8", .num_picture_slots = 4};
  return sources;
}

bool has_line(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, TellWhatWasCountedAndWhatIs) {
  Metrics metrics(/*vllm_names=*/false, "nano");
  metrics.observe_http("models", "GET", 200, 0.001);
  metrics.observe_http("models", "GET", 200, 0.001);
  metrics.observe_rejection("queue_full");
  metrics.observe_reply("stop", {.prompt_tokens = 30, .image_tokens = 18, .completion_tokens = 4},
                        {.image_encode_ms = 3}, 0.5);
  const std::string text = metrics.text(sources());
  EXPECT_TRUE(has_line(
      text, R"(cardloom_http_requests_total{handler="models",method="GET",status="200"} 2)"))
      << text;
  EXPECT_TRUE(has_line(text, R"(cardloom_requests_rejected_total{reason="queue_full"} 1)"));
  EXPECT_TRUE(has_line(text, "cardloom_requests_running 3"));
  EXPECT_TRUE(has_line(text, "cardloom_kv_cache_usage_ratio 0.25"));
  EXPECT_TRUE(has_line(text, "cardloom_prompt_tokens_total 70"));
  EXPECT_TRUE(has_line(text, "cardloom_connections 5"));
  EXPECT_EQ(text.find("cardloom_device_memory_bytes"),
            std::string::npos);  // not before there is a plan
  EXPECT_TRUE(has_line(text, "cardloom_image_tokens_total 18"));
  EXPECT_TRUE(has_line(text, "cardloom_request_generation_tokens_sum 4"));
  EXPECT_EQ(text.find("vllm:"), std::string::npos);
}

TEST(Metrics, TellOfWaitingStepsAndCaches) {
  const std::string text = Metrics().text(sources());
  for (
      const char* line : {
          R"(cardloom_requests_waiting 6)",
          R"(cardloom_requests_waiting_by_reason{reason="step"} 1)",
          R"(cardloom_requests_waiting_by_reason{reason="place"} 2)",
          R"(cardloom_requests_waiting_by_reason{reason="blocks"} 3)",
          R"(cardloom_requests_corrupted_total 1)",
          R"(cardloom_step_rows_bucket{le="1"} 2)",
          R"(cardloom_step_rows_bucket{le="8"} 3)",
          R"(cardloom_step_rows_bucket{le="16384"} 3)",
          R"(cardloom_step_rows_bucket{le="+Inf"} 4)",
          R"(cardloom_step_rows_count 4)",
          R"(cardloom_step_rows_sum 40010)",
          R"(cardloom_cache_config_info{block_size="32",kv_cache="q8",num_blocks="8",num_picture_slots="4"} 1)",
      }) {
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  }
  Metrics::Sources loading = sources();
  loading.engine = [] { return EngineStats(); };
  EXPECT_EQ(Metrics().text(loading).find("cache_config_info"), std::string::npos);
}

TEST(Metrics, TellThePlanOfMemory) {
  const Metrics metrics;
  MemoryTable table;
  table.reserved.push_back({.kind = "kv", .text = "KV cache", .cards = {64, 32}, .shared = 0});
  table.reserved.push_back({.kind = "program", .text = "program", .cards = {}, .shared = 7});
  table.requests.push_back({.kind = "bodies", .text = "bodies", .cards = {}, .shared = 9});
  Metrics::Sources with_plan = sources();
  with_plan.memory = &table;
  const std::string text = metrics.text(with_plan);
  EXPECT_TRUE(has_line(text, R"(cardloom_device_memory_bytes{device="0",kind="kv"} 64)")) << text;
  EXPECT_TRUE(has_line(text, R"(cardloom_device_memory_bytes{device="1",kind="kv"} 32)"));
  EXPECT_TRUE(has_line(text, R"(cardloom_request_memory_bytes{kind="bodies"} 9)"));
  EXPECT_EQ(text.find("device=\"2\""), std::string::npos);
  EXPECT_EQ(table.reserved_bytes(), 103);
  const json::object object = memory_json(table);
  EXPECT_EQ(object.at("reserved").at("kv").at("cards").at(1).to_number<int>(), 32);
  EXPECT_EQ(object.at("requests").at("bodies").to_number<int>(), 9);
  EXPECT_GT(object.at("resident_bytes").to_number<double>(), 1e6);
}

TEST(Metrics, HaveVllmsNamesIfAskedFor) {
  Metrics metrics(/*vllm_names=*/true, "nano");
  metrics.observe_first_token(0.02);
  metrics.observe_token_gap(0.02);
  metrics.observe_reply("stop", {}, {}, 0.5);
  const std::string text = metrics.text(sources());
  EXPECT_TRUE(has_line(text, R"(vllm:num_requests_running{engine="0",model_name="nano"} 3)"))
      << text;
  EXPECT_TRUE(
      has_line(text, R"(vllm:time_to_first_token_seconds_count{engine="0",model_name="nano"} 1)"));
  EXPECT_TRUE(has_line(
      text, R"(vllm:request_success_total{engine="0",finished_reason="stop",model_name="nano"} 1)"))
      << text;
  EXPECT_TRUE(has_line(text, "cardloom_time_to_first_token_seconds_count 1"));
  const std::string cache = R"(block_size="32",cache_dtype="q8",enable_prefix_caching="True",)";
  const std::string labels = R"(engine="0",model_name="nano")";
  for (const std::string& line : {
           "vllm:num_requests_waiting_by_reason{" + labels + R"(,reason="capacity"} 6)",
           "vllm:num_requests_waiting_by_reason{" + labels + R"(,reason="deferred"} 0)",
           "vllm:iteration_tokens_total_sum{" + labels + "} 40010",
           "vllm:corrupted_requests_total{" + labels + "} 1",
           "vllm:time_per_output_token_seconds_count{" + labels + "} 1",
           "vllm:cache_config_info{" + cache +
               R"(engine="0",model_name="nano",num_gpu_blocks="8"} 1)",
           // With vLLM's, what was found is a part of all.
           "vllm:prompt_tokens_total{" + labels + "} 100",
           "vllm:prompt_tokens_cached_total{" + labels + "} 30",
           std::string("cardloom_prompt_tokens_total 70"),
       }) {
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  }
}

TEST(Metrics, TellOfPicturesAndOfThisProcess) {
  Metrics metrics;
  metrics.observe_picture("\xFF\xD8\xFF\xE0 and so on", "ok");
  metrics.observe_picture("RIFF1234WEBP", "ok");
  metrics.observe_picture("RIFF", "refused");
  metrics.observe_picture({}, "refused");
  metrics.observe_wishes(3, 0);
  const std::string text = metrics.text(sources());
  EXPECT_TRUE(has_line(text, R"(cardloom_images_total{format="jpeg",result="ok"} 1)")) << text;
  EXPECT_TRUE(has_line(text, R"(cardloom_images_total{format="webp",result="ok"} 1)"));
  EXPECT_TRUE(has_line(text, R"(cardloom_images_total{format="other",result="refused"} 2)"));
  EXPECT_TRUE(has_line(text, "cardloom_image_bytes_total 30"));
  EXPECT_TRUE(has_line(text, "cardloom_request_choices_sum 3"));
  EXPECT_TRUE(has_line(text, "cardloom_request_max_tokens_count 0"));
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes",
                           "process_virtual_memory_bytes", "process_open_fds"}) {
    EXPECT_NE(text.find(std::string("\n") + name + " "), std::string::npos) << name;
  }
}

TEST(CardsFeed, AStepIsJsonWithEveryNameOnce) {
  StepActivity activity{
      .step_id = 7, .rows = 2, .sequences = 1, .begin = 1'000'000, .end = 3'000'000, .spans = {}};
  activity.spans = {{0, "matmul", "text.layers.0", 1'000'500, 1'100'500, 0},
                    {1, "matmul_all_reduce", "text.layers.0", 1'200'000, 1'300'000, 40'000},
                    {1, "matmul", "text.layers.1", 1'400'000, 1'500'000, 0}};
  const std::string event = step_event(activity);
  ASSERT_TRUE(event.starts_with("event: step\ndata: "));
  ASSERT_TRUE(event.ends_with("\n\n"));
  const auto data = parse_json(std::string_view(event).substr(18), "event");
  ASSERT_TRUE(data) << event;
  const json::object& step = data->as_object();
  EXPECT_EQ(step.at("step").as_int64(), 7);
  EXPECT_EQ(step.at("ops").as_array().size(), 2U);
  EXPECT_EQ(step.at("layers").as_array().size(), 2U);
  const json::array& span = step.at("spans").as_array()[1].as_array();
  EXPECT_EQ(span[0].as_int64(), 1);
  EXPECT_EQ(span[1].as_int64(), 1);
  EXPECT_DOUBLE_EQ(span[3].as_double(), 200.0);
  EXPECT_DOUBLE_EQ(span[4].as_double(), 100.0);
  EXPECT_DOUBLE_EQ(span[5].as_double(), 40.0);
}

TEST(PictureBudget, IsGivenBackWhenTheRequestIsGone) {
  const auto budget = std::make_shared<PictureBudget>(5);
  std::shared_ptr<void> four = budget->try_take(4);
  ASSERT_TRUE(four);
  EXPECT_FALSE(budget->try_take(2));
  const std::shared_ptr<void> one = budget->try_take(1);
  EXPECT_TRUE(one);
  EXPECT_TRUE(budget->try_take(0));
  four.reset();
  EXPECT_TRUE(budget->try_take(4));
  EXPECT_FALSE(budget->try_take(5));
}

TEST(TaskPool, RunsAllItTakesAndNoMore) {
  std::mutex gate;
  std::atomic<int> done = 0;
  int taken = 0;
  {
    TaskPool pool(2, 3);
    {
      const std::lock_guard hold(gate);
      for (int index = 0; index < 20; ++index) {
        const bool is_taken = pool.try_post([&] {
          const std::lock_guard wait(gate);
          ++done;
        });
        taken += is_taken ? 1 : 0;
      }
    }
    EXPECT_LE(taken, 5);  // two may have begun
    EXPECT_GE(taken, 3);
    while (done < taken) std::this_thread::yield();
  }
  EXPECT_EQ(done, taken);
}

TEST(TaskPool, TakesNothingOnceItIsStopped) {
  TaskPool pool(1, 1 << 24);  // never full: what it does not take, it does not take for its end
  std::atomic<bool> may_end = false;
  std::atomic<int> done = 0;
  const auto token = std::make_shared<int>(0);
  const auto task = [&, token] {
    while (!may_end) std::this_thread::yield();
    ++done;
  };
  for (int index = 0; index < 4; ++index) ASSERT_TRUE(pool.try_post(task));
  // Others post while it ends, as I/O threads do.
  std::thread poster([&] {
    while (pool.try_post([] {})) std::this_thread::yield();
    may_end = true;
  });
  pool.stop();
  poster.join();
  EXPECT_FALSE(pool.try_post(task));
  EXPECT_LE(done, 1);  // what had begun; the rest is dropped, with what it held
  EXPECT_EQ(token.use_count(), 2);
}

}  // namespace
}  // namespace cardloom::server
