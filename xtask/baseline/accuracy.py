"""Trains one method by a resolved recipe on a tar of small images, and tests it: PyTorch's side of an accuracy table."""

import argparse
import math
import sys
import time
import tomllib  # Python 3.11
from pathlib import Path

from common import check_device, layout, torch, versions
from first_steps import Steps, load_start
from images import indices, read_tar
from lightly import __version__ as lightly_version
from probes import FineTuning, finetuning, knn_top1, linear_top1, part_of_each_class
from process import at_least_one, print_result, run, variant
from ssl_methods import Batch, Progress, Training, build_method, draw_masks, rates_at, read_recipe, total_steps
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from views import views_of


def main():
    args = arguments()
    check_device(args.device)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    recipe = read_recipe(args.recipe)
    if args.epochs:
        recipe["schedule"]["epochs"] = args.epochs
    settings = tomllib.loads(Path(args.finetune).read_text()) if args.finetune else None
    sets = open_sets(recipe, args)
    images, labels = sets[:2]

    torch.manual_seed(args.seed)
    method = build_method(recipe)
    if args.start:
        load_start(method, Steps(args.start))
    method = method.to(args.device, memory_format=layout(args.variant))
    if "mask" in recipe and args.variant & {"amp", "compile"}:
        raise ValueError("methods on tokens run eagerly, expected a variant without amp and compile")
    apply_variant(method, args)
    normalize = normalization(recipe["data"])

    def scores(suffix):
        bank, queries = (encode(method.encoder, normalize, images) for images in (sets[0], sets[2]))
        knn = knn_top1(bank, labels, queries, sets[3], recipe["eval"])
        found = {f"knn_top1{suffix}": knn, f"linear_top1{suffix}": linear_top1(bank, labels, queries, sets[3])}
        found = {name: round(100 * value, 2) for name, value in found.items()}
        say(", ".join(f"{name} {value}" for name, value in found.items()))
        return found

    found = {"method": recipe["method"]}
    bank, queries = (normalize(images).flatten(1) for images in (sets[0], sets[2]))
    found["knn_top1_pixels"] = round(100 * knn_top1(bank, labels, queries, sets[3], recipe["eval"]), 2)
    del bank, queries
    found |= scores("_untrained")
    if settings:
        found["finetune_top1_untrained"] = finetuned(method, settings | {"layer_decay": None}, sets, recipe, normalize, args)
    loss, seconds, seen = train(method, recipe, TrainingViews(images, labels, recipe["views"]), normalize, args)
    found |= scores("")
    if settings:
        found["finetune_top1"] = finetuned(method, settings, sets, recipe, normalize, args)
    about = {
        "train_loss": loss,
        "seconds": round(seconds, 2),
        "images_per_s": round(seen / seconds, 1),
        "images": len(images),
        "test_images": len(sets[2]),
        "epochs": recipe["schedule"]["epochs"],
        "threads": args.threads,
        "workers": args.workers,
        "seed": args.seed,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "variant": "+".join(sorted(args.variant)) or "eager",
    }
    print_result(found | about | versions() | {"lightly": lightly_version})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    told = "a resolved recipe, JSON, or TOML such as recipe.toml of a run directory"
    parser.add_argument("--recipe-json", "--recipe", dest="recipe", required=True, help=told)
    parser.add_argument("--data", help="tar of training images, <class>/<name>.jpg (the recipe's)")
    parser.add_argument("--limit", type=at_least_one, help="use only this many images, the classes in turn (the recipe's)")
    parser.add_argument("--eval-test", help="tar of test images with the same classes (the recipe's)")
    parser.add_argument("--eval-limit", type=at_least_one, help="use only this many test images (the recipe's)")
    parser.add_argument("--eval-skip", type=int, default=0, help="skip the first N test images of the tar (0)")
    parser.add_argument("--epochs", type=at_least_one, help="passes over the images (the recipe's)")
    told = "TOML of settings: fine-tune on a share of the labels, pretrained and from scratch"
    parser.add_argument("--finetune", help=told)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="a file of the example first_steps, whose initial weights the run starts from")
    parser.add_argument("--threads", type=at_least_one, default=1, help="threads of the tensor operations (1)")
    parser.add_argument("--workers", type=int, default=0, help="processes that make views; 0: only this one (0)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    told = "eager, or channels_last, compile, amp joined by + (eager)"
    parser.add_argument("--variant", type=variant, default=set(), help=told)
    return parser.parse_args()


def open_sets(recipe, args):
    """Images and classes to train with, and to test with."""
    data, evaluation, size = recipe["data"], recipe["eval"], recipe["data"]["image_size"]
    paths = args.data or data["path"], args.eval_test or evaluation.get("test")
    for path, flag in zip(paths, ("--data", "--eval-test")):
        if not path:
            raise ValueError(f"neither the recipe nor {flag} names images, expected a tar")
    images, names = read_tar(paths[0], size, args.limit or data.get("limit"))
    test_images, test_names = read_tar(paths[1], size, args.eval_limit or evaluation.get("limit"), args.eval_skip)
    classes = sorted(set(names))
    return images, indices(names, classes, paths[0]), test_images, indices(test_names, classes, paths[0])


def apply_variant(method, args):
    """Networks compute as the variant says; losses are always in float32."""
    for network in [*method.student.values(), *(method.teacher or {}).values()]:
        if "amp" in args.variant:
            network.forward = torch.autocast(args.device, torch.bfloat16)(network.forward)
            network.register_forward_hook(lambda module, inputs, output: output.float())
        if "compile" in args.variant:
            network.compile()


def normalization(data):
    """uint8 [n, 3, h, w] -> float32, (x / 255 - mean) / std."""
    return lambda images: v2.functional.normalize(images.float() / 255, data["mean"], data["std"])


def train(method, recipe, dataset, normalize, args):
    """Trains in place; returns the mean loss of the last epoch, the seconds taken and the number of images seen."""
    loader = batches(dataset, recipe["schedule"]["batch_size"], args)
    steps = total_steps(recipe["schedule"], len(loader))
    if steps == 0:
        raise ValueError(f"a batch has more images than the data set, expected at most {len(dataset)}")
    training = Training(method, recipe["optimizer"], lambda at: rates_at(recipe, at))
    generator = torch.Generator().manual_seed(args.seed)
    started, step, losses = time.perf_counter(), 0, []
    while step < steps:
        losses = []
        for views, labels in loader:
            views = [normalize(view.to(args.device)).to(memory_format=layout(args.variant)) for view in views]
            batch = Batch(views, labels.to(args.device), masks=masks(recipe, views[0], generator, args.device))
            losses.append(training.step(batch, Progress(step, steps, len(loader))).item())
            if not math.isfinite(losses[-1]):
                raise ValueError(f"the loss is {losses[-1]} at step {step}, expected a finite number")
            step += 1
            if step == steps:
                break
        mean = sum(losses) / len(losses)
        say(f"step {step} of {steps}: loss {mean:.4f}, {time.perf_counter() - started:.0f} s")
    return mean, time.perf_counter() - started, steps * recipe["schedule"]["batch_size"]


def masks(recipe, images, generator, device):
    """The masks of a batch, where the recipe has some."""
    if "mask" not in recipe:
        return {}
    grid = images.shape[-1] // recipe["encoder"].get("patch_size", 16)
    found = draw_masks(recipe["mask"], len(images), grid, generator)
    return {name: indices.to(device) for name, indices in found.items()}


class TrainingViews(Dataset):
    """Random views of each image, uint8, and its class."""

    def __init__(self, images, labels, blocks):
        self.images, self.labels, self.views = images, labels, views_of(blocks)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return [view(image) for view in self.views], self.labels[index]


def batches(dataset, batch_size, args):
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=args.device == "cuda",
        generator=torch.Generator().manual_seed(args.seed),
    )


@torch.inference_mode()
def encode(encoder, normalize, images):
    """Features of the images without augmentation, in evaluation mode."""
    training = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    features = torch.cat([encoder(normalize(batch.to(device))).cpu() for batch in images.split(500)])
    encoder.train(training)
    return features


def finetuned(method, settings, sets, recipe, normalize, args):
    """Accuracy in per cent after training everything on a share of the labels."""
    images, labels, test_images, test_labels = sets
    part = part_of_each_class(labels, settings["fraction"], args.seed)
    classes, feature_dim = int(labels.max()) + 1, encode(method.encoder, normalize, images[:1]).shape[1]
    tuned = FineTuning(method, feature_dim, classes).to(args.device, memory_format=layout(args.variant))
    tuning = finetuning(settings, recipe["data"]["image_size"])
    train(tuned, tuning, TrainingViews(images[part], labels[part], tuning["views"]), normalize, args)
    right = encode(tuned, normalize, test_images).argmax(dim=1) == test_labels
    return round(100 * right.float().mean().item(), 2)


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
