"""Distillation of features from a frozen teacher (arXiv:1412.6550), from the definitions of the conformance suite."""

import json

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from .encoders import build_encoder
from .method import Method, head, layer


class DistillFeatures(Method):
    """`teacher` is a network and the length of its features."""

    def __init__(self, options, encoder, feature_dim, teacher):
        network, dim = teacher
        layers, networks = adapter(options, encoder, dim), {"encoder": encoder}
        if options["pooled_weight"] > 0:
            networks["projector"] = head(feature_dim, *layers)
        if options["token_weight"] > 0:
            networks["token_projector"] = head(feature_dim, *layers)
        super().__init__(**networks)
        # Not `teacher`, which follows the student and is a part of the state.
        self.source, self.options = network.requires_grad_(False), options

    def train(self, mode=True):
        super().train(mode)
        self.source.eval()
        return self

    def loss(self, batch, at):
        view = batch.views[0]
        with torch.no_grad():
            wanted = features_of(self.source, view)
        said, loss = features_of(self.student["encoder"], view), 0.0
        for kind, name, ours, theirs in zip(("pooled", "token"), ("projector", "token_projector"), said, wanted):
            if name in self.student:
                rows = self.student[name](ours.flatten(0, -2))
                loss = loss + self.options[f"{kind}_weight"] * self.distance(kind, rows, theirs.flatten(0, -2))
        return loss

    def distance(self, kind, ours, theirs):
        if self.options[f"{kind}_norm"] == "layer_norm":
            theirs = F.layer_norm(theirs, theirs.shape[-1:])
        match self.options[f"{kind}_distance"]:
            case "cosine":
                return 1 - (F.normalize(ours) * F.normalize(theirs)).sum(1).mean()
            case "mse":
                return F.mse_loss(ours, theirs)
            case "smooth_l1":
                return F.smooth_l1_loss(ours, theirs)
        raise ValueError(f"{kind}_distance is {self.options[f'{kind}_distance']}, expected cosine, mse or smooth_l1")


def features_of(network, images):
    """The feature of each image, and the tokens of its patches where the network is a ViT."""
    if not hasattr(network, "blocks"):
        return network(images), None
    tokens = network.forward_features(images)
    return network.forward_head(tokens), tokens[:, network.num_prefix_tokens :]


def adapter(options, encoder, dim):
    """Linear for a ViT, with a hidden layer for others, unless the options say which."""
    last, kind = layer(dim, bias=True), options.get("adapter", "auto")
    if kind == "linear" or (kind == "auto" and hasattr(encoder, "blocks")):
        return [last]
    return [layer(options["hidden_dim"] or dim, bias=True, norm="affine", act=nn.ReLU), last]


def read_teacher(recipe):
    """The encoder in the file of burn-ssl that a recipe names, such as `encoder.safetensors` of a run, and the length of its features."""
    path = recipe["method_options"].get("teacher")
    if not path:
        raise ValueError("method_options.teacher is empty, expected an encoder.safetensors of burn-ssl")
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get("burn-ssl") or "null")
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    if not about:
        raise ValueError(f"{path} does not say which network it is, expected a file of burn-ssl")
    prepared = about["preprocessing"]
    for key in ("mean", "std"):
        if any(abs(one - other) > 1e-6 for one, other in zip(prepared[key], recipe["data"][key])):
            found, expected = prepared[key], recipe["data"][key]
            raise ValueError(f"the teacher's {key} of pixels is {found}, expected {expected}: the PyTorch twin prepares images once")
    network, dim = build_encoder(about["encoder"], prepared["size"])
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    network.load_state_dict(counters | tensors)
    return network, dim
