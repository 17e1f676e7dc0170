#!/usr/bin/env bash
# What the processes of a job exchange in a step, for every recipe for ImageNet.
#
#     xtask/jobs/messages.sh BURN_SSL PHOTOS_TAR > docs/benchmarks/scaling/messages.txt
#
# One step of two processes with 2 and with 4 images each, batch norm per process. A line is the recipe, then for the two
# sizes: calls, and bytes that each process gives to them. What grows with the images is what a loss gathers.
set -euo pipefail

burn_ssl=$(realpath "$1") data=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1

echo "# recipe, parameters in millions, then calls and bytes per process and step with 2 and with 4 images a process"
bad=0
for recipe in $("$burn_ssl" recipes | grep '/imagenet'); do
  line=$recipe
  for batch in 4 8; do
    out=$work/run
    if ! mpirun --oversubscribe -n 2 "$burn_ssl" pretrain --recipe "$recipe" --data "$data" --batch-size $batch --max-steps 1 \
      --set eval.every_epochs=0 --out "$out" >"$work/log" 2>&1; then
      bad=1
      line+=" failed: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
      break
    fi
    if [[ $batch == 4 ]]; then
      line+=" $(grep -oE 'with [0-9.]+ million' "$work/log" | head -1 | grep -oE '[0-9.]+')"
    fi
    line+=" $(grep -o '"comm_calls":[0-9.]*' "$out/metrics.jsonl" | tail -1 | cut -d: -f2)"
    line+=" $(grep -o '"comm_bytes":[0-9.]*' "$out/metrics.jsonl" | tail -1 | cut -d: -f2)"
    rm -rf "$out"
  done
  echo "$line"
done
exit $bad
