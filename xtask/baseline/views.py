"""The `[[views]]` of a recipe in torchvision v2, drawn per sample."""

from torchvision.transforms import InterpolationMode, v2

FILTERS = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def views_of(blocks):
    """For every view of an image, the transform that makes it: uint8 [3, h, w] -> uint8 [3, size, size]."""
    return [transform for block in blocks for transform in [view(block)] * block["count"]]


def view(block):
    steps = [operation(op, block["size"]) for op in block["ops"]]
    if not any(op["op"] == "random_resized_crop" for op in block["ops"]):
        steps.insert(0, v2.Resize((block["size"], block["size"]), antialias=True))
    return v2.Compose(steps)


def operation(op, size):
    match op["op"]:
        case "random_resized_crop":
            kernel = FILTERS[op["interpolation"]]
            return v2.RandomResizedCrop(size, tuple(op["scale"]), tuple(op["ratio"]), kernel, antialias=True)
        case "horizontal_flip":
            return v2.RandomHorizontalFlip(op["p"])
        case "color_jitter":
            strengths = [op[key] for key in ("brightness", "contrast", "saturation", "hue")]
            return v2.RandomApply([v2.ColorJitter(*strengths)], op["p"])
        case "grayscale":
            return v2.RandomGrayscale(op["p"])
        case "gaussian_blur":
            # A tenth of the view, made odd (SimCLR, appendix A).
            kernel = op.get("kernel_size") or size // 10 | 1
            return v2.RandomApply([v2.GaussianBlur(kernel, tuple(op["sigma"]))], op["p"])
        case "solarize":
            return v2.RandomSolarize(op["threshold"], op["p"])
    raise ValueError(f"the recipe has a view with the operation {op['op']}, expected one that the twin knows")
