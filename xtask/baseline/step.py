"""Time of one SimCLR training step in PyTorch: two views, forward, backward, SGD, on random images made once."""

import argparse
import statistics
import time

from common import (
    ARCHITECTURES,
    CONVNEXTS,
    VITS,
    Memory,
    SimClr,
    at_least_one,
    autocast,
    check_device,
    convnext,
    in_words,
    layout,
    load_libraries,
    nt_xent,
    print_result,
    resnet,
    run,
    timed,
    torch,
    variant,
    vectors,
    versions,
    vit,
)

TEMPERATURE = 0.5


def main():
    args = arguments()
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    stem = args.stem if args.stem != "auto" else "cifar" if args.image_size <= 64 else "imagenet"
    load_libraries(args.variant, make_step(args, stem, images(args, 2), width=8, compiled=False))
    views = images(args, args.batch)
    memory = Memory(args.device)
    step = make_step(args, stem, views, args.width, "compile" in args.variant)
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
        **memory.figures(),
        "model": args.model,
        "width": args.width,
        "stem": stem,
        "image_size": args.image_size,
        "batch": args.batch,
        "variant": in_words(args.variant),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "vectors": vectors(args.device, args.variant),
        "conv_tf32": args.device == "cuda" and torch.backends.cudnn.allow_tf32,
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[*ARCHITECTURES, *VITS, *CONVNEXTS], default="resnet18")
    parser.add_argument("--width", type=at_least_one, default=64, help="channels of the first stage (64); a ConvNeXt doubles them in each of the others")
    parser.add_argument("--stem", choices=["auto", "cifar", "imagenet"], default="auto", help="auto: cifar up to 64")
    parser.add_argument("--batch", type=at_least_one, default=128, help="images; each has two views (128)")
    parser.add_argument("--image-size", type=at_least_one, default=32)
    parser.add_argument("--patch-size", type=at_least_one, default=16, help="of a ViT (16)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager, or several words joined by +; see README.md")
    parser.add_argument("--steps", type=at_least_one, default=10, help="timed steps (10)")
    parser.add_argument("--warmup", type=int, default=3, help="warm-up steps before them (3)")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    return parser.parse_args()


def images(args, batch):
    """Both views of `batch` images, [2 * batch, 3, size, size]."""
    torch.manual_seed(0)
    made = torch.randn(2 * batch, 3, args.image_size, args.image_size)
    return made.to(args.device, memory_format=layout(args.variant))


def encoder(args, width, stem):
    """The encoder and its feature dimension."""
    if args.model in VITS:
        return vit(args.model, args.image_size, args.patch_size)
    if args.model in CONVNEXTS:
        return convnext(args.model, stem, dims=[width << stage for stage in range(4)])
    return resnet(args.model, width, stem)


def make_step(args, stem, views, width, compiled):
    """A function that runs one step. All variants without `amp` (bfloat16 autocast) compute in float32."""
    model = SimClr(encoder(args, width, stem)).to(args.device, memory_format=layout(args.variant)).train()
    # The fused loop is the fastest of PyTorch's three over the parameters.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4, fused=True)

    def loss(views):
        with autocast(args.variant, args.device):
            embeddings = model(views)
        return nt_xent(embeddings, TEMPERATURE)

    if compiled:
        loss = torch.compile(loss)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(views).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    run(main)
