"""A resolved recipe: reading it, checking it for what has no twin here, and its rates as functions of the step."""

import json
import math
from pathlib import Path
from typing import NamedTuple


class Progress(NamedTuple):
    """The point in a run of a step."""

    step: int
    total_steps: int
    steps_per_epoch: int

    @property
    def epoch(self):
        return self.step // self.steps_per_epoch


class Rates(NamedTuple):
    """The rates of one step; `lr_1d` is for tensors of at most one axis, `lr_constant` for parameters with a constant rate."""

    lr: float
    lr_1d: float
    lr_constant: float
    weight_decay: float


def read_recipe(path):
    """The recipe in a JSON file, or in a TOML file such as `recipe.toml` of a run directory."""
    text = Path(path).read_text()
    if Path(path).suffix != ".toml":
        return json.loads(text)
    import tomllib  # Python 3.11

    return tomllib.loads(text)


def check_recipe(recipe):
    """Raises a ValueError if a run of this recipe would differ from burn-ssl's."""
    for section in ("method", "encoder", "method_options", "data", "views", "optimizer", "schedule"):
        if section not in recipe:
            raise ValueError(f"the recipe has no '{section}', expected a resolved one, with every key written")
    for section in ("train", "optimizer"):  # They used to be keys of the optimizer.
        for key, only in {"accumulate": 1, "embed_chunk": 0}.items():
            found = recipe.get(section, {}).get(key, only)
            if found != only:
                raise ValueError(f"{section}.{key} is {found}, expected {only}: the PyTorch twin has no other")
    for rule in recipe["optimizer"].get("rules", []):
        if any(rule[key] for key in rule.keys() - {"path", "lr_scale", "no_decay"}):  # a resolved one has every key
            raise ValueError(f"a rule of the optimizer is {rule}, expected path, lr_scale and no_decay: the PyTorch twin has no other")
    if recipe.get("precision", "f32") not in ("f32", "float32"):
        raise ValueError(f"precision is {recipe['precision']}, expected f32: the PyTorch twin has no other")
    if recipe["encoder"].get("selective_kernel"):
        raise ValueError("encoder.selective_kernel is true, expected false: the PyTorch twin has no such network")


def total_steps(schedule, steps_per_epoch):
    """Number of steps in a whole run; `max_steps` shortens it."""
    steps = schedule["epochs"] * steps_per_epoch
    return min(steps, schedule.get("max_steps") or steps)


def rates_at(recipe, at):
    """The rates of a step (conformance suite, section 4)."""
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    peak = optimizer["lr"]
    if optimizer.get("lr_scale_batch"):
        share = schedule["batch_size"] / optimizer["lr_scale_batch"]
        peak *= math.sqrt(share) if optimizer.get("lr_scaling") == "sqrt" else share
    lr = learning_rate(schedule, peak, at)
    ratio = optimizer["lr_1d"] / optimizer["lr"] if "lr_1d" in optimizer else 1.0
    decay = optimizer["weight_decay"]
    decay = cosine(at.step, at.total_steps, decay, optimizer.get("weight_decay_end", decay))
    return Rates(lr, lr * ratio, peak, decay)


def learning_rate(schedule, peak, at):
    warmup = math.floor(schedule["warmup_epochs"] * at.steps_per_epoch + 0.5)
    if at.step < warmup and schedule["warmup"] == "step":
        return peak * at.step / warmup
    if at.step < warmup:
        start = schedule["lr_start"]
        return start + (peak - start) * (at.step / (warmup - 1) if warmup > 1 else 0.0)
    drops = schedule.get("lr_drops", [])
    if drops or not schedule["cosine"]:
        return peak * 0.1 ** sum(drop <= at.epoch for drop in drops)
    return cosine(at.step - warmup, at.total_steps - warmup, peak, schedule["lr_end"])


def between(at, start, end):
    """A straight line from `start` to `end` over the run."""
    return start + (end - start) * at.step / at.total_steps


def cosine(step, total, start, end):
    """Half a cosine from `start` at step 0 to `end` at step `total`."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * step / total))
