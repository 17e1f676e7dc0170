"""Takes the steps recorded by burn-ssl's example `first_steps` in PyTorch, and compares the losses."""

import argparse
import json
import sys
import zlib
from typing import NamedTuple

from common import torch, versions
from lightly import __version__ as lightly_version
from process import at_least_one, print_result, run
from safetensors import safe_open
from ssl_methods import Batch, Progress, Training, build_method, rates_at
from ssl_methods.method import load_tensors, named_tensors

# Relative difference up to which two losses agree.
TOLERANCE = 1e-4
# A difference counts as rounding if it is at most this many times PyTorch's departure from itself.
ROUNDING_FACTOR = 10
# The same for tensors after the last step, as a share of their change.
END_TOLERANCE = 1e-2
# Number of perturbed runs; the one that departs most counts.
PERTURBATIONS = 3


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    if args.double:
        torch.set_default_dtype(torch.float64)
    file = Steps(args.file)
    torch_run = replay(file)
    perturbed = [replay(file, args.perturb, seed) for seed in range(1, PERTURBATIONS + 1)] if args.perturb else []
    comparison = Comparison(file, torch_run, perturbed)
    comparison.tell()
    print_result(comparison.result(args))
    comparison.judge()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="the output of the example")
    parser.add_argument("--perturb", type=float, help="change PyTorch's own weights by this share, such as 1e-7")
    parser.add_argument("--double", action="store_true", help="compute in float64, to see whose rounding a difference is")
    parser.add_argument("--threads", type=at_least_one, default=1)
    return parser.parse_args()


