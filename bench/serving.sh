#!/usr/bin/env bash
# bench/serving.sh OUTDIR [PART...]: what docs/performance.md says of the server, in about nine minutes
# on two quiet cores: builds, starts servers, loads them, prints Markdown tables; OUTDIR/serving.md has
# them afterwards, OUTDIR/load.html the report of a replayed trace. PARTs: streams batch overload
# short cancels half-open trace; all if none is named.
#
# Environment: STREAMS (1000), TOKENS of each (300), SHORT requests (100000), CANCELS (1000), SLOW
# connections (5000), BUILD: a build folder to use.
# shellcheck disable=SC2317  # parts are called by their names
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -ge 1 ]] || { sed -n '2,8p' "$0" | cut -c3- >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
parts=${*:-streams batch overload short cancels half-open trace}
build=${BUILD:-}
if [[ -z $build ]]; then
  tools/build_preset release cardloom cardloom_synth cardloom_serving
  build=build/release
fi
bin=$(cd "$build/bin" && pwd)
nano=demo/glm-4v-nano
failed=0
server=0
trap '[[ $server == 0 ]] || kill "$server" 2> /dev/null || true' EXIT

# The real width of glm-4v-9b in two layers with a small vocabulary: 0.8 GB of weights that every
# step reads, so that a step is worth sharing.
wide() {
  local folder=$out/wide
  if [[ ! -f $folder/model.safetensors.index.json ]]; then
    sed -E -e 's/"padded_vocab_size": .*/"padded_vocab_size": 2048,/' \
      -e 's/"eos_token_id": .*/"eos_token_id": [1825, 1832, 1834],/' \
      -e 's/"pad_token_id": .*/"pad_token_id": 1825,/' -e 's/"boi_token_id": .*/"boi_token_id": 1835,/' \
      -e 's/"eoi_token_id": .*/"eoi_token_id": 1836/' tests/configs/glm-4v-9b.json > "$out/wide.json"
    "$bin/cardloom_synth" --out "$folder" --config "$out/wide.json" --text-layers 2 \
      --vision-layers 0 > /dev/null 2>&1
  fi
  echo "$folder"
}

start() {  # start MODEL OPTION...: sets server and url
  : > "$out/stderr.txt"  # here already: the last server's address must not be read
  "$bin/cardloom" serve "$@" --port 0 2>> "$out/stderr.txt" &
  server=$!
  until url=$(sed -n 's/^ready on //p' "$out/stderr.txt") && [[ -n $url ]]; do
    kill -0 "$server" 2> /dev/null || { cat "$out/stderr.txt" >&2; exit 1; }
    sleep 0.05
  done
}

stop() {
  kill "$server"
  wait "$server" || true
  server=0
}

measure() { "$bin/cardloom_serving" "$server" "$url" "$@" || failed=1; }

title() { printf '\n%s\n\n| | |\n|---|---|\n' "$1"; }

streams() {
  title "${STREAMS:-1000} streams of glm-4v-nano at once"
  start "$nano" --max-running "${STREAMS:-1000}" --max-queue "${STREAMS:-1000}" --context 1024 \
    --kv-tokens 1024000 --chunk 2048
  measure streams "${STREAMS:-1000}" "${TOKENS:-300}"
  stop
}

batch() {
  local model count
  model=$(wide)
  start "$model" --max-running 16 --context 512
  for count in 1 4 16; do
    title "$count at once, two layers of glm-4v-9b's width"
    measure streams "$count" 100
  done
  stop
}

overload() {
  local model
  model=$(wide)
  title "Ten times the load, two layers of glm-4v-9b's width"
  start "$model" --max-running 16 --max-queue 16 --context 512
  measure overload 16 32 10
  stop
  title "Ten times the load, glm-4v-nano"
  start "$nano" --max-running 64 --max-queue 64 --context 1024 --kv-tokens 65536
  measure overload 64 800 8
  stop
  title "Ten times the load, glm-4v-nano with one core left to connections and clients"
  start "$nano" --threads 1 --max-running 64 --max-queue 64 --context 1024 --kv-tokens 65536
  measure overload 64 800 8
  stop
}

short() {
  title "Many short requests, glm-4v-nano"
  start "$nano"
  measure short "${SHORT:-100000}" 16
  stop
}

cancels() {
  title "Clients that hang up, glm-4v-nano"
  start "$nano"
  measure cancels "${CANCELS:-1000}"
  stop
}

half-open() {
  title "Half-open connections, glm-4v-nano"
  start "$nano"
  measure half-open "${SLOW:-5000}" 5
  stop
}

# Arrivals in bursts with long and short prompts, as conversations have them.
trace() {
  printf '\nA replayed trace, glm-4v-nano\n\n```\n'
  awk 'BEGIN { print "TIMESTAMP,ContextTokens,GeneratedTokens"; srand(1)
    for (n = 0; n < 400; ++n) { t += -log(1 - rand()) / 40; if (n % 50 == 0) t += 0.5
      printf "%.4f,%d,%d\n", t, 10 + 400 * rand() ^ 3, 8 + 200 * rand() ^ 2 } }' > "$out/trace.csv"
  start "$nano" --max-running 64 --kv-tokens 65536
  "$bin/cardloom" bench serve --url "$url" --trace "$out/trace.csv" --requests 0 \
    --html "$out/load.html" || failed=1
  printf '```\n'
  stop
}

{
  grep -m1 'model name' /proc/cpuinfo | cut -d: -f2
  echo "$(uname -r), $(nproc) cores, $("$bin/cardloom" version | head -n 1)"
  for part in $parts; do "$part"; done
} > >(tee "$out/serving.md")
exit $failed
