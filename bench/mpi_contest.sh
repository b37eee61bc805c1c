#!/usr/bin/env bash
# bench/mpi_contest.sh OUTDIR [BUILD]: matmul_all_reduce of two cards beside copy + matmul +
# MPI_Allreduce (Open MPI, shared memory, two processes bound to cores), and the exchange alone beside
# MPI_Allreduce. Runs alternate; OUTDIR/mpi.tsv keeps every one, OUTDIR/mpi.md the medians. BUILD: a
# build folder that has bin/mpi_contest (mpi_contest.cc tells what is timed), else build/release.
#
# Environment: ROUNDS (5), FORMATS ("bf16"), WHAT ("o down fc2 all-reduce"), MPIRUN_OPTIONS.
# Needs the packages of bench/packages.txt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 1 ]] || { sed -n '2,8p' "$0" | cut -c3- >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
program=${2:-$here/../build/release}/bin/mpi_contest
rounds=${ROUNDS:-5} formats=${FORMATS:-bf16} whats=${WHAT:-o down fc2 all-reduce}
if ! command -v mpirun > /dev/null || [[ ! -x $program ]]; then
  echo "mpi_contest: skipped: no mpirun or no $program; install what bench/packages.txt lists, and" \
    "configure anew" >&2
  exit 0
fi
# shellcheck disable=SC2206  # words of a user's list
options=(-n 2 --bind-to core ${MPIRUN_OPTIONS:-})
[[ $(id -u) != 0 ]] || options+=(--allow-run-as-root)

: > "$out/mpi.tsv"
for ((round = 1; round <= rounds; ++round)); do
  echo "mpi_contest: round $round of $rounds" >&2
  for what in $whats; do
    for format in $formats; do
      [[ $what != all-reduce || $format == "${formats%% *}" ]] || continue
      {
        "$program" ours "$what" "$format"
        mpirun "${options[@]}" "$program" mpi "$what" "$format" < /dev/null
      } | sed "s/^/$format\t/" >> "$out/mpi.tsv"
    done
  done
done

# Medians, a line for each (format, what, size) in the order of the first run; an error if the
# contestants' results differ by more than rounding.
awk -F'\t' '
  function median(key, n, i, j, t) {
    n = count[key]
    for (i = 1; i <= n; ++i)
      for (j = i + 1; j <= n; ++j)
        if (times[key, j] < times[key, i]) {
          t = times[key, i]; times[key, i] = times[key, j]; times[key, j] = t
        }
    return times[key, int((n + 1) / 2)]
  }
  {
    row = $1 "\t" $3 "\t" $4
    if (!seen[row]++) rows[++num_rows] = row
    times[row "\t" $2, ++count[row "\t" $2]] = $5
    check[row "\t" $2] = $6
  }
  END {
    print "| weights | product | M, or KiB of sums | ours, us | Open MPI, us | Open MPI by ours |"
    print "|---|---|---|---|---|---|"
    for (i = 1; i <= num_rows; ++i) {
      split(rows[i], part, "\t")
      ours = median(rows[i] "\tours"); mpi = median(rows[i] "\tmpi")
      printf "| %s | %s | %s | %.1f | %.1f | %.2f |\n", part[1], part[2], part[3], ours, mpi, mpi / ours
      a = check[rows[i] "\tours"]; b = check[rows[i] "\tmpi"]
      if (a > 1.01 * b || b > 1.01 * a) {
        print "mpi_contest: results differ: " rows[i] ": " a " and " b > "/dev/stderr"
        failed = 1
      }
    }
    exit failed
  }' "$out/mpi.tsv" | tee "$out/mpi.md"
