"""I-JEPA (arXiv:2301.08243), from the paper and the definitions of the conformance suite."""

import torch
from torch.nn import functional as F

from .method import Method
from .recipe import between
from .tokens import OnTokens, rows_of, scaled_normal


class IJepa(Method):
    def __init__(self, options, encoder, feature_dim):
        sizes = [options[f"predictor_{name}"] for name in ("dim", "depth", "heads", "mlp_ratio")]
        predictor = OnTokens(encoder, *sizes, "proj", feature_dim, False, scaled_normal)
        super().__init__(encoder=encoder, predictor=predictor)
        self.make_teacher("encoder")
        self.momentum = options["teacher_momentum"], options["teacher_momentum_end"]

    def loss(self, batch, at):
        images = batch.views[0]
        context, targets = batch.masks["context"][0], batch.masks["target"]
        with torch.no_grad():
            h = self.teacher["encoder"].tokens(images)
            h = F.layer_norm(h, h.shape[-1:])
        z = self.student["encoder"].tokens(images, keep=context)
        pred = torch.cat([self.predicted(z, context, target) for target in targets])
        return F.smooth_l1_loss(pred, torch.cat([rows_of(h, target) for target in targets]))

    def predicted(self, z, context, target):
        """The tokens at a block of targets; blocks do not see each other."""
        predictor = self.student["predictor"]
        positions = predictor.pos_embed.expand(len(z), -1, -1)
        seen = predictor.embed(z) + rows_of(positions, context)
        asked = predictor.mask_token + rows_of(positions, target)
        return predictor.finish(torch.cat([seen, asked], dim=1), slice(-target.shape[1], None))

    def after_step(self, at):
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return between(at, *self.momentum)
