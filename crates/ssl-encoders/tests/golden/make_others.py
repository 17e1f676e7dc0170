"""Makes `others/`: files of tiny networks as other packages write them, and their features in `others/features.safetensors`.

    python make_others.py

Written for torch 2.9.0, torchvision 0.24.0, timm 1.0.31, lightly 1.6.0, pytorch-lightning 2.6.6, lightly-train 0.18.0. The values are
random everywhere. Where the name of a file says `official`, the layout is that of the official code, which is no package. Where it
says `layout`, it is that of a package whose own code cannot be run beside today's torch: vissl 0.1.6, solo-learn 1.0.2 and its
repository. All other files are what the packages themselves have saved.
"""

import argparse
import os
import tempfile
from collections import OrderedDict

import numpy as np
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
    official_layouts()
    solo_learn()
    vissl()
    lightly_train()
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


def tiny_resnet(name):
    network = randomize(TinyResNet(2))
    record(name, network)
    return network.state_dict()


def tiny_vit(name):
    network = VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=0)
    record(name, randomize(network))
    return network.state_dict()


def under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def others(*names):
    """Tensors that are no part of an encoder."""
    return {name: torch.randn(4, 4) for name in names}


def another(state):
    """A network of the same shape with other values, such as a momentum encoder."""
    return {name: torch.randn_like(value) if value.is_floating_point() else value for name, value in state.items()}


def trained_by(optimizer, **options):
    """The state of an optimizer after a step."""
    network = torch.nn.Linear(4, 2)
    optimizer = optimizer(network.parameters(), **options)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def sgd():
    return trained_by(torch.optim.SGD, lr=0.3, momentum=0.9)


def official_layouts():
    """What the official scripts pass to `torch.save`."""
    layouts = {
        "moco_v3": (tiny_vit, moco_v3),
        "simsiam": (tiny_resnet, simsiam),
        "swav": (tiny_resnet, swav),
        "dino_student": (tiny_vit, dino_student),
        "barlow_twins": (tiny_resnet, barlow_twins),
        "vicreg": (tiny_resnet, vicreg),
        "mae": (tiny_vit, mae),
        "msn": (tiny_vit, msn),
        "byol": (tiny_resnet, byol),
    }
    for name, (network, layout) in layouts.items():
        torch.save(layout(network(f"official_{name}")), OUT / f"official_{name}.pth")


def moco_v3(state):
    """facebookresearch/moco-v3, main_moco.py."""
    own, key = under("module.base_encoder.", state), under("module.momentum_encoder.", another(state))
    heads = others("module.base_encoder.head.0.weight", "module.momentum_encoder.head.0.weight", "module.predictor.0.weight")
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 3}
    optimizer = trained_by(torch.optim.AdamW)
    return {"epoch": 300, "arch": "vit_small", "state_dict": own | key | heads, "optimizer": optimizer, "scaler": scaler}


def simsiam(state):
    """facebookresearch/simsiam, main_simsiam.py."""
    heads = others("module.encoder.fc.0.weight", "module.encoder.fc.6.bias", "module.predictor.0.weight")
    return {"epoch": 100, "arch": "resnet50", "state_dict": under("module.encoder.", state) | heads, "optimizer": sgd()}


def swav(state):
    """facebookresearch/swav, main_swav.py; the files it offers are the state alone."""
    heads = others("module.projection_head.0.weight", "module.projection_head.3.bias", "module.prototypes.weight")
    return {"epoch": 400, "state_dict": under("module.", state) | heads, "optimizer": sgd()}


def dino_student(state):
    """facebookresearch/dino, main_dino.py, without the teacher: with one, the teacher is loaded."""
    heads = others("module.head.mlp.0.weight", "module.head.last_layer.weight_g")
    args = argparse.Namespace(arch="vit_small", patch_size=16, epochs=100, local_crops_scale=(0.05, 0.4))
    student = under("module.backbone.", state) | heads
    return {"student": student, "optimizer": trained_by(torch.optim.AdamW), "epoch": 100, "args": args}


def barlow_twins(state):
    """facebookresearch/barlowtwins, main.py, whose LARS keeps `mu`."""
    plain = vicreg(state)
    norm = {"module.bn.running_mean": torch.randn(4), "module.bn.running_var": torch.rand(4)}
    optimizer = {"state": {0: {"mu": torch.randn(4)}}, "param_groups": [{"lr": 0.2, "weight_decay_filter": True, "params": [0]}]}
    return plain | {"model": plain["model"] | norm, "optimizer": optimizer}


def vicreg(state):
    """facebookresearch/vicreg, main_vicreg.py."""
    model = under("module.backbone.", state) | others("module.projector.0.weight", "module.projector.6.weight")
    return {"epoch": 1000, "model": model, "optimizer": sgd()}


