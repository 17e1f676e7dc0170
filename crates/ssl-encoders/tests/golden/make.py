"""Makes the files beside it: tensor names of torchvision and timm, two tiny checkpoints with their features, a tiny ViT of
timm with registers, and steps of a tiny ResNet with selective kernels. Those of ConvNeXts are cases of the conformance suite, which
`xtask/baseline/convnext_cases.py` writes.

    python make.py

Written for torch 2.9.0, torchvision 0.24.0, timm 1.0.31. Run it again only to change what it makes.
"""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet

HERE = Path(__file__).parent


class TinyResNet(ResNet):
    """torchvision's stages and forward pass at a width of 4; its constructor knows only 64 at the stem."""

    def __init__(self, width=4):
        torch.nn.Module.__init__(self)
        self._norm_layer, self.dilation, self.groups, self.base_width = torch.nn.BatchNorm2d, 1, 1, 64
        self.inplanes = width
        self.conv1 = torch.nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.relu = torch.nn.ReLU()
        self.maxpool = torch.nn.MaxPool2d(3, stride=2, padding=1)
        for stage in range(4):
            layer = self._make_layer(BasicBlock, width << stage, 1, stride=2 if stage else 1)
            setattr(self, f"layer{stage + 1}", layer)
        self.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        self.fc = torch.nn.Identity()


def main():
    torch.manual_seed(0)
    write_names("resnet18", models.resnet18())
    write_names("resnet50", models.resnet50())
    write_names("vit_tiny", timm.create_model("vit_tiny_patch16_224", num_classes=0))
    for name in ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "convnext_tiny"]:
        write_names(name, timm.create_model(name, num_classes=0))

    pixels = torch.randn(2, 3, 32, 32)
    resnet = randomize(TinyResNet().eval())
    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=0)
    vit = randomize(vit.eval())
    with torch.inference_mode():
        features = {"pixels": pixels, "resnet": resnet(pixels), "vit": vit(pixels)}
    save_file({key: value.contiguous() for key, value in features.items()}, HERE / "features.safetensors")
    torch.save(moco(resnet.state_dict()), HERE / "moco.pth")
    torch.save(dino(vit.state_dict()), HERE / "dino.pth")
    write_registers()
    write_mean()
    write_selective_kernel()


def write_registers():
    """A ViT with registers and layer scale as timm builds them for DINOv2, under `model.`, with pixels and features."""
    torch.manual_seed(1)
    dinov2 = {"reg_tokens": 3, "no_embed_class": True, "init_values": 1e-5, "num_classes": 0}
    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, **dinov2)
    vit = randomize(vit.eval())
    pixels = torch.randn(2, 3, 32, 32)
    tensors = {"pixels": pixels} | {f"model.{name}": value for name, value in vit.state_dict().items()}
    with torch.inference_mode():
        # The tokens in their order: class, registers, patches.
        tensors["tokens"] = vit.forward_features(pixels)
    save_file({name: value.contiguous() for name, value in tensors.items()}, HERE / "registers.safetensors")


def write_mean():
    """A ViT of timm whose feature is the mean of the normalised patches, with pixels and features."""
    torch.manual_seed(2)
    pooling = {"global_pool": "avg", "fc_norm": False, "num_classes": 0}
    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2, **pooling)
    vit = randomize(vit.eval())
    pixels = torch.randn(2, 3, 32, 32)
    tensors = {"pixels": pixels} | {f"model.{name}": value for name, value in vit.state_dict().items()}
    with torch.inference_mode():
        tensors["features"] = vit(pixels)
    save_file({name: value.contiguous() for name, value in tensors.items()}, HERE / "mean.safetensors")


class SelectiveKernel(torch.nn.Module):
    """Bottlenecks of widths 4 and 8 behind a ResNet-D stem, in the names of ssl-encoders.

    The definition is that of SimCLR v2 (tf2/resnet.py): branches stacked and mixed by a softmax over the stack, mean over
    the valid positions of a window where there is no stride, zeros behind an odd side elsewhere.
    """

    def __init__(self):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.deep_stem = torch.nn.ModuleList(
            torch.nn.ModuleList([conv(a, 2, 3, stride=s, padding=1, bias=False), norm(2)]) for a, s in [(3, 2), (2, 1)]
        )
        self.conv1, self.bn1 = conv(2, 4, 3, padding=1, bias=False), norm(4)
        self.layer1 = torch.nn.ModuleList([SelectiveBlock(4, 4, 1), SelectiveBlock(16, 4, 1)])
        self.layer2 = torch.nn.ModuleList([SelectiveBlock(16, 8, 2)])

    def forward(self, x):
        for conv, norm in [*self.deep_stem, (self.conv1, self.bn1)]:
            x = norm(conv(x)).relu()
        x = torch.nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        for block in [*self.layer1, *self.layer2]:
            x = block(x)
        return x.mean(dim=(2, 3))


