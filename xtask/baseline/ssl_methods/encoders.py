"""Encoders with torchvision's and timm's names."""

from functools import partial

import torch
from common import CONVNEXTS, convnext, resnet
from torch import nn
from torch.nn import functional as F

# Dimension, blocks, heads (DeiT, table 1).
VITS = {"vit-tiny": (192, 12, 3), "vit-small": (384, 12, 6), "vit-base": (768, 12, 12)}


def build_encoder(config, image_size):
    """The network of the recipe's section `[encoder]` and its feature dimension."""
    name = config["name"]
    if name in VITS:
        return named_vit(config, image_size)
    if name in CONVNEXTS:
        return named_convnext(config)
    norm = partial(SplitBatchNorm2d, splits=config["bn_splits"]) if config["bn_splits"] > 1 else nn.BatchNorm2d
    encoder, feature_dim = resnet(name, config["width"], config["stem"], norm)
    if config["zero_init_residual"]:
        zero_residuals(encoder)
    return encoder, feature_dim


def small_encoder(config):
    """An encoder that runs the same code and, unless it is a ViT, is narrow, as on our side."""
    if config["name"] in VITS:
        return config
    narrow = {"dims": [8, 16, 32, 64]} if config["name"] in CONVNEXTS else {"width": 8, "bn_splits": 1}
    return config | narrow


def check_attention(network):
    """timm uses PyTorch's fused attention unless an environment variable says otherwise."""
    if not all(getattr(module, "fused_attn", True) for module in network.modules()):
        raise ValueError("timm's attention is not fused, expected TIMM_FUSED_ATTN to be unset")


def zero_residuals(encoder):
    """Starts the last batch norm of every block at 0, so that blocks start as the identity."""
    for name, module in encoder.named_modules():
        if name.startswith("layer") and name.count(".") == 1:
            nn.init.zeros_((module.bn3 if hasattr(module, "bn3") else module.bn2).weight)


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that normalises `splits` groups of a batch separately: image i belongs to group i mod splits.

    Own code: lightly's SplitBatchNorm keeps running statistics per group, the suite their mean over the groups.
    """

    def __init__(self, num_features, splits):
        super().__init__(num_features)
        self.splits = splits

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        images, channels, height, width = x.shape
        groups = x.reshape(images // self.splits, self.splits * channels, height, width)
        mean, variance, weight, bias = (
            values.repeat(self.splits) for values in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        groups = F.batch_norm(groups, mean, variance, weight, bias, True, self.momentum, self.eps)
        self.running_mean.copy_(mean.view(self.splits, channels).mean(dim=0))
        self.running_var.copy_(variance.view(self.splits, channels).mean(dim=0))
        return groups.reshape(images, channels, height, width)


def named_vit(config, image_size):
    dim, depth, heads = VITS[config["name"]]
    dim, depth, heads = config.get("embed_dim", dim), config.get("depth", depth), config.get("heads", heads)
    return vit(image_size, config.get("patch_size", 16), dim, depth, heads, config.get("mlp_ratio", 4))


def named_convnext(config):
    sizes = {key: config[key] for key in ("depths", "dims") if key in config}
    made = {"ls_init_value": config.get("layer_scale", 1e-6), "drop_path_rate": config.get("drop_path", 0.0)}
    return convnext(config["name"], config["stem"], **sizes, **made)


def vit(image_size, patch_size, dim, depth, heads, mlp_ratio):
    """timm's vision transformer; for images of another size, the position embedding is resized as in DINO."""
    from timm.models.vision_transformer import VisionTransformer

    class Vit(VisionTransformer):
        def _pos_embed(self, x):
            images, height, width, dim = x.shape
            position = resized_positions(self.pos_embed, self.patch_embed.grid_size, (height, width))
            tokens = torch.cat([self.cls_token.expand(images, -1, -1), x.reshape(images, -1, dim)], dim=1)
            return tokens + position

    made = Vit(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        mlp_ratio=mlp_ratio,
        num_classes=0,
        dynamic_img_size=True,
    )
    return made, dim


def resized_positions(positions, grid, wanted, class_tokens=1):
    """Conformance suite, `pos_embed_resize`: bicubic, with 0.1 added to the requested size."""
    if grid == wanted:
        return positions
    patches = positions[:, class_tokens:].reshape(1, *grid, -1).permute(0, 3, 1, 2)
    scale = [(out + 0.1) / size for out, size in zip(wanted, grid)]
    patches = F.interpolate(patches, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :class_tokens], patches], dim=1)
