#!/usr/bin/env bash
# Compares burn-ssl with the PyTorch of this machine. Needs bash, tar, xz (or a Python with lzma) and a Python with
# torch, torchvision, lightly and timm, from Python 3.11 on; no network, no Rust, nothing
# outside this folder.
#
#   ./run.sh PYTHON [DEVICE...]       such as: ./run.sh python3 tch:cuda:0 cuda:0 vulkan
#
# Without a device it takes one of every backend in the pack. Results, logs and a summary lie in results/. A part that
# fails is logged, named at the end, and the next one runs. Numbers to change:
#   ROUNDS (5)     how often each side of a benchmark runs
#   SHAPES         WIDTH/BATCH of the steps (64/512,16/64 on a GPU, 64/32,16/64 on a CPU)
#   EPOCHS (2), WIDTH, BATCH    of the short training (64 and 512 on a GPU, 16 and 128 on a CPU)
#   LARGE (1 on a GPU)          also times ResNet-50 at 224 pixels, batch LARGE_BATCH (64)
set -uo pipefail
[[ $# -ge 1 ]] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
python=$(command -v "$1") || { echo "error: there is no program $1, expected a Python with torch"; exit 1; }
shift
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
pack=$PWD
results=$pack/results
mkdir -p "$results" unpacked
failed=()

# Runs a part, with its output in results/NAME.log.
part() {
  local name=$1 start=$SECONDS
  shift
  echo "==> $name: $*"
  if "$@" >"$results/$name.log" 2>&1; then
    echo "<== $((SECONDS - start)) s"
  else
    echo "<== FAILED after $((SECONDS - start)) s, see results/$name.log:"
    tail -n 3 "$results/$name.log"
    failed+=("$name")
  fi
}

unpack() {
  for archive in archives/*.tar.xz; do
    local name
    name=$(basename "$archive" .tar.xz)
    [[ -d unpacked/$name ]] && continue
    tar -xJf "$archive" -C unpacked 2>/dev/null || "$python" -m tarfile -e "$archive" unpacked \
      || { echo "error: cannot unpack $archive, expected tar with xz, or a Python with lzma"; exit 1; }
  done
}

# The libraries of PyTorch serve ours too: libtorch for tch, CUDA's for tch and cuda.
torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') \
  || { echo "error: $python cannot import torch"; exit 1; }
export LD_LIBRARY_PATH=$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
for folder in "$(dirname "$torch")"/nvidia/*/lib; do
  [[ -d $folder ]] && LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$folder
done
if [[ -z ${CUDA_PATH:-} ]]; then
  for folder in /usr/local/cuda "$(dirname "$torch")"/nvidia/cuda_runtime "$(dirname "$torch")"/nvidia/cu1[0-9]; do
    [[ -d $folder/include ]] && export CUDA_PATH=$folder && break
  done
fi

# A program that was built against a torch without CUDA does not load the CUDA half of libtorch by itself.
preload_cuda() {
  local program
  [[ -d unpacked/tch && -f $torch/lib/libtorch_cuda.so ]] || return 0
  for program in burn-ssl step_time parity; do
    [[ -f unpacked/tch/$program && ! -f unpacked/tch/$program.bin ]] || continue
    mv "unpacked/tch/$program" "unpacked/tch/$program.bin"
    printf '#!/bin/sh\nLD_PRELOAD=%s exec "%s" "$@"\n' "$torch/lib/libtorch_cuda.so" "$pack/unpacked/tch/$program.bin" \
      >"unpacked/tch/$program"
    chmod +x "unpacked/tch/$program"
  done
}

# The folder of a device's programs: vulkan:0 -> vulkan.
flavour() { echo "unpacked/${1%%:*}"; }

versions() {
  echo "commit $(cat commit.txt), built with $(cat rustc.txt)"
  uname -a
  grep -m1 "model name" /proc/cpuinfo
  nproc
  command -v nvidia-smi >/dev/null && nvidia-smi
  "$python" -c 'import torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__,
    "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())'
  local folder
  for folder in unpacked/*/; do
    [[ -x $folder/burn-ssl && ! -L ${folder%/} ]] && echo "== $folder" && "$folder/burn-ssl" --version && "$folder/burn-ssl" devices
  done
}

pretrain() {
  local device=$1 out=$2
  "$(flavour "$device")/burn-ssl" --json pretrain --method simclr --data unpacked/data/train.tar --model resnet18 \
    --width "$WIDTH" --stem cifar --epochs "$EPOCHS" --batch-size "$BATCH" --eval-test unpacked/data/test.tar \
    --set eval.k=20 --set eval.temperature=0.07 --device "$device" --out "$out" --overwrite
}

# By the recipe that a run of ours wrote.
pretrain_torch() {
  "$python" baseline/accuracy.py --recipe "$1/recipe.toml" --device "$baseline_device" --variant "$2" \
    --threads "$(nproc)" --workers "$(nproc)"
}

unpack
preload_cuda
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  baseline_device=cuda amp=amp+channels_last
  variants=channels_last,amp+channels_last,amp+channels_last+compile
  : "${SHAPES:=64/512,16/64}" "${WIDTH:=64}" "${BATCH:=512}" "${LARGE:=1}"
else
  baseline_device=cpu amp=channels_last
  variants=eager,channels_last,channels_last+malloc,compile+malloc,channels_last+compile+malloc
  : "${SHAPES:=64/32,16/64}" "${WIDTH:=16}" "${BATCH:=128}" "${LARGE:=}"
fi
: "${ROUNDS:=5}" "${EPOCHS:=2}" "${LARGE_BATCH:=64}"

devices=("$@")
if [[ ${#devices[@]} -eq 0 ]]; then
  for folder in unpacked/*/; do
    case $(basename "$folder") in
      tch) [[ $baseline_device == cuda ]] && devices+=(tch:cuda:0) || devices+=(tch) ;;
      cuda) devices+=(cuda:0) ;;
      rocm) devices+=(rocm:0) ;;
      data) ;;
      # On a GPU machine the CPU backend only serves as the reference of parity.
      flex) [[ $baseline_device == cuda ]] || devices+=(flex) ;;
      *) devices+=("$(basename "$folder")") ;;
    esac
  done
