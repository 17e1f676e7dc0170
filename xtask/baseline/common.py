"""What the baseline scripts share: SimCLR in PyTorch, errors in one sentence, a result as one line of JSON."""

import contextlib
import json
import sys
import time
from argparse import ArgumentTypeError

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


class SimClr(nn.Module):
    """Images [n, 3, h, w] -> embeddings [n, out_dim]: encoder, then projector."""

    def __init__(self, model, width, stem, out_dim=128):
        super().__init__()
        self.encoder, feature_dim = resnet(model, width, stem)
        self.projector = projector(feature_dim, out_dim)

    def forward(self, images):
        return self.projector(self.encoder(images))


def resnet(name, width, stem, norm_layer=nn.BatchNorm2d):
    """A ResNet without `fc` and its feature dimension; stage s has blocks of width `width * 2**s`.

    With width 64 and the "imagenet" stem it is torchvision's own network. The "cifar" stem is a 3x3 convolution of
    stride 1 without max-pool. torchvision's `width_per_group` widens only the middle of a bottleneck, so the stages
    are made anew from its blocks. In place of a name it takes a block and the number of blocks of up to four stages.
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
    """Convolutions normal with the fan-out rule; batch norms keep weight 1 and bias 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def projector(feature_dim, out_dim):
    """Two linear layers without bias, batch norm after each, ReLU between; the last batch norm has no shift."""
    last = nn.BatchNorm1d(out_dim)
    last.bias.requires_grad_(False)
    return nn.Sequential(
        nn.Linear(feature_dim, feature_dim, bias=False),
        nn.BatchNorm1d(feature_dim),
        nn.ReLU(inplace=True),
        nn.Linear(feature_dim, out_dim, bias=False),
        last,
    )


def nt_xent(z, temperature):
    """NT-Xent of z = [view 0; view 1], [2n, dim]: the mean over 2n rows of the cross-entropy (SimCLR, equation 1)."""
    rows = z.shape[0]
    z = F.normalize(z.float(), dim=1)
    itself = torch.eye(rows, dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, float("-inf"))
    positives = (torch.arange(rows, device=z.device) + rows // 2) % rows
    return F.cross_entropy(logits, positives)


VARIANTS = {"channels_last", "compile", "amp"}


def variant(text):
    """The type of `--variant`: the set of what is added to eager PyTorch, as in `amp+channels_last`."""
    parts = set() if text == "eager" else set(text.split("+"))
    if not parts <= VARIANTS:
        raise ArgumentTypeError(f"found {text}, expected eager, or {', '.join(sorted(VARIANTS))} joined by +")
    return parts


def layout(variant):
    """The memory format of weights and images."""
    return torch.channels_last if "channels_last" in variant else torch.contiguous_format


def autocast(variant, device):
    """bfloat16 where the variant has `amp`."""
    return torch.autocast(device, torch.bfloat16) if "amp" in variant else contextlib.nullcontext()


def check_device(device):
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device is cuda, but this PyTorch sees no CUDA device, expected --device cpu")


def timed(work, device):
    """Seconds of one call, until the device has finished it."""
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_memory(device):
    """Peak bytes: of tensors on a CUDA device, else resident bytes of the process (None on Windows)."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def at_least_one(text):
    """The type of a command-line number that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"found {text}, expected a whole number of at least 1")
    return int(text)


def versions():
    """The versions that every result names."""
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}


def print_result(result):
    """Prints the result as the last line of standard output."""
    print(json.dumps(result), flush=True)


def run(main):
    """Runs `main`; a failure ends in one sentence on standard error and exit status 1."""
    try:
        main()
    except OSError as error:
        sys.exit(f"error: cannot read {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
    except ValueError as error:
        sys.exit(f"error: {first_line(error)}")
    except RuntimeError as error:
        sys.exit(f"error: PyTorch stopped with {type(error).__name__}: {first_line(error)}")


def first_line(error):
    return next(iter(str(error).splitlines()), "no message")
