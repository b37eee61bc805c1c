#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "apps/bench_serve_load.h"
#include "apps/bench_serve_reply.h"
#include "apps/bench_serve_report.h"

namespace cardloom::app {
namespace {

TEST(TraceTest, ReadsWhatAzurePublishes) {
  const auto load = parse_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 23:59:59.5000000,374,44\r\n"
      "2023-11-17 00:00:01.0000000,396,109\r\n",
      "conv.csv", 0);
  ASSERT_TRUE(load.has_value()) << load.error().describe();
  ASSERT_EQ(load->size(), 2U);
  EXPECT_DOUBLE_EQ((*load)[0].at_s, 0);
  EXPECT_NEAR((*load)[1].at_s, 1.5, 1e-6);
  EXPECT_EQ((*load)[1].prompt_tokens, 396);
  EXPECT_EQ((*load)[1].answer_tokens, 109);
}

TEST(TraceTest, SortsArrivalsAndCutsToTheLimit) {
  const auto load = parse_trace("t,p,a\n9,1,1\n7,2,2\n\n8,3,3\n", "trace", 3);
  ASSERT_TRUE(load.has_value());
  ASSERT_EQ(load->size(), 3U);
  EXPECT_EQ((*load)[0].prompt_tokens, 2);
  EXPECT_DOUBLE_EQ((*load)[2].at_s, 2);
  EXPECT_EQ(parse_trace("t,p,a\n9,1,1\n7,2,2\n", "trace", 1)->size(), 1U);
}

TEST(TraceTest, NamesTheLineThatIsNone) {
  for (const char* line : {"1,2", "1,2,x", "x,2,3", "1,-2,3", "1,2,1e99", "nan,2,3", "1,2,3,"}) {
    const auto load = parse_trace(std::string("t,p,a\n1,2,3\n") + line + "\n", "trace", 0);
    ASSERT_FALSE(load.has_value()) << line;
    EXPECT_EQ(load.error().message, "trace:3 is no line of a trace");
  }
  EXPECT_FALSE(parse_trace("", "trace", 0).has_value());
  EXPECT_FALSE(parse_trace("t,p,a\n", "trace", 0).has_value());
}

TEST(LoadTest, ArrivalsComeAtTheirRateAndAreTheSameForASeed) {
  const std::vector<LoadRequest> load = poisson_load(4000, 50, 10, 20, 7);
  EXPECT_NEAR(load.back().at_s, 80, 5);
  EXPECT_DOUBLE_EQ(poisson_load(4000, 50, 10, 20, 7)[1234].at_s, load[1234].at_s);
  EXPECT_NE(poisson_load(4000, 50, 10, 20, 8)[1234].at_s, load[1234].at_s);
  EXPECT_DOUBLE_EQ(poisson_load(3, 0, 10, 20, 7)[2].at_s, 0);
}

TEST(LoadTest, ScalesTimesAndLengths) {
  std::vector<LoadRequest> load = {{8, 100, 2}};
  scale_load(load, 4, 10);
  EXPECT_DOUBLE_EQ(load[0].at_s, 2);
  EXPECT_EQ(load[0].prompt_tokens, 10);
  EXPECT_EQ(load[0].answer_tokens, 1);
}

constexpr const char* kStream =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    "3b\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n: ping\n\r\n"
    "2c\r\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}\r\n"
    "4\r\n]}\n\n\r\n"
    "3f\r\ndata: {\"choices\":[],\"usage\":{\"completion_tokens\":1}}\n\ndata: [DO\r\n"
    "5\r\nNE]\n\n\r\n"
    "0\r\n\r\n";

TEST(ReplyReaderTest, TakesAStreamInPiecesOfAnySize) {
  const std::string stream = kStream;
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, stream.size()}) {
    ReplyReader reader;
    std::int64_t parts = 0;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      parts += reader.append(std::string_view(stream).substr(at, size));
    }
    EXPECT_EQ(reader.status(), 200);
    EXPECT_EQ(parts, 1);
    EXPECT_TRUE(reader.is_done());
    EXPECT_TRUE(reader.is_complete());
    EXPECT_EQ(reader.completion_tokens(), 1);
    EXPECT_EQ(reader.error(), "");
  }
}

TEST(ReplyReaderTest, KeepsARefusal) {
  ReplyReader reader;
  reader.append(
      "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nRetry-After: 1\r\n"
      "content-length: 8\r\n\r\n{\"a\": 1}");
  EXPECT_EQ(reader.status(), 429);
  EXPECT_TRUE(reader.is_complete());
  EXPECT_FALSE(reader.is_done());
  EXPECT_TRUE(reader.has_retry_after());
  EXPECT_EQ(reader.error(), "{\"a\": 1}");
}

