"""VICReg (arXiv:2105.04906)."""

from lightly.loss import VICRegLoss
from torch import nn

from .method import Method, head, layer


class VicReg(Method):
    def __init__(self, options, encoder, feature_dim):
        # Own layers: the hidden ones of lightly's VICRegProjectionHead have no bias, the official ones do.
        layers = [layer(options["hidden_dim"], bias=True, norm="affine", act=nn.ReLU)] * (options["projector_layers"] - 1)
        super().__init__(encoder=encoder, projector=head(feature_dim, *layers, layer(options["output_dim"])))
        names = "invariance_weight", "variance_weight", "covariance_weight"
        self.criterion = VICRegLoss(*(options[name] for name in names))  # lightly

    def loss(self, batch, at):
        z1, z2 = (self.student["projector"](self.student["encoder"](view)) for view in batch.views[:2])
        return self.criterion(z1, z2)
