"""SimCLR on a tar of small images, then k-NN: the recipe `simclr/cifar10` of burn-ssl in PyTorch."""

import argparse
import io
import sys
import tarfile
import time
from itertools import islice
from pathlib import PurePosixPath

from common import (
    SimClr,
    at_least_one,
    autocast,
    check_device,
    in_words,
    layout,
    nt_xent,
    print_result,
    run,
    torch,
    variant,
    versions,
)
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

SIZE = 32
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
TEMPERATURE = 0.5
# lightly's CIFAR-10 benchmark: SGD, lr 0.06 per 128 images, cosine without warm-up.
LR_PER_128, MOMENTUM, WEIGHT_DECAY = 0.06, 0.9, 5e-4
KNN_NEIGHBOURS, KNN_TEMPERATURE = 20, 0.07


def main():
    args = arguments()
    check_device(args.device)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    images, names = read_tar(args.data, args.limit)
    test_images, test_names = read_tar(args.eval_test, args.eval_limit)
    classes = sorted(set(names))
    labels, test_labels = indices(names, classes, args.data), indices(test_names, classes, args.data)

    torch.manual_seed(args.seed)
    model = SimClr("resnet18", args.width, "cifar").to(args.device, memory_format=layout(args.variant))

    def knn(features):
        top1 = knn_top1(features(images), labels, features(test_images), test_labels, len(classes))
        return round(100 * top1, 2)

    pixels = knn(lambda x: normalize(x).flatten(1))
    untrained = knn(lambda x: encode(model.encoder, x))
    say(f"k-NN top-1: pixels {pixels}, untrained {untrained}")
    loss, seconds, seen = train(model, images, args)
    trained = knn(lambda x: encode(model.encoder, x))
    result = {
        "knn_top1_untrained": untrained,
        "knn_top1_pixels": pixels,
        "knn_top1": trained,
        "train_loss": loss,
        "seconds": round(seconds, 2),
        "images_per_s": round(seen / seconds, 1),
        "threads": args.threads,
        "workers": args.workers,
        "seed": args.seed,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "variant": in_words(args.variant),
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="tar of training images, <class>/<name>.jpg")
    parser.add_argument("--limit", type=at_least_one, help="use the first N images")
    parser.add_argument("--eval-test", required=True, help="tar of test images with the same classes")
    parser.add_argument("--eval-limit", type=at_least_one, help="use the first N test images")
    parser.add_argument("--epochs", type=at_least_one, default=10)
    parser.add_argument("--batch-size", type=at_least_one, default=128)
    parser.add_argument("--width", type=at_least_one, default=16, help="channels of the first stage (16)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=at_least_one, default=2, help="threads of the tensor operations (2)")
    parser.add_argument("--workers", type=int, default=2, help="processes that make views; 0: none but this one (2)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--variant", type=variant, default=set(), help="eager, or several words joined by +, see README.md")
    return parser.parse_args()


def train(model, dataset, args):
    """Trains in place; returns the mean loss of the last epoch, the seconds taken and the number of images seen."""
    loader = views_loader(dataset, args)
    steps = len(loader) * args.epochs
    if steps == 0:
        raise ValueError(f"the batch size is {args.batch_size}, expected at most the number of images, {len(dataset)}")
    base = LR_PER_128 * args.batch_size / 128
    optimizer = torch.optim.SGD(model.parameters(), lr=base, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    forward = torch.compile(model) if "compile" in args.variant else model
    started = time.perf_counter()
    model.train()
    for epoch in range(args.epochs):
        losses = []
        for views in loader:
            images = torch.cat(views).to(args.device, memory_format=layout(args.variant), non_blocking=True)
            with autocast(args.variant, args.device):
                embeddings = forward(normalize(images))
            loss = nt_xent(embeddings, TEMPERATURE)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            cosine.step()
            losses.append(loss.item())
        mean = sum(losses) / len(losses)
        say(f"epoch {epoch + 1}/{args.epochs}: loss {mean:.4f}, {time.perf_counter() - started:.0f} s")
    return mean, time.perf_counter() - started, steps * args.batch_size


class TwoViews(Dataset):
    """Two random views [3, 32, 32] of each image, as uint8."""

    def __init__(self, images):
        self.images = images
        self.view = v2.Compose([
            v2.RandomResizedCrop(SIZE, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
        ])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return self.view(image), self.view(image)


def views_loader(images, args):
    return DataLoader(
        TwoViews(images),
        batch_size=args.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=args.device == "cuda",
        generator=torch.Generator().manual_seed(args.seed),
    )


def normalize(images):
    """uint8 [n, 3, h, w] -> float32, (x / 255 - mean) / std."""
    return v2.functional.normalize(images.float() / 255, MEAN, STD)


@torch.inference_mode()
def encode(encoder, images):
    """Features of the images without augmentation, in evaluation mode."""
    training = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    features = torch.cat([encoder(normalize(batch.to(device))).cpu() for batch in images.split(500)])
    encoder.train(training)
    return features


def knn_top1(bank, bank_labels, queries, query_labels, classes):
    """Share of right answers: k nearest by cosine, ties to the lower bank index, votes weighted by exp(cosine / T)."""
    cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    nearest = cosines.sort(dim=1, descending=True, stable=True)
    weights = (nearest.values[:, :KNN_NEIGHBOURS] / KNN_TEMPERATURE).exp()
    voted = bank_labels[nearest.indices[:, :KNN_NEIGHBOURS]]
    scores = torch.zeros(len(queries), classes).scatter_add_(1, voted, weights)
    return (scores.argmax(dim=1) == query_labels).float().mean().item()


def read_tar(path, limit):
    """The first images of a tar, uint8 [n, 3, 32, 32], and the name of the folder that each is in."""
    images, names = [], []
    for name, data in islice(files(path), limit):
        images.append(decode(data, f"{path}: {name}"))
        names.append(PurePosixPath(name).parent.name)
    if not images:
        raise ValueError(f"{path} holds no files, expected images as <class>/<name>.jpg")
    return torch.stack(images), names


def files(path):
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, archive.extractfile(member).read()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not a whole tar file: {error}") from error


def decode(data, name):
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB")
    except OSError as error:
        raise ValueError(f"{name} is not a readable image") from error
    if image.size != (SIZE, SIZE):
        raise ValueError(f"{name} has {image.width}x{image.height} pixels, expected {SIZE}x{SIZE}")
    return v2.functional.pil_to_tensor(image)


def indices(names, classes, path):
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ValueError(f"the test images have the class {unknown[0]}, expected a class of {path}")
    return torch.tensor([classes.index(name) for name in names])


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
