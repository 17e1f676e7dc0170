"""MAE (arXiv:2111.06377), from the paper and the definitions of the conformance suite."""

import torch

from .method import Method
from .tokens import OnTokens, patchify, xavier


class Mae(Method):
    def __init__(self, options, encoder, feature_dim):
        patch = encoder.patch_embed.patch_size[0]
        sizes = [options[f"decoder_{name}"] for name in ("dim", "depth", "heads", "mlp_ratio")]
        decoder = OnTokens(encoder, *sizes, "pred", 3 * patch**2, True, xavier)
        super().__init__(encoder=encoder, decoder=decoder)
        self.norm_pix, self.patch = options["norm_pix"], patch

    def loss(self, batch, at):
        images, keep = batch.views[0], batch.masks["keep"]
        pred = self.decoded(self.student["encoder"].tokens(images, keep=keep), keep)
        target = patchify(images, self.patch)
        if self.norm_pix:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        hidden = torch.ones(pred.shape[:2], device=pred.device, dtype=pred.dtype).scatter(1, keep, 0.0)
        return ((pred - target.detach()).square().mean(-1) * hidden).sum() / hidden.sum()

    def decoded(self, latent, keep):
        """The pixels of all patches, from the class token and the patches that were kept."""
        decoder = self.student["decoder"]
        x, patches = decoder.embed(latent), decoder.pos_embed.shape[1] - 1
        all_patches = decoder.mask_token.expand(len(x), patches, -1)
        all_patches = all_patches.scatter(1, keep.unsqueeze(-1).expand(-1, -1, x.shape[-1]), x[:, 1:])
        x = torch.cat([x[:, :1], all_patches], dim=1) + decoder.pos_embed
        return decoder.finish(x, slice(1, None))
