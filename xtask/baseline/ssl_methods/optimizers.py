"""LARS and LARC, which PyTorch lacks; SGD and AdamW are torch's (conformance suite, section 4)."""

import torch

from .method import trained_parameters

TOKENS = "cls_token pos_embed register_tokens mask_token".split()


class Lars(torch.optim.Optimizer):
    """Own code: lightly's LARS adds ‖g‖ and wd·‖p‖ in the denominator, and has no effect without weight decay."""

    def __init__(self, groups, momentum, eta, lr_in_momentum, clip_lr):
        defaults = {"momentum": momentum, "eta": eta, "lr_in_momentum": lr_in_momentum, "clip_lr": clip_lr}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self):
        for group, parameter in with_gradient(self.param_groups):
            gradient = parameter.grad
            if parameter.ndim > 1 and group["clip_lr"]:
                gradient = adapted(group, parameter)
            elif parameter.ndim > 1:
                gradient = gradient + group["weight_decay"] * parameter
                size, slope = parameter.norm(), gradient.norm()
                if size > 0 and slope > 0:
                    gradient = gradient * (group["eta"] * size / slope)
            apply_momentum(self.state[parameter], group, parameter, gradient)


class Larc(torch.optim.Optimizer):
    """Around SGD, as SwAV uses it without clipping: every tensor is adapted, biases too."""

    def __init__(self, groups, momentum, eta, clip_lr):
        super().__init__(groups, {"momentum": momentum, "eta": eta, "lr_in_momentum": False, "clip_lr": clip_lr})

    @torch.no_grad()
    def step(self):
        for group, parameter in with_gradient(self.param_groups):
            apply_momentum(self.state[parameter], group, parameter, adapted(group, parameter))


def adapted(group, parameter):
    """The gradient by LARC's formula, which is that of solo-learn's LARS too; with `clip_lr` no layer is faster than `lr`."""
    gradient, decay = parameter.grad, group["weight_decay"]
    size, slope = parameter.norm(), gradient.norm()
    if not (size > 0 and slope > 0):
        return gradient
    factor = group["eta"] * size / (slope + decay * size + 1e-8)
    if group["clip_lr"]:
        factor = (factor / group["lr"]).clamp(max=1.0)
    return (gradient + decay * parameter) * factor


def with_gradient(groups):
    return ((group, p) for group in groups for p in group["params"] if p.grad is not None)


def apply_momentum(state, group, parameter, gradient):
    lr = group["lr"]
    if group["lr_in_momentum"]:
        gradient, lr = lr * gradient, 1.0
    buffer = state.setdefault("momentum_buffer", torch.zeros_like(parameter))
    buffer.mul_(group["momentum"]).add_(gradient)
    parameter.sub_(buffer, alpha=lr)


def build_optimizer(config, method, fused=False):
    """The optimizer of the recipe's `[optimizer]` section, with a group for every combination of rates."""
    groups, parameters = {}, trained_parameters(method.student)
    blocks = [block_of(name) for name in parameters if name.startswith("encoder.")]
    depth = 1 + max((block for block in blocks if block is not None), default=-1)
    for name, parameter in parameters.items():
        held = next((prefix for prefix in method.held_prefixes if name.startswith(prefix)), None)
        kind = rate_of(name, parameter, method), decays(config, name, parameter), lr_scale(config, name, depth), held
        groups.setdefault(kind, []).append(parameter)
    groups = [
        {"params": params, "rate": rate, "decays": decay, "scale": scale, "held": held, "lr": 0.0}
        for (rate, decay, scale, held), params in groups.items()
    ]
    return make(config, groups, fused)


def block_of(name):
    """The number of the block that a parameter of an encoder belongs to."""
    parts = name.removeprefix("encoder.").split(".")
    return int(parts[1]) if parts[0] == "blocks" else None


def lr_scale(config, name, depth):
    """The factor of a parameter's rate: layer-wise decay and rules."""
    scale, decay = 1.0, config.get("layer_decay")
    if decay and name.startswith("encoder."):
        block, first = block_of(name), name.split(".")[1]
        layer = 0 if first in [*TOKENS, "patch_embed"] else depth + 1 if block is None else block + 1
        scale *= decay ** (depth + 1 - layer)
    for rule in rules_of(config, name):
        scale *= rule.get("lr_scale", 1.0)
    return scale


def rules_of(config, name):
    """The rules whose path's parts stand in a name, one after another."""
    parts = name.split(".")
    for rule in config.get("rules") or []:
        wanted = rule["path"].split(".")
        if any(parts[at : at + len(wanted)] == wanted for at in range(len(parts))):
            yield rule


def make(config, groups, fused):
    name, clip_lr = config["name"], config.get("clip_lr", False)
    for group in groups:
        group["weight_decay"] = 0.0
    match name:
        case "sgd":
            return torch.optim.SGD(groups, momentum=config["momentum"], nesterov=config["nesterov"], fused=fused or None)
        case "adamw":
            return torch.optim.AdamW(groups, betas=tuple(config["betas"]), eps=config.get("eps", 1e-8), fused=fused or None)
        case "lars":
            return Lars(groups, config["momentum"], config["trust_coefficient"], config["lr_in_momentum"], clip_lr)
        case "larc":
            return Larc(groups, config["momentum"], config["trust_coefficient"], clip_lr)
    raise ValueError(f"optimizer.name is {name}, expected sgd, lars, larc or adamw")


def rate_of(name, parameter, method):
    """Selects this parameter's rate out of those of a step."""
    if name.startswith(tuple(method.constant_rate)):
        return "lr_constant"
    return "lr" if parameter.ndim > 1 else "lr_1d"


def decays(config, name, parameter):
    """LARS never decays tensors of at most one axis; others not with `no_decay = "bias-and-norm"`."""
    if config["no_decay"] == "bias-norm-and-tokens" and name.split(".")[-1] in TOKENS:
        return False
    if any(rule.get("no_decay") for rule in rules_of(config, name)):
        return False
    bare = parameter.ndim <= 1 or name.endswith(".bias")
    return not bare or (config["no_decay"] == "none" and config["name"] != "lars")


def set_rates(optimizer, rates, held=()):
    for group in optimizer.param_groups:
        group["lr"] = 0.0 if group["held"] in held else group["scale"] * getattr(rates, group["rate"])
        group["weight_decay"] = rates.weight_decay if group["decays"] else 0.0
