"""What the methods share: a batch, a student and a teacher, heads, and the names of their tensors."""

import copy
from dataclasses import dataclass, field

import torch
from lightly.models.modules.heads import ProjectionHead
from lightly.models.utils import update_momentum
from torch import Tensor, nn


@dataclass
class Batch:
    """Views of a batch of images, global ones first, each [batch, 3, height, width]."""

    views: list[Tensor]
    labels: Tensor | None = None
    # For MoCo: the i-th encoding of keys sees the images in the i-th order. Orders that are not given are drawn.
    shuffles: list[Tensor] = field(default_factory=list)
    # For LeJEPA: directions, [dim, slices]. They are drawn where there are none.
    slices: Tensor | None = None
    # For methods on tokens: indices of patches, `keep` [batch, kept], or `context` [1, batch, seen] and `target` [block, batch, hidden].
    masks: dict[str, Tensor] = field(default_factory=dict)


class Method(nn.Module):
    """One method; a step is `before_step`, `loss`, backward, clipping, `frozen`, optimizer, `after_step`."""

    # Name prefixes of student parameters that keep their peak learning rate.
    constant_rate = ()
    # Name prefixes of those that `held` may name.
    held_prefixes = ()

    def __init__(self, **networks):
        super().__init__()
        self.student, self.teacher = nn.ModuleDict(networks), None

    def make_teacher(self, *parts):
        """A copy of parts of the student, without gradients and with its own running statistics."""
        self.teacher = nn.ModuleDict({part: copy.deepcopy(self.student[part]) for part in parts})
        self.teacher.requires_grad_(False)

    def move_teacher(self, momentum):
        # lightly: only parameters; buffers stay the teacher's own, as in the suite.
        for part, network in self.teacher.items():
            update_momentum(self.student[part], network, momentum)

    def before_step(self, at):
        """Changes before the forward pass."""

    def loss(self, batch, at):
        raise NotImplementedError

    def frozen(self, at):
        """Prefixes of the parameters whose gradient is dropped at this step."""
        return ()

    def held(self, at):
        """Prefixes of the parameters whose rate is 0 at this step."""
        return ()

    def after_step(self, at):
        """Changes after the optimizer."""

    def state(self):
        """Tensors beside student and teacher that a step changes, by the suite's names."""
        return {}

    @property
    def encoder(self):
        """The network to evaluate and keep."""
        return self.student["encoder"]


def layer(outputs, bias=False, norm="none", act=None):
    """A layer of a head: linear, batch norm (`none`, `affine`, `scale`: no shift, `plain`: no parameters), activation."""
    return outputs, bias, norm, act


def head(inputs, *layers):
    """Layers as in lightly's `ProjectionHead`, with every bias explicit: by default it has one where no batch norm follows."""
    blocks = []
    for outputs, bias, norm, act in layers:
        blocks.append((inputs, outputs, batch_norm(outputs, norm), act() if act else None, bias))
        inputs = outputs
    return ProjectionHead(blocks)


def batch_norm(dim, norm):
    if norm == "none":
        return None
    made = nn.BatchNorm1d(dim, affine=norm != "plain")
    if norm == "scale":
        made.register_parameter("bias", None)
    return made


def named_tensors(networks):
    """Parameters and running statistics by the suite's names: `projector.0.linear.weight`, `encoder.conv1.weight`."""
    return {
        f"{part}.{name}": tensor
        for part, network in networks.items()
        for name, tensor in (head_tensors(network) if isinstance(network, ProjectionHead) else own_tensors(network))
    }


def own_tensors(module):
    yield from module.named_parameters()
    yield from ((name, buffer) for name, buffer in module.named_buffers() if not name.endswith("num_batches_tracked"))


def head_tensors(network):
    index = -1
    for module in network.layers:
        index += isinstance(module, nn.Linear)
        kind = "linear" if isinstance(module, nn.Linear) else "norm"
        yield from ((f"{index}.{kind}.{name}", tensor) for name, tensor in own_tensors(module))
    # The part of a head besides its layers: DINO's last one.
    yield from ((name, tensor) for name, tensor in own_tensors(network) if not name.startswith("layers."))


def trained_parameters(networks):
    """The parameters that an optimizer trains, by name."""
    named = named_tensors(networks).items()
    return {name: tensor for name, tensor in named if isinstance(tensor, nn.Parameter) and tensor.requires_grad}


@torch.no_grad()
def load_tensors(networks, given):
    """Copies the given tensors into networks that have exactly these."""
    wanted = named_tensors(networks)
    if wanted.keys() != given.keys():
        name = sorted(wanted.keys() ^ given.keys())[0]
        where = "the PyTorch twin, but not in the file" if name in wanted else "the file, but not in the PyTorch twin"
        raise ValueError(f"the tensor {name} is in {where}, expected the same tensors in both")
    for name, tensor in wanted.items():
        if tensor.shape != given[name].shape:
            found, expected = list(given[name].shape), list(tensor.shape)
            raise ValueError(f"the tensor {name} has the shape {found} in the file, expected {expected}")
        tensor.copy_(given[name])
