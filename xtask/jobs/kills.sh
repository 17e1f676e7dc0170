#!/usr/bin/env bash
# Kills a random process of a job from a random step on, in training, in evaluation and in checkpointing in turn.
#
#     xtask/jobs/kills.sh BURN_SSL [KILLS] [PROCESSES] [ENGINE]      21 kills of jobs of 2 processes over mpi by default
#
# ENGINE is mpi, which needs Open MPI, or c10d, for which ranks.sh starts the processes. All processes are stopped while the
# script looks where the job is, so a line says what the kill hit: the rank, the last row's step, and the phase.
#
# Every job has to end within 15 s. Resumed with as many processes, it has to go on from the newest checkpoint that was whole
# when the kill came, or a newer one, and to give the bytes of the undisturbed run; every third one is resumed with one process
# instead, whose losses have to be near those of the undisturbed run. `EPOCHS` is the length of a run, 6 by default.
set -euo pipefail

burn_ssl=$(realpath "$1")
kills=${2:-21} processes=${3:-2} engine=${4:-mpi} epochs=${EPOCHS:-6}
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
case $engine in
mpi) launch=(mpirun --oversubscribe -n) ;;
c10d) launch=("$here/ranks.sh") ;;
*) echo "the engine is $engine, expected mpi or c10d" >&2 && exit 2 ;;
esac
command -v pgrep >/dev/null || { echo "pgrep is missing: expected procps to be installed" >&2; exit 1; }
work=$(mktemp -d)
ids=()
launcher=
trap 'kill $launcher "${ids[@]}" 2>/dev/null || true; kill -CONT "${ids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
RANDOM=7

per_epoch=4 # steps: 64 images in batches of 16
run=(pretrain --recipe simclr/cifar10 --data demo:train --limit 64 --batch-size 16 --epochs "$epochs" --model vit-tiny
  --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.heads=2 --set encoder.depth=2
  --set schedule.warmup_epochs=0 --set train.sync_bn=true --set optimizer.lr=0.01
  --set eval.test=demo:test --set eval.limit=32 --set eval.every_epochs=1 --set checkpoint.every_steps=3)

job() { # PROCESSES ARGUMENTS...
  local count=$1
  shift
  "${launch[@]}" "$count" "$burn_ssl" "$@" >"$work/log" 2>&1
}

losses() { # RUN
  grep -o '"train_loss":[^,]*' "$1/metrics.jsonl" | cut -d: -f2
}

now() { # in milliseconds
  echo $(($(date +%s%N) / 1000000))
}

of_job() { # the processes that train in `out`
  pgrep -f "^$burn_ssl pretrain .*--out $out\$" || true
}

