"""MSN (arXiv:2204.07141), from the paper and the definitions of the conformance suite."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .method import Method, head, layer
from .recipe import between
from .sinkhorn import sinkhorn


class Msn(Method):
    def __init__(self, options, encoder, feature_dim):
        hidden = layer(options["hidden_dim"], bias=True, norm="affine", act=nn.GELU)
        projector = head(feature_dim, hidden, hidden, layer(options["output_dim"], bias=True))
        prototypes = nn.Linear(options["output_dim"], options["prototypes"], bias=False)
        super().__init__(encoder=encoder, projector=projector, prototypes=prototypes)
        self.make_teacher("encoder", "projector")
        self.options = options
        self.momentum = options["teacher_momentum"], options["teacher_momentum_end"]

    def loss(self, batch, at):
        options, prototypes = self.options, self.student["prototypes"].weight
        with torch.no_grad():
            target = self.teacher["projector"](self.teacher["encoder"](batch.views[0]))
            target = self.assigned(target, prototypes).softmax(1) ** (1 / options["sharpen_temperature"])
            target = target / target.sum(1, keepdim=True)
            if options["sinkhorn_iterations"]:
                target = sinkhorn(target.log(), options["sinkhorn_iterations"])
        logits = self.assigned(self.anchors(batch), prototypes)
        views, logs = len(logits) // len(target), logits.log_softmax(1)
        mean = logs.exp().mean(0)
        entropy = math.log(len(mean)) + (mean * mean.log()).sum()
        return -(target.repeat(views, 1) * logs).sum(1).mean() + options["regularization_weight"] * entropy

    def assigned(self, z, prototypes):
        return F.normalize(z, dim=1) @ F.normalize(prototypes, dim=1).T / self.options["temperature"]

    def anchors(self, batch):
        """Random anchors on the patches that they keep, then focal ones; each size passes once."""
        large = 1 + self.options["random_views"]
        views, encoder, projector = batch.views, self.student["encoder"], self.student["projector"]
        z = [projector(encoder.feature(encoder.tokens(torch.cat(views[1:large]), keep=batch.masks["keep"])))]
        if len(views) > large:
            z.append(projector(encoder(torch.cat(views[large:]))))
        return torch.cat(z)

    def after_step(self, at):
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return between(at, *self.momentum)

    @property
    def encoder(self):
        return self.teacher["encoder"]
