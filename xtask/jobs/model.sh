#!/usr/bin/env bash
# What a step of a large job would exchange, and how much of its time that and the loss of the whole batch would take, from the
# messages of a small one.
#
#     xtask/jobs/model.sh docs/benchmarks/scaling/messages.txt SECONDS|FILE
#
# SECONDS is what a process computes in a step with n images; a FILE has a line with a recipe and its seconds for each, as
# `burn-ssl plan` measures them on the device in question. With W processes of n images each, s bytes that are summed and g bytes
# that are gathered, in m calls, and a loss that takes a(N) operations for a batch of N images:
#
#     bytes = 2 s (W - 1) / W + g (W - 1),    exchanges = bytes / BANDWIDTH + m (log2(W) + 2 (W - 1)) LATENCY
#     loss  = (a(n W) - a(n)) / FLOPS         beyond what is in the seconds of a process alone
#
# g is a line through the two sizes of the small job. A call is an announcement and at most two exchanges, in which every
# process sends something to every other one. Nothing is exchanged while a process computes. IMAGES (n), BANDWIDTH (bytes per
# second), LATENCY (seconds) and FLOPS (operations per second: by default 1e13, half of what an A100 is said to do in float32) are
# assumptions, which the environment can replace. A line is the recipe, then for 8, 64 and 512 processes: megabytes, milliseconds in
# exchanges, milliseconds of the loss, and the speed of a process as a share of that of one alone. Ends with 1 if there is a recipe
# without messages or seconds.
#
# Whose loss grows: methods that gather embeddings (`Step::of_group`) compute the loss of all N = n W images on every process, and
# not that of their own rows alone. Multiply-adds of its matrix products, with d numbers in an embedding of the ImageNet recipe;
# what is done once for each value, and what the shuffle of MoCo v1 and v2 copies, is left out:
#
#     simclr, simclr-v2    12 N² d   N anchors of each of 2 views against 2 N candidates: similarities, and the gradients of anchors
#     dcl, dclw                      and of candidates, three products of 2 N² d for each view (ssl-core, `Similarities`)
#     supcon               12 N² d   2 N anchors against 2 N candidates, three products
#     moco-v3               4 N² d   N predictions against N keys without gradient, two products, in two directions
#     nnclr                 4 N² d   N neighbours without gradient against N predictions; the look-up in the queue is of own rows
#     dinov2                2 N² d   KoLeo: all similarities of each of 2 global crops, without gradient, d of the encoder; what
#                                    else it computes is of own rows (`Step::of_share`)
#     barlow-twins          3 N d²   one matrix of d x d, and the gradients of both views
#     vicreg                6 N d²   a matrix of each view, and the two gradients of each
#     tico                  3 N d²   the covariance, its product with the embeddings, and the gradient of that
#     lejepa                V N S (2 d + 4 K)   V = 4 views along S = 256 directions; 16 knots with a sine and a cosine each, K = 16,
#                                    counted as 4 multiply-adds with their derivatives
#
# All others return `Step::of_share`, and compute the loss of their own rows.
set -euo pipefail

messages=$1 times=$2
seconds=
if [[ ! -f $times ]]; then seconds=$times times=/dev/null; fi
if [[ -n $seconds && ! $seconds =~ ^[0-9.]+(e-?[0-9]+)?$ ]]; then
  echo "the seconds of a step are '$seconds', expected a number or a file" >&2
  exit 2
fi

awk -v n="${IMAGES:-32}" -v bandwidth="${BANDWIDTH:-1e10}" -v latency="${LATENCY:-1e-5}" -v flops="${FLOPS:-1e13}" \
  -v seconds="$seconds" -v times="$times" '
  function left_out(why) {
    print $1 ": " why >"/dev/stderr"
    bad = 1
  }
  # Multiply-adds of the loss of so many images, as far as it is that of the whole batch.
  function multiply_adds(method, images) {
    return square[method] * images * images + line[method] * images
  }
  # With synchronised batch norm, a process that is alone computes the same.
  function seconds_of(recipe) {
    sub(/[+]sync_bn$/, "", recipe)
    return recipe in of ? of[recipe] : seconds
  }
  function row_of(recipe, w,    method, row, bytes, exchanges, loss, compute) {
    method = recipe
    sub(/\/.*/, "", method)
    compute = seconds_of(recipe)
    gathered = $6 + ($10 - $6) / ($7 - $3) * (n - $3)
    row = recipe
    for (w = 8; w <= 512; w *= 8) {
      bytes = 2 * $5 * (w - 1) / w + gathered * (w - 1)
      exchanges = bytes / bandwidth + $4 * (log(w) / log(2) + 2 * (w - 1)) * latency
      loss = 2 * (multiply_adds(method, n * w) - multiply_adds(method, n)) / flops
      row = row sprintf(" %.0f %.0f %.1f %.2f", bytes / 1e6, 1000 * exchanges, 1000 * loss, compute / (compute + exchanges + loss))
    }
    return row
  }
  BEGIN {
    square["simclr"] = square["simclr-v2"] = square["dcl"] = square["dclw"] = square["supcon"] = 12 * 128
    square["moco-v3"] = square["nnclr"] = 4 * 256
    square["dinov2"] = 2 * 384
    line["barlow-twins"] = 3 * 8192 * 8192
    line["vicreg"] = 6 * 8192 * 8192
    line["tico"] = 3 * 256 * 256
    line["lejepa"] = 4 * 256 * (2 * 16 + 4 * 16)
    while ((getline row < times) > 0) if (row !~ /^#/ && split(row, part, " ") >= 2) of[part[1]] = part[2]
    printf "# %d images a process, %.0e bytes/s, %.0e s, %.0e operations/s; for 8, 64 and 512 processes: megabytes, milliseconds in" \
      " exchanges and of the loss, speed\n", n, bandwidth, latency, flops
  }
  /^#/ { next }
  / failed/ || NF != 10 { left_out("no messages, expected a line of 10 columns from messages.sh"); next }
  seconds_of($1) == "" { left_out("no seconds of a step, expected a line in " times); next }
  { print row_of($1) }
  END { exit bad }' "$messages"
