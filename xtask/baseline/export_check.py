"""Loads `burn-ssl export` into torchvision, or a ConvNeXt into timm, with strict=True and compares features."""

import argparse
import json
import math
import struct

from common import CONVNEXTS, convnext, torch, versions
from process import print_result, run
from torchvision import models

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}
MODELS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


def main():
    args = arguments()
    weights = read_safetensors(args.weights)
    case = read_safetensors(args.pixels)
    missing = {"pixels", "features"} - case.keys()
    if missing:
        raise ValueError(f"{args.pixels} has no tensor `{min(missing)}`, expected `pixels` and `features`")
    model = load(args.model, weights, args.weights)
    with torch.inference_mode():
        got = model(case["pixels"].float())
    want = case["features"].float()
    if got.shape != want.shape:
        raise ValueError(f"`features` is {list(want.shape)}, expected {list(got.shape)}")
    absolute = (got - want).abs().max().item()
    relative = absolute / max(want.abs().max().item(), torch.finfo(torch.float32).tiny)
    agrees = math.isfinite(relative) and relative <= args.tolerance
    result = {
        "model": args.model,
        "tensors": len(weights),
        "images": len(want),
        "max_abs": absolute,
        "max_rel": relative,
        "agrees": agrees,
    }
    print_result(result | versions())
    if not agrees:
        raise ValueError(f"features differ by {relative:.1e} of the largest, expected at most {args.tolerance:.0e}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[*MODELS, *CONVNEXTS], default="resnet18")
    parser.add_argument("--weights", required=True, help="the exported safetensors file")
    parser.add_argument("--pixels", required=True, help="safetensors with `pixels` [n, 3, h, w] and `features` [n, d]")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="share of the largest feature (1e-4)")
    return parser.parse_args()


def load(name, weights, path):
    """The library's own network in evaluation mode, without `fc`, as its users load it.

    `strict=True` also passes without `num_batches_tracked`: a state dict that carries no `_metadata` has no version,
    and a batch norm then takes its own counter for the missing one (`_NormBase._load_from_state_dict`).
    """
    if name in CONVNEXTS:
        model = timms(name, weights)
    else:
        model = getattr(models, name)(weights=None)
        model.fc = torch.nn.Identity()
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split()).split(": ", 1)[-1]
        raise ValueError(f"{path} does not load into {name} with strict=True: {problem[:300]}") from error
    return model.eval()


def timms(name, weights):
    """A ConvNeXt of the depths, widths and stem of the file."""
    blocks = [key.split(".") for key in weights if key.endswith(".gamma")]
    depths = [sum(stage == str(index) for _, stage, *_ in blocks) for index in range(4)]
    dims = [len(weights.get(f"stages.{index}.blocks.0.gamma", [0])) for index in range(4)]
    patch = weights["stem.0.weight"].shape[-1] if "stem.0.weight" in weights else 4
    return convnext(name, "cifar" if patch == 2 else "imagenet", depths=depths, dims=dims)[0]


def read_safetensors(path):
    """Name -> tensor. The file is a u64 length, a JSON header of that length, then the bytes of the tensors."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return {name: tensor(entry, memoryview(data)[8 + length :]) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def tensor(entry, data):
    begin, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    if begin == end:
        return torch.empty(entry["shape"], dtype=dtype)
    # A copy is writable and aligned; a slice of the file need not be aligned.
    return torch.frombuffer(bytearray(data[begin:end]), dtype=dtype).reshape(entry["shape"])


if __name__ == "__main__":
    run(main)
