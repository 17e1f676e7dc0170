#!/usr/bin/env bash
# Jobs that torchrun starts: one run directory, the losses of one process, and what is left of the code of a run that a signal ends.
#
#     [TORCHRUN=PROGRAM] xtask/jobs/torchrun.sh BURN_SSL        BURN_SSL is built with c10d
#
# Processes meet at a store, which torchrun's own process keeps (the usual way of a job on one machine) or the first process of the
# job (as with --standalone of earlier versions); both are tried, one with tensors of libtorch and one with those of flex. A store
# of torch 1 speaks an older protocol than libtorch 2.9, and is left out. Then a process gets SIGUSR1, and torchrun SIGTERM and
# SIGUSR1: a line says which code torchrun ends with. Says what is missing and ends with 0 where there is no torchrun.
set -euo pipefail

burn_ssl=$(realpath "$1")
torchrun=$(command -v "${TORCHRUN:-torchrun}") || { echo "skipped: jobs of torchrun, for it is not installed" && exit 0; }
libraries=${LD_LIBRARY_PATH:-}
unset LD_LIBRARY_PATH # that of burn-ssl is of no use to Python
python=$(sed -nE '1s/^#! *//p' "$torchrun")
if ! version=$($python -c 'import torch; print(torch.__version__)' 2>/dev/null); then
  echo "skipped: jobs of torchrun, for $torchrun does not start"
  exit 0
fi
dash=-
stores=(agent own) devices=(tch flex)
more=()
if [[ $version == 1.* ]]; then dash=_ stores=(own own) more=(--redirects 1 --tee 1); fi # without them, it fails on Python 3.11
command -v pgrep >/dev/null || { echo "pgrep is missing: expected procps to be installed" >&2; exit 1; }

work=$(mktemp -d)
launcher=
clean() {
  kill -9 $launcher 2>/dev/null || true
  pgrep -f "^$burn_ssl pretrain .*--out $work/" | xargs -r kill -9 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT

# An epoch is one step, so that every step has a row.
run=(pretrain --recipe simclr/cifar10 --data demo:train --limit 16 --batch-size 16 --model vit-tiny
  --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.heads=2 --set encoder.depth=2
  --set schedule.warmup_epochs=0 --set train.sync_bn=true --set optimizer.lr=0.1 --set eval.every_epochs=0)

alone() { # ARGUMENTS...
  LD_LIBRARY_PATH=$libraries "$burn_ssl" "$@"
}

# Takes the place of this shell, so that its number is that of torchrun.
two() { # STORE ARGUMENTS...
  local options=("--no${dash}python" "--nproc${dash}per${dash}node" 2 "${more[@]}") shared=0
  case $1 in
  agent) options+=("--master${dash}port" $((20000 + RANDOM % 10000))) ;;
  own) options+=(--standalone) shared=1 ;;
  esac
  shift
  exec env TORCH_DISABLE_SHARE_RDZV_TCP_STORE=$shared "$torchrun" "${options[@]}" env "LD_LIBRARY_PATH=$libraries" "$burn_ssl" "$@"
}

losses() { # RUN
  grep -o '"train_loss":[^,}]*' "$1/metrics.jsonl" | cut -d: -f2
}

failed() { # SENTENCE
  echo "torchrun $version: $1" >&2
  tail -20 "$work/log" >&2
  exit 1
}

# Two processes have the losses of one, and write one run directory and one report.
compare() { # STORE DEVICE
  local about place=$work/$1-$2
  local arguments=("${run[@]}" --device "$2" --epochs 8 --json --out)
  case $1 in agent) about="store of its agent" ;; *) about="store of the first process" ;; esac
  about+=", device $2"
  echo "$about" >&2
  mkdir "$place"
  alone "${arguments[@]}" "$work/alone-$2" >/dev/null 2>"$work/log" || failed "$about: one process fails"
  (two "$1" "${arguments[@]}" "$place/run") >"$work/report" 2>"$work/log" || failed "$about: the job fails"
  [[ $(ls "$place") == run && -e $place/run/encoder.safetensors ]] || failed "$about: found $(ls -m "$place"), expected one finished run"
  [[ $(grep -cE '^(\[[^]]*\]:)?\{' "$work/report") == 1 ]] || failed "$about: $(grep -cE '^(\[[^]]*\]:)?\{' "$work/report") reports, expected one"
  paste <(losses "$work/alone-$2") <(losses "$place/run") | awk -v about="torchrun $version, $about" '
    { d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > worst) worst = d; if (NF == 2) rows++ }
    END {
      printf "%s: %d losses, at most %.1e from those of one process\n", about, rows, worst
      exit !(rows == 8 && NR == rows && worst < 1e-4)
    }'
}

# Starts a long job and waits until both processes train. Sets `out`, `launcher` and `ids`.
start() { # NAME
  local waited=0
  out=$work/$1
  echo "a signal: $1" >&2
  (two "${stores[0]}" "${run[@]}" --device flex --epochs 100000 --set checkpoint.every_steps=10 --out "$out") >"$work/log" 2>&1 &
  launcher=$!
  while [[ ! -e $out/checkpoints/last/meta.json ]]; do
    kill -0 $launcher 2>/dev/null && ((waited++ < 1200)) || failed "there is no checkpoint"
    sleep 0.1
  done
  mapfile -t ids < <(pgrep -f "^$burn_ssl pretrain .*--out $out\$")
  ((${#ids[@]} == 2)) || failed "found ${#ids[@]} processes, expected two"
}

# Waits for torchrun. Sets `code`.
finish() {
  code=0
  (sleep 180 && kill -9 $launcher "${ids[@]}") 2>/dev/null & # nothing here takes so long
  local watch=$!
  wait $launcher 2>/dev/null || code=$?
  kill $watch 2>/dev/null || true
  launcher=
}

# The run that was stopped was saved once, and goes on.
goes_on() {
  local step
  [[ $(grep -c 'stopped and saved after step' "$work/log") == 1 ]] || failed "expected one process to say that it saved"
  step=$(grep -oE '"step": [0-9]+' "$out/checkpoints/last/meta.json" | grep -oE '[0-9]+')
  alone pretrain --resume --device flex --max-steps $((step + 3)) --out "$out" >"$work/log" 2>&1 || failed "the run does not go on"
  [[ -e $out/encoder.safetensors ]] || failed "the run does not end"
}

compare "${stores[0]}" "${devices[0]}"
compare "${stores[1]}" "${devices[1]}"

start usr1
kill -USR1 "${ids[1]}"
finish
codes=$(grep -oE 'exitcode *: [0-9-]+' "$work/log" | grep -oE '[0-9-]+$' | sort -u | xargs) || true
[[ $codes == 75 && $code != 0 ]] || failed "processes end with ${codes:-nothing}, torchrun with $code, expected 75 and an error"
goes_on
echo "torchrun $version: when a process gets SIGUSR1, all end with 75, torchrun with $code"

start term
kill -TERM $launcher
finish
((code != 0)) || failed "it ends with 0 on SIGTERM"
goes_on
echo "torchrun $version: when it gets SIGTERM, its processes save, and it ends with $code"

start usr1-of-torchrun
kill -USR1 $launcher
finish
sleep 1
left=0
for id in "${ids[@]}"; do if kill -0 "$id" 2>/dev/null; then left=$((left + 1)); fi; done
echo "torchrun $version: when it gets SIGUSR1, it ends with $code, and leaves $left processes behind"