fi
echo "devices: ${devices[*]}; PyTorch on $baseline_device"

part versions versions
for device in "${devices[@]}"; do
  name=${device//:/-}
  [[ $device == flex ]] || part "parity-$name" "$(flavour "$device")/parity" "$device"
done
bench() {
  unpacked/flex/xtask-checks bench "$@" --pack "$pack" --baseline "$python" --rounds "$ROUNDS" --archive
}
for device in "${devices[@]}"; do
  name=${device//:/-}
  both=(--devices "$device" --baseline-device "$baseline_device" --variants "$variants")
  part "step-$name" bench step --shapes "$SHAPES" "${both[@]}" --tag "$name"
  if [[ -n $LARGE ]]; then
    part "step-224-$name" bench step --model resnet50 --image-size 224 --shapes "64/$LARGE_BATCH" "${both[@]}" \
      --tag "224-$name"
  fi
done
if [[ -f unpacked/data/train.tar ]]; then
  for device in "${devices[@]}"; do
    part "pretrain-${device//:/-}" pretrain "$device" "$results/run-${device//:/-}"
  done
  part pretrain-torch pretrain_torch "$results/run-${devices[0]//:/-}" "$amp"
  # The checkpoints are large and can be made again.
  find "$results" -name "*.safetensors" -delete
fi

{
  echo "# Results"
  echo
  head -n 1 "$results/versions.log"
  echo
  cat "$results"/*/step*.md 2>/dev/null
  for log in "$results"/pretrain-*.log; do
    [[ -f $log ]] && printf '\n## %s\n\n```json\n%s\n```\n' "$(basename "$log" .log)" "$(tail -n 1 "$log")"
  done
  [[ ${#failed[@]} -eq 0 ]] || echo "Failed: ${failed[*]}"
} >"$results/summary.md"
echo "results in $results, summary.md first"
[[ ${#failed[@]} -eq 0 ]] || { echo "failed: ${failed[*]}"; exit 1; }