# The step of a checkpoint, 0 if there is none.
step_of() { # FOLDER
  local text='' pattern='"step": ([0-9]+)'
  if [[ -f $1/meta.json ]]; then text=$(cat "$1/meta.json" 2>/dev/null) || true; fi
  if [[ $text =~ $pattern ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

# Sets `step`, that of the last row of metrics, `phase`, and `saved`, the step of the newest whole checkpoint.
look() {
  local rows=() row='' at='"step":([0-9]+)' folder=$out/checkpoints
  if [[ -f $out/metrics.jsonl ]]; then mapfile -t rows < <(grep -v '"finding"' "$out/metrics.jsonl"); fi
  if ((${#rows[@]} > 0)); then row=${rows[-1]}; fi
  step=0 phase=none saved=$(step_of "$folder/last")
  if ((saved == 0)); then saved=$(step_of "$folder/last.old"); fi
  [[ $row =~ $at ]] || return 0
  step=${BASH_REMATCH[1]}
  if [[ -d $folder/last.tmp || -d $folder/last.old ]]; then
    phase=checkpointing
  elif [[ $row == *'"lr"'* ]] && ((step % per_epoch == 0)); then
    # After an epoch comes the checkpoint, then the evaluation.
    if ((saved < step)); then phase=checkpointing; else phase=evaluation; fi
  elif ((step < epochs * per_epoch)); then
    phase=training
  fi
}

# Stops the job of `out` at the first moment from a step on that belongs to a phase; fails if the job ends before.
stop_in() { # STEP PHASE
  local from=$1 wanted=$2
  ids=() step=0 phase=none
  while kill -0 $launcher 2>/dev/null && ((${#ids[@]} < processes || step < from)); do
    sleep 0.02
    if ((${#ids[@]} < processes)); then mapfile -t ids < <(of_job); fi
    look
  done
  while ((${#ids[@]} == processes)) && kill -STOP "${ids[@]}" 2>/dev/null; do
    look
    if [[ $phase == "$wanted" ]]; then return 0; fi
    kill -CONT "${ids[@]}" 2>/dev/null || true
    sleep 0.01
  done
  return 1
}

# Kills a process of the stopped job, lets the others go on, and sets `took`, the milliseconds until all have ended.
kill_one() {
  local victim=${ids[RANDOM % processes]} start
  rank=$(tr '\0' '\n' <"/proc/$victim/environ" | sed -nE 's/^(OMPI_COMM_WORLD_RANK|RANK)=//p' | head -1) || true
  start=$(now)
  kill -9 "$victim"
  kill -CONT "${ids[@]}" 2>/dev/null || true
  wait $launcher || true
  while [[ -n $(of_job) ]] && (($(now) - start < 20000)); do sleep 0.05; done
  took=$(($(now) - start))
  kill -9 "${ids[@]}" 2>/dev/null || true
  ids=()
}

# Resumes the run of `out`; prints what is wrong with it.
resume() { # PROCESSES
  local went_on
  if ! job "$1" pretrain --resume --out "$out"; then
    echo "it does not resume: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
    return
  fi
  went_on=$(sed -nE 's/.*(goes on after step|is finished: all) ([0-9]+).*/\2/p' "$work/log" | head -1)
  if ((${went_on:-0} < saved)); then echo "it goes on from step ${went_on:-0}, expected the checkpoint of step $saved"; fi
  if compgen -G "$out/checkpoints/last.damaged-*" >/dev/null; then echo "a checkpoint was damaged"; fi
  if (($1 == processes)); then
    cmp -s "$work/whole/encoder.safetensors" "$out/encoder.safetensors" || echo "it ends with other bytes"
  else
    paste <(losses "$work/whole") <(losses "$out") | awk '
      { d = $1 - $2; if (d < 0) d = -d; if (NF < 2 || d / $1 > 1e-3) bad = 1 } END { exit bad || !NR }' || echo "it has other losses"
  fi
}

job "$processes" "${run[@]}" --out "$work/whole" || { cat "$work/log" >&2 && exit 1; }
phases=(training evaluation checkpointing)
slow=0 wrong=0 longest=0 done=0
for ((i = 0; done < kills; i++)); do
  if ((i >= 3 * kills)); then
    echo "only $done of $kills kills hit a process, expected each job to be caught in the phase that is looked for" >&2
    exit 1
  fi
  out=$work/run-$i
  timeout --kill-after 5 120 "${launch[@]}" "$processes" "$burn_ssl" "${run[@]}" --out "$out" >"$work/log" 2>&1 &
  launcher=$!
  if ! stop_in $((RANDOM % ((epochs - 1) * per_epoch + 1))) "${phases[done % 3]}"; then
    wait $launcher || true # it had ended before
    continue
  fi
  kill_one
  done=$((done + 1))
  if ((took > longest)); then longest=$took; fi
  if ((took > 15000)); then slow=$((slow + 1)); fi
  count=$processes
  # One of three, and not in the same phase each time.
  if (((done + (done - 1) / 3) % 3 == 0)); then count=1; fi
  why=$(resume $count)
  if [[ -n $why ]]; then wrong=$((wrong + 1)); fi
  echo "kill $done: rank ${rank:-?} after step $step, in $phase; ended in $took ms; resumed with $count after step $saved or later${why:+; wrong: ${why//$'\n'/, }}"
  rm -rf "$out"
done
echo "$kills kills of a process of $processes over $engine: $slow jobs that did not end within 15 s (the slowest took $longest ms)," \
  "$wrong wrong results after resuming"
((slow == 0 && wrong == 0))
