#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "bench/report/chart.h"
#include "bench/report/results.h"
#include "cardloom/base/error.h"

namespace cardloom::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Report : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cardloom-report-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }

  std::string folder_;
};

std::string bench(int tp, int threads, double speed) {
  const std::string place = "\"weights\":\"bf16\",\"tp\":" + std::to_string(tp) +
                            ",\"threads\":" + std::to_string(threads);
  return R"({"rows":[{"phase":"prefill",)" + place + R"(,"batch":1,"tokens":512,"tokens_per_s":)" +
         std::to_string(speed) +
         R"(,"bytes_per_s":1e9,"flop_per_s":2e11,"limit":"bf16","fraction":0.5,"operators":[)"
         R"({"op":"matmul","calls":3,"seconds":0.1,"share":0.9}]},{"phase":"decode",)" +
         place +
         R"(,"batch":4,"tokens":4,"tokens_per_s":40,"limit":"bandwidth","fraction":0.8}],)"
         R"("machine":{"cpus":2,"by_threads":[{"threads":2,"read_bytes_per_s":3.1e10}],)"
         R"("round_trip_ns":120}})";
}

TEST_F(Report, PutsRunsSideBySide) {
  write("bench-bf16-1x2.json", bench(1, 2, 100));
  write("bench-bf16-1x1.json", bench(1, 1, 60));
  write("bench-bf16-2x1.json", bench(2, 1, 90));
  write("other.json", "this is nobody's result");
  const Results results = read_results(folder_).value_or_throw();
  ASSERT_EQ(results.rows.size(), 6U);
  const std::string text = tables(results);
  EXPECT_THAT(text, HasSubstr("| bf16 | 1 x 2 | prefill 512 | 100.0 | 1.0 | 200 | bf16 | 50 % |"));
  EXPECT_THAT(text, HasSubstr("| bf16 | 2 x 1 | prefill 512 | 0.90 | 1.50 |"));
  EXPECT_THAT(text, HasSubstr("Core to core and back: 120 ns."));
  EXPECT_THAT(text, HasSubstr("matmul 90 %"));
  EXPECT_THAT(text, Not(HasSubstr("llama.cpp")));
  std::vector<std::string> files;
  for (const Plot& plot : plots(results)) {
    files.push_back(plot.file);
    EXPECT_THAT(plot.svg, ::testing::StartsWith("<svg"));
    EXPECT_THAT(plot.svg, Not(HasSubstr("nan")));
  }
  EXPECT_THAT(files,
              ::testing::ElementsAre("speed-m.svg", "speed-batch.svg", "speed-tp-prefill-512.svg"));
}

TEST_F(Report, TakesMediansOfPeersAndTheirBestSetting) {
  std::string lines;
  for (const int speed : {10, 30, 20}) {
    lines += R"({"engine":"llama.cpp","weights":"q4","setting":"01","phase":"decode","batch":4,)"
             R"("tokens_per_s":)" +
             std::to_string(speed) + "}\n";
  }
  lines += R"({"engine":"llama.cpp","weights":"q4","setting":"11","phase":"decode","batch":4,)"
           R"("tokens_per_s":25})"
           "\n";
  lines += R"({"engine":"cardloom","weights":"q4","doc":{"rows":[{"phase":"decode",)"
           R"("weights":"q4:32","batch":4,"tokens":4,"tokens_per_s":50,"fraction":0.8}]}})"
           "\n";
  write("peers.jsonl", lines);
  const std::string text = tables(read_results(folder_).value_or_throw());
  EXPECT_THAT(text, HasSubstr("| q4 | decode 4 | 50.0 | 25.0 | 2.00 | 80 % | 40 % |"));
}

TEST_F(Report, NamesTheFileThatIsDamaged) {
  write("bench-bf16-1x2.json", "{\"rows\": [");
  EXPECT_THAT(read_results(folder_).error().message, HasSubstr("bench-bf16-1x2.json"));
  EXPECT_EQ(read_results(folder_ + "/nowhere").error().code, ErrorCode::kNotFound);
}

TEST_F(Report, ComparesErrorsOfFormats) {
  write("accuracy-q4.json", R"({"rows":[{"weights":"q4:32"}],"accuracy":[)"
                            R"({"output":"logits","relative_error":0.05}]})");
  const std::string text = tables(read_results(folder_).value_or_throw());
  EXPECT_THAT(text, HasSubstr("| output | q4:32 |"));
  EXPECT_THAT(text, HasSubstr("| logits | 5.0e-02 |"));
}

TEST(Charts, AreWellFormedWhateverTheyHold) {
  const Chart chart{.title = "a < b & c",
                    .x_label = "x",
                    .y_label = "y",
                    .series = {{"one", {1, 0, 4}, {10, 20, -1}}, {"none", {}, {}}}};
  const std::string svg = line_chart(chart);
  EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; c"));
  EXPECT_THAT(svg, ::testing::EndsWith("</svg>\n"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(line_chart({}), ::testing::EndsWith("</svg>\n"));
  EXPECT_THAT(bar_chart({}), ::testing::EndsWith("</svg>\n"));
}

}  // namespace
}  // namespace cardloom::report
