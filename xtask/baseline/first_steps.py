"""Takes the steps that burn-ssl's example `first_steps` wrote down, in PyTorch, and compares the losses."""

import argparse
import json
import sys

from common import at_least_one, print_result, run, torch, versions
from lightly import __version__ as lightly_version
from safetensors import safe_open
from ssl_methods import Batch, Progress, Training, build_method, rates_at
from ssl_methods.method import load_tensors, named_tensors

# Relative difference up to which two losses agree.
TOLERANCE = 1e-4
# A difference is rounding where it is at most so many times that of PyTorch from itself.
ROUNDING_FACTOR = 10
# Perturbed runs, of which the one that departs most counts.
PERTURBATIONS = 3


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    if args.double:
        torch.set_default_dtype(torch.float64)
    file = Steps(args.file)
    losses = replay(file)
    differences = [relative(ours, theirs) for ours, theirs in zip(file.losses, losses)]
    departures = departures_of_torch(file, losses, args.perturb) if args.perturb else None
    for step, difference in enumerate(differences):
        itself = f", PyTorch from itself {departures[step]:.1e}" if departures else ""
        say(f"step {step}: burn-ssl {file.losses[step]:.6f}, PyTorch {losses[step]:.6f}, apart {difference:.1e}{itself}")
    print_result(result(file, args, losses, differences, departures))
    judge(differences, departures)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="what the example wrote")
    parser.add_argument("--perturb", type=float, help="change PyTorch's own weights by this share, such as 1e-7")
    parser.add_argument("--double", action="store_true", help="compute in float64, to see whose rounding it is")
    parser.add_argument("--threads", type=at_least_one, default=1)
    return parser.parse_args()


class Steps:
    """The file: metadata, losses, and tensors when they are asked for."""

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

    def batch(self, step):
        views, shuffles = self.under(f"views.{step}."), self.under(f"aux.{step}.shuffle.")
        labels = self.tensor(f"labels.{step}") if f"labels.{step}" in self.keys else None
        return Batch([views[str(i)] for i in range(len(views))], labels, [shuffles[str(i)] for i in range(len(shuffles))])

    def at(self, step):
        return Progress(step, self.total_steps, self.steps_per_epoch)


def replay(file, perturb=0.0, seed=0):
    """The losses of PyTorch, from weights that are changed by the share `perturb`."""
    method = build_method(file.recipe)
    load_start(method, file, perturb, seed)
    needs_orders = getattr(method, "shuffle", False)
    if needs_orders and not any(key.startswith("aux.0.shuffle.") for key in file.keys):
        raise ValueError("the recipe shuffles keys, but the file has no aux.0.shuffle.0, expected the orders of every step")
    training = Training(method, file.recipe["optimizer"], lambda at: rates_at(file.recipe, at))
    losses = []
    for step, rate in enumerate(file.rates):
        at = file.at(step)
        if relative(rate, rates_at(file.recipe, at).lr) > 1e-9:
            raise ValueError(f"the rate of step {step} is {rates_at(file.recipe, at).lr} here and {rate} in the file")
        losses.append(training.step(file.batch(step), at).item())
    return losses


def load_start(method, file, perturb, seed):
    """Weights and state as the file has them; the teacher's weights are changed as the student's."""
    student = {suite_name(path): value for path, value in file.under("init.student.").items()}
    state = file.under("init.state.")
    teacher = {suite_name(path): value for path, value in taken(state, "teacher.network.").items()}
    generator = torch.Generator().manual_seed(seed)
    for name in sorted(student):
        if perturb and not name.endswith(("running_mean", "running_var")):
            signs = torch.randint(0, 2, student[name].shape, generator=generator) * 2 - 1
            student[name] = student[name] * (1 + perturb * signs)
            if name in teacher:
                teacher[name] = student[name]
    load_tensors(method.student, student)
    if method.teacher is not None or teacher:
        load_tensors(method.teacher or {}, teacher)
    load_state(method, state)


def load_state(method, state):
    # SwAV's twin sees by the rows whether its queue is full.
    taken(state, "queue.filled")
    given = {STATE_NAMES.get(path, path): value for path, value in state.items()}
    wanted = method.state()
    if given.keys() != wanted.keys():
        raise ValueError(f"the file's state has {sorted(given)}, expected {sorted(wanted)}")
    for name, tensor in wanted.items():
        tensor.copy_(given[name].reshape(tensor.shape))


STATE_NAMES = {"queue.rows": "queue", "queue.next": "queue_ptr"}


def taken(tensors, prefix):
    """Takes what begins with a prefix out."""
    return {path[len(prefix) :]: tensors.pop(path) for path in list(tensors) if path.startswith(prefix)}


def suite_name(path):
    """`projector.layers.0.linear.weight` is `projector.0.linear.weight` in the conformance suite."""
    if path.startswith("encoder."):
        return path
    return path.replace(".mlp.layers.", ".", 1).replace(".layers.", ".", 1)


def relative(one, other):
    return abs(one - other) / max(abs(other), 1e-30)


def departures_of_torch(file, losses, perturb):
    """How far PyTorch is from itself at every step, from weights that differ by `perturb`."""
    runs = [replay(file, perturb, seed) for seed in range(1, PERTURBATIONS + 1)]
    return [max(relative(run[step], loss) for run in runs) for step, loss in enumerate(losses)]


def compared_steps(differences, departures):
    """Steps before PyTorch itself departs by more than the tolerance."""
    if departures is None:
        return len(differences)
    return next((step for step, found in enumerate(departures) if found > TOLERANCE), len(departures))


def result(file, args, losses, differences, departures):
    steps = compared_steps(differences, departures)
    found = {
        "method": file.recipe["method"],
        "encoder": f"{file.recipe['encoder']['name']}, width {file.recipe['encoder']['width']}",
        "optimizer": file.recipe["optimizer"]["name"],
        "batch_size": file.recipe["schedule"]["batch_size"],
        "device": file.device,
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "steps": len(losses),
        "steps_compared": steps,
        "largest_difference": max(differences[:steps], default=None),
        "differences": differences,
        "losses": file.losses,
        "losses_of_torch": losses,
    }
    if departures:
        departure = {"perturb": args.perturb, "largest_departure_of_torch": max(departures[:steps], default=None)}
        found |= departure | {"departures_of_torch": departures}
    return found | versions() | {"lightly": lightly_version}


def judge(differences, departures):
    """Raises a ValueError unless all compared steps agree: within 1e-4, or 10 times PyTorch's departure from itself."""
    steps = compared_steps(differences, departures)
    if steps == 0:
        raise ValueError("PyTorch departs from itself in step 0, expected steps to compare")
    for step in range(steps):
        allowed = max(TOLERANCE, ROUNDING_FACTOR * departures[step]) if departures else TOLERANCE
        if not differences[step] <= allowed:
            raise ValueError(f"the losses of step {step} are {differences[step]:.1e} apart, expected at most {allowed:.1e}")


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
