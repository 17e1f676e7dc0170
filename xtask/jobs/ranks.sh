#!/usr/bin/env bash
# Starts processes on this machine with the variables of torchrun, which needs no Python then.
#
#     xtask/jobs/ranks.sh PROCESSES PROGRAM ARGUMENTS...
#
# Ends as soon as one of them fails, with its code. MASTER_PORT may say where they meet.
set -euo pipefail

processes=$1
shift
port=${MASTER_PORT:-$((20000 + RANDOM % 10000))}
declare -A running
trap 'kill "${!running[@]}" 2>/dev/null || true' EXIT
for ((rank = 0; rank < processes; rank++)); do
  RANK=$rank WORLD_SIZE=$processes LOCAL_RANK=$rank LOCAL_WORLD_SIZE=$processes MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$@" &
  running[$!]=$rank
done
while ((${#running[@]})); do
  code=0
  wait -n -p ended || code=$?
  if [[ -z ${ended:-} ]]; then
    # Of two that end at the same moment, bash 5.2 now and then forgets the second (127); its code can still be asked for.
    known=("${!running[@]}")
    ended=${known[0]} code=0
    wait "$ended" || code=$?
  fi
  unset "running[$ended]"
  if ((code != 0)); then exit "$code"; fi
done