class Steps:
    """The file: metadata and losses, and tensors on request."""

    def __init__(self, path):
        self.file = safe_open(path, "pt")
        self.keys = set(self.file.keys())
        try:
            told = json.loads(self.file.metadata()["burn-ssl"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} has no metadata 'burn-ssl', expected a file of the example first_steps") from error
        self.recipe, self.rates, self.device = told["recipe"], told["lr"], told["device"]
        self.total_steps, self.steps_per_epoch = told["total_steps"], told["steps_per_epoch"]
        self.losses = [self.tensor(f"loss.{step}").item() for step in range(len(self.rates))]

    def tensor(self, key):
        tensor = self.file.get_tensor(key)
        return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor

    def under(self, prefix):
        return {key[len(prefix) :]: self.tensor(key) for key in self.keys if key.startswith(prefix)}

    def tensors_at(self, place):
        """Student, teacher and state at `init` or `end`, by the suite's names."""
        found = {suite_name(path): tensor for path, tensor in self.under(f"{place}.").items()}
        # SwAV's twin tells from the number of rows whether its queue is full.
        found.pop("queue.filled", None)
        return found

    def batch(self, step):
        views, shuffles = self.under(f"views.{step}."), self.under(f"aux.{step}.shuffle.")
        labels = self.tensor(f"labels.{step}") if f"labels.{step}" in self.keys else None
        orders = [shuffles[str(i)] for i in range(len(shuffles))]
        aux = self.under(f"aux.{step}.")
        masks = {key.removeprefix("ids_"): value for key, value in aux.items() if key.startswith("ids_") or key == "mask"}
        slices = aux["slices"] / aux["slices"].norm(dim=0) if "slices" in aux else None
        return Batch([views[str(i)] for i in range(len(views))], labels, orders, slices, masks)

    def at(self, step):
        return Progress(step, self.total_steps, self.steps_per_epoch)


class Run(NamedTuple):
    """The losses of all steps, and all tensors after the last."""

    losses: list
    end: dict


def replay(file, perturb=0.0, seed=0):
    """PyTorch's result of the steps, starting from weights changed by the share `perturb`."""
    method = build_method(file.recipe)
    load_start(method, file, perturb, seed)
    if getattr(method, "shuffle", False) and "aux.0.shuffle.0" not in file.keys:
        raise ValueError("the recipe shuffles keys, but the file has no aux.0.shuffle.0, expected the orders of every step")
    training = Training(method, file.recipe["optimizer"], lambda at: rates_at(file.recipe, at))
    losses = []
    for step, rate in enumerate(file.rates):
        at = file.at(step)
        if relative(rate, rates_at(file.recipe, at).lr) > 1e-9:
            raise ValueError(f"the rate of step {step} is {rate} in the file, expected {rates_at(file.recipe, at).lr}")
        losses.append(training.step(file.batch(step), at).item())
    return Run(losses, tensors_of(method))


def tensors_of(method):
    networks = {"student": method.student, "teacher": method.teacher or {}}
    named = {f"{who}.{name}": tensor for who, parts in networks.items() for name, tensor in named_tensors(parts).items()}
    return {name: tensor.detach().clone() for name, tensor in (named | method.state()).items()}


def load_start(method, file, perturb=0.0, seed=0):
    """Weights and state from the file; the teacher's weights are perturbed in the same directions as the student's."""
    given = file.tensors_at("init")
    for name, tensor in given.items():
        if perturb and name.startswith(("student.", "teacher.")) and not name.endswith(("running_mean", "running_var")):
            given[name] = tensor * (1 + perturb * signs(name.split(".", 1)[1], tensor.shape, seed))
    load_tensors(method.student, taken(given, "student."))
    load_tensors(method.teacher or {}, taken(given, "teacher."))
    wanted = method.state()
    if given.keys() != wanted.keys():
        raise ValueError(f"the file's state has {sorted(given)}, expected {sorted(wanted)}")
    for name, tensor in wanted.items():
        tensor.copy_(given[name].reshape(tensor.shape))


def signs(name, shape, seed):
    """Random 1 and -1, the same for the same name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)
    return torch.randint(0, 2, shape, generator=generator) * 2 - 1


def suite_name(path):
    """`student.projector.layers.0.linear.weight` is `student.projector.0.linear.weight` in the conformance suite."""
    who, _, rest = path.replace("state.teacher.network.", "teacher.", 1).partition(".")
    if who == "state":
        return STATE_NAMES.get(rest, rest)
    if not rest.startswith("encoder."):
        rest = rest.replace(".mlp.layers.", ".", 1).replace(".layers.", ".", 1)
    return f"{who}.{rest}"


STATE_NAMES = {"queue.rows": "queue", "queue.next": "queue_ptr", "covariance": "cov"}


def taken(tensors, prefix):
    """Removes and returns what begins with a prefix."""
    return {path[len(prefix) :]: tensors.pop(path) for path in list(tensors) if path.startswith(prefix)}


def relative(one, other):
    return abs(one - other) / max(abs(other), 1e-30)


class Comparison:
    """Compares our losses and last tensors with PyTorch's, and PyTorch with itself from perturbed weights."""

    def __init__(self, file, torch_run, perturbed):
        self.file, self.run = file, torch_run
        self.differences = [relative(ours, theirs) for ours, theirs in zip(file.losses, torch_run.losses)]
        departures = [[relative(run.losses[step], loss) for run in perturbed] for step, loss in enumerate(torch_run.losses)]
        self.departures = [max(step) for step in departures] if perturbed else None
        self.steps = len(self.differences)
        if perturbed:
            apart = (step for step, departure in enumerate(self.departures) if departure > TOLERANCE)
            self.steps = next(apart, self.steps)
        self.end = end_differences(file, torch_run, perturbed) if self.compares_end() else None

    def compares_end(self):
        """The tensors after the last step must agree if the losses of all steps do."""
        return self.steps == len(self.differences)

    def tell(self):
        for step, difference in enumerate(self.differences):
            itself = f", PyTorch from itself {self.departures[step]:.1e}" if self.departures else ""
            losses = f"burn-ssl {self.file.losses[step]:.6f}, PyTorch {self.run.losses[step]:.6f}"
            say(f"step {step}: {losses}, apart {difference:.1e}{itself}")
        for name, (difference, departure) in list((self.end or {}).items())[:5]:
            say(f"after the last step: {name} apart {difference:.1e}, PyTorch from itself {departure:.1e}")

    def result(self, args):
        recipe = self.file.recipe
        found = {
            "method": recipe["method"],
            "encoder": encoder_name(recipe["encoder"]),
            "optimizer": recipe["optimizer"]["name"],
            "batch_size": recipe["schedule"]["batch_size"],
            "device": self.file.device,
            "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
            "perturb": args.perturb,
            "steps": len(self.differences),
            "steps_compared": self.steps,
            "largest_difference": max(self.differences[: self.steps], default=None),
            "largest_departure_of_torch": max((self.departures or [])[: self.steps], default=None),
            "worst_tensor": next(iter(self.end.items()), None) if self.end else None,
            "lr": self.file.rates,
            "losses": self.file.losses,
            "losses_of_torch": self.run.losses,
            "differences": self.differences,
            "departures_of_torch": self.departures,
            "recipe": recipe,
        }
        return found | versions() | {"lightly": lightly_version}

    def judge(self):
        """Raises a ValueError unless every compared value is within its tolerance or 10 times PyTorch's departure."""
        if self.steps == 0:
            raise ValueError("PyTorch departs from itself in step 0, expected steps to compare")
        for step in range(self.steps):
            found, itself = self.differences[step], self.departures[step] if self.departures else 0.0
            if not found <= max(TOLERANCE, ROUNDING_FACTOR * itself):
                raise ValueError(f"the losses of step {step} are {found:.1e} apart, PyTorch from itself {itself:.1e}")
        for name, (found, itself) in (self.end or {}).items():
            if not found <= max(END_TOLERANCE, ROUNDING_FACTOR * itself):
                raise ValueError(f"{name} is {found:.1e} apart after the last step, PyTorch from itself {itself:.1e}")


def encoder_name(encoder):
    size = "embed_dim" if "embed_dim" in encoder else "width"
    return f"{encoder['name']}, {size} {encoder[size]}"


def end_differences(file, torch_run, perturbed):
    """Per tensor after the last step, ours and perturbed PyTorch's largest difference from PyTorch as a share of the tensor's
    largest change; those come first that are furthest off for their rounding."""
    start, ours, found = file.tensors_at("init"), file.tensors_at("end"), {}
    for name, theirs in torch_run.end.items():
        change = float((theirs - start[name].reshape(theirs.shape)).abs().max())
        share = [apart(run[name], theirs) / max(change, 1e-30) for run in [ours] + [run.end for run in perturbed]]
        if change > 0 or share[0] > 0:
            found[name] = share[0], max(share[1:], default=0.0)
    return dict(sorted(found.items(), key=lambda item: item[1][0] / max(END_TOLERANCE, ROUNDING_FACTOR * item[1][1]), reverse=True))


def apart(one, other):
    return float((one.reshape(other.shape) - other).abs().max())


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
