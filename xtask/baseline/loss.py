"""Time of NT-Xent in PyTorch, forward and backward, on random embeddings."""

import argparse

from common import at_least_one, check_device, nt_xent, peak_memory, print_result, run, timed, torch, variant, versions

TEMPERATURE = 0.5


def main():
    args = arguments()
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    views = [torch.randn(args.batch, args.dim, device=args.device, requires_grad=True) for _ in range(2)]
    loss = torch.compile(nt_xent) if "compile" in args.variant else nt_xent

    def work():
        torch.autograd.grad(loss(torch.cat(views), TEMPERATURE), views)

    warmup = timed(work, args.device)
    seconds = [timed(work, args.device) for _ in range(args.runs)]
    result = {
        "seconds": seconds,
        "warmup_s": warmup,
        "peak_memory_bytes": peak_memory(args.device),
        "batch": args.batch,
        "dim": args.dim,
        "variant": "+".join(sorted(args.variant)) or "eager",
        "threads": torch.get_num_threads(),
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=at_least_one, default=512, help="images, each with two embeddings (512)")
    parser.add_argument("--dim", type=at_least_one, default=128, help="length of an embedding (128)")
    parser.add_argument("--runs", type=at_least_one, default=5, help="timed runs, after one that is not (5)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager or compile")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
