#!/usr/bin/env python3
"""Where the time of a step goes in PyTorch, as budget.py tells it of ours. The options are those of xtask/baseline/step.py.

    pytorch.py --recipe-json target/bench/step/simclr-vit-tiny.json --warmup 3 --steps 8

Operations are timed on the thread that calls them, which waits for the others. Prints Markdown.
"""

import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "baseline"))

from torch.profiler import ProfilerActivity, profile  # noqa: E402

import step  # noqa: E402
from common import operations, torch  # noqa: E402

# The first part that has a word of an operation's name.
PARTS = {
    "attention": ["scaled_dot_product", "flash_attention"],
    "convolutions": ["convolution"],
    "products": ["aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "linear"],
    "layer norm": ["layer_norm"],
    "batch norm": ["batch_norm"],
    "GELU, ReLU": ["gelu", "relu", "threshold_backward"],
    "optimizer": ["_fused_", "_foreach_", "Optimizer"],
    "sums of gradients and biases": ["aten::sum"],
    "copies": ["copy_", "aten::cat", "aten::clone", "aten::fill_", "aten::zero_"],
    "element by element": ["aten::add", "aten::mul", "aten::div", "aten::sub", "aten::_log_softmax", "aten::_softmax"],
}


def main():
    args = step.arguments()
    recipe = step.prepared(args)
    batch = step.make_batch(recipe, args)
    run = step.make_step(recipe, batch, args, "compile" in args.variant)
    for _ in range(args.warmup):
        run()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(args.steps):
            run()
    seconds = defaultdict(float)
    for event in found.key_averages():
        seconds[part_of(event.key)] += event.self_cpu_time_total / 1e6 / args.steps
    print_table(seconds, operations(run, args.variant).get("operations"))


def part_of(name):
    return next((part for part, words in PARTS.items() if any(word in name for word in words)), "everything else")


def print_table(seconds, operations):
    total = sum(seconds.values())
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}: {total:.4f} s a step\n")
    print("| part | per cent |\n|---|---|")
    for part, share in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"| {part} | {100 * share / total:.1f} |")
    if operations:
        products = sum(seconds[part] for part in ["attention", "convolutions", "products"])
        print(f"\nProducts, convolutions and attention: {operations / products / 1e9:.0f} GFLOP/s; the step: {operations / total / 1e9:.0f}.")


if __name__ == "__main__":
    main()
