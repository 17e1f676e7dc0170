"""SimSiam (arXiv:2011.10566)."""

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import nn

from .method import Method, head, layer


class SimSiam(Method):
    # Section 4.1: the predictor's rate does not decay.
    constant_rate = ("predictor.",)

    def __init__(self, options, encoder, feature_dim):
        out = options["output_dim"]
        super().__init__(
            encoder=encoder,
            projector=projector(options, feature_dim),
            predictor=SimSiamPredictionHead(out, options["predictor_dim"], out),  # lightly
        )
        self.criterion = NegativeCosineSimilarity()  # lightly

    def loss(self, batch, at):
        z1, z2 = (self.student["projector"](self.student["encoder"](view)) for view in batch.views[:2])
        p1, p2 = self.student["predictor"](z1), self.student["predictor"](z2)
        return 0.5 * (self.criterion(p1, z2.detach()) + self.criterion(p2, z1.detach()))


def projector(options, feature_dim):
    hidden, out = options["hidden_dim"] or feature_dim, options["output_dim"]
    if options["projector_layers"] == 3:
        return SimSiamProjectionHead(feature_dim, hidden, out)  # lightly, which has only three layers
    layers = [layer(hidden, norm="affine", act=nn.ReLU)] * (options["projector_layers"] - 1)
    return head(feature_dim, *layers, layer(out, norm="plain"))
