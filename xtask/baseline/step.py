"""Time of one training step in PyTorch, of the method of a resolved recipe, on random views and masks made once."""

import argparse
import json
import statistics
import time
from pathlib import Path

from common import check_device, layout, load_libraries, nt_xent, operations, torch, vectors, versions
from lightly import __version__ as lightly_version
from process import Memory, at_least_one, in_words, print_result, run, timed, variant
from ssl_methods import Batch, Progress, Training, build_encoder, build_method, draw_masks, rates_at, read_recipe, total_steps
from ssl_methods.encoders import check_attention, small_encoder
from timm import __version__ as timm_version

# Steps of an epoch, as on our side. The steps are taken from the middle of the run.
STEPS_PER_EPOCH = 100
SMALL = {"temperature": 0.5, "projector_layers": 2, "hidden_dim": 0, "output_dim": 128}


def main():
    args = arguments()
    recipe = prepared(args)
    tiny = small(recipe)
    load_libraries(args.variant, make_step(tiny, make_batch(tiny, args), args, compiled=False))
    batch = make_batch(recipe, args)
    memory = Memory(args.device)
    step = make_step(recipe, batch, args, "compile" in args.variant)
    started = time.perf_counter()
    for _ in range(args.warmup):
        timed(step, args.device)
    warmup = time.perf_counter() - started
    seconds = [timed(step, args.device) for _ in range(args.steps)]
    result = measured(recipe, args, seconds) | {"warmup_s": warmup} | memory.figures() | versions()
    print_result(result | operations(step, args.variant))


def prepared(args):
    """Device, threads and the recipe, as the arguments have them."""
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    recipe = read_recipe(args.recipe)
    if args.batch:
        recipe["schedule"]["batch_size"] = args.batch
    check_variant(recipe, args.variant)
    return recipe


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    told = "a resolved recipe, JSON, or TOML such as recipe.toml of a run directory"
    parser.add_argument("--recipe-json", "--recipe", dest="recipe", required=True, help=told)
    parser.add_argument("--masks", help="JSON of the masks of the batch, as `cargo xtask bench step` writes them (drawn here)")
    parser.add_argument("--batch", type=at_least_one, help="images of a step (the recipe's)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager, or several words joined by +; see README.md")
    parser.add_argument("--steps", type=at_least_one, default=10, help="timed steps (10)")
    parser.add_argument("--warmup", type=int, default=3, help="warm-up steps before them (3)")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    return parser.parse_args()


def check_variant(recipe, variant):
    """Methods with masks take tokens from the encoder by functions of their own, which autocast, set for `forward`, does not reach."""
    if "mask" in recipe and "amp" in variant:
        raise ValueError(f"the variant is {in_words(variant)} for {recipe['method']}, which hides patches: expected one without amp")


def small(recipe):
    """A step of SimCLR on two images, which loads the code. Methods with large heads would leave memory to the pool."""
    plain = {"name": "sgd", "lr": 0.06, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4, "no_decay": "none"}
    changed = {"method": "simclr", "method_options": SMALL, "encoder": small_encoder(recipe["encoder"]), "optimizer": plain}
    changed["views"] = [recipe["views"][0] | {"count": 2}]
    changed["schedule"] = recipe["schedule"] | {"batch_size": 2}
    return {key: value for key, value in recipe.items() if key != "mask"} | changed


def make_batch(recipe, args):
    """Random views of all sizes, labels of ten classes, and the masks."""
    torch.manual_seed(0)
    images = recipe["schedule"]["batch_size"]
    sizes = [view["size"] for view in recipe["views"] for _ in range(view["count"])]
    views = [torch.randn(images, 3, size, size) for size in sizes]
    views = [view.to(args.device, memory_format=layout(args.variant)) for view in views]
    labels = torch.arange(images, device=args.device) % 10
    found = {name: indices.to(args.device) for name, indices in masks(recipe, args).items()}
    return Batch(views, labels, masks=found)


def masks(recipe, args):
    if "mask" not in recipe:
        return {}
    if args.masks:
        return {name: torch.tensor(indices) for name, indices in json.loads(Path(args.masks).read_text()).items()}
    grid = recipe["views"][0]["size"] // recipe["encoder"].get("patch_size", 16)
    return draw_masks(recipe["mask"], recipe["schedule"]["batch_size"], grid, torch.Generator().manual_seed(0))


def make_step(recipe, batch, args, compiled):
    """A function that runs one step. All variants without `amp` (bfloat16 autocast) compute in float32."""
    torch.manual_seed(0)
    method = build_method(recipe, teacher_of(recipe)).to(args.device, memory_format=layout(args.variant))
    quicken(method, recipe)
    check_attention(method)
    if "amp" in args.variant:
        halve(method, args.device)
    if compiled:
        method.loss = torch.compile(method.loss)
    training = Training(method, recipe["optimizer"], lambda at: rates_at(recipe, at), fused=True)
    total = total_steps(recipe["schedule"], STEPS_PER_EPOCH)
    # Another number in each step would make compiled functions be compiled again.
    at = Progress(total // 2, total, STEPS_PER_EPOCH)
    return lambda: training.step(batch, at)


def teacher_of(recipe):
    """A frozen network like the student, as on our side, for methods that learn from one."""
    if recipe["method"] != "distill-features":
        return None
    return build_encoder(recipe["encoder"], recipe["data"]["image_size"])


def quicken(method, recipe):
    """What one writes for speed: lightly's NT-Xent and its update of teachers take several passes more."""
    if recipe["method"] in ("simclr", "simclr-v2"):
        method.criterion = NtXent(recipe["method_options"]["temperature"])
    if method.teacher is None:
        return
    pairs = [(network, method.student[part]) for part, network in method.teacher.items()]

    @torch.no_grad()
    def move_teacher(momentum):
        for teacher, student in pairs:
            torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)

    method.move_teacher = move_teacher


class NtXent(torch.nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, z1, z2):
        return nt_xent(torch.cat([z1, z2]), self.temperature)


def halve(method, device):
    """Networks compute in bfloat16 where autocast has it; losses are in float32."""
    for network in [*method.student.values(), *(method.teacher or {}).values()]:
        network.forward = torch.autocast(device, torch.bfloat16)(network.forward)
        network.register_forward_hook(lambda module, inputs, output: output.float())


def measured(recipe, args, seconds):
    images, median = recipe["schedule"]["batch_size"], statistics.median(seconds)
    return {
        "step_seconds": seconds,
        "median_s": median,
        "images_per_s": images / median,
        "method": recipe["method"],
        "model": recipe["encoder"]["name"],
        "views": [[view["count"], view["size"]] for view in recipe["views"]],
        "batch": images,
        "variant": in_words(args.variant),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "vectors": vectors(args.device, args.variant),
        "conv_tf32": args.device == "cuda" and torch.backends.cudnn.allow_tf32,
        "lightly": lightly_version,
        "timm": timm_version,
    }


if __name__ == "__main__":
    run(main)