TEST(ReplyReaderTest, TellsWhetherAnotherRequestMayFollow) {
  const auto leaves = [](std::string_view bytes) {
    ReplyReader reader;
    reader.append(bytes);
    return reader.leaves_connection();
  };
  constexpr std::string_view kChunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  EXPECT_TRUE(leaves("HTTP/1.1 429 Too\r\ncontent-length: 2\r\n\r\n{}"));
  EXPECT_FALSE(leaves("HTTP/1.1 429 Too\r\ncontent-length: 2\r\n\r\n{"));
  EXPECT_FALSE(leaves("HTTP/1.1 429 Too\r\ncontent-length: 2\r\n\r\n{}HTTP"));
  EXPECT_FALSE(leaves("HTTP/1.1 429 Too\r\nConnection: close\r\ncontent-length: 2\r\n\r\n{}"));
  EXPECT_FALSE(leaves("HTTP/1.1 200 OK\r\n\r\n{}"));
  EXPECT_TRUE(leaves(std::string(kChunked) + "2\r\n{}\r\n0\r\n\r\n"));
  EXPECT_FALSE(leaves(std::string(kChunked) + "2\r\n{}\r\n0\r\n"));
}

TEST(ReplyReaderTest, AnEventMayBeAnError) {
  ReplyReader reader;
  const std::int64_t parts = reader.append(
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
      "data: {\"error\":{\"message\":\"a card is lost\"}}\n\n");
  EXPECT_EQ(parts, 0);
  EXPECT_FALSE(reader.is_done());
  EXPECT_EQ(reader.error(), "a card is lost");
}

RequestOutcome reply(double sent, std::vector<double> tokens) {
  RequestOutcome outcome;
  outcome.sent = sent;
  outcome.tokens = std::move(tokens);
  outcome.end = outcome.tokens.back();
  outcome.status = 200;
  outcome.is_complete = true;
  outcome.completion_tokens = static_cast<std::int64_t>(outcome.tokens.size());
  return outcome;
}

TEST(LoadReportTest, CountsAndGoodput) {
  RequestOutcome refused;
  refused.sent = 1;
  refused.end = 1.01;
  refused.status = 429;
  RequestOutcome broken;
  broken.error = "the connection broke off";
  const std::vector<RequestOutcome> outcomes = {
      reply(0, {0.5, 0.6, 0.7}),  // good
      reply(0, {3.0, 3.1, 3.2}),  // its first token is late
      reply(1, {1.5, 2.5, 4.0}),  // its tokens are far apart
      refused, broken};
  const ServiceLevel level{.first_token_s = 1, .token_gap_s = 0.2};
  const LoadReport report = make_load_report(outcomes, level);
  EXPECT_EQ(report.requests, 5);
  EXPECT_EQ(report.complete, 3);
  EXPECT_EQ(report.refused, 1);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.tokens, 9);
  EXPECT_DOUBLE_EQ(report.seconds, 4);
  EXPECT_DOUBLE_EQ(report.tokens_per_s, 9.0 / 4);
  EXPECT_DOUBLE_EQ(report.good_per_s, 1.0 / 4);
  EXPECT_DOUBLE_EQ(report.first_token.p50, 0.5);
  EXPECT_DOUBLE_EQ(report.first_token.p99, 3);
  EXPECT_NEAR(report.token_gap.p99, 1.5, 1e-9);
  EXPECT_NEAR(report.refusal.p50, 0.01, 1e-9);
  EXPECT_EQ(report.first_error, "status 0: the connection broke off");
}

TEST(LoadReportTest, NearestRanks) {
  std::vector<double> values;
  for (int value = 100; value > 0; --value) values.push_back(value);
  const Quantiles quantiles = quantiles_of(values);
  EXPECT_DOUBLE_EQ(quantiles.p50, 50);
  EXPECT_DOUBLE_EQ(quantiles.p90, 90);
  EXPECT_DOUBLE_EQ(quantiles.p99, 99);
  EXPECT_DOUBLE_EQ(quantiles_of({}).p99, 0);
  EXPECT_DOUBLE_EQ(quantiles_of({4}).p50, 4);
}

TEST(LoadReportTest, ThePageHasFiguresAndPlotsAndNothingFromElsewhere) {
  const std::vector<RequestOutcome> outcomes = {reply(0, {0.5, 0.6, 0.7})};
  const LoadReport report = make_load_report(outcomes, {});
  const std::string page = to_html(report, {}, outcomes, "a <b>");
  std::size_t plots = 0;
  for (std::size_t at = page.find("<svg"); at != std::string::npos;
       at = page.find("<svg", at + 1)) {
    ++plots;
  }
  EXPECT_EQ(plots, 3U);
  EXPECT_NE(page.find("<td>first token</td><td>500.0</td>"), std::string::npos);
  EXPECT_EQ(page.find("a <b>"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(LoadReportTest, APageOfNothing) {
  const std::vector<RequestOutcome> outcomes(1);
  const LoadReport report = make_load_report(outcomes, {});
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(to_html(report, {}, outcomes, "none").find("nan"), std::string::npos);
}

}  // namespace
}  // namespace cardloom::app
