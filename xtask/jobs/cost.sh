#!/usr/bin/env bash
# The speed of two processes with one core each, as a fraction of that of one process with both cores.
#
#     xtask/jobs/cost.sh BURN_SSL CIFAR_TRAIN_TAR PHOTOS_TAR > docs/benchmarks/scaling/cost.txt       on an idle machine of two cores
#
# The two run in turn, five rounds, and take turns in running first; a line has the medians of the images per second of one and of
# two processes, their ratio and what it has to be, the milliseconds of a step that two processes spend in exchanges, and the peak
# memory of each kind of process. SimCLR; batch norm per process, or synchronised where the line says so, which is given more room:
# it exchanges statistics four times for each layer. Ends with 1 if a ratio is too low. Says on standard error what runs.
set -euo pipefail

burn_ssl=$(realpath "$1") cifar=$2 photos=$3
rounds=${ROUNDS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

last() { # NAME: of the last row of a step, so that the first steps do not count
  grep '"train_loss"' "$work/run/metrics.jsonl" | tail -1 | grep -o "\"$1\":[0-9.e-]*" | cut -d: -f2
}

median() {
  sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# Trains once, by what a command starts; ends the script with the error of a run that fails.
train() { # NAME LAUNCHER... -- ARGUMENTS...
  local name=$1 launcher=()
  shift
  while [[ $1 != -- ]]; do launcher+=("$1") && shift; done
  shift
  rm -rf "$work/run"
  if ! "${launcher[@]}" "$burn_ssl" pretrain "$@" --set eval.every_epochs=0 --set checkpoint.every_epochs=0 --workers 1 --json \
    --out "$work/run" >"$work/json" 2>"$work/log"; then
    echo "$title, $name: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")" >&2
    exit 1
  fi
  last images_per_s >>"$work/$name"
  grep -o '"max_mem":[0-9]*' "$work/json" | cut -d: -f2 >"$work/mem-$name"
  echo "$title, $name: $(tail -1 "$work/$name") images/s" >&2
}

one() { # ARGUMENTS...
  train one env -- "$@"
}

two() { # ARGUMENTS...
  train two mpirun --bind-to core -n 2 -- "$@"
  last comm_time >>"$work/comm"
}

compare() { # LEAST TITLE ARGUMENTS...: fails if the ratio is below LEAST
  local least=$1 title=$2 round
  shift 2
  : >"$work/one" && : >"$work/two" && : >"$work/comm"
  for ((round = 0; round < rounds; round++)); do
    if ((round % 2 == 0)); then
      one "$@"
      two "$@"
    else
      two "$@"
      one "$@"
    fi
  done
  awk -v title="$title" -v one="$(median <"$work/one")" -v two="$(median <"$work/two")" -v comm="$(median <"$work/comm")" \
    -v m1="$(cat "$work/mem-one")" -v m2="$(cat "$work/mem-two")" -v least="$least" 'BEGIN {
      printf "%s: %.1f and %.1f images/s, %.3f (expected %.2f); %.1f ms in exchanges; %.0f and %.0f MB\n", title, one, two, two / one,
        least, 1000 * comm, m1 / 1e6, m2 / 1e6
      if (two / one < least) print title ": two processes are too slow" >"/dev/stderr"
      exit (two / one < least) }' || bad=1
}

echo "# $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, $(date +%F), burn-ssl of $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
small=(--recipe simclr/cifar10 --data "$cifar" --limit 2048 --model resnet18 --stem cifar)
bad=0
compare 0.95 "resnet18 of width 16, 32 px, batch 64" "${small[@]}" --width 16 --batch-size 64 --max-steps 40
compare 0.90 "the same with synchronised batch norm" "${small[@]}" --width 16 --batch-size 64 --max-steps 40 --set train.sync_bn=true
compare 0.95 "resnet18 of width 64, 32 px, batch 32" "${small[@]}" --width 64 --batch-size 32 --max-steps 20
compare 0.95 "vit-tiny with patches of 16, 224 px, batch 8" --recipe simclr/imagenet --data "$photos" --model vit-tiny --batch-size 8 \
  --max-steps 20
exit $bad
