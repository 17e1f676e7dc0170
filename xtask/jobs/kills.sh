#!/usr/bin/env bash
# Kills a random process of a job from a random step on, in training, in evaluation and in checkpointing in turn.
#
#     [DEVICE=NAME] xtask/jobs/kills.sh BURN_SSL [KILLS] [PROCESSES] [ENGINE]      21 kills of jobs of 2 processes over mpi by default
#
# ENGINE is mpi, which needs Open MPI, or c10d, for which ranks.sh starts the processes. DEVICE is flex for mpi and tch for c10d by
# default, so that tensors of libtorch travel over c10d. All processes are stopped while the script looks where the job is, so a
# line says what the kill hit: the rank, the last row's step, and the phase.
#
# Every job has to end within 15 s. Resumed with as many processes, it has to go on from the newest checkpoint that was whole
# when the kill came, or a newer one, and to give the bytes of the undisturbed run. Every third one is resumed with one process
# instead: the losses of the three steps that it takes first have to be within 1e-4 of those of the undisturbed run. Such a job is
# killed early enough for three steps to be left. That the bound means something is seen first: without training (a rate of 0),
# losses are further away than ten times as much in any three steps. `STEPS` is the length of a run, 24 by default.
set -euo pipefail

burn_ssl=$(realpath "$1")
kills=${2:-21} processes=${3:-2} engine=${4:-mpi} steps=${STEPS:-24}
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
case $engine in
mpi) launch=(mpirun --oversubscribe -n) device=${DEVICE:-flex} ;;
c10d) launch=("$here/ranks.sh") device=${DEVICE:-tch} ;;
*) echo "the engine is $engine, expected mpi or c10d" >&2 && exit 2 ;;
esac
((steps >= 12)) || { echo "STEPS is $steps, expected at least 12: three steps have to follow an early kill" >&2; exit 2; }
command -v pgrep >/dev/null || { echo "pgrep is missing: expected procps to be installed" >&2; exit 1; }
work=$(mktemp -d)
ids=()
launcher=
trap 'kill $launcher "${ids[@]}" 2>/dev/null || true; kill -CONT "${ids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
RANDOM=7

near=1e-4        # how far losses may be apart, relatively
compared=3       # losses that are compared
saved_every=3    # steps
examined_every=4 # steps: a checkpoint, then the evaluation
# An epoch is one step, so that every step has a row.
run=(pretrain --device "$device" --recipe simclr/cifar10 --data demo:train --limit 16 --batch-size 16 --epochs "$steps" --model vit-tiny
  --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.heads=2 --set encoder.depth=2
  --set schedule.warmup_epochs=0 --set train.sync_bn=true --set optimizer.lr=0.1
  --set eval.test=demo:test --set eval.limit=32 --set eval.every_epochs=$examined_every
  --set checkpoint.every_steps=$saved_every --set checkpoint.every_epochs=$examined_every)

job() { # PROCESSES ARGUMENTS...
  local count=$1
  shift
  timeout --kill-after 5 300 "${launch[@]}" "$count" "$burn_ssl" "$@" >"$work/log" 2>&1
}

# Steps and losses of the rows after a step.
losses() { # RUN STEP
  awk -v from="$2" '
    function value(name) { return match($0, "\"" name "\":[^,}]*") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : "" }
    { step = value("step"); loss = value("train_loss") }
    loss != "" && step + 0 > from + 0 { print step, loss }' "$1/metrics.jsonl"
}

# The largest relative difference of the first three losses after a step; nothing if there are fewer, or of other steps.
apart() { # RUN RUN STEP
  paste <(losses "$1" "$3") <(losses "$2" "$3") | awk -v count=$compared '
    NR <= count && NF == 4 && $1 == $3 { rows++; d = ($2 - $4) / $2; if (d < 0) d = -d; if (d > most) most = d }
    END { if (rows == count) printf "%.1e", most }'
}

# Whether one number is below another.
below() { # NUMBER NUMBER
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }'
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
  elif [[ $row == *'"lr"'* ]] && ((step % saved_every == 0 || step % examined_every == 0 || step == steps)); then
    # After the row of the step comes the checkpoint, then the evaluation if one is due, whose row is the last one then.
    if ((saved < step)); then
      phase=checkpointing
    elif ((step % examined_every == 0 || step == steps)); then
      phase=evaluation
    else
      phase=training
    fi
  elif ((step < steps)); then
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

