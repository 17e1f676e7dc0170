"""SimCLR views per second on one core, from decoded random pixels, through torchvision, PIL or albumentations."""

import argparse
import os
import random
import statistics
import time

# When it is imported, albumentations looks online for a newer version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import numpy as np
from common import torch, vectors, versions
from PIL import Image, ImageFilter
from process import at_least_one, print_result, run
from torchvision import transforms as v1
from torchvision.transforms import v2

CIFAR10 = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# For each size of a view: size of the source (height, width), strengths of ColorJitter, blur, normalisation.
RECIPES = {
    32: {"source": (32, 32), "jitter": (0.4, 0.4, 0.4, 0.1), "blur": False, "normalize": CIFAR10},
    224: {"source": (375, 500), "jitter": (0.8, 0.8, 0.8, 0.2), "blur": True, "normalize": IMAGENET},
}
KERNEL, SIGMA = 23, (0.1, 2.0)
SOURCES = 32


def main():
    args = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, found = LIBRARIES[args.library](args.size, RECIPES[args.size])
    height, width = RECIPES[args.size]["source"]
    pixels = np.random.RandomState(0).randint(0, 256, (SOURCES, height, width, 3), dtype=np.uint8)
    view, sources = make(pixels)
    check(view(sources[0]), args.size)
    views_per_s(view, sources, max(1, args.views // 4))
    rates = [views_per_s(view, sources, args.views) for _ in range(args.repeats)]
    result = {
        "library": args.library,
        "size": args.size,
        "views": args.views,
        "views_per_s": rates,
        "median_views_per_s": statistics.median(rates),
    }
    print_result(result | versions() | found)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=list(LIBRARIES), required=True)
    parser.add_argument("--size", type=int, choices=list(RECIPES), required=True, help="side of a view in pixels")
    parser.add_argument("--views", type=at_least_one, default=1000, help="views in one repeat (1000)")
    parser.add_argument("--repeats", type=at_least_one, default=5, help="repeats, after one short warm-up (5)")
    return parser.parse_args()


def views_per_s(view, sources, views):
    started = time.perf_counter()
    for index in range(views):
        view(sources[index % len(sources)])
    return views / (time.perf_counter() - started)


def check(view, size):
    if tuple(view.shape) != (3, size, size) or view.dtype != torch.float32:
        raise RuntimeError(f"a view is {view.dtype} {tuple(view.shape)}, expected float32 (3, {size}, {size})")


def torchvision_pil(size, recipe):
    """torchvision's first transforms on PIL images; the blur is its own, a two-dimensional convolution."""
    return pil_views(size, recipe, v1.GaussianBlur(KERNEL, SIGMA))


def pil(size, recipe):
    """The same with PIL's blur, as in the official code of most methods."""
    return pil_views(size, recipe, pil_blur)


def pil_blur(image):
    return image.filter(ImageFilter.GaussianBlur(random.uniform(*SIGMA)))


def pil_views(size, recipe, blur):
    ops = [
        v1.RandomResizedCrop(size, scale=(0.08, 1.0)),
        v1.RandomHorizontalFlip(),
        v1.RandomApply([v1.ColorJitter(*recipe["jitter"])], p=0.8),
        v1.RandomGrayscale(p=0.2),
    ]
    if recipe["blur"]:
        ops.append(v1.RandomApply([blur], p=0.5))
    view = v1.Compose([*ops, v1.ToTensor(), v1.Normalize(**recipe["normalize"])])
    return lambda pixels: (view, [Image.fromarray(image) for image in pixels]), {"vectors": "Pillow as compiled"}


def torchvision_v2(size, recipe):
    """torchvision's second transforms, on uint8 tensors with the channels last in memory, as decoders make them."""
    ops = [
        v2.RandomResizedCrop(size, scale=(0.08, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(*recipe["jitter"])], p=0.8),
        v2.RandomGrayscale(p=0.2),
    ]
    if recipe["blur"]:
        ops.append(v2.RandomApply([v2.GaussianBlur(KERNEL, SIGMA)], p=0.5))
    view = v2.Compose([*ops, v2.ToDtype(torch.float32, scale=True), v2.Normalize(**recipe["normalize"])])
    found = {"vectors": vectors("cpu")}
    return lambda pixels: (view, [torch.from_numpy(image).permute(2, 0, 1) for image in pixels]), found


def albumentations(size, recipe):
    """albumentations on OpenCV, whose bilinear resize does not antialias."""
    return opencv_views(size, recipe, area_for_downscale=None)


def albumentations_area(size, recipe):
    """The same, averaging areas where the crop shrinks: albumentations' way of antialiasing."""
    return opencv_views(size, recipe, area_for_downscale="image")


def opencv_views(size, recipe, area_for_downscale):
    try:
        import albumentations as A
        import cv2
        from albumentations.pytorch import ToTensorV2
    except ImportError as error:
        raise ValueError(f"this Python cannot import {error.name}, expected albumentations 2") from error
    cv2.setNumThreads(0)
    ops = [
        A.RandomResizedCrop(size=(size, size), scale=(0.08, 1.0), area_for_downscale=area_for_downscale),
        A.HorizontalFlip(p=0.5),
        A.ColorJitter(*recipe["jitter"], p=0.8),
        A.ToGray(p=0.2),
    ]
    if recipe["blur"]:
        # With a limit of 0, sigma determines the number of taps, which is PIL's rule and faster than 23 taps.
        ops.append(A.GaussianBlur(blur_limit=0, sigma_limit=SIGMA, p=0.5))
    view = A.Compose([*ops, A.Normalize(**recipe["normalize"]), ToTensorV2()], seed=0)
    # The line names the instructions that OpenCV has loops for, with a question mark where the processor lacks them.
    loops = [name.strip("*") for name in cv2.getCPUFeaturesLine().split() if not name.endswith("?")]
    found = {"albumentations": A.__version__, "opencv": cv2.__version__, "vectors": f"OpenCV {loops[-1]}"}
    return lambda pixels: (lambda image: view(image=image)["image"], list(pixels)), found


LIBRARIES = {
    "pil": pil,
    "torchvision-pil": torchvision_pil,
    "torchvision-v2": torchvision_v2,
    "albumentations": albumentations,
    "albumentations-area": albumentations_area,
}

if __name__ == "__main__":
    run(main)
