#!/usr/bin/env python3
"""Where the processor's time of a program goes, by source file: a table from what `perf record` has sampled.

The program needs line numbers of ssl-kernels; README.md beside this file has the commands.
"""

import argparse
import re
import subprocess
from collections import Counter
from pathlib import Path

KERNELS = "crates/ssl-kernels/src/ops/cpu/"
# A part of the time, and how its symbol or its outermost source file in `ops/cpu` begins.
PARTS = [
    ("products of weights and many rows", ["panels.rs"]),
    ("other products (gemm)", ["gemm_f32::"]),
    ("packing for products", ["ssl_kernels::ops::cpu::panels::copy", "gemm_common::"]),
    ("convolutions: sums", ["conv/product.rs"]),
    ("convolutions: transforms, fields, tiles", ["conv", "pixels"]),
    ("depthwise convolutions", ["depthwise_conv"]),
    ("batch norm, ReLU, shortcuts", ["batch_norm"]),
    ("attention without products", ["attention"]),
    ("GELU, biases, shortcuts", ["feed_forward", "linear.rs"]),
    ("layer norm", ["layer_norm.rs"]),
    ("losses", ["contrast.rs", "cross_entropies.rs", "rows_of_length.rs"]),
    ("optimizer, teacher, norms", ["sgd.rs", "adamw.rs", "average.rs", "sum_of_squares.rs"]),
    ("Burn's operations", ["burn_", "macerator::"]),
    ("the system: pages, scheduling", ["[kernel]"]),
]


def main():
    args = arguments()
    samples, parts = sampled(args.data, args.program)
    files = source_files(args.program, [address for address, _ in samples])
    if not any(files):
        raise SystemExit(f"no sample has a line of ssl-kernels; was {args.program} built with the line numbers of that crate?")
    for ((_, symbol), count), places in zip(samples.items(), files):
        parts[part(symbol, places)] += count
    total = sum(parts.values())
    print(f"| part of {total} samples | per cent |\n|---|---|")
    for name, count in parts.most_common():
        print(f"| {name} | {100 * count / total:.1f} |")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="what `perf record` has written")
    parser.add_argument("program", type=Path, help="the program, with line numbers")
    return parser.parse_args()


def sampled(data, program):
    """Counts of addresses and symbols in the program, and of parts outside of it."""
    base, segments = load_address(data, program.name), load_segments(program)
    inside, outside = Counter(), Counter()
    for line in perf("script", "-i", data, "-F", "ip,sym,dso"):
        found = re.match(r"\s*([0-9a-f]+) (.*) \((.*)\)$", line)
        if not found:
            continue
        address, symbol, place = int(found[1], 16), found[2], found[3]
        if place.endswith(f"/{program.name}"):
            inside[virtual(segments, address - base), symbol] += 1
        else:
            outside[part("[kernel]" if "kernel" in place else symbol, [])] += 1
    return inside, outside


def load_address(data, name):
    """Where the program's file would begin in memory if it were mapped as a whole."""
    for line in perf("script", "-i", data, "--show-mmap-events"):
        found = re.search(r"MMAP2.*\[0x([0-9a-f]+)\(0x[0-9a-f]+\) @ (0x[0-9a-f]+|0) .*: r-xp (\S+)", line)
        if found and found[3].endswith(f"/{name}"):
            return int(found[1], 16) - int(found[2], 16)
    raise SystemExit(f"{data} has no samples of {name}; is it the program that was recorded?")


def load_segments(program):
    """Offset in the file, virtual address and size of each part of the program that is loaded."""
    headers = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    loads = [line.split() for line in headers.splitlines() if line.strip().startswith("LOAD")]
    return [[int(word, 16) for word in (load[1], load[2], load[4])] for load in loads]


def virtual(segments, offset):
    """The virtual address of an offset in the file."""
    return next((offset - start + at for start, at, size in segments if start <= offset < start + size), offset)


def source_files(program, addresses):
    """The files in `ops/cpu` whose code is at each address, the innermost first."""
    asked = "\n".join(map(hex, addresses))
    found = subprocess.run(["addr2line", "-e", program, "-i", "-a"], input=asked, capture_output=True, text=True, check=True)
    files = []
    for line in found.stdout.splitlines():
        if line.startswith("0x"):
            files.append([])
        elif KERNELS in line and "/simd" not in line:
            files[-1].append(line.split(KERNELS)[1].split(":")[0])
    return files


def part(symbol, files):
    """The part of the outermost file, or of the symbol where there is none. The sums of convolutions are inlined into every convolution."""
    place = "conv/product.rs" if "conv/product.rs" in files else (files or [symbol])[-1]
    if symbol.startswith("ssl_kernels::ops::cpu::panels::copy"):
        place = symbol
    return next((name for name, beginnings in PARTS if place.startswith(tuple(beginnings))), "everything else")


def perf(*words):
    return subprocess.run(["perf", *words], capture_output=True, text=True, check=True).stdout.splitlines()


if __name__ == "__main__":
    main()
