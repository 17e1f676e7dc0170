#!/usr/bin/env bash
# Kills a random process of a job at random moments, in training, evaluation and checkpointing.
#
#     xtask/jobs/kills.sh BURN_SSL [KILLS] [PROCESSES]        20 kills of jobs of 2 processes by default
#
# Every job has to end within 15 s. Resumed with as many processes, it has to give the bytes of the undisturbed run; every
# fourth one is resumed with one process instead, whose losses have to be near those of the undisturbed run. Needs Open MPI.
set -euo pipefail

burn_ssl=$(realpath "$1")
kills=${2:-20} processes=${3:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
RANDOM=7

run=(pretrain --recipe simclr/cifar10 --data demo:train --limit 64 --batch-size 16 --epochs 6 --model vit-tiny
  --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.heads=2 --set encoder.depth=2
  --set schedule.warmup_epochs=0 --set train.sync_bn=true --set optimizer.lr=0.01
  --set eval.test=demo:test --set eval.limit=32 --set eval.every_epochs=1 --set checkpoint.every_steps=3)

job() { # PROCESSES ARGUMENTS...
  local count=$1
  shift
  mpirun --oversubscribe -n "$count" "$burn_ssl" "$@" >>"$work/log" 2>&1
}

losses() {
  grep -o '"train_loss":[^,]*' "$1/metrics.jsonl" | cut -d: -f2
}

now() {
  date +%s%N
}

start=$(now)
job "$processes" "${run[@]}" --out "$work/whole"
length=$((($(now) - start) / 1000000))
bytes=$(sha256sum <"$work/whole/encoder.safetensors")

command -v pgrep >/dev/null || { echo "pgrep is missing: expected procps to be installed" >&2; exit 1; }
slow=0 wrong=0 early=0 longest=0 done=0
for ((i = 0; done < kills; i++)); do
  if ((i >= 3 * kills)); then
    echo "only $done of $kills kills hit a process" >&2
    exit 1
  fi
  out=$work/run-$i
  timeout --kill-after 5 120 mpirun --oversubscribe -n "$processes" "$burn_ssl" "${run[@]}" --out "$out" >>"$work/log" 2>&1 &
  mpirun=$!
  sleep "$(awk -v ms=$((RANDOM * length / 32768)) 'BEGIN { print ms / 1000 }')"
  mapfile -t ids < <(pgrep -f "^$burn_ssl pretrain .*--out $out\$" || true)
  killed=$(now)
  if ((${#ids[@]} == 0)) || ! kill -9 "${ids[RANDOM % ${#ids[@]}]}" 2>/dev/null; then
    wait $mpirun || true # it had not begun, or had ended
    continue
  fi
  done=$((done + 1))
  wait $mpirun || true
  took=$((($(now) - killed) / 1000000))
  if ((took > longest)); then longest=$took; fi
  if ((took > 15000)) || pgrep -f "^$burn_ssl pretrain .*--out $out\$" >/dev/null; then slow=$((slow + 1)); fi

  if [[ ! -f $out/recipe.toml ]]; then
    early=$((early + 1)) # there is nothing to resume yet
    continue
  fi
  if ((done % 4 == 3)); then
    job 1 pretrain --resume --out "$out" || true
    paste <(losses "$work/whole") <(losses "$out") | awk '
      { d = $1 - $2; if (d < 0) d = -d; if (NF < 2 || d / $1 > 1e-3) bad = 1 } END { exit bad || !NR }' || wrong=$((wrong + 1))
  else
    job "$processes" pretrain --resume --out "$out" || true
    [[ $(sha256sum <"$out/encoder.safetensors") == "$bytes" ]] || wrong=$((wrong + 1))
  fi
done
echo "$kills kills of a process of $processes: $slow jobs that did not end within 15 s (the slowest took $longest ms)," \
  "$wrong wrong results after resuming, $early before there was a run to resume"
((slow == 0 && wrong == 0 && early < kills))
