#!/usr/bin/env bash
# bench/performance.sh OUTDIR: everything that docs/performance.md shows, in about ten minutes on two
# quiet cores: builds, makes the cut full-width checkpoint, runs `cardloom bench` for every format and
# layout, MatmulAllReduce alone and beside Open MPI, llama.cpp beside us; then OUTDIR/tables.md and
# OUTDIR/*.svg. What is there already (checkpoint, GGUF files, download) is used again.
#
# Environment: FORMATS ("bf16 q8 q4"), VISION_FORMAT, LAYOUTS as cards x threads ("1x1 1xN 2xN/2"),
# ROUNDS (3), DECODE steps (12), PEERS=0 to leave llama.cpp out, MPI=0 to leave Open MPI out, BUILD: a
# build folder to use.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -ge 1 ]] || { sed -n '2,9p' "$0" | cut -c3- >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
build=${BUILD:-}
if [[ -z $build ]]; then
  tools/build_preset release
  build=build/release
fi
cores=$(nproc)
half=$((cores > 1 ? cores / 2 : 1))
formats=${FORMATS:-bf16 q8 q4}
layouts=${LAYOUTS:-1x1 1x$cores 2x$half}
rounds=${ROUNDS:-3} steps=${DECODE:-12}
began=$SECONDS
say() { printf '%4d s  %s\n' $((SECONDS - began)) "$*" >&2; }

model=$out/glm-4v-9b-cut
if [[ ! -f $model/model.safetensors.index.json ]]; then
  say "writing $model"
  "$build/bin/cardloom_synth" --out "$model" > /dev/null 2>&1
fi
rm -f "$out"/bench-*.json "$out"/accuracy-*.json
{ grep -m1 'model name' /proc/cpuinfo | cut -d: -f2; uname -rm; "$build/bin/cardloom" version; } \
  > "$out/machine.txt"

# A format that this build does not know leaves a line in failed.txt, and the rest goes on.
: > "$out/failed.txt"
bench() {  # bench FILE OPTION...
  local file=$1
  shift
  say "${file%.json}"
  "$build/bin/cardloom" bench "$model" --json --quiet "$@" > "$out/$file" 2> "$out/stderr.txt" || {
    { echo "cardloom bench $*:"; cat "$out/stderr.txt"; } >> "$out/failed.txt"
    rm -f "$out/$file"
  }
}

for layout in $layouts; do
  tp=${layout%x*} threads=${layout#*x}
  for format in $formats; do
    options=(--tp "$tp" --threads "$threads" --rounds "$rounds" --decode "$steps")
    [[ $format == bf16 ]] || options+=(--weights "$format")
    if [[ $layout == 1x$cores ]]; then  # the curves over M and batch, and pictures, once a format
      options+=(--prompt 32,128,512,2048 --chunk 2048 --batch 1,2,4,8,16)
      [[ $format == bf16 || ${VISION_FORMAT:-} == "$format" ]] && options+=(--vision)
      [[ -n ${VISION_FORMAT:-} && $VISION_FORMAT == "$format" && $format != bf16 ]] &&
        options+=(--vision-weights "$format")
    else
      options+=(--prompt 512 --batch 1,16)
    fi
    bench "bench-$format-$layout.json" "${options[@]}"
  done
done
for format in $formats; do
  options=(--prompt 32 --decode 0 --rounds 1 --accuracy)
  [[ $format == bf16 ]] || options+=(--weights "$format")
  bench "accuracy-$format.json" "${options[@]}"
done
say "MatmulAllReduce alone"
"$build/bin/matmul_all_reduce_bench" 5 > "$out/matmul_all_reduce.txt"
if [[ ${MPI:-1} == 1 ]]; then
  say "Open MPI"
  ROUNDS=$rounds bench/mpi_contest.sh "$out" "$build" > "$out/mpi.log" 2>&1 || {
    { echo "bench/mpi_contest.sh:"; cat "$out/mpi.log"; } >> "$out/failed.txt"
  }
  grep skipped "$out/mpi.log" >&2 || true
fi
if [[ ${PEERS:-1} == 1 ]]; then
  say "llama.cpp"
  FORMATS=$formats ROUNDS=$rounds THREADS=$cores bench/peers/run.sh "$out" "$build" \
    > "$out/peers.log" 2>&1 || {
    { echo "bench/peers/run.sh:"; cat "$out/peers.log"; } >> "$out/failed.txt"
    say "llama.cpp could not be measured: see failed.txt"
  }
fi
say "tables and plots"
"$build/bin/cardloom_report" "$out"
[[ ! -s $out/failed.txt ]] || say "some runs failed: $out/failed.txt"
say "done: $out/tables.md"
