"""What a network has learned: k-NN, a linear classifier in closed form, and a classifier to fine-tune."""

import copy

from common import torch
from ssl_methods.method import Method
from torch import nn
from torch.nn import functional as F


def knn_top1(bank, bank_labels, queries, query_labels, config):
    """Share of correct predictions: k nearest by cosine, ties to the lower bank index, votes weighted by exp(cosine / T)."""
    cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    nearest = cosines.sort(dim=1, descending=True, stable=True)
    weights = (nearest.values[:, : config["k"]] / config["temperature"]).exp()
    voted = bank_labels[nearest.indices[:, : config["k"]]]
    scores = torch.zeros(len(queries), int(bank_labels.max()) + 1).scatter_add_(1, voted, weights)
    return (scores.argmax(dim=1) == query_labels).float().mean().item()


def linear_top1(bank, bank_labels, queries, query_labels):
    """Share of correct predictions of a ridge regression of one-hot labels on standardised features.

    Its penalty is the shrinkage of Ledoit and Wolf 2004, lemma 3.4, between 1e-4 and 1. Features that do not vary are left out.
    """
    bank, queries = bank.double(), queries.double()
    mean, deviation = bank.mean(0), bank.std(0, correction=0)
    varying = deviation > 1e-6 * bank.square().mean(0).sqrt()
    x, q = (((values - mean) / deviation)[:, varying] for values in (bank, queries))
    count, features = x.shape
    products, identity = x.T @ x / count, torch.eye(features, dtype=x.dtype)
    error = (x.square().sum(1).square().mean() - products.square().sum()) / count
    shrinkage = (error / (products - identity).square().sum()).clamp(1e-4, 1.0)
    targets = F.one_hot(bank_labels).to(x.dtype)
    weights = torch.linalg.solve((1 - shrinkage) * products + shrinkage * identity, x.T @ targets / count)
    scores = q @ weights + targets.mean(0)
    return (scores.argmax(dim=1) == query_labels).float().mean().item()


class FineTuning(Method):
    """A linear layer on an encoder, both trained by cross entropy; weights of the layer start with deviation 0.01, its bias at 0."""

    def __init__(self, method, feature_dim, classes):
        encoder, head = copy.deepcopy(method.encoder), nn.Linear(feature_dim, classes)
        # A teacher has no gradients, and fixed positions keep theirs off.
        for mine, trained in zip(encoder.parameters(), method.student["encoder"].parameters()):
            mine.requires_grad_(trained.requires_grad)
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)
        super().__init__(encoder=encoder, head=head)

    def forward(self, images):
        return self.student["head"](self.student["encoder"](images))

    def loss(self, batch, at):
        return F.cross_entropy(self(batch.views[0]), batch.labels)


def finetuning(settings, image_size):
    """Settings of `xtask/accuracy/finetune.toml` as the sections of a recipe."""
    optimizer = {
        "name": "adamw",
        "lr": settings["lr"],
        "betas": [0.9, 0.999],
        "weight_decay": settings["weight_decay"],
        "no_decay": "bias-norm-and-tokens",
        "layer_decay": settings["layer_decay"],
    }
    schedule = {
        "epochs": settings["epochs"],
        "batch_size": settings["batch_size"],
        "warmup_epochs": settings["warmup_epochs"],
        "warmup": "step",
        "cosine": True,
        "lr_end": 0.0,
    }
    crop = {
        "op": "random_resized_crop",
        "scale": [0.08, 1.0],
        "ratio": [3 / 4, 4 / 3],
        "interpolation": "bilinear",
    }
    view = {"count": 1, "size": image_size, "ops": [crop, {"op": "horizontal_flip", "p": 0.5}]}
    return {"optimizer": optimizer, "schedule": schedule, "views": [view]}


def part_of_each_class(labels, share, seed):
    """Places, in increasing order, of a share of every class: rounded, at least one, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    kept = []
    for label in labels.unique():
        places = (labels == label).nonzero().flatten()
        count = max(1, round(len(places) * share))
        kept.append(places[torch.randperm(len(places), generator=generator)[:count]])
    return torch.cat(kept).sort().values
