"""Writes the golden cases of SimMIM, which the conformance suite has no trajectory of.

    python simmim_cases.py ../../crates/ssl-testing/cases

The network is lightly's: a ViT of timm whose patch embeddings are replaced by a mask token, and a linear layer to the pixels
of a patch (`MaskedVisionTransformerTIMM` and lightly's example of SimMIM). Loss and optimizers are torch's. Everything is computed
in float64 from values of float32. Written for torch 2.9.0, timm 1.0.31, lightly 1.6.0.
"""

import argparse
from pathlib import Path

import torch
from cases import write_case
from lightly.models import utils
from lightly.models.modules import MaskedVisionTransformerTIMM
from timm.models.vision_transformer import VisionTransformer

SOURCE = "SimMIM, Xie et al. 2021, arXiv:2111.09886; lightly MaskedVisionTransformerTIMM and L1 loss, torch.optim"
SIZE, PATCH, DIM, DEPTH, HEADS, RATIO = 16, 4, 16, 2, 2, 2
PATCHES = (SIZE // PATCH) ** 2
STEPS, BATCH, KEPT = 3, 4, 6

ENCODER = {"type": "vit", "image": SIZE, "patch": PATCH, "dim": DIM, "depth": DEPTH, "heads": HEADS, "mlp_ratio": RATIO,
           "mask_token": True}
OPTIMIZERS = {
    "sgd": {"name": "sgd", "lr": [0.1, 0.08, 0.05], "momentum": 0.9, "nesterov": False, "weight_decay": 1e-3,
            "exclude_1d": False},
    "adamw": {"name": "adamw", "lr": [2e-3, 1.5e-3, 1e-3], "weight_decay": 0.05, "betas": [0.9, 0.999], "eps": 1e-8,
              "exclude_1d": False},
}


class Student(torch.nn.Module):
    def __init__(self):
        super().__init__()
        vit = VisionTransformer(img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS,
                                mlp_ratio=RATIO, num_classes=0)
        self.encoder = MaskedVisionTransformerTIMM(vit, pos_embed_initialization="learn")
        self.decoder = torch.nn.Linear(DIM, 3 * PATCH**2)

    def forward(self, images, hidden):
        """The loss over the hidden patches: indices `[batch, hidden]`, from 0, without the class token."""
        tokens = self.encoder.encode(images, idx_mask=hidden + 1)
        pred = self.decoder(utils.get_at_index(tokens, hidden + 1))
        target = utils.get_at_index(utils.patchify(images, PATCH), hidden)
        return torch.nn.functional.l1_loss(pred, target)


def name(own):
    """The name of the suite for a parameter: `mask_token` is a row there."""
    return own.replace("encoder.vit.", "encoder.")


def tensors_of(student):
    of = lambda own, value: value.detach().reshape(1, DIM) if own == "encoder.mask_token" else value.detach()
    return {name(own): of(own, value) for own, value in student.named_parameters()}


def complement(kept):
    return torch.stack([torch.tensor(sorted(set(range(PATCHES)) - set(row.tolist()))) for row in kept])


def kept_patches(generator):
    return torch.stack([torch.randperm(PATCHES, generator=generator)[:KEPT] for _ in range(BATCH)])


def trajectory(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    student = Student().double().train()
    for value in student.parameters():
        value.data = (torch.randn(value.shape, generator=generator) * 0.2).double()
    for own, value in student.named_parameters():
        if own.endswith("norm.weight") or "norm1.weight" in own or "norm2.weight" in own:
            value.data += 1
            value.data = value.data.float().double()
    tensors = {f"init.{key}": value.clone() for key, value in tensors_of(student).items()}
    config = OPTIMIZERS[kind]
    if kind == "sgd":
        optimizer = torch.optim.SGD(student.parameters(), lr=1, momentum=0.9, weight_decay=1e-3)
    else:
        optimizer = torch.optim.AdamW(student.parameters(), lr=1, weight_decay=0.05)
    smallest = {}
    for step in range(STEPS):
        images = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator)
        kept = kept_patches(generator)
        tensors |= {f"views.{step}.0": images, f"aux.{step}.ids_keep": kept}
        optimizer.param_groups[0]["lr"] = config["lr"][step]
        optimizer.zero_grad()
        loss = student(images.double(), complement(kept))
        loss.backward()
        tensors[f"loss.{step}"] = loss.detach()
        shapes = tensors_of(student)
        gradients = {name(own): value.grad.reshape(shapes[name(own)].shape) for own, value in student.named_parameters()}
        if step == 0:
            tensors |= {f"grad.0.{key}": value.clone() for key, value in gradients.items()}
        smallest = {key: torch.minimum(smallest.get(key, value.abs()), value.abs()) for key, value in gradients.items()}
        optimizer.step()
    tensors |= {f"final.student.{key}": value for key, value in tensors_of(student).items()}
    tensors |= masks(smallest) if kind == "adamw" else {}
    params = {"method": "simmim", "steps": STEPS, "batch": BATCH, "views": 1, "batching": "single", "bn_eps": 1e-5,
              "bn_momentum": 0.1, "encoder": ENCODER, "loss": {}, "optimizer": config}
    return tensors, params, "2e-4", "5e-7"


def masks(smallest):
    """Leaves out what AdamW makes of rounding: values whose gradient was 0 in some step, as where as many pixels of a patch are
    too dark as too bright, and as that of the bias of keys always is."""
    kept = {key: (value > 1e-12).float() for key, value in smallest.items()}
    return {f"mask.final.student.{key}": mask for key, mask in kept.items() if not mask.all()}


def loss_case(seed):
    generator = torch.Generator().manual_seed(seed)
    images, pred = (torch.randn(shape, generator=generator) for shape in [(2, 3, 12, 12), (2, 9, 48)])
    mask = torch.zeros(2, 9, dtype=torch.int64)
    mask[0, [1, 4, 5, 8]] = 1
    mask[1, [0, 2, 3]] = 1
    leaf = pred.double().requires_grad_()
    target = utils.patchify(images.double(), PATCH)
    loss = torch.nn.functional.l1_loss(leaf[mask == 1], target[mask == 1])
    loss.backward()
    tensors = {"in.images": images, "in.pred": pred, "in.mask": mask, "out.loss": loss.detach(), "grad.pred": leaf.grad}
    return tensors, {"patch": PATCH}, "2e-5", "1e-7"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write_case(folder, "loss.simmim.base", SOURCE, *loss_case(1))
    write_case(folder, "method.simmim.sgd", SOURCE, *trajectory("sgd", 2))
    write_case(folder, "method.simmim.adamw", SOURCE, *trajectory("adamw", 3))


if __name__ == "__main__":
    main()
