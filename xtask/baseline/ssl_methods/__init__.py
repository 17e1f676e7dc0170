"""Methods of burn-ssl in PyTorch, made from the same resolved recipe.

Written from the papers and from the definitions of the conformance suite, not from burn-ssl's code. Where lightly has a
piece of equal meaning it is lightly's, and a comment says so; where it only looks equal, a comment says what differs.
"""

import sys

try:
    import lightly as _
except ImportError as error:
    sys.exit(f"error: this Python cannot import {error.name}, expected lightly 1.6 ({sys.executable})")

from .barlow_twins import BarlowTwins
from .byol import Byol
from .dino import Dino
from .distill_features import DistillFeatures, read_teacher
from .encoders import build_encoder
from .ibot import DinoV2, IBot
from .ijepa import IJepa
from .lejepa import LeJepa
from .mae import Mae
from .masks import draw_masks
from .method import Batch
from .moco import MoCo
from .moco_v3 import MoCoV3
from .msn import Msn
from .nnclr import NnClr
from .recipe import Progress, check_recipe, rates_at, read_recipe, total_steps
from .simclr import Dcl, SimClr
from .simmim import SimMim
from .simsiam import SimSiam
from .supcon import SupCon
from .swav import Swav
from .tico import TiCo
from .tokens import build_token_vit
from .training import Training
from .vicreg import VicReg

METHODS = {
    "simclr": SimClr,
    "simclr-v2": SimClr,
    "dcl": Dcl,
    "dclw": Dcl,
    "moco-v1": MoCo,
    "moco-v2": MoCo,
    "moco-v3": MoCoV3,
    "nnclr": NnClr,
    "byol": Byol,
    "simsiam": SimSiam,
    "swav": Swav,
    "dino": Dino,
    "barlow-twins": BarlowTwins,
    "vicreg": VicReg,
    "tico": TiCo,
    "lejepa": LeJepa,
    "supcon": SupCon,
    "mae": Mae,
    "simmim": SimMim,
    "ijepa": IJepa,
    "ibot": IBot,
    "dinov2": DinoV2,
    "msn": Msn,
    "distill-features": DistillFeatures,
}

__all__ = [
    "METHODS",
    "Batch",
    "Progress",
    "Training",
    "build_encoder",
    "build_method",
    "check_recipe",
    "draw_masks",
    "rates_at",
    "read_recipe",
    "total_steps",
]


def build_method(recipe, teacher=None):
    """The method of a resolved recipe, with fresh weights from torch's generator.

    `teacher`, a network and the length of its features, replaces the file that a recipe of distillation names.
    """
    check_recipe(recipe)
    if recipe["method"] not in METHODS:
        raise ValueError(f"the recipe's method is {recipe['method']}, expected one of {', '.join(METHODS)}")
    build = build_token_vit if "mask" in recipe else build_encoder
    encoder, feature_dim = build(recipe["encoder"], recipe["data"]["image_size"])
    given = {"teacher": teacher or read_teacher(recipe)} if recipe["method"] == "distill-features" else {}
    return METHODS[recipe["method"]](recipe["method_options"], encoder, feature_dim, **given)
