#!/usr/bin/env bash
# Losses of jobs of 2 and 4 processes against those of one process, for every method, and whether a second job has the same
# weights: 40 steps of its quick recipe with synchronised batch norm and a thousandth of its rates: at the full rates, some
# methods multiply rounding errors by five in a step.
#
#     [C10D=BURN_SSL] xtask/jobs/losses.sh BURN_SSL CIFAR_TRAIN_TAR [METHODS...] > docs/benchmarks/scaling/losses.txt
#
# BURN_SSL is built with mpi, and the one that `C10D` names with c10d. A line is the method; for 2 and 4 processes over MPI, and
# for 2 over Gloo if there is such a build, the largest relative difference of the loss in the first ten steps and in all; and
# behind that of 2 processes, whether a second job has the bytes of the first: student, state and optimizer.
#
# An epoch is one step, so that every step has a row. The encoder is a narrow ViT, which has no ReLU (heads may), or what
# `ENCODER` says; `ARGUMENTS` are added to every run. Ends with 1 if a difference in the first ten steps exceeds 1e-4, or if
# two jobs differ.
set -euo pipefail

burn_ssl=$(realpath "$1") data=$2
shift 2
c10d=${C10D:+$(realpath "$C10D")}
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
methods=("$@")
if ((${#methods[@]} == 0)); then mapfile -t methods < <("$burn_ssl" recipes | grep -oE '^[^/]+/cifar10-quick' | cut -d/ -f1); fi
((${#methods[@]} > 0)) || { echo "no methods: burn-ssl recipes names none" >&2; exit 1; }
read -ra encoder <<<"${ENCODER:---model vit-tiny --set encoder.patch_size=4 --set encoder.embed_dim=48 --set encoder.heads=3 --set encoder.depth=2}"
read -ra arguments <<<"${ARGUMENTS:-}"

pretrain() { # PLACE METHOD LAUNCHER... -- ARGUMENTS...
  local place=$work/$1 method=$2 launcher=()
  shift 2
  while [[ $1 != -- ]]; do launcher+=("$1") && shift; done
  shift
  rm -rf "$place"
  "${launcher[@]}" pretrain --recipe "$method/cifar10-quick" --data "$data" --limit 32 --batch-size 32 "${encoder[@]}" \
    --set eval.every_epochs=0 --set checkpoint.every_epochs=0 "$@" "${arguments[@]}" --out "$place" >"$work/log" 2>&1
}

# Forty steps of `method`, by processes that a command starts.
forty() { # PLACE LAUNCHER...
  local place=$1
  shift
  pretrain "$place" "$method" "$@" -- --epochs 40 "${rates[@]}" "${own[@]}" --set train.sync_bn=true
}

# Runs a command; prints why a run failed.
try() {
  if ! "$@"; then
    echo " failed: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
    return 1
  fi
}

# A thousandth of a number in the section about the optimizer; nothing if the recipe has none.
thousandth() { # KEY
  "$burn_ssl" recipes "$method/cifar10-quick" |
    awk -v key="$1" '/^\[/ { on = $1 == "[optimizer]" } on && $1 == key { print $3 / 1000 }'
}

# Sets `rates`: those of the recipe. Some have one of their own for biases and norms.
slow_down() {
  local lr_1d
  lr_1d=$(thousandth lr_1d)
  rates=(--lr "$(thousandth lr)")
  if [[ -n $lr_1d ]]; then rates+=(--set "optimizer.lr_1d=$lr_1d"); fi
}

# Sets `own`: what a method needs besides its recipe.
needs() {
  own=()
  case $method in
  moco-v3) own=(--set method_options.heads=vit) ;;
  distill-features)
    if [[ ! -d $work/teacher ]]; then try pretrain teacher simclr "$burn_ssl" -- --seed 1 --epochs 10 --max-steps 1 || return 1; fi
    own=(--set "method_options.teacher=$work/teacher")
    ;;
  esac
}

losses() { # PLACE
  grep -o '"train_loss":[^,]*' "$work/$1/metrics.jsonl" | cut -d: -f2
}

# Prints how far apart the losses of two jobs are; fails if that is too far.
apart() { # PLACE PLACE
  paste <(losses "$1") <(losses "$2") | awk '
    { d = $1 - $2; if (d < 0) d = -d; s = $1 < 0 ? -$1 : $1; d /= s; if (NR <= 10 && d > ten) ten = d; if (d > all) all = d }
    END { printf " %.1e %.1e", ten, all; exit NR != 40 || ten > 1e-4 }'
}

# Prints whether two jobs ended with the same bytes; fails if not.
same() { # PLACE PLACE
  local part
  for part in student state optimizer; do
    if ! cmp -s "$work/$1/checkpoints/last/$part.safetensors" "$work/$2/checkpoints/last/$part.safetensors"; then
      printf ' %s-differs' "$part"
      return 1
    fi
  done
  printf ' same'
}

examine() { # of `method`: prints the rest of its line
  local bad=0 run gloo=("$here/ranks.sh" 2 "$c10d")
  slow_down
  needs || return 1
  for run in "1 one" "2 two" "2 two-again" "4 four"; do
    try forty "${run#* }" mpirun --oversubscribe -n "${run% *}" "$burn_ssl" || return 1
  done
  apart one two || bad=1
  same two two-again || bad=1
  apart one four || bad=1
  if [[ -n $c10d ]]; then
    try forty gloo "${gloo[@]}" && try forty gloo-again "${gloo[@]}" || return 1
    apart one gloo || bad=1
    same gloo gloo-again || bad=1
  fi
  echo
  return $bad
}

echo "# method; 2 processes: first ten steps, 40 steps, a second job; 4 processes: first ten steps, 40 steps${c10d:+; Gloo: as 2 processes}"
bad=0
for method in "${methods[@]}"; do
  printf '%s' "$method"
  examine || bad=1
done
exit $bad
