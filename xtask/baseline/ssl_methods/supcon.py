"""SupCon (arXiv:2004.11362)."""

import torch
from lightly.models.modules.heads import SimCLRProjectionHead
from torch.nn import functional as F

from .method import Method, head, layer


class SupCon(Method):
    def __init__(self, options, encoder, feature_dim):
        super().__init__(encoder=encoder, projector=projector(options, feature_dim))
        self.temperature, self.base = options["temperature"], options["base_temperature"]

    def loss(self, batch, at):
        z = self.student["projector"](self.student["encoder"](torch.cat(batch.views[:2])))
        return sup_con(z, batch.labels.repeat(2), self.temperature, self.base)


def sup_con(z, labels, temperature, base):
    """Equation 2 (L_out) times T / T_base, of rows with labels. Own code: lightly has no such loss."""
    z = F.normalize(z)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_share = (z @ z.T / temperature).masked_fill(itself, float("-inf")).log_softmax(dim=1)
    positives = (labels[:, None] == labels) & ~itself
    of_anchor = log_share.masked_fill(~positives, 0).sum(dim=1) / positives.sum(dim=1).clamp(min=1)
    return -(temperature / base) * of_anchor.mean()


def projector(options, feature_dim):
    layers, hidden, out = options["projector_layers"], options["hidden_dim"] or feature_dim, options["output_dim"]
    if layers == 1:
        return head(feature_dim, layer(out, bias=True))
    # lightly's head of SimCLR without batch norm is the official one of SupCon: linear layers with bias and ReLU.
    return SimCLRProjectionHead(feature_dim, hidden, out, num_layers=layers, batch_norm=False)
