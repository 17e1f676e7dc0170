"""SimCLR and SimCLR v2 (arXiv:2002.05709, arXiv:2006.10029), DCL and DCLW (arXiv:2110.06848)."""

import torch
from lightly.loss import DCLLoss, DCLWLoss, NTXentLoss
from torch import nn

from .method import Method, head, layer


class SimClr(Method):
    def __init__(self, options, encoder, feature_dim):
        hidden = options["hidden_dim"] or feature_dim
        # Own layers: lightly's SimCLRProjectionHead has a shift in the last batch norm, the official code has none.
        layers = [layer(hidden, norm="affine", act=nn.ReLU)] * (options["projector_layers"] - 1)
        projector = head(feature_dim, *layers, layer(options["output_dim"], norm="scale"))
        super().__init__(encoder=encoder, projector=projector)
        self.criterion = NTXentLoss(options["temperature"])  # lightly

    def loss(self, batch, at):
        # Both views in one pass: batch norm over 2N images, as in the official code.
        z = self.student["projector"](self.student["encoder"](torch.cat(batch.views[:2])))
        return self.criterion(*z.chunk(2))


class Dcl(SimClr):
    def __init__(self, options, encoder, feature_dim):
        super().__init__(options, encoder, feature_dim)
        temperature, sigma = options["temperature"], options["sigma"]
        self.criterion = DCLWLoss(temperature, sigma) if sigma else DCLLoss(temperature)  # lightly