class SelectiveBlock(torch.nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.width, self.stride = width, stride
        self.conv1, self.bn1 = conv(inputs, width, 1, bias=False), norm(width)
        self.conv2 = conv(width, 2 * width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(2 * width)
        self.attn = torch.nn.Module()
        self.attn.fc_reduce, self.attn.bn = conv(width, max(width // 16, 32), 1, bias=False), norm(max(width // 16, 32))
        self.attn.fc_select = conv(max(width // 16, 32), 2 * width, 1, bias=False)
        self.conv3, self.bn3 = conv(width, 4 * width, 1, bias=False), norm(4 * width)
        if stride != 1 or inputs != 4 * width:
            self.downsample = torch.nn.ModuleList([conv(inputs, 4 * width, 1, bias=False), norm(4 * width)])

    def forward(self, x):
        shortcut = x
        if hasattr(self, "downsample"):
            conv, norm = self.downsample
            shortcut = norm(conv(self.pool(x)))
        x = self.bn1(self.conv1(x)).relu()
        branches = torch.stack(self.bn2(self.conv2(x)).relu().split(self.width, dim=1))
        pooled = branches.sum(dim=0).mean(dim=(2, 3), keepdim=True)
        mixing = self.attn.fc_select(self.attn.bn(self.attn.fc_reduce(pooled)).relu())
        mixing = torch.stack(mixing.split(self.width, dim=1)).softmax(dim=0)
        return (self.bn3(self.conv3((branches * mixing).sum(dim=0))) + shortcut).relu()

    def pool(self, x):
        pad, pool = torch.nn.functional.pad, torch.nn.functional.avg_pool2d
        padded = pool(pad(x, (0, 1, 0, 1)), 2, stride=self.stride)
        if self.stride > 1:
            return padded
        return padded / pool(pad(torch.ones_like(x), (0, 1, 0, 1)), 2, stride=1)


def write_selective_kernel():
    """One pass in training mode in float64 with its gradients, then one in evaluation mode."""
    torch.manual_seed(7)
    network = randomize(SelectiveKernel()).double().train()
    # The stages see an odd side (5) and an even one (8).
    pixels = torch.randn(4, 3, 18, 32).double().requires_grad_()
    weights = torch.randn(4, 32).double()
    tensors = {f"init.{key}": value.clone() for key, value in network.state_dict().items() if keep(key)}
    features = network(pixels)
    (features * weights).sum().backward()
    tensors |= {f"grad.{key}": value.grad for key, value in network.named_parameters()}
    tensors |= {f"after.{key}": value for key, value in network.state_dict().items() if "running" in key}
    tensors |= {"pixels": pixels.detach(), "weights": weights, "train": features.detach(), "grad_pixels": pixels.grad}
    with torch.inference_mode():
        tensors["eval"] = network.eval()(pixels)
    tensors = {key: value.detach().float().contiguous() for key, value in tensors.items()}
    save_file(tensors, HERE / "selective_kernel.safetensors")


def write_names(name, model):
    """One tensor per line, name and shape, as the encoder has them: without classifier and counters."""
    tensors = [(key, value) for key, value in model.state_dict().items() if keep(key)]
    lines = sorted(" ".join([key, *map(str, value.shape)]) for key, value in tensors)
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")


def keep(key):
    return not key.startswith("fc.") and not key.endswith("num_batches_tracked")


def randomize(model):
    """Values of the size of trained ones, running statistics included."""
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            fan_in = value[0].numel() if value.ndim > 1 else 1
            noise = torch.randn_like(value) * (0.2 if value.ndim == 1 else fan_in**-0.5)
            one = value.ndim == 1 and (key.endswith("weight") or key.endswith("running_var"))
            value.copy_(noise.abs() + 1 if one else noise)
    return model


def moco(state):
    """As the official code of MoCo saves: queries, keys, queue, a head, an optimizer."""
    own = {f"module.encoder_q.{key}": value for key, value in state.items()}
    others = {"module.encoder_k.bn1.weight": torch.zeros(4), "module.queue": torch.zeros(4, 8)}
    head = {"module.encoder_q.fc.0.weight": torch.zeros(4, 32), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    momentum = {"state": {0: {"momentum_buffer": torch.zeros(4)}}, "param_groups": [{"lr": 0.03, "params": [0]}]}
    return {"epoch": 200, "arch": "resnet", "state_dict": own | others | head, "optimizer": momentum}


def dino(state):
    """As the official code of DINO saves: a student wrapped for several devices, a teacher, heads."""
    teacher = {f"backbone.{key}": value for key, value in state.items()}
    student = {f"module.backbone.{key}": torch.zeros_like(value) for key, value in state.items()}
    head = {"head.mlp.0.weight": torch.zeros(4, 16)}
    return {"student": student, "teacher": teacher | head, "epoch": 100}


if __name__ == "__main__":
    main()
