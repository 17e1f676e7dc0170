#!/usr/bin/env bash
# Makes pages of real runs for `cargo xtask report-check`, in some seconds: of a ResNet, of a ViT, of images without labels, of a run
# that the doctor speaks of, and of two seeds side by side.
#
#   xtask/report/pages.sh PROGRAM OUT     PROGRAM is burn-ssl; leaves {resnet,vit,photos,old-queue,seeds}.html in OUT
set -euo pipefail
[[ $# -eq 2 ]] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
program=$1 out=$2
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A run: its folder, its method, and more options.
train() {
  local folder=$1 method=$2
  shift 2
  "$program" pretrain --method "$method" --epochs 4 --batch-size 40 --out "$work/$folder" "$@" >"$work/$folder.log" 2>&1 ||
    { cat "$work/$folder.log" >&2; exit 1; }
}

# Coloured discs on stripes, as text, all in one folder.
photos() {
  local place
  mkdir "$work/photos"
  for place in {1..80}; do
    awk -v place="$place" 'BEGIN {
      print "P3 32 32 255"
      for (y = 0; y < 32; y++) for (x = 0; x < 32; x++) {
        wave = (x * (1 + place % 5) + y * (1 + place % 3)) % 24
        far = (x - 8 - place % 13) * (x - 8 - place % 13) + (y - 8 - place % 11) * (y - 8 - place % 11)
        if (far < 40 + place) print 250 - 2 * place, 90 + place, 3 * wave
        else print 5 * wave, 8 * (place % 30), 200 - 3 * wave
      }
    }' >"$work/photos/$place.ppm"
  done
}

photos
labelled=(--data demo:train --limit 200 --eval-test demo:test --eval-limit 100)
train first simclr --width 8 "${labelled[@]}"
train second simclr --width 8 "${labelled[@]}" --seed 1 --no-report
train vit simclr "${labelled[@]}" --model vit-tiny --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.depth=2 --set encoder.heads=3
train unlabelled simclr --width 8 --data "$work/photos"
# More than twice as many embeddings as an epoch has, of which the doctor speaks whatever else the run does.
train old-queue moco-v2 --width 8 "${labelled[@]}" --set method_options.queue_len=1024
"$program" report --run "$work/first" --run "$work/second" --out "$out/seeds.html" --overwrite
cp "$work/first/report.html" "$out/resnet.html"
cp "$work/vit/report.html" "$out/vit.html"
cp "$work/unlabelled/report.html" "$out/photos.html"
cp "$work/old-queue/report.html" "$out/old-queue.html"
