"""DINO (arXiv:2104.14294)."""

import warnings

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import nn

from .method import Method, head, layer
from .multicrop import by_resolution
from .recipe import cosine


class Dino(Method):
    def __init__(self, options, encoder, feature_dim):
        super().__init__(encoder=encoder, head=dino_head(options, feature_dim))
        self.make_teacher("encoder", "head")
        self.momentum, self.momentum_end = options["teacher_momentum"], options.get("teacher_momentum_end", 1.0)
        self.frozen_epochs = options["freeze_last_layer_epochs"]
        self.temperatures = options["warmup_teacher_temperature"], options["teacher_temperature"]
        self.temperature_epochs = options["warmup_teacher_temperature_epochs"]
        # lightly: uses the centre from before this step and updates it afterwards, as in the official code. The temperature
        # is passed to every call.
        self.criterion = DINOLoss(
            output_dim=options["output_dim"],
            student_temp=options["student_temperature"],
            center_momentum=options["center_momentum"],
            warmup_teacher_temp_epochs=0,
        )

    def loss(self, batch, at):
        views = len(batch.views)
        with torch.no_grad():
            targets = self.teacher["head"](self.teacher["encoder"](torch.cat(batch.views[:2])))
        logits = self.student["head"](by_resolution(self.student["encoder"], batch.views))
        temperature = self.temperature_at(at)
        return self.criterion(list(targets.chunk(2)), list(logits.chunk(views)), teacher_temp=temperature)

    def temperature_at(self, at):
        start, end = self.temperatures
        if at.epoch >= self.temperature_epochs:
            return end
        steps = max(self.temperature_epochs - 1, 1)
        return start + (end - start) * at.epoch / steps

    def frozen(self, at):
        return ("head.last_layer.",) if at.epoch < self.frozen_epochs else ()

    def after_step(self, at):
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return cosine(at.step, at.total_steps, self.momentum, self.momentum_end)

    def state(self):
        return {"center": self.criterion.center.reshape(-1)}

    @property
    def encoder(self):
        # Section 3.1: the teacher is the better network throughout training.
        return self.teacher["encoder"]


def dino_head(options, feature_dim):
    hidden, bottleneck = options["hidden_dim"], options["bottleneck_dim"]
    # lightly computes the normalised weight of the last layer when it creates it. Without gradient, because the teacher is a
    # copy, and torch does not copy tensors with a history.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        made = DINOProjectionHead(feature_dim, hidden, bottleneck, options["output_dim"])
    has_norm = options.get("bn_in_head", False)
    if options["head_layers"] != 3 or has_norm:
        # lightly's head has three layers, and no bias in those with a batch norm; the official ones have it.
        norm = "affine" if has_norm else "none"
        layers = [layer(hidden, bias=True, norm=norm, act=nn.GELU)] * (options["head_layers"] - 1)
        made.layers = head(feature_dim, *layers, layer(bottleneck, bias=True)).layers
        made.layers.apply(made._init_weights)
    return made
