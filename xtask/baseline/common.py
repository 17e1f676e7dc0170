"""Shared by the scripts with PyTorch: networks, NT-Xent, what a variant means, the instructions in use."""

import contextlib
import os
import sys

try:
    import torch
    import torchvision
    from torch import nn
    from torch.nn import functional as F
    from torchvision.models import resnet as tv_resnet
except ImportError as error:
    sys.exit(f"error: this Python cannot import {error.name}, expected torch and torchvision ({sys.executable})")

ARCHITECTURES = {
    "resnet18": (tv_resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet34": (tv_resnet.BasicBlock, [3, 4, 6, 3]),
    "resnet50": (tv_resnet.Bottleneck, [3, 4, 6, 3]),
    "resnet101": (tv_resnet.Bottleneck, [3, 4, 23, 3]),
    "resnet152": (tv_resnet.Bottleneck, [3, 8, 36, 3]),
}

CONVNEXTS = ["convnext-tiny", "convnext-small", "convnext-base"]


def convnext(name, stem, **sizes):
    """timm's ConvNeXt, of other `depths` or `dims` if given, and its feature dimension.

    The "cifar" stem has patches of 2 pixels. With `patch_size=2`, timm would also halve the sides in the first stage.
    """
    import timm

    network = timm.create_model(name.replace("-", "_"), num_classes=0, **sizes)
    if stem == "cifar":
        network.stem[0] = nn.Conv2d(3, network.stem[0].out_channels, kernel_size=2, stride=2)
    return network, network.num_features


def resnet(name, width, stem, norm_layer=nn.BatchNorm2d):
    """A ResNet without `fc` and its feature dimension; stage s has blocks of width `width * 2**s`.

    With width 64 and the "imagenet" stem it is torchvision's own network. The "cifar" stem is a 3x3 convolution of
    stride 1 without max-pool. torchvision's `width_per_group` widens only the middle of a bottleneck, so the stages
    are rebuilt from its blocks. Instead of a name, it takes a block and the number of blocks of up to four stages.
    """
    block, layers = ARCHITECTURES[name] if isinstance(name, str) else name
    net = tv_resnet.ResNet(block, [1, 1, 1, 1], norm_layer=norm_layer)
    if stem == "cifar":
        net.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    else:
        net.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
    net.bn1 = norm_layer(width)
    net.inplanes = width
    for stage in range(4):
        made = nn.Identity()
        if stage < len(layers):
            made = net._make_layer(block, width * 2**stage, layers[stage], stride=1 if stage == 0 else 2)
        setattr(net, f"layer{stage + 1}", made)
    net.fc = nn.Identity()
    init_as_torchvision(net)
    return net, width * 2 ** (len(layers) - 1) * block.expansion


def init_as_torchvision(net):
    """Convolutions are normal with the fan-out rule; batch norms keep weight 1 and bias 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def nt_xent(z, temperature):
    """NT-Xent of z = [view 0; view 1], [2n, dim]: the mean over 2n rows of the cross-entropy (SimCLR, equation 1)."""
    rows = z.shape[0]
    z = F.normalize(z.float(), dim=1)
    # Scaling the embeddings and filling in place saves two passes over the large matrix.
    logits = (z / temperature) @ z.T
    logits.fill_diagonal_(float("-inf"))
    positives = (torch.arange(rows, device=z.device) + rows // 2) % rows
    return F.cross_entropy(logits, positives)


def layout(variant):
    """The memory format of weights and images."""
    return torch.channels_last if "channels_last" in variant else torch.contiguous_format


def autocast(variant, device):
    """bfloat16 where the variant has `amp`."""
    return torch.autocast(device, torch.bfloat16) if "amp" in variant else contextlib.nullcontext()


def check_device(device):
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device is cuda, but this PyTorch sees no CUDA device, expected --device cpu")


def load_libraries(variant, work):
    """Runs `work`, a small piece of the work to be measured, so that code and compilers are in memory."""
    if "compile" in variant:
        # Not the measured function: for its second shape, it would be compiled for any shape.
        x = torch.ones(64, requires_grad=True)
        torch.compile(lambda x: (2 * x).relu().sum())(x).backward()
    work()


def vectors(device, variant=frozenset()):
    """The vector instructions in use on the CPU."""
    if device != "cpu":
        return None
    check_float32()
    used = [f"ATen {torch.backends.cpu.get_cpu_capability()}"]
    if "ONEDNN_MAX_CPU_ISA" in os.environ:
        used.append(f"oneDNN at most {os.environ['ONEDNN_MAX_CPU_ISA']}")
    if "compile" in variant:
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        used.append(f"compiled {str(pick_vec_isa()).upper()}")
    return ", ".join(used)


def check_float32():
    """Processors with AMX could round float32 to bfloat16 on the way: products with 1 show that they do not."""
    x, ones = torch.full((64, 64), 1 + 2.0**-12), torch.eye(64)
    convolved = F.conv2d(x.view(16, 64, 2, 2), ones.view(64, 64, 1, 1))
    if not ((x @ ones == x).all() and (convolved.flatten() == x.flatten()).all()):
        raise ValueError("this PyTorch computes float32 with fewer bits, expected its default precision")


def operations(work, variant):
    """Multiplications and additions of products and convolutions, as PyTorch counts them; of eager PyTorch only."""
    if variant:
        return {}
    # Here, for the PyTorch of Debian 12 has neither, and the scripts that check exports run on it.
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # The counter doesn't know the fused attention of CPUs, but the products that stand for it.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return {"operations": counter.get_total_flops()}


def versions():
    """The versions that every result names."""
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}
