#!/usr/bin/env bash
# What a step of a large job would exchange, and how much of its time that would take, from the messages of a small one.
#
#     xtask/jobs/model.sh docs/benchmarks/scaling/messages.txt SECONDS|FILE
#
# SECONDS is what a process computes in a step with n images; a FILE has a line with a recipe and its seconds for each, as
# `burn-ssl plan` measures them on the device in question. With W processes of n images each, s bytes that are summed and g bytes
# that are gathered, in m calls:
#
#     bytes = 2 s (W - 1) / W + g (W - 1),    time = bytes / BANDWIDTH + m (log2(W) + 2 (W - 1)) LATENCY
#
# g is a line through the two sizes of the small job. A call is an announcement and at most two exchanges, in which every
# process sends something to every other one. Nothing is exchanged while a process computes. IMAGES (n), BANDWIDTH (bytes per
# second) and LATENCY (seconds) are assumptions, which the environment can replace. A line is the recipe, then for 8, 64 and
# 512 processes: megabytes, milliseconds, and the speed of a process as a share of that of one alone. Ends with 1 if there is a
# recipe without messages or seconds.
set -euo pipefail

messages=$1 times=$2
seconds=
if [[ ! -f $times ]]; then seconds=$times times=/dev/null; fi
if [[ -n $seconds && ! $seconds =~ ^[0-9.]+(e-?[0-9]+)?$ ]]; then
  echo "the seconds of a step are '$seconds', expected a number or a file" >&2
  exit 2
fi

awk -v n="${IMAGES:-32}" -v bandwidth="${BANDWIDTH:-1e10}" -v latency="${LATENCY:-1e-5}" -v seconds="$seconds" -v times="$times" '
  function left_out(why) {
    print $1 ": " why >"/dev/stderr"
    bad = 1
  }
  function line_for(recipe, w,    line, bytes, time, compute) {
    compute = recipe in of ? of[recipe] : seconds
    gathered = $6 + ($10 - $6) / ($7 - $3) * (n - $3)
    line = recipe
    for (w = 8; w <= 512; w *= 8) {
      bytes = 2 * $5 * (w - 1) / w + gathered * (w - 1)
      time = bytes / bandwidth + $4 * (log(w) / log(2) + 2 * (w - 1)) * latency
      line = line sprintf(" %.0f %.0f %.2f", bytes / 1e6, 1000 * time, compute / (compute + time))
    }
    return line
  }
  BEGIN {
    while ((getline row < times) > 0) if (row !~ /^#/ && split(row, part, " ") >= 2) of[part[1]] = part[2]
    printf "# %d images a process, %.0e bytes/s, %.0e s; megabytes, milliseconds and speed for 8, 64 and 512 processes\n",
      n, bandwidth, latency
  }
  /^#/ { next }
  / failed/ || NF != 10 { left_out("no messages, expected a line of 10 columns from messages.sh"); next }
  !($1 in of) && seconds == "" { left_out("no seconds of a step, expected a line in " times); next }
  { print line_for($1) }
  END { exit bad }' "$messages"
