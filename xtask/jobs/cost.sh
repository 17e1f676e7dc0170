#!/usr/bin/env bash
# The speed of two processes with one core each, as a fraction of that of one process with both cores.
#
#     xtask/jobs/cost.sh BURN_SSL CIFAR_TRAIN_TAR PHOTOS_TAR > docs/benchmarks/scaling/cost.txt       on an idle machine of two cores
#
# The two run in turn, five rounds; a line has the medians of the images per second of one and of two processes, their
# ratio, the milliseconds of a step that two processes spend in exchanges, and the peak memory of each kind of process.
# SimCLR; batch norm per process, or synchronised where the line says so.
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

compare() { # TITLE ARGUMENTS...
  local title=$1
  shift
  : >"$work/one" && : >"$work/two" && : >"$work/comm"
  for ((round = 0; round < rounds; round++)); do
    rm -rf "$work/run"
    "$burn_ssl" pretrain "$@" --set eval.every_epochs=0 --set checkpoint.every_epochs=0 --workers 1 --json --out "$work/run" \
      >"$work/json" 2>/dev/null
    last images_per_s >>"$work/one"
    grep -o '"max_mem":[0-9]*' "$work/json" | cut -d: -f2 >"$work/mem-one"
    rm -rf "$work/run"
    mpirun --bind-to core -n 2 "$burn_ssl" pretrain "$@" --set eval.every_epochs=0 --set checkpoint.every_epochs=0 --workers 1 \
      --json --out "$work/run" >"$work/json" 2>/dev/null
    last images_per_s >>"$work/two"
    last comm_time >>"$work/comm"
    grep -o '"max_mem":[0-9]*' "$work/json" | cut -d: -f2 >"$work/mem-two"
  done
  awk -v title="$title" -v one="$(median <"$work/one")" -v two="$(median <"$work/two")" -v comm="$(median <"$work/comm")" \
    -v m1="$(cat "$work/mem-one")" -v m2="$(cat "$work/mem-two")" 'BEGIN {
      printf "%s: %.1f and %.1f images/s, %.3f; %.1f ms in exchanges; %.0f and %.0f MB\n", title, one, two, two / one,
        1000 * comm, m1 / 1e6, m2 / 1e6 }'
}

echo "# $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, $(date +%F), burn-ssl of $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
small=(--recipe simclr/cifar10 --data "$cifar" --limit 2048 --model resnet18 --stem cifar)
compare "resnet18 of width 16, 32 px, batch 64" "${small[@]}" --width 16 --batch-size 64 --max-steps 40
compare "the same with synchronised batch norm" "${small[@]}" --width 16 --batch-size 64 --max-steps 40 --set train.sync_bn=true
compare "resnet18 of width 64, 32 px, batch 32" "${small[@]}" --width 64 --batch-size 32 --max-steps 20
compare "vit-tiny with patches of 16, 224 px, batch 8" --recipe simclr/imagenet --data "$photos" --model vit-tiny --batch-size 8 \
  --max-steps 20
