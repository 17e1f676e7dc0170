#!/usr/bin/env bash
# Losses of jobs of 2 and 4 processes against those of one process, for every method: 40 steps of its quick recipe with
# synchronised batch norm and a thousandth of its rate: at the full rate, some methods multiply rounding errors by five in a step.
#
#     xtask/jobs/losses.sh BURN_SSL CIFAR_TRAIN_TAR [METHODS...] > docs/benchmarks/scaling/losses.txt
#
# A line is the method and, for 2 and 4 processes, the largest relative difference of the loss in the first ten steps and in all.
# An epoch is one step, so that every step has a row. The encoder is a narrow ViT, which has no ReLU (heads may), or what
# `ENCODER` says. Ends with 1 if a difference in the first ten steps exceeds 1e-4.
set -euo pipefail

burn_ssl=$(realpath "$1") data=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
methods=("$@")
if ((${#methods[@]} == 0)); then mapfile -t methods < <("$burn_ssl" recipes | grep -oE '^[^/]+/cifar10-quick' | cut -d/ -f1); fi
((${#methods[@]} > 0)) || { echo "no methods: burn-ssl recipes names none" >&2; exit 1; }
read -ra encoder <<<"${ENCODER:---model vit-tiny --set encoder.patch_size=4 --set encoder.embed_dim=48 --set encoder.heads=3 --set encoder.depth=2}"

job() { # PROCESSES METHOD
  local more=()
  if [[ $2 == moco-v3 ]]; then more=(--set method_options.heads=vit); fi
  rm -rf "$work/$1"
  mpirun --oversubscribe -n "$1" "$burn_ssl" pretrain --recipe "$2/cifar10-quick" --data "$data" --limit 32 --batch-size 32 \
    --epochs 40 --lr "$rate" "${encoder[@]}" "${more[@]}" --set train.sync_bn=true --set eval.every_epochs=0 --set checkpoint.every_epochs=0 \
    --out "$work/$1" >"$work/log" 2>&1
}

losses() {
  grep -o '"train_loss":[^,]*' "$work/$1/metrics.jsonl" | cut -d: -f2
}

echo "# method; 2 processes: first ten steps, 40 steps; 4 processes: the same"
bad=0
for method in "${methods[@]}"; do
  line=$method
  rate=$("$burn_ssl" recipes "$method/cifar10-quick" | awk '/^\[/ { on = $1 == "[optimizer]" } on && $1 == "lr" { print $3 / 1000; exit }')
  for processes in 1 2 4; do
    if ! job $processes "$method"; then
      line+=" failed: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
      bad=1
      break
    fi
    if ((processes > 1)); then
      line+=$(paste <(losses 1) <(losses $processes) | awk '
        { d = $1 - $2; if (d < 0) d = -d; s = $1 < 0 ? -$1 : $1; d /= s; if (NR <= 10 && d > ten) ten = d; if (d > all) all = d }
        END { printf " %.1e %.1e", ten, all; exit NR != 40 || ten > 1e-4 }') || bad=1
    fi
  done
  echo "$line"
done
exit $bad
