// Scenarios that are loads of whole requests.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <thread>
#include <utility>

#include "apps/bench_serve_client.h"
#include "apps/bench_serve_report.h"
#include "bench/serving/scenarios.h"

namespace cardloom::bench {
namespace {

using app::LoadRequest;
using app::RequestOutcome;

constexpr std::int64_t kPromptTokens = 10;

app::ClientOptions client_of(const Target& target, std::int64_t concurrency = 0) {
  app::ClientOptions client;
  client.host = target.host;
  client.port = target.port;
  client.concurrency = concurrency;
  client.min_tokens = true;
  return client;
}

void print_row(const std::string& what, const std::string& figure) {
  fmt::print("| {} | {} |\n", what, figure);
  std::fflush(stdout);
}

/// A load on a thread of its own, and samples beside it.
struct Run {
  double begin_s = 0;
  std::vector<RequestOutcome> outcomes;
  std::vector<Sample> samples;  ///< about four a second
};

Run run_sampled(const Target& target, const std::vector<LoadRequest>& load,
                const app::ClientOptions& client) {
  Run run;
  std::atomic<bool> is_done = false;
  run.samples.push_back(take_sample(target));
  run.begin_s = now_s();
  std::thread sender([&] {
    run.outcomes = app::run_load(load, client);
    is_done = true;
  });
  while (!is_done) {
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    run.samples.push_back(take_sample(target));
  }
  sender.join();
  return run;
}

/// The first and the last sample within [begin, end); both the same if there is no time between.
std::pair<Sample, Sample> within(const Run& run, double begin, double end) {
  std::pair<Sample, Sample> found{run.samples.back(), run.samples.back()};
  bool is_first = true;
  for (const Sample& sample : run.samples) {
    if (sample.at_s < begin || sample.at_s >= end) continue;
    if (std::exchange(is_first, false)) found.first = sample;
    found.second = sample;
  }
  return found;
}

std::int64_t count_lost(const std::vector<RequestOutcome>& outcomes) {
  return std::count_if(outcomes.begin(), outcomes.end(), [](const RequestOutcome& outcome) {
    return !outcome.ok() || outcome.tokens.empty();
  });
}

/// Gaps between tokens that came in [begin, end), in seconds after the load's start.
std::vector<double> gaps_within(const std::vector<RequestOutcome>& outcomes, double begin,
                                double end) {
  std::vector<double> gaps;
  for (const RequestOutcome& outcome : outcomes) {
    for (std::size_t index = 1; index < outcome.tokens.size(); ++index) {
      const double at = outcome.tokens[index];
      if (outcome.tokens[index - 1] >= begin && at < end) {
        gaps.push_back(at - outcome.tokens[index - 1]);
      }
    }
  }
  return gaps;
}

/// The step that made each stream's first token, counted from that of the first stream. All make
/// one token a step, but began at different ones: the step that puts a stream's tokens nearest to
/// those of the first stream.
std::vector<std::int64_t> first_steps(const std::vector<RequestOutcome>& outcomes) {
  constexpr std::int64_t kTries = 4;
  std::vector<std::int64_t> steps;
  const std::vector<double>& reference = outcomes.front().tokens;
  const auto count = static_cast<std::int64_t>(reference.size());
  for (const RequestOutcome& outcome : outcomes) {
    const auto near = std::lower_bound(reference.begin(), reference.end(), outcome.tokens.front()) -
                      reference.begin();
    double least = 1e300;
    steps.push_back(near);
    for (std::int64_t begin = near - kTries; begin <= near + kTries; ++begin) {
      double distance = 0;
      std::int64_t compared = 0;
      for (std::int64_t step = std::max<std::int64_t>(0, begin);
           step < std::min(count, begin + static_cast<std::int64_t>(outcome.tokens.size()));
           ++step, ++compared) {
        distance += std::abs(outcome.tokens[static_cast<std::size_t>(step - begin)] -
                             reference[static_cast<std::size_t>(step)]);
      }
      if (compared == 0 || distance / static_cast<double>(compared) >= least) continue;
      least = distance / static_cast<double>(compared);
      steps.back() = begin;
    }
  }
  return steps;
}

/// What serving adds, of tokens that came in [begin, end).
struct AddedGaps {
  std::vector<double> steps;  ///< from a step's first token at the client to the next one's
  std::vector<double> added;  ///< each gap of each stream beyond its own step
};

AddedGaps added_gaps(const std::vector<RequestOutcome>& outcomes, double begin, double end) {
  const std::vector<std::int64_t> first = first_steps(outcomes);
  std::map<std::int64_t, double> earliest;  // [step]
  for (std::size_t stream = 0; stream < outcomes.size(); ++stream) {
    const std::vector<double>& tokens = outcomes[stream].tokens;
    for (std::size_t index = 0; index < tokens.size(); ++index) {
      if (tokens[index] < begin || tokens[index] >= end) continue;
      const std::int64_t step = first[stream] + static_cast<std::int64_t>(index);
      const auto entry = earliest.try_emplace(step, tokens[index]).first;
      entry->second = std::min(entry->second, tokens[index]);
    }
  }
  AddedGaps gaps;
  for (std::size_t stream = 0; stream < outcomes.size(); ++stream) {
    const std::vector<double>& tokens = outcomes[stream].tokens;
    for (std::size_t index = 1; index < tokens.size(); ++index) {
      if (tokens[index - 1] < begin || tokens[index] >= end) continue;
      const auto step = earliest.find(first[stream] + static_cast<std::int64_t>(index));
      const double own = step->second - std::prev(step)->second;
      gaps.added.push_back(tokens[index] - tokens[index - 1] - own);
    }
  }
  for (auto step = earliest.begin(); step != earliest.end(); ++step) {
    if (step != earliest.begin()) gaps.steps.push_back(step->second - std::prev(step)->second);
  }
  return gaps;
}

std::string ms(double seconds) { return fmt::format("{:.1f} ms", seconds * 1e3); }

void print_quantiles(const char* what, const std::vector<double>& values) {
  print_row(fmt::format("{}: p50, p90, p99, largest", what),
            fmt::format("{}, {}, {}, {}", ms(quantile(values, 0.5)), ms(quantile(values, 0.9)),
                        ms(quantile(values, 0.99)), ms(quantile(values, 1))));
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

constexpr double kSettle = 2;  ///< seconds of an overload, until as many run as may

/// A part of a run: of each second, tokens and CPU.
struct Span {
  double begin_s = 0;  ///< as Run::begin_s
  double end_s = 0;
  double tokens = 0;
  double io_cpu = 0;
  double own_cpu = 0;
  double others = 0;  ///< others' share of the cores
};

Span span_of(const Run& run, double until) {
  const auto [first, last] = within(run, run.begin_s + kSettle, until);
  const double seconds = last.at_s - first.at_s;
  return {.begin_s = first.at_s,
          .end_s = last.at_s,
          .tokens = share(last.tokens - first.tokens, seconds),
          .io_cpu = share(last.io_cpu - first.io_cpu, seconds),
          .own_cpu = share(last.own_cpu - first.own_cpu, seconds),
          .others = others_share(first, last)};
}

/// False if a refusal did not say when to come again, or a request failed.
bool print_refusals(const Run& run, const Span& without, const Span& with) {
  std::vector<double> refusals;
  std::int64_t num_within = 0;
  std::int64_t without_retry = 0;
  std::int64_t lost = 0;
  for (const RequestOutcome& outcome : run.outcomes) {
    if (outcome.status == 429) {
      refusals.push_back(outcome.end - outcome.sent);
      without_retry += outcome.retry_after ? 0 : 1;
      const double at = run.begin_s + outcome.end;
      num_within += at >= with.begin_s && at < with.end_s ? 1 : 0;
    } else if (!outcome.ok()) {
      ++lost;
    }
  }
  // What was answered costs what it costs without overload.
  const double answered = share(with.tokens, without.tokens);
  const double rate = share(static_cast<double>(num_within), with.end_s - with.begin_s);
  print_row("answered; refused with 429; of them without Retry-After; failed",
            fmt::format("{}; {}; {}; {}",
                        static_cast<std::int64_t>(run.outcomes.size() - refusals.size()) - lost,
                        refusals.size(), without_retry, lost));
  print_row("a refusal, connecting included, p50, p99, largest",
            fmt::format("{}, {}, {}", ms(quantile(refusals, 0.5)), ms(quantile(refusals, 0.99)),
                        ms(quantile(refusals, 1))));
  print_row(
      "CPU for a refusal: I/O threads, client",
      fmt::format("{:.0f}, {:.0f} us", 1e6 * share(with.io_cpu - answered * without.io_cpu, rate),
                  1e6 * share(with.own_cpu - answered * without.own_cpu, rate)));
  print_row("others' share of the cores, without and with overload",
            fmt::format("{:.0f} %, {:.0f} %", 100 * without.others, 100 * with.others));
  return lost == 0 && without_retry == 0;
}

}  // namespace

bool run_streams(const Target& target, std::int64_t count, std::int64_t tokens) {
  const std::vector<LoadRequest> load = app::poisson_load(count, 0, kPromptTokens, tokens, 1);
  const Run run = run_sampled(target, load, client_of(target));
  const std::int64_t lost = count_lost(run.outcomes);
  print_row("streams; lost", fmt::format("{}; {}", count, lost));
  if (lost > 0) return false;
  double begin = 0;
  double end = 1e9;
  // Bytes of an unfinished character and ends of turns come without text, hence without an event:
  // gaps are looked at where every token has one. GLM's first is a newline that no reply shows.
  std::vector<RequestOutcome> whole;
  for (const RequestOutcome& outcome : run.outcomes) {
    begin = std::max(begin, outcome.tokens.front());
    end = std::min(end, outcome.tokens.back());
    const auto events = static_cast<std::int64_t>(outcome.tokens.size());
    if (events + 1 >= outcome.completion_tokens) whole.push_back(outcome);
  }
  const std::vector<double> gaps = gaps_within(whole, begin, end);
  const auto [first, last] = within(run, run.begin_s + begin, run.begin_s + end);
  const double seconds = last.at_s - first.at_s;
  const double made = last.tokens - first.tokens;
  const double step_s = share(last.step_s - first.step_s, last.steps - first.steps);
  print_row("all under way together for", fmt::format("{:.1f} s", end - begin));
  print_row("tokens/s meanwhile", fmt::format("{:.0f}", share(made, seconds)));
  print_row(
      "step of the engine, mean; steps take this part of the time",
      fmt::format("{}; {:.0f} %", ms(step_s), 100 * share(last.step_s - first.step_s, seconds)));
  if (!whole.empty()) {
    const AddedGaps over_steps = added_gaps(whole, begin, end);
    print_row("streams with an event for each token", fmt::format("{}", whole.size()));
    print_quantiles("gap between two tokens of these", gaps);
    print_quantiles("from step to step", over_steps.steps);
    print_quantiles("gap over its own step", over_steps.added);
  }
  print_row("CPU of the I/O threads for a token",
            fmt::format("{:.1f} us", 1e6 * share(last.io_cpu - first.io_cpu, made)));
  print_row("CPU of the client for a token",
            fmt::format("{:.1f} us", 1e6 * share(last.own_cpu - first.own_cpu, made)));
  print_row("others' share of the cores", fmt::format("{:.0f} %", 100 * others_share(first, last)));
  return true;
}

bool run_overload(const Target& target, std::int64_t running, std::int64_t tokens, double seconds) {
  app::ClientOptions client = client_of(target, running);
  // As many requests as a quick server could answer: those that are not sent cost nothing.
  const Run trial =
      run_sampled(target, app::poisson_load(4 * running, 0, kPromptTokens, tokens, 1), client);
  const double trial_s = trial.samples.back().at_s - trial.begin_s;
  const auto enough = static_cast<std::int64_t>(static_cast<double>(4 * running) / trial_s *
                                                (seconds + 2 * kSettle));
  const std::vector<LoadRequest> load =
      app::poisson_load(std::max(enough, 4 * running), 0, kPromptTokens, tokens, 1);
  bool is_good = true;
  for (const bool keep : {true, false}) {
    client.keep_connections = keep;
    print_row(keep ? "**connections are kept**" : "**a connection for each request**", "");
    client.concurrency = running;
    const Run peak = run_sampled(target, load, client);
    const Span without = span_of(peak, peak.samples.back().at_s - kSettle / 2);
    const double arrivals = 10 * without.tokens / static_cast<double>(tokens);
    const auto sent = static_cast<std::int64_t>(arrivals * (seconds + kSettle));
    client.concurrency = 0;
    const Run over =
        run_sampled(target, app::poisson_load(sent, arrivals, kPromptTokens, tokens, 2), client);
    const Span with = span_of(over, over.begin_s + seconds + kSettle);
    print_row(fmt::format("tokens/s with {} requests under way", running),
              fmt::format("{:.0f}", without.tokens));
    print_row(fmt::format("tokens/s at {:.0f} arrivals a second", arrivals),
              fmt::format("{:.0f}, {:.1f} % of it", with.tokens,
                          100 * share(with.tokens, without.tokens)));
    is_good = print_refusals(over, without, with) && is_good;
  }
  return is_good;
}

bool run_short_requests(const Target& target, std::int64_t count, std::int64_t concurrency) {
  constexpr std::int64_t kTokens = 4;
  const auto send = [&](std::int64_t requests) {
    return count_lost(app::run_load(app::poisson_load(requests, 0, kPromptTokens, kTokens, 1),
                                    client_of(target, concurrency)));
  };
  const double begin = now_s();
  std::int64_t lost = send(count / 10);
  const double warm = take_sample(target).rss_bytes;
  lost += send(count - count / 10);
  const double rss = take_sample(target).rss_bytes;
  print_row(
      "requests; failed; a second",
      fmt::format("{}; {}; {:.0f}", count, lost, static_cast<double>(count) / (now_s() - begin)));
  print_row("resident memory after a tenth of them; after all; growth",
            fmt::format("{:.1f} MB; {:.1f} MB; {:.2f} %", warm * 1e-6, rss * 1e-6,
                        100 * (rss / warm - 1)));
  return lost == 0;
}

}  // namespace cardloom::bench
