#include <cstdio>

#include "apps/bench_accuracy.h"
#include "apps/bench_report.h"
#include "apps/bench_run.h"
#include "apps/commands.h"
#include "apps/interrupt.h"
#include "apps/text.h"

namespace cardloom::app {

int run_bench(const BenchOptions& options) {
  if (options.common.model.empty()) {
    fail_usage("cardloom bench needs a model", "or `serve`, to measure a running server",
               "cardloom bench MODEL, or cardloom bench serve --url http://127.0.0.1:8000");
  }
  check_common(options.common);
  check_range("--decode", options.decode, 0, 1 << 20);
  check_range("--rounds", options.rounds, 1, 1000);
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  interrupt::install();
  BenchRun run(options, checkpoint);
  run.run();
  BenchReport report = make_report(run, checkpoint, options.common);
  run.unload();
  if (options.accuracy) {
    report.accuracy = measure_accuracy(checkpoint, options.common, options.vision);
  }
  if (options.common.json) {
    print_json(to_json(report));
  } else {
    std::fputs(to_text(report).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace cardloom::app
