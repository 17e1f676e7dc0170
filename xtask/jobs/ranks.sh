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
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for ((rank = 0; rank < processes; rank++)); do
  RANK=$rank WORLD_SIZE=$processes LOCAL_RANK=$rank LOCAL_WORLD_SIZE=$processes MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$@" &
done
for ((rank = 0; rank < processes; rank++)); do
  wait -n
done
