"""NNCLR (arXiv:2104.14548)."""

import torch
from torch import nn
from torch.nn import functional as F

from .method import Method, head, layer
from .moco import Queue


class NnClr(Method):
    def __init__(self, options, encoder, feature_dim):
        out = options["output_dim"]
        layers = [layer(options["hidden_dim"], norm="affine", act=nn.ReLU)] * (options["projector_layers"] - 1)
        projector = head(feature_dim, *layers, layer(out, norm="affine"))
        hidden = layer(options["predictor_dim"], norm="affine", act=nn.ReLU)
        super().__init__(encoder=encoder, projector=projector, predictor=head(out, hidden, layer(out, bias=True)))
        self.queue, self.temperature = Queue(options["queue_len"], out), options["temperature"]

    def loss(self, batch, at):
        z = [self.student["projector"](self.student["encoder"](view)) for view in batch.views[:2]]
        p1, p2 = (self.student["predictor"](embedding) for embedding in z)
        n1, n2 = (self.nearest(embedding) for embedding in z)
        self.new_keys = F.normalize(z[0].detach())
        return (self.contrast(n1, p2) + self.contrast(n2, p1)) / 2

    @torch.no_grad()
    def nearest(self, z):
        return self.queue.rows[(F.normalize(z) @ self.queue.rows.T).argmax(1)]

    def contrast(self, neighbours, p):
        # Own loss: in lightly's NTXentLoss, neighbours and predictions are also among their own candidates.
        logits = F.normalize(neighbours) @ F.normalize(p).T / self.temperature
        return F.cross_entropy(logits, torch.arange(len(p), device=p.device))

    def after_step(self, at):
        self.queue.push(self.new_keys)

    def state(self):
        return {"queue": self.queue.rows, "queue_ptr": self.queue.position}
