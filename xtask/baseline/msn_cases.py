"""Writes a golden case of MSN that two or four processes can share: the conformance suite has batches of six.

    python msn_cases.py ../../crates/ssl-testing/cases

Initial weights, rates and heads are those of the suite's `method.msn.vit_sgd`; here the batch is one of eight images, drawn with
the patches that are kept, and the targets are balanced. What comes of it is computed in float64 by `ssl_methods/msn.py`,
which `check_methods.py` compares with the suite's own cases.
"""

import argparse
from pathlib import Path

import torch
from cases import write_case
from check_methods import Case, replay

BASE, NAME = "method.msn.vit_sgd", "method.msn.shared"
BATCH, SINKHORN_ITERATIONS, SEED = 8, 3, 7
GIVEN = ("init", "views", "aux", "mask")  # masks leave out gradients that are 0 for any batch
SOURCE = "MSN, Assran et al. 2022, arXiv:2204.07141; burn-ssl xtask/baseline/ssl_methods/msn.py from the weights of " + BASE


def draw(case, generator):
    """Replaces the batches of a case by larger ones."""
    patches = (case.params["encoder"]["image"] // case.params["encoder"]["patch"]) ** 2
    for key, value in case.tensors.items():
        if key.startswith("views."):
            case.tensors[key] = torch.randn(BATCH, *value.shape[1:], generator=generator, dtype=torch.float32)
        if key.endswith(".ids_keep"):
            kept = [torch.randperm(patches, generator=generator)[: value.shape[1]] for _ in range(BATCH)]
            case.tensors[key] = torch.stack(kept)


def expected(case):
    """What the case expects, in the shapes of the one it is made from."""
    wanted = {key for key in case.tensors if key.split(".")[0] in ("loss", "grad", "final")}
    found = replay(case)
    if wanted != found.keys():
        raise ValueError(f"{sorted(wanted ^ found.keys())} are in {BASE} or in the replay alone, expected both to have them")
    return {key: value.reshape(case.tensors[key].shape) for key, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    case = Case(folder / f"{BASE}.safetensors")
    case.params["batch"] = BATCH
    case.params["loss"]["sinkhorn_iterations"] = SINKHORN_ITERATIONS
    draw(case, torch.Generator().manual_seed(SEED))
    given = {key: value for key, value in case.tensors.items() if key.split(".")[0] in GIVEN}
    write_case(folder, NAME, SOURCE, given | expected(case), case.params, "2e-4", "5e-7")


if __name__ == "__main__":
    main()