# Lets a stopped job go, and ends it.
give_up() {
  kill -9 "${ids[@]}" 2>/dev/null || true
  wait $launcher || true
  ids=()
}

# Resumes the run of `out`. Sets `why`, what is wrong with it, and `found`, how far its losses are off.
resume() { # PROCESSES
  local went_on code=0
  why='' found=
  job "$1" pretrain --resume --device "$device" --out "$out" || code=$?
  if ((code != 0)); then
    why="it does not resume and ends with code $code: $(grep -m1 '^error' "$work/log" || tail -1 "$work/log")"
    return
  fi
  went_on=$(sed -nE 's/.*(goes on after step|is finished: all) ([0-9]+).*/\2/p' "$work/log" | head -1)
  went_on=${went_on:-0}
  if ((went_on < saved)); then why+=", it goes on from step $went_on, expected the checkpoint of step $saved"; fi
  if compgen -G "$out/checkpoints/last.damaged-*" >/dev/null; then why+=", a checkpoint was damaged"; fi
  if (($1 == processes)); then
    cmp -s "$work/whole/encoder.safetensors" "$out/encoder.safetensors" || why+=", it ends with other bytes"
  else
    found=$(apart "$work/whole" "$out" "$went_on")
    if [[ -z $found ]]; then
      why+=", there are no $compared losses after step $went_on to compare"
    elif ! below "$found" $near; then
      why+=", its losses are off by $found"
    fi
  fi
  why=${why#, }
}

# The losses of a run without training have to be further away than the bound in any three steps.
control() {
  local after moved least=
  job "$processes" "${run[@]}" --set optimizer.lr=0 --out "$work/still" || { cat "$work/log" >&2 && exit 1; }
  for ((after = saved_every; after <= steps - compared; after++)); do
    moved=$(apart "$work/whole" "$work/still" $after)
    if [[ -z $least ]] || below "${moved:-0}" "$least"; then least=${moved:-0}; fi
  done
  if below "$least" "$(awk -v near=$near 'BEGIN { print 10 * near }')"; then
    echo "without training, three losses differ by only $least, expected ten times $near: the comparison would say nothing" >&2
    exit 1
  fi
  echo "without training, losses differ by $least and more" >&2
}

job "$processes" "${run[@]}" --out "$work/whole" || { cat "$work/log" >&2 && exit 1; }
control
phases=(training evaluation checkpointing)
slow=0 wrong=0 longest=0 done=0
for ((i = 0; done < kills; i++)); do
  if ((i >= 4 * kills)); then
    echo "only $done of $kills kills hit a process, expected each job to be caught in the phase that is looked for" >&2
    exit 1
  fi
  out=$work/run-$i
  # One of three, and not in the same phase each time. It is killed in the first half of its steps.
  count=$processes from=$((RANDOM % (steps - examined_every + 1)))
  if (((done + 1 + done / 3) % 3 == 0)); then count=1 from=$((RANDOM % (steps / 2))); fi
  timeout --kill-after 5 120 "${launch[@]}" "$processes" "$burn_ssl" "${run[@]}" --out "$out" >"$work/log" 2>&1 &
  launcher=$!
  if ! stop_in $from "${phases[done % 3]}"; then
    wait $launcher || true # it had ended before
    continue
  fi
  if ((count == 1 && saved > steps - compared)); then
    give_up
    continue
  fi
  kill_one
  done=$((done + 1))
  if ((took > longest)); then longest=$took; fi
  if ((took > 15000)); then slow=$((slow + 1)); fi
  resume $count
  if [[ -n $why ]]; then wrong=$((wrong + 1)); fi
  resumed="resumed with $count after step $saved or later"
  if ((count != processes)); then resumed+=", the next $compared losses within $near${found:+ (at most $found off)}"; fi
  echo "kill $done: rank ${rank:-?} after step $step, in $phase; ended in $took ms; $resumed${why:+; wrong: $why}"
  rm -rf "$out"
done
echo "$kills kills of a process of $processes over $engine, device $device: $slow jobs that did not end within 15 s (the slowest took" \
  "$longest ms), $wrong wrong results after resuming"
((slow == 0 && wrong == 0))
