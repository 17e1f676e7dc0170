"""Time in which the encoder of a resolved recipe embeds a batch of images in PyTorch: features in inference mode, on random images."""

import argparse
import time
from functools import partial

from common import check_device, layout, load_libraries, operations, torch, vectors, versions
from process import Memory, at_least_one, in_words, print_result, run, timed, variant
from ssl_methods import build_encoder, check_recipe, read_recipe
from ssl_methods.encoders import check_attention, small_encoder
from timm import __version__ as timm_version

WORDS = frozenset({"channels_last", "compile", "freeze", "malloc", "pin"})


def main():
    args = arguments()
    check_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    # Weights become constants: batch norm is folded into convolutions, and oneDNN packs each weight once.
    torch._inductor.config.freezing = "freeze" in args.variant
    recipe = read_recipe(args.recipe)
    check_recipe(recipe)
    encoder, size = recipe["encoder"], recipe["data"]["image_size"]
    load_libraries(args.variant, make_work(small_encoder(encoder), make_images(2, size, args), args, compiled=False)[0])
    images = make_images(args.batch or recipe["schedule"]["batch_size"], size, args)
    memory = Memory(args.device)
    work, features = make_work(encoder, images, args, "compile" in args.variant)
    started = time.perf_counter()
    for _ in range(args.warmup):
        timed(work, args.device)
    warmup = time.perf_counter() - started
    seconds = [timed(work, args.device) for _ in range(args.runs)]
    result = measured(args, seconds, features) | {"warmup_s": warmup} | memory.figures() | versions()
    print_result(result | operations(work, args.variant))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    told = "a resolved recipe, JSON, or TOML such as recipe.toml of a run directory"
    parser.add_argument("--recipe-json", "--recipe", dest="recipe", required=True, help=told)
    parser.add_argument("--batch", type=at_least_one, help="images of a batch (the recipe's)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    told = "eager, or several words joined by +; see README.md"
    parser.add_argument("--variant", type=partial(variant, words=WORDS), default=set(), help=told)
    parser.add_argument("--runs", type=at_least_one, default=3, help="timed batches (3)")
    parser.add_argument("--warmup", type=int, default=1, help="warm-up batches before them (1)")
    parser.add_argument("--threads", type=at_least_one, help="threads of the tensor operations (PyTorch's choice)")
    args = parser.parse_args()
    if "freeze" in args.variant and "compile" not in args.variant:
        parser.error(f"the variant is {in_words(args.variant)}, expected compile with freeze, which is a setting of it")
    return args


def make_images(count, size, args):
    """Random images, `[batch, channel, height, width]`."""
    torch.manual_seed(0)
    return torch.randn(count, 3, size, size).to(args.device, memory_format=layout(args.variant))


def make_work(config, images, args, compiled):
    """A function that makes the features of the images, and their shape, `[batch, feature_dim]`."""
    torch.manual_seed(0)
    encoder, feature_dim = build_encoder(config, images.shape[-1])
    encoder = encoder.eval().to(args.device, memory_format=layout(args.variant))
    check_attention(encoder)
    encode = torch.compile(encoder) if compiled else encoder
    expected = [len(images), feature_dim]

    @torch.inference_mode()
    def work():
        found = list(encode(images).shape)
        if found != expected:
            raise ValueError(f"features have shape {found}, expected {expected}")

    return work, expected


def measured(args, seconds, features):
    return {
        "seconds": seconds,
        "features": features,
        "variant": in_words(args.variant),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "vectors": vectors(args.device, args.variant),
        "timm": timm_version,
    }


if __name__ == "__main__":
    run(main)
