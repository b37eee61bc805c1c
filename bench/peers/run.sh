#!/usr/bin/env bash
# bench/peers/run.sh OUTDIR [BUILD]: llama.cpp (prebuilt, from npm) beside `cardloom bench` on the
# shapes of glm-4v-9b's text model cut to 4 layers. BUILD: a build folder, else build/release.
#
# Runs alternate, A B A B, and OUTDIR/peers.jsonl keeps every one; medians and ratios are made of it
# by cardloom_report. Of llama.cpp, a trial finds the fastest setting of every row first: mapped or
# read file, with or without repacked weights. q4_0 against q4, q8_0 against q8, bf16 against bf16.
#
# Environment: THREADS (all cores), ROUNDS (3), DECODE steps (8), BATCHES (1,4,16), PROMPT (512),
# FORMATS ("q4 q8 bf16"), LLAMA_LIB: the folder with libllama, if it is not to be downloaded.
# Needs g++, and npm for the download; 7.5 GB in OUTDIR and 4.2 GB for the checkpoint.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 1 ]] || { sed -n '2,12p' "$0" | cut -c3- >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
build=$(cd "${2:-$here/../../build/release}" && pwd)
threads=${THREADS:-$(nproc)} rounds=${ROUNDS:-3} steps=${DECODE:-8}
batches=${BATCHES:-1,4,16} prompt=${PROMPT:-512} formats=${FORMATS:-q4 q8 bf16}
package=linux-x64-3.22.1.tgz

fetch_llama() {
  [[ -d $out/llama/package ]] && return
  mkdir -p "$out/llama"
  (cd "$out/llama" && npm pack --silent @node-llama-cpp/linux-x64@3.22.1 > /dev/null &&
    mv ./*.tgz "$package")
  tar xzf "$out/llama/$package" -C "$out/llama"
}

gguf_name() {
  case $1 in q4) echo q4_0 ;; q8) echo q8_0 ;; *) echo "$1" ;; esac
}

# llama WEIGHTS LOAD_MODE EXTRA STEPS ROUND
llama() {
  "$out/llama_bench" "$lib" "$out/$(gguf_name "$1").gguf" "$threads" "$2" "$3" "$prompt" "$batches" "$4" |
    sed "s/^{/{\"engine\":\"llama.cpp\",\"round\":$5,\"weights\":\"$1\",\"setting\":\"$2$3\",/"
}

ours() {  # ours WEIGHTS ROUND
  local options=()
  [[ $1 == bf16 ]] || options=(--weights "$1")
  local doc
  doc=$("$build/bin/cardloom" bench "$out/text" "${options[@]}" --threads "$threads" --rounds 1 \
    --prompt "$prompt" --batch "$batches" --decode "$steps" --json --quiet) || return 1
  printf '{"engine":"cardloom","round":%d,"weights":"%s","doc":%s}\n' "$2" "$1" "$doc"
}

# The settings that are the fastest in any row of a trial: lines "phase batch speed setting".
best_settings() {
  sed -E 's/.*"setting":"([^"]*)".*"phase":"([^"]*)","batch":([0-9]+).*"tokens_per_s":([0-9.]+).*/\2 \3 \4 \1/' |
    sort -k1,1 -k2,2n -k3,3gr | awk '!seen[$1, $2]++ { print $4 }' | sort -u
}

if [[ -n ${LLAMA_LIB:-} ]]; then
  lib=$(cd "$LLAMA_LIB" && pwd)
else
  fetch_llama
  lib=$out/llama/package/bins/linux-x64
fi
[[ -x $out/llama_bench && $out/llama_bench -nt $here/llama_bench.cc ]] ||
  ${CXX:-g++} -O2 -std=c++20 "$here/llama_bench.cc" -o "$out/llama_bench" -L"$lib" \
    -Wl,-rpath,"$lib" -l:libllama.v0.5.0.so -l:libggml.v0.5.0.so -Wl,--allow-shlib-undefined
[[ -f $out/text/config.json ]] ||
  "$build/bin/cardloom_synth" --out "$out/text" --vision-layers 0 > /dev/null 2>&1

: > "$out/peers.jsonl"
for format in $formats; do
  file=$out/$(gguf_name "$format").gguf
  [[ -f $file ]] || "$build/bin/cardloom_llama_gguf" "$file" 4 "$(gguf_name "$format")"
  echo "peers: $format, trial of llama.cpp's settings" >&2
  # A mapped file without repacking is a file that was read, but in small pages: never faster.
  settings=$(for setting in 01 11 00; do
    llama "$format" "${setting:0:1}" "${setting:1:1}" 4 0
  done | best_settings)
  for ((round = 1; round <= rounds; ++round)); do
    echo "peers: $format, round $round of $rounds" >&2
    ours "$format" "$round" >> "$out/peers.jsonl" ||
      echo "peers: cardloom does not run $format; llama.cpp alone is measured" >&2
    for setting in $settings; do
      llama "$format" "${setting:0:1}" "${setting:1:1}" "$steps" "$round" >> "$out/peers.jsonl"
    done
  done
done
"$build/bin/cardloom_report" "$out" > "$out/report.txt"
sed -n '/^## Beside llama.cpp/,/^## Where/p' "$out/report.txt" | grep -v '^## Where'
