"""Time of weighted k-NN in PyTorch on random features, as DINO's `eval_knn.py` computes it: matmul, topk, votes."""

import argparse

from common import check_device, load_libraries, torch, vectors, versions
from process import Memory, at_least_one, in_words, print_result, run, timed, variant
from torch.nn import functional as F

CLASSES = 10
TEMPERATURE = 0.07
# Queries whose cosines are computed at a time: about as much memory as on our side, 64 MB of float32.
COSINES = 1 << 24


def main():
    args = arguments()
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    load_libraries(args.variant, lambda: classify(*features(args, 10 * args.k), *features(args, args.k), args.k))
    bank, labels = features(args, args.bank)
    queries, truth = features(args, args.queries)
    memory = Memory(args.device)
    right = []

    def work():
        right.append(classify(bank, labels, queries, truth, args.k).item())

    seconds = [timed(work, args.device) for _ in range(args.runs)]
    result = {
        "seconds": seconds,
        **memory.figures(),
        "top1": right[-1],
        "variant": in_words(args.variant),
        "threads": torch.get_num_threads(),
        "vectors": vectors(args.device, args.variant),
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=at_least_one, default=10_000)
    parser.add_argument("--bank", type=at_least_one, default=50_000)
    parser.add_argument("--dim", type=at_least_one, default=512)
    parser.add_argument("--k", type=at_least_one, default=20)
    parser.add_argument("--runs", type=at_least_one, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager or malloc")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    return parser.parse_args()


def features(args, images):
    """Random features [images, dim] and their labels."""
    return torch.randn(images, args.dim, device=args.device), torch.arange(images, device=args.device) % CLASSES


@torch.inference_mode()
def classify(bank, labels, queries, truth, k):
    """The share of queries whose highest-scoring class is the true one."""
    bank = F.normalize(bank, dim=1).T
    queries = F.normalize(queries, dim=1)
    found = []
    for block in queries.split(max(1, COSINES // bank.shape[1])):
        nearest = (block @ bank).topk(k, dim=1)
        weights = (nearest.values / TEMPERATURE).exp()
        scores = torch.zeros(len(block), CLASSES, device=block.device)
        found.append(scores.scatter_add_(1, labels[nearest.indices], weights).argmax(dim=1))
    return (torch.cat(found) == truth).float().mean()


if __name__ == "__main__":
    run(main)
