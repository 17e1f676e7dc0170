"""SimMIM (arXiv:2111.09886)."""

import torch
from torch import nn
from torch.nn import functional as F

from .method import Method
from .tokens import patchify, rows_of


class SimMim(Method):
    def __init__(self, options, encoder, feature_dim):
        self_patch = encoder.patch_embed.patch_size[0]
        super().__init__(encoder=encoder, decoder=nn.Linear(feature_dim, 3 * self_patch**2))
        self.patch = self_patch

    def loss(self, batch, at):
        images, keep = batch.views[0], batch.masks["keep"]
        patches = self.student["encoder"].patch_embed.num_patches
        mask = torch.ones(len(images), patches, device=images.device).scatter(1, keep, 0.0)
        tokens = self.student["encoder"].tokens(images, mask=mask)[:, -patches:]
        hidden = mask.nonzero()[:, 1].reshape(len(images), -1)
        # The mean over all hidden patches, of which there are as many in every image.
        return F.l1_loss(self.student["decoder"](rows_of(tokens, hidden)), rows_of(patchify(images, self.patch), hidden))
