"""Images per second of a torch DataLoader, from image files to batches of two SimCLR views, which are dropped."""

import argparse
import io
import os
import tarfile
import time
from itertools import islice
from pathlib import Path

import augment
import numpy as np
from common import torch, versions
from PIL import Image
from process import at_least_one, print_result, run
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.io import ImageReadMode, decode_image

ENDINGS = {".jpg", ".jpeg", ".png"}
WARM_UP = 2
ENDLESS = 1 << 40


def main():
    args = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dataset = TwoViews(args.data, args.limit, args.library, args.size)
    _, found = augment.LIBRARIES[args.library](args.size, augment.RECIPES[args.size])
    result = {
        "runs": [measure(args, dataset, workers) for workers in args.workers],
        "library": args.library,
        "size": args.size,
        "batch": args.batch,
        "images": len(dataset),
    }
    print_result(result | versions() | found)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="a tar or a folder of images")
    parser.add_argument("--limit", type=at_least_one, default=2048, help="use the first N images (2048)")
    parser.add_argument("--size", type=int, choices=list(augment.RECIPES), required=True, help="side of a view")
    parser.add_argument("--library", choices=list(augment.LIBRARIES), default="albumentations")
    parser.add_argument("--workers", type=counts, default=[1, 2], help="numbers of processes, in turn (1,2)")
    parser.add_argument("--batch", type=at_least_one, default=64, help="images in a batch (64)")
    parser.add_argument("--seconds", type=float, default=4.0, help="minimum seconds to measure each number of workers (4)")
    return parser.parse_args()


def counts(text):
    return [at_least_one(count) for count in text.split(",")]


def measure(args, dataset, workers):
    """Images per second, and CPU time of all processes per image, in microseconds."""
    # One endless epoch, because workers wait for each other between epochs.
    order = RandomSampler(dataset, num_samples=ENDLESS)
    loader = DataLoader(dataset, args.batch, sampler=order, num_workers=workers, persistent_workers=True)
    batches = iter(loader)
    # After the first batches, the processes have started and their queues are in use.
    for _ in range(WARM_UP * workers):
        next(batches)
    processes = [os.getpid(), *(worker.pid for worker in batches._workers)]
    started, before, images = time.perf_counter(), cpu_seconds(processes), 0
    while time.perf_counter() - started < args.seconds:
        next(batches)
        images += args.batch
    seconds, cpu = time.perf_counter() - started, cpu_seconds(processes) - before
    return {"workers": workers, "images_per_s": images / seconds, "cpu_us_per_image": 1e6 * cpu / images}


def cpu_seconds(processes):
    """Seconds that all threads of the processes have run, according to the scheduler; NaN without /proc."""
    try:
        tasks = [task for process in processes for task in Path(f"/proc/{process}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        return float("nan")


class TwoViews(Dataset):
    """Two random views [3, size, size] of each image, read and decoded each time."""

    def __init__(self, path, limit, library, size):
        self.path, self.library, self.size = path, library, size
        self.places = list(islice(places(path), limit))
        if not self.places:
            raise ValueError(f"{path} holds no images, expected files that end in {', '.join(sorted(ENDINGS))}")
        self.view = self.decode = self.archive = None

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        if self.view is None:  # Once in each process.
            self.view, self.decode = view(self.library, self.size), decoder(self.library)
        image = self.decode(self.read(self.places[index]))
        return self.view(image), self.view(image)

    def read(self, place):
        if isinstance(place, Path):
            return place.read_bytes()
        if self.archive is None:
            self.archive = os.open(self.path, os.O_RDONLY)
        offset, size = place
        return os.pread(self.archive, size, offset)


def view(library, size):
    """The augmentations of `augment.py`."""
    make, _ = augment.LIBRARIES[library](size, augment.RECIPES[size])
    return make([])[0]


def decoder(library):
    """Decodes the bytes of a file into what the library takes, with the library's usual decoder."""
    if library == "torchvision-v2":
        return lambda data: decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    if library.startswith("albumentations"):
        import cv2

        return lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return lambda data: Image.open(io.BytesIO(data)).convert("RGB")


def places(path):
    """The place of each image: a file, or a range of bytes in the tar."""
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


if __name__ == "__main__":
    run(main)
