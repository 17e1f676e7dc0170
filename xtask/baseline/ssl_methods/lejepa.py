"""LeJEPA (arXiv:2511.08544)."""

import torch
from lightly.loss import SIGReg
from lightly.loss.lejepa_loss import lejepa_invariance_loss
from torch import nn
from torch.nn import functional as F

from .method import Method, head, layer
from .multicrop import by_resolution


class LeJepa(Method):
    def __init__(self, options, encoder, feature_dim):
        hidden = layer(options["hidden_dim"], bias=True, norm="affine", act=nn.ReLU)
        layers = [hidden] * (options["projector_layers"] - 1)
        projector = head(feature_dim, *layers, layer(options["output_dim"], bias=True))
        super().__init__(encoder=encoder, projector=projector)
        self.weight, self.global_views = options["sigreg_weight"], options["global_views"]
        self.sigreg = SIGReg(knots=options["knots"], t_max=options["t_max"], num_vectors=options["slices"])  # lightly

    def loss(self, batch, at):
        features = by_resolution(self.student["encoder"], batch.views)
        proj = self.student["projector"](features).unflatten(0, (len(batch.views), -1))
        spread = lejepa_invariance_loss(all_proj=proj, global_proj=proj[: self.global_views])  # lightly
        return self.weight * self.statistic(proj, batch.slices) + (1 - self.weight) * spread

    def statistic(self, proj, slices):
        if slices is None:
            slices = F.normalize(torch.randn(proj.shape[-1], self.sigreg.num_vectors, device=proj.device), dim=0)
        # lightly's knots and weights; its SIGReg draws the directions itself, and takes one view at a time.
        x = (proj @ slices).unsqueeze(-1) * self.sigreg.t
        error = (x.cos().mean(1) - self.sigreg.phi) ** 2 + x.sin().mean(1) ** 2
        return proj.shape[1] * (error @ self.sigreg.weights).mean()
