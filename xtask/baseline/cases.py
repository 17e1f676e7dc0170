"""Golden cases of our own, in the format of the conformance suite."""

import json

import torch
from safetensors.torch import save_file


def write_case(folder, name, source, tensors, params, rtol, atol):
    """Writes `<group>.<op>.<variant>`: integers as they are, and floats in float32."""
    group, op, _ = name.split(".")
    as_stored = lambda value: value if value.dtype == torch.int64 else value.detach().float()
    tensors = {key: as_stored(value).contiguous() for key, value in sorted(tensors.items())}
    about = {"format": "ssl-conformance/1", "case": name, "group": group, "op": op, "source": source,
             "params": json.dumps(params, sort_keys=True), "rtol": rtol, "atol": atol}
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, metadata=about)
    path.chmod(0o644)
