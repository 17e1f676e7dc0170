#!/usr/bin/env bash
# Compiles and links burn-ssl with the feature nccl, against the headers and libraries of PyTorch's wheels. Needs no GPU, and runs
# nothing: it says that the program is built.
#
#     [VENV=FOLDER] xtask/jobs/nccl_check.sh
#
# VENV has torch 2.9.0 with its libraries for GPUs; without it, one is made in `$CARGO_TARGET_DIR/nccl`, which takes 4 GB. Headers
# that VENV lacks are put beside it, in a folder of their own. Not part of CI: the download and a second build of Burn with
# libtorch take more than ten minutes.
set -euo pipefail
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.."

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
profile=${PROFILE:-parity} # that of CI's build with libtorch, of which the rest can be used again
if [[ -z ${VENV:-} ]]; then
  VENV=$CARGO_TARGET_DIR/nccl/venv
  if [[ ! -e $VENV/installed ]]; then
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet torch==2.9.0
    touch "$VENV/installed"
  fi
fi
packages=$(echo "$VENV"/lib/python3*/site-packages)
torch=$packages/torch
[[ -e $torch/lib/libtorch_cuda.so ]] || { echo "$torch has no libtorch_cuda.so: expected torch 2.9.0 for CUDA" >&2; exit 1; }

# No dependency of torch has crt/host_config.h, which is the compiler's, and nv/target.
headers=$CARGO_TARGET_DIR/nccl/headers
if [[ ! -e $headers/installed ]]; then
  rm -rf "$headers"
  "$VENV/bin/pip" install --quiet --no-deps --target "$headers" nvidia-cuda-nvcc-cu12==12.8.93 nvidia-cuda-cccl-cu12==12.8.90 \
    nvidia-cuda-runtime-cu12==12.8.90 nvidia-nccl-cu12==2.27.5
  touch "$headers/installed"
fi
include=
for folder in "$headers"/nvidia/*/include "$packages"/nvidia/*/include; do
  if [[ -d $folder ]]; then include+=${include:+:}$folder; fi
done

export CUDA_INCLUDE=$include
if [[ -z ${LIBTORCH_USE_PYTORCH:-} ]]; then export LIBTORCH=$torch; fi
# What libtorch_cuda.so asks for is looked for where the wheels have it.
for folder in "$torch/lib" "$packages"/nvidia/*/lib; do LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
export LD_LIBRARY_PATH
cargo build --locked --profile "$profile" -p ssl-cli --features nccl --bin burn-ssl
program=$CARGO_TARGET_DIR/$profile/burn-ssl
if [[ $profile == dev ]]; then program=$CARGO_TARGET_DIR/debug/burn-ssl; fi
for symbol in ssl_nccl_connect ssl_nccl_all_reduce ssl_nccl_all_gather; do
  nm "$program" | grep " T $symbol\$" >/dev/null || { echo "$program has no $symbol" >&2; exit 1; }
done
"$program" --version
echo "compiled and linked with NCCL: $program"
