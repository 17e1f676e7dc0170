#!/usr/bin/env bash
# What a step of a large job would exchange, from the messages of a small one.
#
#     xtask/jobs/model.sh docs/benchmarks/scaling/messages.txt
#
# With W processes of n images each, of c bytes that are summed and b bytes for each image that are gathered, in m calls:
#
#     bytes = 2 c (W - 1) / W + b n (W - 1),    time = bytes / BANDWIDTH + m (log2(W) + 2 (W - 1)) LATENCY
#
# A call is an announcement and at most two exchanges, in which every process sends something to every other one. n, BANDWIDTH (bytes per second) and LATENCY (seconds) are assumptions,
# which the environment can replace. A line is the recipe, then for 8, 64 and 512 processes: megabytes, milliseconds.
set -euo pipefail

awk -v n="${IMAGES:-32}" -v bandwidth="${BANDWIDTH:-1e10}" -v latency="${LATENCY:-1e-5}" '
  BEGIN {
    printf "# %d images a process, %.0e bytes/s, %.0e s; megabytes and milliseconds of a step for 8, 64 and 512 processes\n",
      n, bandwidth, latency
  }
  /^#/ || /failed/ { next }
  {
    b = ($6 - $4) / 2; c = $4 - 2 * b
    line = $1
    for (w = 8; w <= 512; w *= 8) {
      bytes = 2 * c * (w - 1) / w + b * n * (w - 1)
      line = line sprintf(" %.0f %.0f", bytes / 1e6, 1000 * (bytes / bandwidth + $3 * (log(w) / log(2) + 2 * (w - 1)) * latency))
    }
    print line
  }' "$1"
