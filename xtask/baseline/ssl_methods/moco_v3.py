"""MoCo v3 (arXiv:2104.02057)."""

import torch
from torch import nn
from torch.nn import functional as F

from .method import Method, head, layer
from .recipe import cosine


class MoCoV3(Method):
    def __init__(self, options, encoder, feature_dim):
        out, self.is_vit = options["output_dim"], options["heads"] == "vit"
        # Own layers: lightly's MoCoProjectionHead has parameters in the last batch norm, the official code has none.
        hidden = layer(options["hidden_dim"], norm="affine", act=nn.ReLU)
        super().__init__(
            encoder=encoder,
            projector=head(feature_dim, *[hidden] * (2 if self.is_vit else 1), layer(out, norm="plain")),
            predictor=head(out, hidden, layer(out, norm="plain" if self.is_vit else "none")),
        )
        self.make_teacher("encoder", "projector")
        self.temperature = options["temperature"]
        self.momentum = options["momentum"], options["momentum_end"]
        self.freeze_patches = options["freeze_patch_embed"]

    def before_step(self, at):
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return cosine(at.step, at.total_steps, *self.momentum)

    def loss(self, batch, at):
        q1, q2 = (self.predict(view) for view in batch.views[:2])
        with torch.no_grad():
            k1, k2 = (self.teacher["projector"](self.teacher["encoder"](view)) for view in batch.views[:2])
        return self.contrast(q1, k2) + self.contrast(q2, k1)

    def predict(self, view):
        return self.student["predictor"](self.student["projector"](self.student["encoder"](view)))

    def contrast(self, q, k):
        """Own code, algorithm 1: lightly has no loss of queries against the keys of the batch with the factor 2T."""
        logits = F.normalize(q) @ F.normalize(k).T / self.temperature
        return 2 * self.temperature * F.cross_entropy(logits, torch.arange(len(q), device=q.device))

    def frozen(self, at):
        if not self.is_vit:
            return ()
        return ("encoder.pos_embed", "encoder.patch_embed.") if self.freeze_patches else ("encoder.pos_embed",)
