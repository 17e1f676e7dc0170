"""Takes two steps of recipes for ImageNet with a built burn-ssl: a line of JSON for each. Needs no packages.

    COMMIT=1a2b3c4 python two_steps.py BURN_SSL photos.tar [RECIPE...] >two-steps.jsonl
    python two_steps.py --table two-steps.jsonl
"""

import json
import math
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# Images of a step; other recipes have 32. Crops of two sizes and ViT-Base need more memory.
BATCHES = {"dino": 16, "dinov2": 8, "ibot": 8, "swav": 16, "mae": 16, "simmim": 8, "ijepa": 8, "msn": 8}
HEADER = """\
| recipe | commit | batch | CPU time, s | peak memory, MiB | student's weights, MiB | loss | gradient norm | finite |
|---|---|---|---|---|---|---|---|---|"""


def main(words):
    if words[:1] == ["--table"] and len(words) == 2:
        print(HEADER)
        for line in Path(words[1]).read_text().splitlines():
            print(row(json.loads(line)))
        return
    if len(words) < 2:
        sys.exit(__doc__)
    program, data, names = words[0], words[1], words[2:] or recipes()
    for name in names:
        print(json.dumps(two_steps(program, data, name)), flush=True)


def recipes():
    folder = Path(__file__).parents[2] / "crates/burn-ssl/recipes"
    return [f"{path.parent.name}/{path.stem}" for path in sorted(folder.glob("*/imagenet*.toml"))]


def two_steps(program, data, name):
    with tempfile.TemporaryDirectory() as folder:
        out, batch = f"{folder}/run", BATCHES.get(name.split("/")[0], 32)
        words = ["--json", *pretraining(program, data, name, folder), "--max-steps", "2", "--batch-size", str(batch)]
        words += ["--workers", "1", "--out", out]
        before = processor_seconds()
        done = subprocess.run([program, *words], capture_output=True, text=True)
        seconds = processor_seconds() - before
        found = {"recipe": name, "batch": batch, "exit": done.returncode, "commit": os.environ.get("COMMIT", "unknown")}
        found["command"] = " ".join(["burn-ssl", *words[:-1], "run"]).replace(folder + "/", "")
        if done.returncode:
            return found | {"error": done.stderr.strip().splitlines()[-1:]}
        report = json.loads(done.stdout)
        rows = [json.loads(line) for line in Path(out, "metrics.jsonl").read_text().splitlines()]
        last = [line for line in rows if "grad_norm" in line][-1]
        numbers = [report["train_loss"], last["grad_norm"]]
        return found | {
            "cpu_s": round(seconds, 2),
            "peak_mib": round(report["max_mem"] / 2**20),
            "steps": report["steps"],
            "train_loss": report["train_loss"],
            "grad_norm": last["grad_norm"],
            "finite": all(map(math.isfinite, numbers)),
            "student_mib": round(student(Path(out)) / 2**20),
        }


def pretraining(program, data, name, folder):
    """The command without its length; what a recipe needs besides photographs is made in the folder."""
    words = ["pretrain", "--recipe", name, "--data"]
    if name.startswith("supcon/"):
        return [*words, labelled(data, f"{folder}/labelled")]
    if name.startswith("distill-features/"):
        return [*words, data, "--set", f"method_options.teacher={teacher(program, data, f'{folder}/teacher')}"]
    return [*words, data]


def teacher(program, data, out):
    """A ViT with patches of 14 pixels, like the recipe's student, after one step."""
    words = ["pretrain", "--recipe", "mae/imagenet", "--data", data, "--max-steps", "1", "--batch-size", "4", "--workers", "1"]
    words += ["--set", "encoder.name=vit-tiny", "--set", "encoder.patch_size=14"]
    subprocess.run([program, *words, "--out", out], check=True, capture_output=True)
    return out


def labelled(data, folder):
    """The images of the tar in two folders, alternately: two classes."""
    with tarfile.open(data) as tar:
        for place, member in enumerate(member for member in tar if member.isfile()):
            path = Path(folder, "ab"[place % 2], f"{place}{Path(member.name).suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tar.extractfile(member).read())
    return folder


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def student(out):
    return max(path.stat().st_size for path in out.glob("checkpoints/*/student.safetensors"))


def row(found):
    if found["exit"]:
        return f"| `{found['recipe']}` | {found['commit']} | {found['batch']} | failed: {' '.join(found['error'])} |"
    cells = [f"`{found['recipe']}`", found["commit"], found["batch"], f"{found['cpu_s']:.0f}", f"{found['peak_mib']:,}"]
    cells += [found["student_mib"], f"{found['train_loss']:.3f}", f"{found['grad_norm']:.3g}", "yes" if found["finite"] else "**no**"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main(sys.argv[1:])
