"""Writes the encoder of a resolved recipe as PyTorch exports it to ONNX, in evaluation mode and for a batch of fixed size."""

import argparse
import logging
import warnings

from common import torch, versions
from process import at_least_one, print_result, run
from ssl_methods import build_encoder, check_recipe, read_recipe
from ssl_methods.encoders import small_encoder

# The newest that the exporter through TorchScript writes layer norm of transformers for. The other exporter needs one more package.
OPSET = 17


def main():
    args = arguments()
    recipe = read_recipe(args.recipe)
    check_recipe(recipe)
    encoder, size = recipe["encoder"], recipe["data"]["image_size"]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    write(small_encoder(encoder), torch.zeros(2, 3, size, size), args.small)
    images = args.batch or recipe["schedule"]["batch_size"]
    write(encoder, torch.zeros(images, 3, size, size), args.out)
    print_result({"out": args.out, "small": args.small, "opset": OPSET} | versions())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    told = "a resolved recipe, JSON, or TOML such as recipe.toml of a run directory"
    parser.add_argument("--recipe-json", "--recipe", dest="recipe", required=True, help=told)
    parser.add_argument("--batch", type=at_least_one, help="images of a batch (the recipe's)")
    parser.add_argument("--out", required=True, help="the file")
    parser.add_argument("--small", required=True, help="the file of a narrow encoder for two images, which loads the code")
    return parser.parse_args()


def write(config, images, path):
    torch.manual_seed(0)
    encoder, _ = build_encoder(config, images.shape[-1])
    names = {"input_names": ["images"], "output_names": ["features"]}
    with torch.inference_mode():
        torch.onnx.export(encoder.eval(), (images,), path, dynamo=False, opset_version=OPSET, **names)


if __name__ == "__main__":
    run(main)
