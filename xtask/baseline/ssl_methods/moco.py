"""MoCo v1 and v2 (arXiv:1911.05722, arXiv:2003.04297)."""

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import MoCoProjectionHead
from torch import nn
from torch.nn import functional as F

from .method import Method, head, layer


class MoCo(Method):
    def __init__(self, options, encoder, feature_dim):
        super().__init__(encoder=encoder, projector=projector(options, feature_dim))
        self.make_teacher("encoder", "projector")
        self.momentum, self.symmetric = options["momentum"], options["symmetric"]
        self.shuffle = options.get("shuffle", False)
        self.queue = Queue(options["queue_len"], options["output_dim"])
        # lightly, with a queue of our own: lightly's takes the keys of each call at once, so that the second loss of a
        # symmetric step would see those of the first, and drops what does not fit before the end of its bank.
        self.criterion = NTXentLoss(options["temperature"])
        self.criterion.memory_bank = self.queue

    def before_step(self, at):
        # Uses the student from before this step: step 0 leaves the teacher as it is.
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return self.momentum

    def loss(self, batch, at):
        v1, v2 = batch.views[:2]
        orders = self.orders(batch)
        q1, k2 = self.embed(v1), self.keys(v2, orders[0])
        loss, keys = self.criterion(q1, k2), k2
        if self.symmetric:
            q2, k1 = self.embed(v2), self.keys(v1, orders[1])
            loss, keys = loss + self.criterion(q2, k1), torch.cat([k1, k2])
        self.new_keys = F.normalize(keys)
        return loss

    def after_step(self, at):
        self.queue.push(self.new_keys)

    def embed(self, view):
        return self.student["projector"](self.student["encoder"](view))

    @torch.no_grad()
    def keys(self, view, order):
        """Embeddings of the teacher, whose batch norm sees the images in `order`."""
        if order is None:
            return self.teacher["projector"](self.teacher["encoder"](view))
        keys = self.teacher["projector"](self.teacher["encoder"](view[order]))
        return keys[order.argsort()]

    def orders(self, batch):
        """An order for each encoding of keys of a step; drawn where the batch has none."""
        encodings = 2 if self.symmetric else 1
        if not self.shuffle:
            return [None] * encodings
        if batch.shuffles:
            return batch.shuffles
        images = len(batch.views[0])
        return [torch.randperm(images, device=batch.views[0].device) for _ in range(encodings)]

    def state(self):
        return {"queue": self.queue.rows, "queue_ptr": self.queue.position}


def projector(options, feature_dim):
    """One layer in v1; in v2 a hidden one with ReLU. All have a bias, none a batch norm."""
    layers, hidden = options["projector_layers"], options["hidden_dim"] or feature_dim
    if layers == 1:
        # lightly's head has at least two layers, whatever `num_layers` says.
        return head(feature_dim, layer(options["output_dim"], bias=True))
    return MoCoProjectionHead(feature_dim, hidden, options["output_dim"], num_layers=layers)


class Queue(nn.Module):
    """Keys of earlier steps, replacing lightly's `MemoryBankModule` with the same calls."""

    def __init__(self, rows, dim):
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(rows, dim)))
        self.register_buffer("position", torch.zeros(1, dtype=torch.int64))

    def forward(self, keys, labels=None, update=False):
        return keys, self.rows.T

    @torch.no_grad()
    def push(self, keys):
        """Writes keys over the oldest rows, wrapping around after the last row."""
        places = (self.position + torch.arange(len(keys), device=keys.device)) % len(self.rows)
        self.rows[places] = keys
        self.position.add_(len(keys)).remainder_(len(self.rows))
