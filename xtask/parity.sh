#!/usr/bin/env bash
# parity.sh PROGRAM DEVICE...
# parity.sh --build FEATURES DEVICE...
# Compares devices with float64 in two processes, which have half of the cases and one thread each. PROGRAM is the example
# `parity`; with --build it is built first, with these features.
set -euo pipefail
program=$1
shift
if [[ $program == --build ]]; then
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  cargo build --locked --profile parity -p burn-ssl -p ssl-kernels --features "$1" --example parity
  program=${CARGO_TARGET_DIR:-target}/parity/examples/parity
  shift
fi
# Where a CPU imitates the GPU, most of the time goes into kernels that autotuning tries.
export CUBECL_AUTOTUNE_LEVEL=${CUBECL_AUTOTUNE_LEVEL:-minimal}
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
pids=()
failed=0
for part in 1/2 2/2; do
  OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 "$program" --part $part "$@" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
