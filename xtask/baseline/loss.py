"""Time of NT-Xent in PyTorch, forward and backward, on random embeddings."""

import argparse

from common import check_device, load_libraries, nt_xent, torch, vectors, versions
from process import Memory, at_least_one, in_words, print_result, run, timed, variant

TEMPERATURE = 0.5


def main():
    args = arguments()
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    load_libraries(args.variant, make_work(embeddings(args, 8), nt_xent))
    views = embeddings(args, args.batch)
    memory = Memory(args.device)
    work = make_work(views, torch.compile(nt_xent) if "compile" in args.variant else nt_xent)
    warmup = timed(work, args.device)
    seconds = [timed(work, args.device) for _ in range(args.runs)]
    result = {
        "seconds": seconds,
        "warmup_s": warmup,
        **memory.figures(),
        "batch": args.batch,
        "dim": args.dim,
        "variant": in_words(args.variant),
        "threads": torch.get_num_threads(),
        "vectors": vectors(args.device, args.variant),
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=at_least_one, default=512, help="images, each with two embeddings (512)")
    parser.add_argument("--dim", type=at_least_one, default=128, help="length of an embedding (128)")
    parser.add_argument("--runs", type=at_least_one, default=5, help="timed runs, after one untimed run (5)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager, or compile and malloc joined by +")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    return parser.parse_args()


def embeddings(args, batch):
    """Two tensors [batch, dim]."""
    torch.manual_seed(0)
    return [torch.randn(batch, args.dim, device=args.device, requires_grad=True) for _ in range(2)]


def make_work(views, loss):
    """A function that computes the loss and its two gradients."""
    return lambda: torch.autograd.grad(loss(torch.cat(views), TEMPERATURE), views)


if __name__ == "__main__":
    run(main)
