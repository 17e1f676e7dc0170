"""Small images of a tar, decoded and kept in memory."""

import io
import tarfile
from itertools import islice
from pathlib import PurePosixPath

from common import torch
from PIL import Image
from torchvision.transforms.v2 import functional


def read_tar(path, size, limit=None, skip=0):
    """Images of a tar, uint8 [n, 3, size, size], and the name of the folder that each is in.

    The first `skip` are left out; of the rest, `limit` are kept as in burn-ssl: the k-th image of every class before the
    next of any, in the order of the tar.
    """
    try:
        with tarfile.open(path) as archive:
            members = list(islice((member for member in archive if member.isfile()), skip, None))
            names = [PurePosixPath(member.name).parent.name for member in members]
            kept = in_turn(names, limit) if limit else range(len(members))
            images = [decode(archive.extractfile(members[i]).read(), size, f"{path}: {members[i].name}") for i in kept]
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not a whole tar file: {error}") from error
    if not images:
        raise ValueError(f"{path} holds no images after the first {skip}, expected <class>/<name>.jpg")
    return torch.stack(images), [names[i] for i in kept]


def in_turn(names, limit):
    """Places, in increasing order, of `limit` names taken from the classes in turn."""
    seen, turns = {}, []
    for place, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        turns.append((seen[name], place))
    return sorted(place for _, place in sorted(turns)[:limit])


def decode(data, size, name):
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB")
    except OSError as error:
        raise ValueError(f"{name} is not a readable image") from error
    if image.size != (size, size):
        raise ValueError(f"{name} has {image.width}x{image.height} pixels, expected {size}x{size}")
    return functional.pil_to_tensor(image)


def indices(names, classes, path):
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ValueError(f"the test images have the class {unknown[0]}, expected a class of {path}")
    return torch.tensor([classes.index(name) for name in names])
