"""Runs what `burn-ssl export` wrote and prints the features (and scores) of images as JSON, one line for each image.

`onnx FILE PROGRAM IMAGE...` checks the graph and runs it with the printed program, then on several images at a time: what these give
is under `batched`. `timm FOLDER PROGRAM IMAGE...` loads the folder into timm, without the program's resize.
"""

import json
import sys

from PIL import Image

# Images at a time, beside one.
BATCHES = [2, 3]


def main():
    kind, written, program, *images = sys.argv[1:]
    names = {}
    exec(program, names)
    run = {"onnx": onnx_outputs, "timm": timm_outputs}[kind](written, names)
    for found in run([Image.open(image) for image in images]):
        print(json.dumps(found))


class Recorder:
    """A session that keeps what it is given: the pixels as the program prepares them."""

    def __init__(self, session):
        self.session, self.pixels = session, []

    def run(self, outputs, inputs):
        self.pixels.append(inputs["images"])
        return self.session.run(outputs, inputs)


def onnx_outputs(written, names):
    import numpy as np
    import onnx

    model = onnx.load(written)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 17
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    outputs = [output.name for output in model.graph.output]
    recorder = names["session"] = Recorder(names["session"])

    def in_batches(pixels, size):
        starts = range(0, len(pixels), size)
        parts = [recorder.session.run(outputs, {"images": pixels[start : start + size]}) for start in starts]
        assert [len(part) for part in parts[0]] == [size] * len(outputs), "an output has another number of rows"
        return [np.concatenate(rows) for rows in zip(*parts)]

    def run(images):
        found = [{name: names["features"](image, name).tolist() for name in outputs} for image in images]
        pixels = np.concatenate(recorder.pixels[:: len(outputs)])
        batched = [in_batches(pixels, size) for size in BATCHES]
        for place, of_image in enumerate(found):
            rows = [[output[place].tolist() for output in outputs_of_size] for outputs_of_size in batched]
            of_image["batched"] = [dict(zip(outputs, values)) for values in rows]
        return found

    return run


def timm_outputs(written, names):
    import numpy as np
    import timm
    import torch

    model = names["model"]
    config = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    # The program itself has to run, but timm resizes images that have the right size already.
    run_program = names["features"](Image.new("RGB", (50, 40)))
    assert run_program.shape[-1] == model.num_features

    def run(image):
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255
        with torch.no_grad():
            maps = model.forward_features(((pixels - mean) / std)[None])
            found = {"features": model.forward_head(maps, pre_logits=True)[0].tolist()}
            if model.num_classes:
                found["scores"] = model.forward_head(maps)[0].tolist()
        return found

    return lambda images: [run(image) for image in images]


if __name__ == "__main__":
    main()
