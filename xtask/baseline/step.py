"""Time of one SimCLR training step in PyTorch: two views, forward, backward, SGD, on random images made once."""

import argparse
import statistics
import time

from common import (
    ARCHITECTURES,
    SimClr,
    at_least_one,
    autocast,
    check_device,
    layout,
    nt_xent,
    peak_memory,
    print_result,
    run,
    timed,
    torch,
    variant,
    versions,
)

TEMPERATURE = 0.5


def main():
    args = arguments()
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    stem = args.stem if args.stem != "auto" else "cifar" if args.image_size <= 64 else "imagenet"
    step = make_step(args, stem)
    started = time.perf_counter()
    for _ in range(args.warmup):
        timed(step, args.device)
    warmup = time.perf_counter() - started
    seconds = [timed(step, args.device) for _ in range(args.steps)]
    median = statistics.median(seconds)
    result = {
        "step_seconds": seconds,
        "median_s": median,
        "images_per_s": args.batch / median,
        "warmup_s": warmup,
        "peak_memory_bytes": peak_memory(args.device),
        "model": args.model,
        "width": args.width,
        "stem": stem,
        "image_size": args.image_size,
        "batch": args.batch,
        "variant": "+".join(sorted(args.variant)) or "eager",
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "conv_tf32": args.device == "cuda" and torch.backends.cudnn.allow_tf32,
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="resnet18")
    parser.add_argument("--width", type=at_least_one, default=64, help="channels of the first stage (64)")
    parser.add_argument("--stem", choices=["auto", "cifar", "imagenet"], default="auto", help="auto: cifar up to 64")
    parser.add_argument("--batch", type=at_least_one, default=128, help="images; each has two views (128)")
    parser.add_argument("--image-size", type=at_least_one, default=32)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager, or channels_last, compile, amp joined by +")
    parser.add_argument("--steps", type=at_least_one, default=10, help="timed steps (10)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them (3)")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    return parser.parse_args()


def make_step(args, stem):
    """A function that runs one step. All variants without `amp` (bfloat16 autocast) compute in float32."""
    torch.manual_seed(0)
    model = SimClr(args.model, args.width, stem).to(args.device, memory_format=layout(args.variant)).train()
    images = torch.randn(2 * args.batch, 3, args.image_size, args.image_size)
    images = images.to(args.device, memory_format=layout(args.variant))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    forward = torch.compile(model) if "compile" in args.variant else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast(args.variant, args.device):
            embeddings = forward(images)
        nt_xent(embeddings, TEMPERATURE).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    run(main)
