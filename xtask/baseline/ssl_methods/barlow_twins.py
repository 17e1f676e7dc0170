"""Barlow Twins (arXiv:2103.03230)."""

from lightly.loss import BarlowTwinsLoss
from torch import nn

from .method import Method, head, layer


class BarlowTwins(Method):
    def __init__(self, options, encoder, feature_dim):
        # Own layers: the last one of lightly's BarlowTwinsProjectionHead has a bias, the official one has none.
        layers = [layer(options["hidden_dim"], norm="affine", act=nn.ReLU)] * (options["projector_layers"] - 1)
        super().__init__(encoder=encoder, projector=head(feature_dim, *layers, layer(options["output_dim"])))
        self.criterion, self.scale = BarlowTwinsLoss(options["off_diagonal_weight"]), options["scale"]  # lightly

    def loss(self, batch, at):
        z1, z2 = (self.student["projector"](self.student["encoder"](view)) for view in batch.views[:2])
        return self.scale * self.criterion(z1, z2)
