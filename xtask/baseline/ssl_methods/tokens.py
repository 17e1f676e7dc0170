"""Vision transformers that see some patches, or a mask token in their place, and networks on their tokens."""

from functools import partial

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from .encoders import VITS, resized_positions


class TokenVit(VisionTransformer):
    """timm's vision transformer, whose positions may be fixed sines and cosines, and which may have a mask token.

    Own code: `tokens`. lightly's MaskedVisionTransformerTIMM has the same pieces under other names and with fixed sizes.
    """

    def __init__(self, mask_token=False, positions="learned", pool="class", registers=0, layer_scale=None, **config):
        # A feature is the mean of the patches after the last norm, or the class token.
        own = "token" if config.get("class_token", True) else "avg"
        super().__init__(
            num_classes=0, dynamic_img_size=True, global_pool=own, fc_norm=False, init_values=layer_scale, **config
        )
        if registers:
            # timm's own have another name, and no position for the class token.
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, self.embed_dim))
            nn.init.normal_(self.register_tokens, std=1e-6)
            self.num_prefix_tokens += registers
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
            registers = [self.register_tokens.expand(len(x), -1, -1)] if hasattr(self, "register_tokens") else []
            x = torch.cat([first, *registers, x], dim=1)
        return self.norm(self.blocks(x))

    def feature(self, tokens):
        """The feature of an image from its tokens."""
        return tokens[:, self.num_prefix_tokens :].mean(1) if self.mean_of_patches else tokens[:, 0]

    def forward(self, images):
        return self.feature(self.tokens(images))


def build_token_vit(config, image_size):
    """The network of the recipe's section `[encoder]`, with the initial values that `vit_init` names."""
    dim, depth, heads = VITS[config["name"]]
    dim, depth = config.get("embed_dim", dim), config.get("depth", depth)
    class_token = config.get("class_token", True)
    vit = TokenVit(
        mask_token=config.get("mask_token", False),
        positions=config.get("positions", "learned"),
        pool=config.get("pool", "class"),
        registers=config.get("registers", 0),
        layer_scale=config.get("layer_scale"),
        img_size=image_size,
        patch_size=config.get("patch_size", 16),
        embed_dim=dim,
        depth=depth,
        num_heads=config.get("heads", heads),
        mlp_ratio=config.get("mlp_ratio", 4),
        class_token=class_token,
    )
    start = config.get("vit_init", "truncated-normal")
    if start not in STARTS:
        raise ValueError(f"encoder.vit_init is {start}, expected {' or '.join(STARTS)}: the PyTorch twin has no other")
    STARTS[start](vit)
    return vit, dim


def as_timm(vit):
    """timm's own: truncated normal of standard deviation 0.02."""


@torch.no_grad()
def as_mae(vit):
    """Xavier-uniform weights, and normal tokens (MAE, `models_mae.py`)."""
    xavier(vit)
    patches = vit.patch_embed.proj.weight
    nn.init.xavier_uniform_(patches.view(len(patches), -1))
    for token in (vit.cls_token, getattr(vit, "mask_token", None)):
        if token is not None:
            nn.init.normal_(token, std=0.02)


@torch.no_grad()
def as_ijepa(vit):
    """Truncated normal weights, smaller at the end of both branches of later blocks (I-JEPA, `fix_init_weight`)."""
    nn.init.trunc_normal_(vit.patch_embed.proj.weight, std=0.02)
    nn.init.zeros_(vit.patch_embed.proj.bias)
    scaled_normal(vit)


def xavier(module):
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def scaled_normal(module):
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    for index, block in enumerate(module.blocks, start=1):
        for last in (block.attn.proj, block.mlp.fc2):
            last.weight.data.div_((2.0 * index) ** 0.5)


STARTS = {"truncated-normal": as_timm, "xavier": as_mae, "truncated-normal-scaled": as_ijepa}


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

    `last` is the name of its last layer: `pred` or `proj`; `start` fills the weights.
    """

    def __init__(self, encoder, dim, depth, heads, mlp_ratio, last, outputs, class_token, start):
        super().__init__()
        self.embed = nn.Linear(encoder.embed_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.normal_(self.mask_token, std=0.02)
        self.pos_embed = fixed_positions(encoder.patch_embed.grid_size[0], dim, class_token)
        norm = partial(nn.LayerNorm, eps=1e-6)
        blocks = [Block(dim, heads, mlp_ratio, qkv_bias=True, norm_layer=norm) for _ in range(depth)]
        self.blocks, self.norm = nn.Sequential(*blocks), norm(dim)
        self.add_module(last, nn.Linear(dim, outputs))
        self.last = last
        start(self)

    def finish(self, x, rows):
        """What comes out at some places of a sequence."""
        return getattr(self, self.last)(self.norm(self.blocks(x))[:, rows])


def patchify(images, patch):
    """Pixels by patch: [batch, patch, row · column · channel]."""
    batch, channels, height, width = images.shape
    cut = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
