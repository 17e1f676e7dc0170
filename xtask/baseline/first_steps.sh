#!/usr/bin/env bash
# Compares the first steps of every method with its PyTorch twin. Needs Rust, and a Python with torch, lightly, safetensors.
#
#   xtask/baseline/first_steps.sh PYTHON CIFAR10_TRAIN_TAR OUT [CASE...]
#
# Each case is a run of 40 steps. The 20 compared steps start from its weights and state, with a new optimizer, other views,
# schedules from their beginning and, in most cases, a tenth of the learning rate. Writes OUT/CASE.json. If a case fails, the
# others still run and the exit status is 1.
#   CARGO (cargo)    how to build and run the example
#   TMPDIR (/tmp)    room for 120 MB
#   KEEP             a folder for CASE.safetensors, 40 MB each; without it they are removed
set -uo pipefail
[[ $# -ge 3 ]] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
python=$1 data=$2 out=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" ${KEEP:+"$KEEP"}
failed=()

crop='{op="random_resized_crop",scale=[0.08,1.0]},{op="horizontal_flip"}'
warmup=schedule.warmup_epochs=0.5 # 5 of the 20 compared steps; two epochs would be all of them
multicrop="views=[{count=2,size=32,ops=[$crop]},{count=2,size=16,ops=[$crop]}]"

# case NAME RECIPE [key=value...] [-- key=value...]: keys after -- are only for the compared steps.
declare -A recipes options later
names=()
case_() {
  names+=("$1") recipes[$1]=$2
  local name=$1 list=options
  shift 2
  for word in "$@"; do
    [[ $word == -- ]] && { list=later; continue; }
    declare -n chosen=$list
    chosen[$name]+="--set"$'\n'"$word"$'\n'
  done
}
case_ simclr simclr/cifar10-quick -- optimizer.lr=0.012
case_ simclr-v2 simclr-v2/cifar10-quick -- optimizer.lr=0.006
case_ moco-v1 moco-v1/cifar10-quick -- optimizer.lr=0.006
case_ moco-v2 moco-v2/cifar10-quick "$warmup" -- optimizer.lr=0.006
case_ moco-v3 moco-v3/cifar10-quick "$warmup" -- optimizer.lr=0.012
case_ byol byol/cifar10-quick -- optimizer.lr=0.012
case_ simsiam simsiam/cifar10-quick "$warmup" -- optimizer.lr=0.02
case_ swav swav/cifar10-quick "$warmup" -- optimizer.lr=1e-4
case_ dino dino/cifar10-quick "$warmup" -- optimizer.lr=0.02
case_ barlow-twins barlow-twins/cifar10-quick "$warmup" -- optimizer.lr=0.005 optimizer.lr_1d=0.00012
case_ supcon supcon/cifar10-quick "$warmup" -- optimizer.lr=0.02
case_ dcl dcl/cifar10-quick -- optimizer.lr=0.006
case_ dclw dclw/cifar10-quick -- optimizer.lr=0.006
case_ nnclr nnclr/cifar10-quick -- optimizer.lr=0.006
case_ vicreg vicreg/cifar10-quick "$warmup" -- optimizer.lr=0.005 optimizer.lr_1d=0.00012
case_ tico tico/cifar10-quick "$warmup" -- optimizer.lr=0.006
case_ lejepa lejepa/cifar10-quick "$warmup" -- optimizer.lr=2e-4
case_ mae mae/cifar10-quick -- optimizer.lr=1.5e-4
case_ simmim simmim/cifar10-quick -- optimizer.lr=1e-4
case_ ijepa ijepa/cifar10-quick -- optimizer.lr=1e-4
case_ msn msn/cifar10-quick -- optimizer.lr=1e-4
case_ ibot ibot/cifar10-quick -- optimizer.lr=1e-4
case_ dinov2 dinov2/cifar10-quick -- optimizer.lr=2e-4
# The recipe's own rate.
case_ simclr-full-rate simclr/cifar10-quick
# Keys in the order of the queries, one direction.
case_ moco-v2-plain moco-v2/cifar10-quick method_options.shuffle=false method_options.symmetric=false "$warmup" -- \
  optimizer.lr=0.006
# The other optimizers and schedules, larger heads, a queue that fills, crops of two sizes, clipping of all gradients together.
case_ simclr-lars simclr/cifar10 optimizer.name=lars optimizer.lr_in_momentum=true optimizer.lr_scaling=sqrt \
  optimizer.lr=0.1 optimizer.lr_scale_batch=1 -- optimizer.lr=0.01
case_ byol-lars byol/cifar10 optimizer.name=lars optimizer.lr=1.2 optimizer.clip_norm=1.0 -- optimizer.lr=0.12
case_ moco-v3-lars moco-v3/cifar10 "$warmup" -- optimizer.lr=0.03
case_ barlow-twins-lars barlow-twins/cifar10 optimizer.clip_lr=false optimizer.trust_coefficient=0.001 \
  optimizer.lr_1d=0.0072 "$warmup" -- optimizer.lr=0.03 optimizer.lr_1d=0.00072
case_ swav-larc swav/cifar10 optimizer.name=larc optimizer.lr=4.8 "$multicrop" method_options.queue_len=256 \
  method_options.queue_start_epoch=9 -- method_options.queue_start_epoch=1 method_options.freeze_prototypes_steps=3
case_ dino-adamw dino/cifar10 optimizer.name=adamw optimizer.lr=1e-3 optimizer.no_decay=bias-and-norm \
  optimizer.weight_decay=0.04 optimizer.weight_decay_end=0.4 "$multicrop" "$warmup" \
  method_options.freeze_last_layer_epochs=1 method_options.teacher_temperature=0.07 \
  method_options.warmup_teacher_temperature_epochs=2 -- optimizer.lr=3e-4

# The networks of the recipes are ResNets of width 16 and narrow ViTs, but for those of full length.
steps() {
  local width=()
  [[ $2 == */cifar10 ]] && width=(--set encoder.width=16)
  "${CARGO:-cargo}" run --quiet -p burn-ssl --example first_steps -- --data "$data" "$@" \
    "${width[@]}" --set schedule.batch_size=64
}

compare() {
  local name=$1 both then
  mapfile -t both <<<"${options[$name]:-}"
  mapfile -t then <<<"${later[$name]:-}"
  [[ -n ${both[-1]} ]] || unset 'both[-1]'
  [[ -n ${then[-1]} ]] || unset 'then[-1]'
  steps --recipe "${recipes[$name]}" "${both[@]}" --seed 0 --steps 40 --set data.limit=1280 --set schedule.epochs=3 \
    --out "$work/start.safetensors" &&
    steps --recipe "${recipes[$name]}" "${both[@]}" "${then[@]}" --seed 1 --steps 20 --set data.limit=640 \
      --set schedule.epochs=3 --start "$work/start.safetensors" --out "$work/steps.safetensors" &&
    "$python" "$here/first_steps.py" "$work/steps.safetensors" --perturb 1e-7 >"$out/$name.json"
  local status=$?
  [[ -s $out/$name.json ]] || rm -f "$out/$name.json"
  [[ -z ${KEEP:-} ]] || mv "$work/steps.safetensors" "$KEEP/$name.safetensors"
  return $status
}

[[ $# -gt 0 ]] || set -- "${names[@]}"
for name in "$@"; do
  echo "==> $name" >&2
  compare "$name" || failed+=("$name")
done
[[ ${#failed[@]} -eq 0 ]] || { echo "failed: ${failed[*]}" >&2; exit 1; }
