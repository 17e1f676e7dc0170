#!/usr/bin/env bash
# Makes pages of real runs for `cargo xtask report-check`, in some seconds: of a ResNet, of a ViT, and of two seeds side by side.
#
#   xtask/report/pages.sh PROGRAM OUT     PROGRAM is burn-ssl; leaves resnet.html, vit.html and seeds.html in OUT
set -euo pipefail
[[ $# -eq 2 ]] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
program=$1 out=$2
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A run on rendered images: its folder, and more options.
train() {
  local folder=$1
  shift
  "$program" pretrain --data demo:train --limit 200 --eval-test demo:test --eval-limit 100 --method simclr --epochs 4 \
    --batch-size 50 --out "$work/$folder" "$@" >"$work/$folder.log" 2>&1 || { cat "$work/$folder.log" >&2; exit 1; }
}

train first --width 8
train second --width 8 --seed 1 --no-report
train vit --model vit-tiny --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.depth=2 --set encoder.heads=3
"$program" report --run "$work/first" --run "$work/second" --out "$out/seeds.html" --overwrite
cp "$work/first/report.html" "$out/resnet.html"
cp "$work/vit/report.html" "$out/vit.html"
