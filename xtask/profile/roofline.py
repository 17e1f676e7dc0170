#!/usr/bin/env python3
"""How near the sides of a benchmark come to what the machine can do.

    roofline.py docs/benchmarks/DATE-MACHINE/step.json --seconds 60

Measures the fastest matrix product and the fastest copy of this machine, so it has to be the machine of the archive, and idle.
Needs torch. Prints Markdown.
"""

import argparse
import json
import statistics
import time

import torch

SIZES = [768, 1024, 1536, 2048, 3072]
COPIED = 1 << 27


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", help="step.json or embed.json of `cargo xtask bench`")
    parser.add_argument("--seconds", type=float, default=60, help="how long products and copies are repeated")
    args = parser.parse_args()
    with open(args.archive) as file:
        archive = json.load(file)
    products, copies = rates(args.seconds)
    print_machine(products, copies)
    print_table(archive["figures"], max(products), max(copies))


def rates(seconds):
    """GFLOP/s of the best product of each round, and GB/s of copies, in turn: a shared host is faster at some moments."""
    factors = [(torch.randn(size, size), torch.randn(size, size)) for size in SIZES]
    source, target = torch.randn(COPIED // 4), torch.empty(COPIED // 4)
    products, copies = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        of = [2e-9 * len(a) ** 3 / timed(lambda a=a, b=b: a @ b) for a, b in factors]
        products.append(max(of))
        copies.append(2e-9 * COPIED / timed(lambda: target.copy_(source)))
    return products, copies


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_machine(products, copies):
    def spread(rates, unit):
        return f"{max(rates):.0f} {unit} at best, {statistics.median(rates):.0f} in the median of {len(rates)} rounds"

    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}.\n")
    print(f"- products of {SIZES[0]} to {SIZES[-1]} rows and columns: {spread(products, 'GFLOP/s')}")
    print(f"- copies, read and written: {spread(copies, 'GB/s')}\n")


def print_table(rows, gflops, gigabytes):
    """`bound` is the rate at which a run would take as long as its products or its bytes, whichever is longer, at best."""
    sides = [side["name"] for side in rows[0]["ours"]]
    columns = ["work", "GFLOP", "GB", "s for products", "s for bytes", *(f"{side} / bound" for side in sides)]
    columns += ["best of the others / bound", "bound / best of the others"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        rates = [statistics.median(side["figures"]) for side in row["ours"]]
        best = max(statistics.median(side["figures"]) for side in row["theirs"])
        operations, moved = 1e-9 * row["operations"], 1e-9 * bytes_of(row)
        seconds = [operations / gflops, moved / gigabytes]
        bound = row["per_run"] / max(seconds)
        shares = [rate / bound for rate in [*rates, best]]
        figures = [operations, moved, *seconds, *shares, bound / best]
        # PyTorch's counter takes the gradients of depthwise weights for those of dense ones.
        cells = ["-"] * len(figures) if "convnext" in row["work"] else [f"{figure:.2f}" for figure in figures]
        print("| " + " | ".join([row["work"], *cells]) + " |")


def bytes_of(row):
    """At least: what the leanest side holds at once is written and read."""
    sides = row["ours"] + row["theirs"]
    return 2 * min(statistics.median(side["peak_memory_above"]) for side in sides if side["peak_memory_above"])


if __name__ == "__main__":
    main()
