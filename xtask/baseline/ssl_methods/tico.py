"""TiCo (arXiv:2206.10698)."""

import torch
from lightly.loss import TiCoLoss
from lightly.models.modules.heads import TiCoProjectionHead

from .method import Method
from .recipe import cosine


class TiCo(Method):
    def __init__(self, options, encoder, feature_dim):
        out = options["output_dim"]
        projector = TiCoProjectionHead(feature_dim, options["hidden_dim"], out)  # lightly
        super().__init__(encoder=encoder, projector=projector)
        self.make_teacher("encoder", "projector")
        self.momentum = options["momentum"], options["momentum_end"]
        self.criterion = TiCoLoss(options["covariance_momentum"], options["covariance_weight"])  # lightly
        self.dim = out

    def loss(self, batch, at):
        v1, v2 = batch.views[:2]
        z1 = self.student["projector"](self.student["encoder"](v1))
        with torch.no_grad():
            z2 = self.teacher["projector"](self.teacher["encoder"](v2))
        return self.criterion(z1, z2)

    def after_step(self, at):
        # Uses the new student; lightly's benchmark updates the teacher before the forward pass.
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return cosine(at.step, at.total_steps, *self.momentum)

    def state(self):
        if self.criterion.C is None:  # lightly makes it in the first loss; a state can be loaded before that
            self.criterion.C = torch.zeros(self.dim, self.dim)
        return {"cov": self.criterion.C}
