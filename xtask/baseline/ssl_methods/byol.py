"""BYOL (arXiv:2006.07733)."""

import torch
from lightly.loss import NegativeCosineSimilarity
from torch import nn

from .method import Method, head, layer
from .recipe import cosine


class Byol(Method):
    def __init__(self, options, encoder, feature_dim):
        out = options["output_dim"]
        # Own layers: lightly's BYOLProjectionHead has its bias in the second linear layer, DeepMind's in the first.
        layers = layer(options["hidden_dim"], bias=True, norm="affine", act=nn.ReLU), layer(out)
        super().__init__(encoder=encoder, projector=head(feature_dim, *layers), predictor=head(out, *layers))
        self.make_teacher("encoder", "projector")
        self.momentum = options["momentum"], options["momentum_end"]
        self.criterion = NegativeCosineSimilarity()  # lightly

    def loss(self, batch, at):
        p1, p2 = (self.predict(view) for view in batch.views[:2])
        with torch.no_grad():
            z1, z2 = (self.teacher["projector"](self.teacher["encoder"](view)) for view in batch.views[:2])
        # The mean of 2 - 2 cos over both directions.
        return 4 + 2 * (self.criterion(p1, z2) + self.criterion(p2, z1))

    def predict(self, view):
        return self.student["predictor"](self.student["projector"](self.student["encoder"](view)))

    def after_step(self, at):
        # Uses the new student; lightly's examples update the teacher before the forward pass.
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return cosine(at.step, at.total_steps, *self.momentum)
