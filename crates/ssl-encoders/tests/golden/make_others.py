"""Makes `others/`: files of tiny networks as other packages write them, and their features in `others/features.safetensors`.

    python make_others.py

Written for torch 2.9.0, torchvision 0.24.0, timm 1.0.31, lightly 1.6.0, pytorch-lightning 2.6.6. Where the name of a file says
`official`, the layout is that of the official code, which is no package; the values are random everywhere.
"""

import argparse
from functools import partial

import pytorch_lightning as pl
import timm
import torch
from lightly.models import ResNetGenerator
from lightly.models.modules import MaskedVisionTransformerTIMM
from lightly.models.modules.heads import SimCLRProjectionHead
from make import HERE, TinyResNet, randomize
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.resnet import Bottleneck
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionVit

OUT = HERE / "others"
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
FEATURES = {"pixels": PIXELS}


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(20)
    lightly()
    torchvision()
    official()
    tensors = {name: value.contiguous() for name, value in FEATURES.items()}
    save_file(tensors, OUT / "features.safetensors")


def record(name, network, keep=lambda features: features):
    """The features of a network in evaluation mode."""
    with torch.inference_mode():
        FEATURES[name] = keep(network.eval()(PIXELS)).flatten(1)


class Example(pl.LightningModule):
    """As in lightly's examples: a backbone of a ResNet's children, and a head."""

    def __init__(self, backbone, dim):
        super().__init__()
        self.save_hyperparameters({"lr": 0.06, "dim": dim})
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(dim, dim, 8)

    def training_step(self, batch, index):
        # A step that changes nothing.
        return 0 * next(self.parameters()).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.06)


def checkpoint(name, network):
    """A checkpoint of a trainer, with its loops, callbacks and hyper-parameters."""
    quiet = {"logger": False, "enable_model_summary": False, "enable_progress_bar": False, "default_root_dir": OUT}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, enable_checkpointing=False, **quiet)
    data = torch.utils.data.DataLoader([0], batch_size=1)
    trainer.fit(network.train(), data)
    trainer.save_checkpoint(OUT / f"{name}.ckpt")


def lightly():
    resnet = randomize(TinyResNet())
    children = torch.nn.Sequential(*list(resnet.children())[:-1])
    record("lightly_torchvision", children)
    checkpoint("lightly_torchvision", Example(children, 32))

    # Its children in a row are another network, without the ReLU after the first norm.
    own = randomize(ResNetGenerator("resnet-9", width=1 / 16))
    torch.save(own.state_dict(), OUT / "lightly_resnet.pth")
    own.linear = torch.nn.Identity()
    record("lightly_resnet", own)

    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=0)
    masked = randomize(MaskedVisionTransformerTIMM(vit))
    record("lightly_vit", masked, lambda features: features)
    checkpoint("lightly_vit", Example(masked, 16))


def torchvision():
    vit = TorchvisionVit(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=64, num_classes=5)
    randomize(vit)
    torch.save(vit.state_dict(), OUT / "torchvision_vit.pth")
    vit.heads = torch.nn.Identity()
    record("torchvision_vit", vit)

    settings = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 2), CNBlockConfig(32, None, 1)]
    convnext = randomize(ConvNeXt(settings, layer_scale=0.5, num_classes=5))
    torch.save(convnext.state_dict(), OUT / "torchvision_convnext.pth")
    convnext.classifier[2] = torch.nn.Identity()
    record("torchvision_convnext", convnext)


def official():
    vit = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0, init_values=1e-5
    )
    randomize(vit)
    record("official_dinov2", vit)
    backbone = {f"backbone.{chunks(name)}": value for name, value in vit.state_dict().items()}
    backbone["backbone.mask_token"] = torch.randn(1, 16)
    torch.save({"teacher": backbone | {"dino_head.mlp.0.weight": torch.randn(4, 16)}}, OUT / "official_dinov2.pth")

    plain = VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=0)
    randomize(plain)
    record("official_dino", plain)
    # A full checkpoint, in the format of before torch 1.6.
    torch.save(dino(plain.state_dict()), OUT / "official_dino.pth", _use_new_zipfile_serialization=False)

    resnet = randomize(TinyBottlenecks())
    record("simclr_v2", resnet)
    # As Separius/SimCLRv2-Pytorch names the tensors of the official files.
    names = {simclr(name): value for name, value in resnet.state_dict().items()}
    torch.save({"resnet": names | {"fc.weight": torch.randn(10, 64)}, "head": {"layers.0.weight": torch.randn(4, 64)}},
               OUT / "simclr_v2.pth")


class TinyBottlenecks(TinyResNet):
    def __init__(self):
        super().__init__()
        self.inplanes = 4
        for stage in range(4):
            layer = self._make_layer(Bottleneck, 2 << stage, 1, stride=2 if stage else 1)
            setattr(self, f"layer{stage + 1}", layer)
        # The width of the first stage is that of the first convolution.
        self.conv1 = torch.nn.Conv2d(3, 2, 7, stride=2, padding=3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(2)
        self.inplanes = 2
        self.layer1 = self._make_layer(Bottleneck, 2, 1)


def simclr(name):
    if name.startswith("conv1."):
        return name.replace("conv1", "net.0.0")
    if name.startswith("bn1."):
        return name.replace("bn1", "net.0.1.0")
    stage, block, rest = name.removeprefix("layer").split(".", 2)
    layers = {"downsample.0": "projection.shortcut", "downsample.1": "projection.bn.0", "conv1": "net.0", "bn1": "net.1.0",
              "conv2": "net.2", "bn2": "net.3.0", "conv3": "net.4", "bn3": "net.5.0"}
    layer, end = rest.rsplit(".", 1)
    return f"net.{stage}.blocks.{block}.{layers[layer]}.{end}"


def chunks(name):
    """One block in each chunk, as training code for many devices has them."""
    parts = name.split(".")
    return ".".join(["blocks", parts[1], *parts[1:]]) if parts[0] == "blocks" else name


def dino(state):
    student = {f"module.backbone.{name}": torch.randn_like(value) for name, value in state.items()}
    teacher = {f"backbone.{name}": value for name, value in state.items()}
    heads = {"head.mlp.0.weight": torch.randn(4, 16), "head.last_layer.weight_v": torch.randn(8, 4)}
    student |= {f"module.{name}": value for name, value in heads.items()}
    network = torch.nn.Linear(4, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    args = argparse.Namespace(arch="vit_small", patch_size=8, lr=0.0005, momentum_teacher=0.996, output_dir="out")
    return {
        "student": student,
        "teacher": teacher | heads,
        "optimizer": optimizer.state_dict(),
        "epoch": 100,
        "args": args,
        "fp16_scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 12},
        "dino_loss": {"center": torch.randn(1, 8)},
    }


if __name__ == "__main__":
    main()
