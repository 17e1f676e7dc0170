#!/usr/bin/env bash
# What the processes of a job exchange in a step, for every recipe for ImageNet.
#
#     xtask/jobs/messages.sh BURN_SSL PHOTOS_TAR [RECIPES...] > docs/benchmarks/scaling/messages.txt
#
# One step of two processes with few and with more images, batch norm per process, or synchronised where `+sync_bn` stands behind
# the recipe: by default, SimCLR's ResNet-50 has such a line too. A line is the recipe and its parameters in millions, then for the
# two sizes: images of a process, calls, and bytes that each process gives to sums and to gathers. Sums are shared out: each byte
# travels twice, however many processes there are. What is gathered, short sums among it, goes to every other process. Needs Open
# MPI. Says on standard error what runs.
set -euo pipefail

burn_ssl=$(realpath "$1") data=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
recipes=("$@")
if ((${#recipes[@]} == 0)); then
  mapfile -t recipes < <("$burn_ssl" recipes | grep '/imagenet')
  ((${#recipes[@]} > 0)) || { echo "no recipes: burn-ssl recipes names none for ImageNet" >&2; exit 1; }
  recipes+=(simclr/imagenet+sync_bn)
fi

step() { # OUT LAUNCHER... -- ARGUMENTS...: one step of training, and no more images than the larger batch: evaluations take longest
  local out=$1 launcher=()
  shift
  while [[ $1 != -- ]]; do launcher+=("$1") && shift; done
  shift
  rm -rf "$out"
  "${launcher[@]}" pretrain --data "$data" --limit "${batches[1]}" --max-steps 1 --set eval.every_epochs=0 "$@" --out "$out" >"$work/log" 2>&1
}

# Says why a step failed.
failed() {
  echo " failed: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
}

# Sets `batches` and `own`: the images of both sizes, and what the recipe leaves to its user.
needs() { # RECIPE
  batches=(4 8) own=()
  case $1 in
  moco-v1/* | moco-v2/*) batches=(32 48) ;; # 8 groups of batch norm in each of two processes
  msn/*) batches=(8 16) ;;                  # fewer anchors than a sixteenth of its prototypes are refused
  supcon/*) own=(--set data.path=demo:train) ;; # photographs have no labels
  distill-features/*)
    if [[ ! -d $work/teacher ]]; then
      step "$work/teacher" "$burn_ssl" -- --recipe simclr/imagenet --batch-size 4 --seed 1 --model vit-tiny --set encoder.patch_size=14 \
        --set encoder.embed_dim=24 --set encoder.heads=2 --set encoder.depth=1 || { failed && return 1; }
    fi
    own=(--set "method_options.teacher=$work/teacher")
    ;;
  esac
  if [[ $1 == *+sync_bn ]]; then own+=(--set train.sync_bn=true); fi
}

# A column of the only step.
column() { # NAME
  grep -o "\"$1\":[0-9.]*" "$work/run/metrics.jsonl" | tail -1 | cut -d: -f2
}

examine() { # RECIPE: prints the rest of its line
  local batch batches own start=$SECONDS
  needs "$1" || return 1
  for batch in "${batches[@]}"; do
    step "$work/run" mpirun --oversubscribe -n 2 "$burn_ssl" -- --recipe "${1%+sync_bn}" --batch-size "$batch" "${own[@]}" ||
      { failed && return 1; }
    if [[ $batch == "${batches[0]}" ]]; then
      printf ' %s' "$(grep -oE 'with [0-9.]+ million' "$work/log" | head -1 | grep -oE '[0-9.]+')"
    fi
    awk -v n=$((batch / 2)) -v calls="$(column comm_calls)" -v bytes="$(column comm_bytes)" -v gathered="$(column comm_gathered)" \
      'BEGIN { printf " %d %.0f %.0f %.0f", n, calls, bytes - gathered, gathered }'
  done
  echo
  echo "$1: $((SECONDS - start)) s" >&2
}

echo "# recipe, parameters in millions, then of two sizes: images, calls, bytes summed and bytes gathered per process and step"
bad=0
for recipe in "${recipes[@]}"; do
  printf '%s' "$recipe"
  examine "$recipe" || bad=1
done
exit $bad
