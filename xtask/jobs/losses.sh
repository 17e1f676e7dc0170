#!/usr/bin/env bash
# Losses of jobs of 2 and 4 processes against those of one process, for every method, and whether a second job has the same
# weights: 40 steps of its quick recipe with synchronised batch norm and a fraction of its rates: at the full rates, some methods
# multiply rounding errors by five in a step.
#
#     [C10D=BURN_SSL] xtask/jobs/losses.sh BURN_SSL CIFAR_TRAIN_TAR [METHODS...] > docs/benchmarks/scaling/losses.txt
#
# BURN_SSL is built with mpi, and the one that `C10D` names with c10d. A line is the method; the fraction of the recipe's rates;
# how far the tenth loss is from that of a run that does not train, at a rate near 0; then for 2 and 4 processes over MPI, and for 2
# over Gloo if there is such a build, the largest relative difference of the loss in the first ten steps and in all, and whether a
# second job has the bytes of the first: student, state and optimizer. Jobs of MPI use the device flex. Those of Gloo use `DEVICE`,
# tch by default, so that tensors of libtorch travel over c10d, and are compared with one process on the same device.
#
# The fraction is a thousandth if training at that rate moves the tenth loss at least ten times as far as two processes are from one
# in the first ten steps (or as 1e-6, if they are closer). If not, the line says `not-moved` of it, and ten times the rate is tried, up
# to the recipe's own. If two processes are further than 1e-4 from one there, the line says so, and a tenth of the rate is tried: heads
# have ReLUs, of which a rounding error may change a sign, and what grows from that grows more slowly. An error that changes gradients
# by a tenth passes at no rate, since it grows with what training moves.
#
# An epoch is one step, so that every step has a row. The encoder is a narrow ViT, which has no ReLU (heads may), or what
# `ENCODER` says; `ARGUMENTS` are added to every run. Ends with 1 if a difference in the first ten steps exceeds 1e-4 or a tenth of
# what training moves, if no rate moves a loss, or if two jobs differ. Says on standard error what runs.
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

steps=40
first=10     # steps whose losses are bound
bound=1e-4   # of their relative differences
closest=1e-6 # differences below it count as much: rounding of a single loss

pretrain() { # PLACE LAUNCHER... -- ARGUMENTS...: trains `method`
  local place=$work/$1 launcher=()
  shift
  while [[ $1 != -- ]]; do launcher+=("$1") && shift; done
  shift
  rm -rf "$place"
  "${launcher[@]}" pretrain --data "$data" --limit 32 --batch-size 32 "${encoder[@]}" \
    --set eval.every_epochs=0 --set checkpoint.every_epochs=0 "$@" "${arguments[@]}" --out "$place" >"$work/log" 2>&1
}

# Forty steps of `method` with the rates that are set, by processes that a command starts. Prints why a run failed.
forty() { # PLACE DEVICE LAUNCHER...
  local place=$1 device=$2 start=$SECONDS
  shift 2
  if ! pretrain "$place" "$@" -- --recipe "$method/cifar10-quick" --device "$device" --epochs $steps "${rates[@]}" "${own[@]}" \
    --set train.sync_bn=true; then
    why
    return 1
  fi
  echo "$method, $place: $((SECONDS - start)) s" >&2
}

# Prints why the last run failed.
why() {
  echo " failed: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
}

# A fraction of a number of the recipe; nothing if it has none.
part() { # SECTION KEY FRACTION
  "$burn_ssl" recipes "$method/cifar10-quick" |
    awk -v section="[$1]" -v key="$2" -v part="$3" '/^\[/ { on = $1 == section } on && $1 == key { printf "%.9g", $3 * part }'
}

# Sets `rates`: a fraction of those of the recipe. Some have one of their own for biases and norms, and one to end at.
slow_down() { # FRACTION
  local name value
  rates=()
  for name in optimizer.lr optimizer.lr_1d schedule.lr_start schedule.lr_end; do
    value=$(part "${name%.*}" "${name#*.}" "$1")
    if [[ -n $value ]]; then rates+=(--set "$name=$value"); fi
  done
}

# Sets `own`: what a method needs besides its recipe.
needs() {
  own=()
  case $method in
  moco-v3) own=(--set method_options.heads=vit) ;;
  distill-features)
    if [[ ! -d $work/teacher ]] &&
      ! pretrain teacher "$burn_ssl" -- --recipe simclr/cifar10-quick --seed 1 --epochs 10 --max-steps 1; then
      why
      return 1
    fi
    own=(--set "method_options.teacher=$work/teacher")
    ;;
  esac
}

