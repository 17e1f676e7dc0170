"""Vision transformers that see some patches, or a mask token in their place, and networks on their tokens."""

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from .encoders import resized_positions


class TokenVit(VisionTransformer):
    """timm's vision transformer, whose positions may be fixed sines and cosines, and which may have a mask token.

    Own code: `tokens`. lightly's MaskedVisionTransformerTIMM has the same pieces under other names and with fixed sizes.
    """

    def __init__(self, mask_token=False, positions="learned", pool="class", **config):
        # A feature is the mean of the patches after the last norm, or the class token.
        own = "token" if config.get("class_token", True) else "avg"
        super().__init__(num_classes=0, dynamic_img_size=True, global_pool=own, fc_norm=False, **config)
        self.mean_of_patches = pool == "mean" or not self.has_class_token
        dim = self.embed_dim
        if mask_token:
            self.mask_token = nn.Parameter(torch.zeros(1, dim))
            nn.init.trunc_normal_(self.mask_token, std=0.02)
        if positions != "learned":
            self.pos_embed = fixed_positions(self.patch_embed.grid_size[0], dim, self.has_class_token, positions)

    def tokens(self, images, keep=None, mask=None):
        """Tokens after the last norm: the class token first, then all patches, or those at `keep`, [batch, kept].

        `mask`, [batch, patch], puts the mask token in the place of patches.
        """
        x = self.patch_embed(images)
        grid = x.shape[1:3]
        x = x.flatten(1, 2)
        if mask is not None:
            x = torch.where(mask.bool().unsqueeze(-1), self.mask_token.to(x.dtype), x)
        positions = resized_positions(self.pos_embed, self.patch_embed.grid_size, tuple(grid), int(self.has_class_token))
        classes = int(self.has_class_token)
        x = x + positions[:, classes:]
        if keep is not None:
            x = rows_of(x, keep)
        if classes:
            first = (self.cls_token + positions[:, :1]).expand(len(x), -1, -1)
            x = torch.cat([first, x], dim=1)
        return self.norm(self.blocks(x))

    def forward(self, images):
        x = self.tokens(images)
        return x[:, int(self.has_class_token) :].mean(1) if self.mean_of_patches else x[:, 0]


def rows_of(tokens, indices):
    """The tokens at the given places of each image."""
    return tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def fixed_positions(side, dim, class_token, order="sin-cos-column-row"):
    """Sines and cosines of column and row (or row and column) of every patch (conformance suite, section 8)."""
    frequencies = 10000 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    axes = [columns, rows] if order == "sin-cos-column-row" else [rows, columns]
    angles = [axis.flatten()[:, None] * frequencies for axis in axes]
    table = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    table = torch.cat([torch.zeros(int(class_token), dim, dtype=torch.float64), table])
    return nn.Parameter(table.to(torch.get_default_dtype()).unsqueeze(0), requires_grad=False)


class OnTokens(nn.Module):
    """A narrow transformer on tokens and mask tokens: the decoder of MAE, the predictor of I-JEPA.

    `last` is the name of its last layer: `pred` or `proj`.
    """

    def __init__(self, encoder, dim, depth, heads, mlp_ratio, last, outputs, class_token):
        super().__init__()
        self.embed = nn.Linear(encoder.embed_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.normal_(self.mask_token, std=0.02)
        self.pos_embed = fixed_positions(encoder.patch_embed.grid_size[0], dim, class_token)
        norm = lambda: nn.LayerNorm(dim, eps=1e-6)
        block = lambda: Block(dim, heads, mlp_ratio, qkv_bias=True, norm_layer=lambda dim: nn.LayerNorm(dim, eps=1e-6))
        self.blocks, self.norm = nn.Sequential(*[block() for _ in range(depth)]), norm()
        self.add_module(last, nn.Linear(dim, outputs))
        self.last = last

    def finish(self, x, rows):
        """What comes out at some places of a sequence."""
        return getattr(self, self.last)(self.norm(self.blocks(x))[:, rows])


def patchify(images, patch):
    """Pixels by patch: [batch, patch, row · column · channel]."""
    batch, channels, height, width = images.shape
    cut = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
