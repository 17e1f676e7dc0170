"""Images per second of a torch DataLoader: image files to batches of two SimCLR views, which are dropped."""

import argparse
import io
import tarfile
import time
from itertools import islice
from pathlib import Path

import augment
from common import at_least_one, print_result, run, torch, versions
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

ENDINGS = {".jpg", ".jpeg", ".png"}
WARM_UP = 2


def main():
    args = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dataset = TwoViews(args.data, args.limit, args.library, args.size)
    batches = endless(DataLoader(
        dataset,
        batch_size=args.batch,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
    ))
    # The processes have started and their queues are in use after the first batches.
    for _ in range(WARM_UP * max(args.workers, 1)):
        next(batches)
    started = time.perf_counter()
    for _ in range(args.batches):
        next(batches)
    rate = args.batches * args.batch / (time.perf_counter() - started)
    result = {
        "images_per_s": rate,
        "library": args.library,
        "size": args.size,
        "batch": args.batch,
        "workers": args.workers,
        "images": len(dataset),
    }
    print_result(result | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="a tar or a folder of images")
    parser.add_argument("--limit", type=at_least_one, default=2048, help="use the first N images (2048)")
    parser.add_argument("--size", type=int, choices=list(augment.RECIPES), required=True, help="side of a view")
    parser.add_argument("--library", choices=["torchvision-pil", "torchvision-v2"], default="torchvision-pil")
    parser.add_argument("--workers", type=int, default=1, help="processes; 0: none but this one (1)")
    parser.add_argument("--batch", type=at_least_one, default=64, help="images in a batch (64)")
    parser.add_argument("--batches", type=at_least_one, default=40, help="batches to measure (40)")
    return parser.parse_args()


class TwoViews(Dataset):
    """Two random views [3, size, size] of each image, read and decoded each time."""

    def __init__(self, path, limit, library, size):
        self.path, self.library, self.size = path, library, size
        self.places = list(islice(places(path), limit))
        if not self.places:
            raise ValueError(f"{path} holds no images, expected files that end in {', '.join(sorted(ENDINGS))}")
        self.view = None

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        if self.view is None:
            self.view = view(self.library, self.size)
        image = Image.open(io.BytesIO(read(self.path, self.places[index]))).convert("RGB")
        if self.library == "torchvision-v2":
            image = v2.functional.pil_to_tensor(image)
        return self.view(image), self.view(image)


def view(library, size):
    """The augmentations of `augment.py`."""
    make, _ = augment.LIBRARIES[library](size, augment.RECIPES[size])
    return make([])[0]


def endless(loader):
    while True:
        yield from loader


def places(path):
    """Where each image is: a file, or a range of bytes of the tar."""
    if Path(path).is_dir():
        yield from sorted(file for file in Path(path).rglob("*") if file.suffix.lower() in ENDINGS)
        return
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in ENDINGS:
                    yield member.offset_data, member.size
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not a whole tar file: {error}") from error


def read(path, place):
    if isinstance(place, Path):
        return place.read_bytes()
    offset, size = place
    with open(path, "rb") as archive:
        archive.seek(offset)
        return archive.read(size)


if __name__ == "__main__":
    run(main)
