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


def build_optimizer(config, method):
    """The optimizer of the recipe's `[optimizer]` section, with a group for every combination of rates."""
    groups = {}
    for name, parameter in trained_parameters(method.student).items():
        kind = rate_of(name, parameter, method), decays(config, name, parameter)
        groups.setdefault(kind, []).append(parameter)
    groups = [{"params": params, "rate": rate, "decays": decay, "lr": 0.0} for (rate, decay), params in groups.items()]
    return make(config, groups)


def make(config, groups):
    name, clip_lr = config["name"], config.get("clip_lr", False)
    for group in groups:
        group["weight_decay"] = 0.0
    match name:
        case "sgd":
            return torch.optim.SGD(groups, momentum=config["momentum"], nesterov=config["nesterov"])
        case "adamw":
            return torch.optim.AdamW(groups, betas=tuple(config["betas"]), eps=config.get("eps", 1e-8))
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
    bare = parameter.ndim <= 1 or name.endswith(".bias")
    return not bare or (config["no_decay"] == "none" and config["name"] != "lars")


def set_rates(optimizer, rates):
    for group in optimizer.param_groups:
        group["lr"] = getattr(rates, group["rate"])
        group["weight_decay"] = rates.weight_decay if group["decays"] else 0.0
