"""Time in which ONNX Runtime embeds a batch of random images, on the CPU. Without PyTorch, whose memory would count."""

import argparse
import os
import sys
from functools import partial

from process import Memory, at_least_one, in_words, print_result, run, timed, variant

try:
    import numpy as np
    import onnxruntime as ort
except ImportError as error:
    sys.exit(f"error: this Python cannot import {error.name}, expected numpy and onnxruntime ({sys.executable})")


def main():
    args = arguments()
    small = Session(args.small, args.threads)
    count, *shape = small.shape
    small.embed(random(count, *shape))
    images = random(args.batch, *shape)
    memory = Memory("cpu")
    session = Session(args.model, args.threads)
    warmup = sum(timed(lambda: session.embed(images), "cpu") for _ in range(args.warmup))
    seconds = [timed(lambda: session.embed(images), "cpu") for _ in range(args.runs)]
    result = {
        "seconds": seconds,
        "features": session.expected,
        "warmup_s": warmup,
        **memory.figures(),
        "variant": in_words(args.variant),
        "threads": args.threads,
        "vectors": None,  # It does not tell.
        "onnxruntime": ort.__version__,
    }
    print_result(result)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the file that write_onnx.py writes")
    parser.add_argument("--small", required=True, help="its other file, which loads the code")
    parser.add_argument("--batch", type=at_least_one, required=True, help="images of a batch, those of the file")
    told = "onnxruntime, or with malloc joined by +; see README.md"
    words = frozenset({"onnxruntime", "malloc"})
    parser.add_argument("--variant", type=partial(variant, words=words), default={"onnxruntime"}, help=told)
    parser.add_argument("--runs", type=at_least_one, default=3, help="timed batches (3)")
    parser.add_argument("--warmup", type=int, default=1, help="warm-up batches before them (1)")
    parser.add_argument("--threads", type=at_least_one, default=cores(), help="threads of an operation (one for each core)")
    return parser.parse_args()


def cores():
    """The cores that the process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def random(*shape):
    """Random images, `[batch, channel, height, width]`."""
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


class Session:
    """A file with all optimizations."""

    def __init__(self, path, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.shape = self.session.get_inputs()[0].shape
        self.expected = self.session.get_outputs()[0].shape

    def embed(self, images):
        """Makes the features of the images, `[batch, feature_dim]`."""
        if list(images.shape) != self.shape:
            raise ValueError(f"the batch has shape {list(images.shape)}, expected {self.shape}, for which the file was made")
        (features,) = self.session.run(None, {"images": images})
        found = list(features.shape)
        if found != self.expected:
            raise ValueError(f"features have shape {found}, expected {self.expected}")


if __name__ == "__main__":
    run(main, "ONNX Runtime", Exception)