losses() { # PLACE
  grep -o '"train_loss":[^,}]*' "$work/$1/metrics.jsonl" | cut -d: -f2
}

# Prints how far apart the losses of two jobs are, in the first steps and in all; -1 if they have not as many as they should.
apart() { # PLACE PLACE
  paste <(losses "$1") <(losses "$2") | awk -v first=$first -v steps=$steps '
    { d = $1 - $2; if (d < 0) d = -d; s = $1 < 0 ? -$1 : $1; d /= s; if (NF < 2) short = 1
      if (NR <= first && d > ten) ten = d; if (d > all) all = d }
    END { if (short || NR != steps) print "-1 -1"; else printf "%.1e %.1e", ten, all }'
}

# Prints how far the tenth losses of two jobs are apart.
moves() { # PLACE PLACE
  paste <(losses "$1") <(losses "$2") | awk -v first=$first '
    NR == first { d = $1 - $2; if (d < 0) d = -d; s = $1 < 0 ? -$1 : $1; printf "%.1e", d / s }'
}

# Prints how far a job is from one process; fails if that is too far.
compare() { # PLACE PLACE
  local found
  found=$(apart "$1" "$2")
  printf ' %s' "$found"
  awk -v ten="${found% *}" -v moved="$moved" -v bound=$bound -v closest=$closest 'BEGIN {
    most = moved / 10 < bound ? moved / 10 : bound
    exit !(ten >= 0 && (ten <= most || ten <= closest)) }'
}

# Whether training moves the loss far enough for a comparison with a difference to say something.
tells() { # MOVED DIFFERENCE
  awk -v moved="$1" -v found="$2" -v closest=$closest 'BEGIN {
    exit !(found >= 0 && moved >= 10 * (found > closest ? found : closest)) }'
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

mpi() { # PLACE PROCESSES
  forty "$1" flex mpirun --oversubscribe -n "$2" "$burn_ssl"
}

# Finds the rate; leaves `one` and `two`, and sets `moved`. Prints the fractions that do not serve, and the one that does.
find_rate() {
  local fraction found verdict=none
  slow_down 1e-12
  mpi still 1 || return 1
  for fraction in 1/1000 1/10000 1/100 1/10 1; do
    case $fraction:$verdict in
    1/1000:none | 1/10000:apart-by-* | 1/100:not-moved | 1/10:not-moved | 1:not-moved) ;;
    *) continue ;;
    esac
    slow_down "$(awk -v of="${fraction#*/}" 'BEGIN { print 1 / of }')"
    mpi one 1 && mpi two 2 || return 1
    moved=$(moves still one) found=$(apart one two | cut -d' ' -f1)
    if ! tells "$moved" "$found"; then
      verdict=not-moved
    elif awk -v found="$found" -v bound=$bound 'BEGIN { exit !(found > bound) }'; then
      verdict=apart-by-$found
    else
      printf ' %s %s' "$fraction" "$moved"
      return 0
    fi
    printf ' %s:%s' "$fraction" "$verdict"
    if [[ $fraction == 1/10000 ]]; then break; fi
  done
  echo
  return 1
}

examine() { # of `method`: prints the rest of its line
  local bad=0 device=${DEVICE:-tch} gloo=("$here/ranks.sh" 2 "$c10d")
  needs && find_rate || return 1
  compare one two || bad=1
  mpi two-again 2 || return 1
  same two two-again || bad=1
  mpi four 4 && mpi four-again 4 || return 1
  compare one four || bad=1
  same four four-again || bad=1
  if [[ -n $c10d ]]; then
    forty alone "$device" "$c10d" && forty gloo "$device" "${gloo[@]}" && forty gloo-again "$device" "${gloo[@]}" || return 1
    compare alone gloo || bad=1
    same gloo gloo-again || bad=1
  fi
  echo
  return $bad
}

of_jobs="difference in the first ten steps, in 40, a second job"
echo "# method, fraction of its rates, what they move; 2 processes: $of_jobs; 4 processes: the same${c10d:+; Gloo, 2 processes, device ${DEVICE:-tch}: the same}"
bad=0
for method in "${methods[@]}"; do
  printf '%s' "$method"
  examine || bad=1
done
exit $bad
