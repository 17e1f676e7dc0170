"""Writes the golden cases of ConvNeXts, which the conformance suite does not have.

    python convnext_cases.py ../../crates/ssl-testing/cases

The networks are timm's, two tiny ones: whole patches of 4 pixels, and patches of 2 that leave a row and a column out in the last
stage. Everything is computed in float64 from values of float32. Written for torch 2.9.0, timm 1.0.31.
"""

import argparse
from pathlib import Path

import timm
import torch
from cases import write_case

SOURCE = "ConvNeXt, Liu et al. 2022, arXiv:2201.03545; timm convnext_tiny of other depths and widths"
DEPTHS, DIMS, BATCH = [1, 1, 2, 1], [8, 16, 24, 32], 2
# Height and width of the images by the size of the stem's patches.
SIZES = {4: (64, 64), 2: (40, 48)}


def network_of(patch):
    network = timm.create_model("convnext_tiny", num_classes=0, depths=DEPTHS, dims=DIMS)
    # With `patch_size=2`, timm would halve the sides once more in the first stage.
    network.stem[0] = torch.nn.Conv2d(3, DIMS[0], patch, stride=patch)
    network = randomize(network).double().train()
    # Factors that let the branches count.
    for name, value in network.state_dict().items():
        if name.endswith("gamma"):
            value.copy_((0.5 + 0.2 * torch.randn_like(value)).float())
    return network


def randomize(network):
    """Values of the size of trained ones."""
    for name, value in network.state_dict().items():
        fan_in = value[0].numel() if value.ndim > 1 else 1
        noise = torch.randn_like(value) * (0.2 if value.ndim == 1 else fan_in**-0.5)
        value.copy_(noise.abs() + 1 if value.ndim == 1 and name.endswith("weight") else noise)
    return network


def case(patch):
    """A pass in training mode with its gradients, then features and last map in evaluation mode."""
    torch.manual_seed(11)
    network = network_of(patch)
    images = torch.randn(BATCH, 3, *SIZES[patch]).double().requires_grad_()
    weights = torch.randn(BATCH, DIMS[-1]).double()
    tensors = {f"init.{name}": value.clone() for name, value in network.state_dict().items()}
    features = network(images)
    loss = (features * weights).sum()
    loss.backward()
    tensors |= {f"grad.param.{name}": value.grad for name, value in network.named_parameters()}
    tensors |= {"in.x": images, "in.loss_weights": weights, "grad.x": images.grad}
    tensors |= {"out.loss": loss, "out.train": features}
    with torch.inference_mode():
        network.eval()
        tensors |= {"out.eval": network(images), "out.map": network.forward_features(images)}
    arch = {"type": "convnext", "depths": DEPTHS, "dims": DIMS, "patch": patch}
    return tensors, {"arch": arch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for patch in SIZES:
        write_case(folder, f"model.convnext.patch{patch}", SOURCE, *case(patch), "1e-4", "1e-6")


if __name__ == "__main__":
    main()
