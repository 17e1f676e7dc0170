"""Shared by the baseline scripts: networks and NT-Xent in PyTorch, variants, memory, errors in one sentence, JSON results."""

import contextlib
import ctypes
import gc
import json
import os
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


# What a variant may add to eager PyTorch. The last two are settings that the process must start with.
VARIANTS = {"channels_last", "compile", "amp", "malloc", "pin"}
ENVIRONMENT = {"malloc": ["MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"], "pin": ["GOMP_CPU_AFFINITY"]}


def variant(text):
    """The type of `--variant`: the set of additions to eager PyTorch, such as `channels_last+malloc`."""
    parts = set(text.split("+")) - {"eager"}
    if not parts <= VARIANTS:
        raise ArgumentTypeError(f"found {text}, expected eager, or {', '.join(sorted(VARIANTS))} joined by +")
    for name in (name for part in parts for name in ENVIRONMENT.get(part, []) if name not in os.environ):
        raise ArgumentTypeError(f"{text} needs {name} in the environment, which `cargo xtask bench` sets")
    return parts


def in_words(variant):
    """The inverse of `variant`."""
    return "+".join(sorted(variant)) or "eager"


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
    """Seconds that one call takes until the device has finished."""
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def load_libraries(variant, work):
    """Runs `work`, a small piece of the work to be measured, so that code and compilers are in memory."""
    if "compile" in variant:
        # Not the measured function: for its second shape, it would be compiled for any shape.
        x = torch.ones(64, requires_grad=True)
        torch.compile(lambda x: (2 * x).relu().sum())(x).backward()
    work()


class Memory:
    """Peak memory in bytes: of tensors on a CUDA device, else resident (Linux only).

    Created when libraries and data are in memory and the measured work has not begun: the work needs the peak above
    this level.
    """

    def __init__(self, device):
        self.device = device
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
            self.before, self.earlier_peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            return
        give_back_freed()
        self.before, self.earlier_peak = resident("VmRSS"), resident("VmHWM")
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # Resets the peak.

    def figures(self):
        """The memory fields of every result; null where the system does not report them."""
        peak = torch.cuda.max_memory_allocated() if self.device == "cuda" else resident("VmHWM")
        known = peak is not None
        return {
            "peak_memory_bytes": max(peak, self.earlier_peak) if known else None,
            "memory_before_bytes": self.before,
            "peak_memory_above_bytes": peak - self.before if known else None,
        }


def give_back_freed():
    """Returns freed memory to the system, so that resident memory is the memory in use."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident(field):
    """A size from /proc/self/status in bytes."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


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


def at_least_one(text):
    """The type of a count on the command line."""
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
    """Runs `main`; a failure prints one sentence to standard error and exits with status 1."""
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
