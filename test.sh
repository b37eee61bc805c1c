#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests through CTest: first a chosen part under the
# sanitizers, then everything.
set -euo pipefail
cd "$(dirname "$0")"
tools/install_packages all
tools/check_layers
jobs=$(nproc)

sanitized() {  # sanitized PRESET REGEX TARGET...: builds the targets, runs the tests that match
  local preset=$1 regex=$2
  shift 2
  tools/build_preset "$preset" "$@"
  ctest --test-dir "build/$preset" -R "$regex" -LE slow -j "$jobs" --output-on-failure --no-tests=error
}
# Ranks, streams, teams, the engine's loop and the server's threads under the thread sanitizer.
sanitized tsan '^(comm|device|engine|engine_card|http|pictures|server|server_task)_tests|^backend_cpu_tests.(ThreadPool|CpuDevice|MachineProbe)|MatmulAllReduce.(Ranks|ARank|Empty|NoLayout)|AllGather' \
  comm_tests device_tests backend_cpu_tests engine_tests engine_card_tests \
  matmul_conformance_tests http_tests pictures_tests server_tests server_task_tests
# Everything that reads what strangers send under the address and undefined-behaviour sanitizers.
sanitized asan '^(base|tensor|oplog|quant|weights|image|tokenizer|chat|glm4v_config|http|pictures)_tests|^fuzz_|^matmul_conformance_tests.(Matmul|Conv2d|AllGather|Embedding)' \
  base_tests tensor_tests oplog_tests quant_tests weights_tests image_tests tokenizer_tests chat_tests \
  glm4v_config_tests matmul_conformance_tests http_tests pictures_tests fuzz_replays

tools/install_npm
tools/build_preset dev
# The README's first command; a second build of everything would cost CI's time.
DEMO_PRESET=dev ./demo.sh
exec ctest --test-dir build/dev -j "$jobs" --output-on-failure --no-tests=error
