"""Draws the picture of the first README from two files that burn-ssl wrote.

    burn-ssl preview --recipe demo --data demo:train --images 10 --seed 0 --out views.png
    python docs/images/make.py views.png docs/benchmarks/2026-11-28-demo

Writes demo-light.png and demo-dark.png beside itself. Needs matplotlib and NumPy.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

# The sheet of `burn-ssl preview`: under a line of titles, a row for each image, its name above it and its views beside it;
# 96-pixel tiles, gaps of 4, lines of 16.
TILE, GAP, LINE = 96, 4, 16
# Rows of that sheet to show, in this order.
SHOWN = [0, 2, 3, 4, 5, 8]
# Background, text, faint text, curve: the colours of GitHub's two themes.
THEMES = {
    "light": ("#ffffff", "#1f2328", "#6e7781", "#0969da"),
    "dark": ("#0d1117", "#e6edf3", "#8b949e", "#58a6ff"),
}


def main(sheet: Path, archive: Path) -> None:
    tiles = read_tiles(sheet)
    rows = [json.loads(line) for line in (archive / "metrics.jsonl").read_text().splitlines()]
    curve = [(row["epoch"], row["knn_top1"]) for row in rows if "knn_top1" in row]
    pixels = json.loads((archive / "demo.json").read_text())["knn_top1_pixels"]
    for theme, colours in THEMES.items():
        draw(tiles, curve, pixels, colours, Path(__file__).with_name(f"demo-{theme}.png"))


def read_tiles(sheet: Path) -> np.ndarray:
    """The tiles as [row, column, height, width, channel]."""
    image = plt.imread(sheet)
    rows = range(GAP + 2 * LINE, image.shape[0] - TILE + 1, LINE + TILE + GAP)
    columns = range(GAP, image.shape[1] - TILE + 1, TILE + GAP)
    tile = lambda y, x: image[y : y + TILE, x : x + TILE, :3]
    return np.array([[tile(y, x) for x in columns] for y in rows])


def draw(tiles, curve, pixels, colours, out: Path) -> None:
    background, text, faint, accent = colours
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 11, "text.color": text})
    figure = plt.figure(figsize=(11, 3.7), dpi=150, facecolor=background)
    draw_views(figure, tiles[SHOWN], text, faint)
    draw_curve(figure, curve, pixels, background, text, faint, accent)
    figure.savefig(out, facecolor=background)
    plt.close(figure)


def draw_views(figure, tiles, text, faint) -> None:
    left, top, size, gap = 0.075, 0.87, 0.087, 0.0055
    height = size * 11 / 3.7
    step = height + gap * 11 / 3.7
    figure.text(left, 0.93, "What the method sees", fontsize=13, weight="bold", color=text)
    for row, name in enumerate(["image", "view 1", "view 2"]):
        bottom = top - height - row * step
        figure.text(left - 0.012, bottom + height / 2, name, ha="right", va="center", color=faint)
        for column, views in enumerate(tiles):
            axes = figure.add_axes((left + column * (size + gap), bottom, size, height))
            axes.imshow(views[row], interpolation="nearest")
            axes.set_axis_off()


def draw_curve(figure, curve, pixels, background, text, faint, accent) -> None:
    epochs, accuracies = zip(*curve)
    figure.text(0.685, 0.93, "What it learns without labels", fontsize=13, weight="bold", color=text)
    axes = figure.add_axes((0.695, 0.15, 0.285, 0.72), facecolor=background)
    right = {"textcoords": "offset points", "ha": "right"}
    for name, value in [("raw pixels", pixels), ("untrained", accuracies[0])]:
        axes.axhline(value, color=faint, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(f"{name} {value:.1f} %", (epochs[-1], value), (0, 3), color=faint, fontsize=10, **right)
    axes.plot(epochs, accuracies, color=accent, linewidth=2.2, marker="o", markersize=5, clip_on=False, zorder=3)
    last = (epochs[-1], accuracies[-1])
    axes.annotate(f"{last[1]:.1f} %", last, (-2, 8), color=accent, weight="bold", **right)
    axes.set(xlim=(0, epochs[-1]), ylim=(0, 100), xticks=epochs, yticks=range(0, 101, 25))
    axes.set_xlabel("epoch", color=faint)
    axes.set_ylabel("k-NN top-1, %", color=faint)
    axes.tick_params(colors=faint, length=0)
    for side in ["top", "right"]:
        axes.spines[side].set_visible(False)
    for side in ["left", "bottom"]:
        axes.spines[side].set_color(faint)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