def mae(state):
    """facebookresearch/mae, util/misc.py."""
    model = state | others("mask_token", "decoder_pos_embed", "decoder_embed.weight", "decoder_blocks.0.norm1.weight", "decoder_pred.bias")
    args = argparse.Namespace(model="mae_vit_base_patch16", mask_ratio=0.75, norm_pix_loss=True, device="cuda", world_size=64)
    return {"model": model, "optimizer": trained_by(torch.optim.AdamW), "epoch": 799, "scaler": {"scale": 65536.0}, "args": args}


def msn(state):
    """facebookresearch/msn, src/msn_train.py; a loss of numpy is what some trainers have."""
    target = under("module.", state) | others("module.fc.fc1.weight")
    anchor = under("module.", another(state)) | others("module.fc.fc1.weight")
    about = {"epoch": 800, "loss": np.float64(6.25), "batch_size": 64, "world_size": 16, "lr": np.float32(1e-3)}
    return {"encoder": anchor, "prototypes": torch.randn(8, 4), "target_encoder": target, "opt": trained_by(torch.optim.AdamW)} | about


def byol(state):
    """ajtejankar/byol-convert, convert.py: torchvision's names without counters, and filters in the order of Haiku."""
    as_haiku = lambda value: value.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1) if value.ndim == 4 else value
    kept = {name: as_haiku(value) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    return kept | {"fc.weight": torch.randn(4, 16), "fc.bias": torch.randn(4)}


class SoloLearn(pl.LightningModule):
    """The modules of solo-learn's momentum methods; `encoder` is what 1.0.2 calls the `backbone` of its repository."""

    def __init__(self, network, name):
        super().__init__()
        self.add_module(name, network)
        self.classifier = torch.nn.Linear(16, 5)
        self.projector = torch.nn.Sequential(torch.nn.Linear(16, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
        self.add_module(f"momentum_{name}", randomize(TinyResNet(2)))

    training_step = Example.training_step
    configure_optimizers = Example.configure_optimizers


def solo_learn():
    for file, name in [("layout_solo_learn", "backbone"), ("layout_solo_learn_1_0_2", "encoder")]:
        network = randomize(TinyResNet(2))
        record(file, network)
        checkpoint(file, SoloLearn(network, name))


def vissl():
    """vissl 0.1.6, hooks/log_hooks.py and models/base_ssl_model.py, which keep a trunk and heads."""
    trunk = OrderedDict(under("_feature_blocks.", tiny_resnet("layout_vissl")))
    heads = OrderedDict(others("0.clf.0.weight", "0.clf.0.bias"))
    base_model = {"model": {"trunk": trunk, "heads": heads}, "meta": {"trunk": {}}}
    meters = [{"name": "accuracy", "top_k": [1, 5], "value": np.float64(0.5)}]
    classy = {"train": True, "base_model": base_model, "meters": meters, "optimizer": {"optim": sgd()}, "phase_idx": 9}
    about = {"phase_idx": 10, "iteration": 50040, "loss": {}, "iteration_num": 50039, "train_phase_idx": 9}
    torch.save(about | {"classy_state_dict": classy}, OUT / "layout_vissl.torch")


def lightly_train():
    """A run of a step, whose checkpoint holds modules too; its events stay on this machine."""
    os.environ["LIGHTLY_TRAIN_EVENTS_DISABLED"] = "1"
    import lightly_train as package
    from PIL import Image
    from torchvision.models import ResNet

    network = randomize(TinyResNet(2))
    network.__class__ = ResNet  # the package knows torchvision's own networks alone
    network.fc = torch.nn.Linear(16, 5)
    with tempfile.TemporaryDirectory() as folder:
        images, out = f"{folder}/images", f"{folder}/out"
        os.mkdir(images)
        for shade in range(4):
            Image.new("RGB", (32, 32), (60 * shade, 200, 90)).save(f"{images}/{shade}.png")
        sizes = {"transform_args": {"image_size": (32, 32)}, "method_args": {"hidden_dim": 8, "output_dim": 4}}
        machine = {"accelerator": "cpu", "devices": 1, "num_workers": 0, "precision": "32-true"}
        package.pretrain(out=out, data=images, model=network, method="simclr", epochs=1, batch_size=4, **sizes, **machine)
        file = f"{out}/checkpoints/last.ckpt"
        os.replace(file, OUT / "lightly_train.ckpt")
    network.fc = torch.nn.Identity()
    saved = torch.load(OUT / "lightly_train.ckpt", weights_only=False)["state_dict"]
    prefix = "embedding_model.wrapped_model._features."
    network.load_state_dict({name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)})
    record("lightly_train", network)


if __name__ == "__main__":
    main()
