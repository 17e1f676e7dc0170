"""SwAV (arXiv:2006.09882)."""

import torch
from lightly.loss import SwaVLoss
from lightly.models.utils import normalize_weight
from torch import nn
from torch.nn import functional as F

from .method import Method, head, layer
from .multicrop import by_resolution


class Swav(Method):
    def __init__(self, options, encoder, feature_dim):
        out = options["output_dim"]
        # Own layers: both official ones have a bias, lightly's SwaVProjectionHead has none in the first, and its
        # SwaVPrototypes have one, which the official prototypes lack.
        hidden = layer(options["hidden_dim"], bias=True, norm="affine", act=nn.ReLU)
        super().__init__(
            encoder=encoder,
            projector=head(feature_dim, hidden, layer(out, bias=True)),
            prototypes=nn.Linear(out, options["prototypes"], bias=False),
        )
        self.frozen_steps, self.queue_start = options["freeze_prototypes_steps"], options["queue_start_epoch"]
        self.register_buffer("queue", torch.zeros(2, options["queue_len"], out))
        self.criterion = SwaVLoss(options["temperature"], options["sinkhorn_iterations"], options["epsilon"])  # lightly

    def before_step(self, at):
        normalize_weight(self.student["prototypes"].weight)  # lightly

    def loss(self, batch, at):
        features = by_resolution(self.student["encoder"], batch.views)
        z = F.normalize(self.student["projector"](features)).chunk(len(batch.views))
        scores = [self.student["prototypes"](rows) for rows in z]
        loss = self.criterion(scores[:2], scores[2:], self.scores_of_queue(at))
        self.remember([rows.detach() for rows in z[:2]], at)
        return loss.squeeze()

    @torch.no_grad()
    def scores_of_queue(self, at):
        """Scores of past embeddings, once every row holds one. lightly puts them after those of the batch, the
        official code before: the codes are the same."""
        if not self.uses_queue(at) or not self.queue[:, -1].any():
            return None
        return [self.student["prototypes"](rows) for rows in self.queue]

    @torch.no_grad()
    def remember(self, z, at):
        if self.uses_queue(at):
            kept = self.queue[:, : self.queue.shape[1] - len(z[0])]
            self.queue = torch.cat([torch.stack(z), kept], dim=1)

    def uses_queue(self, at):
        return self.queue.shape[1] > 0 and at.epoch >= self.queue_start

    def frozen(self, at):
        return ("prototypes.",) if at.step < self.frozen_steps else ()

    def state(self):
        return {"queue": self.queue} if self.queue.shape[1] > 0 else {}
