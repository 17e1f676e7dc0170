"""Which patches of a batch are kept, hidden or asked for: the recipe's section `[mask]`."""

import math

import torch


def draw_masks(config, images, grid, generator=None):
    """`keep`, `mask`, or `context` and `target`, for `images` images with `grid` patches on each side."""
    views = len(config["views"])
    match config["kind"]:
        case "random":
            return {"keep": random_keep(config, views * images, grid, generator)}
        case "focal" if not config["focal_views"]:
            return {"keep": random_keep(config, views * images, grid, generator)}
        case "block" if not config["complete"]:
            return {"mask": torch.stack([block_mask(config, ratio, grid, generator) for ratio in ratios(config, views * images, generator)])}
        case "multi-block":
            return multi_block(config, images, grid, generator)
    raise ValueError(f"mask.kind is {config['kind']}, expected random, block, multi-block or focal without focal_views")


def ratios(config, images, generator):
    """Shares of hidden patches, 0 for images without a mask: spread over the batch (DINOv2), or drawn for each (iBOT)."""
    low, high = config["ratio"]
    if config["drawn_per"] == "image":
        masked = torch.rand(images, generator=generator) < config["probability"]
        return torch.where(masked, low + (high - low) * torch.rand(images, generator=generator), 0.0).tolist()
    masked = int(images * config["probability"])
    spread = low + (high - low) * (torch.arange(masked) + torch.rand(masked, generator=generator)) / max(masked, 1)
    found = torch.zeros(images)
    found[torch.randperm(images, generator=generator)[:masked]] = spread
    return found.tolist()


def block_mask(config, ratio, grid, generator):
    """Rectangles are hidden until there are enough, or one finds no place in ten tries: [row, column]."""
    mask, missing = torch.zeros(grid, grid, dtype=torch.int64), int(grid**2 * ratio)
    uniform = lambda low, high: low + (high - low) * torch.rand((), generator=generator).item()
    tries = 0
    while missing > 0 and tries < 10:
        tries += 1
        area, aspect = uniform(config["min_patches"], missing), math.exp(uniform(*map(math.log, config["aspect"])))
        rows, columns = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if rows >= grid or columns >= grid:
            continue
        top, left = (torch.randint(grid - side + 1, (), generator=generator).item() for side in (rows, columns))
        block = mask[top : top + rows, left : left + columns]
        added = block.numel() - int(block.sum())
        if 1 <= added <= missing:
            block.fill_(1)
            missing, tries = missing - added, 0
    return mask


def random_keep(config, images, grid, generator):
    """Rising indices of what MAE's `random_masking` keeps; squares of `unit` patches are kept or hidden together."""
    unit = config.get("unit", 1)
    side = grid // unit
    count = int(side**2 * (1 - config["ratio"]))
    keep = torch.rand(images, side**2, generator=generator).argsort(dim=1)[:, :count]
    mask = torch.zeros(images, side**2).scatter(1, keep, 1.0).reshape(images, side, side)
    mask = mask.repeat_interleave(unit, 1).repeat_interleave(unit, 2).flatten(1)
    return mask.nonzero()[:, 1].reshape(images, count * unit**2)


def multi_block(config, images, grid, generator):
    """I-JEPA's blocks, with the differences of burn-ssl's: sizes are drawn for the batch, places for every image."""
    uniform = lambda low, high: low + (high - low) * torch.rand((), generator=generator).item()

    def size(scale, aspect):
        area, ratio = int(grid**2 * uniform(*scale)), uniform(*aspect)
        sides = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        return [min(max(side, 1), grid) for side in sides]

    def rectangle(rows, columns):
        top, left = (torch.randint(grid - side + 1, (), generator=generator).item() for side in (rows, columns))
        return [row * grid + column for row in range(top, top + rows) for column in range(left, left + columns)]

    target, context = size(config["target_scale"], config["target_aspect"]), size(config["context_scale"], (1.0, 1.0))
    contexts, targets = [], []
    for _ in range(images):
        for _attempt in range(20):
            blocks = [rectangle(*target) for _ in range(config["targets"])]
            taken = set() if config["allow_overlap"] else {patch for block in blocks for patch in block}
            seen = [patch for patch in rectangle(*context) if patch not in taken]
            if len(seen) >= config["min_keep"]:
                break
        else:
            blocks = blocks[:1] * config["targets"]
            seen = [patch for patch in range(grid**2) if config["allow_overlap"] or patch not in blocks[0]]
        contexts.append(seen)
        targets.append(blocks)
    shortest = min(map(len, contexts))
    # As in the official code, longer lists lose their last patches.
    cut = [seen[:shortest] for seen in contexts]
    return {"context": torch.tensor(cut).unsqueeze(0), "target": torch.tensor(targets).transpose(0, 1).contiguous()}
