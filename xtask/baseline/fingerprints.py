"""SHA-256 of the encoders of short runs, to show that a change of the code changed no bit.

    python3 xtask/baseline/fingerprints.py BURN_SSL CIFAR_TRAIN_TAR > docs/benchmarks/fingerprints/CPU.txt

Thirty steps of every method (resnet18 of width 8, 1,000 images, batch 64, seed 7, device flex, recipe METHOD/cifar10), with and
without `train.accumulate = 2`. Four of them also run in two parts: killed at the first checkpoint, after 15 steps, and resumed.
Each line is the hash over the tensors of encoder.safetensors in the order of their names: name, type, shape, bytes.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

METHODS = "barlow-twins byol dino moco-v1 moco-v2 moco-v3 simclr simclr-v2 simsiam supcon swav".split()
RESUMED = "byol dino moco-v2 swav".split()
STEPS = 30


def fingerprint(file):
    content = pathlib.Path(file).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    digest = hashlib.sha256()
    for name, tensor in sorted((name, tensor) for name, tensor in header.items() if name != "__metadata__"):
        begin, end = (8 + length + at for at in tensor["data_offsets"])
        digest.update(f"{name} {tensor['dtype']} {tensor['shape']}\n".encode())
        digest.update(content[begin:end])
    return digest.hexdigest()


def call(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {done.stderr.strip()}")


def train(program, images, method, out, more=(), killed=False):
    arguments = f"pretrain --recipe {method}/cifar10 --data {images} --model resnet18 --width 8 --limit 1000 --batch-size 64"
    arguments = [*arguments.split(), "--seed", "7", "--device", "flex", "--max-steps", str(STEPS), "--eval-every", "0"]
    arguments += ["--out", out, *more]
    if not killed:
        return call(program, *arguments)
    running = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and not pathlib.Path(out, "checkpoints/last/meta.json").exists():
        time.sleep(0.01)
    running.kill()
    if running.wait() >= 0 or pathlib.Path(out, "encoder.safetensors").exists():
        sys.exit(f"{method}: the run ended before it was killed, expected a checkpoint half-way")
    call(program, "pretrain", "--resume", "--out", out)


def main(program, images):
    for method in METHODS:
        runs = {"": {}, " accumulate=2": {"more": ["--set", "train.accumulate=2"]}}
        if method in RESUMED:
            runs[" resumed"] = {"killed": True}
        for name, options in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                out = f"{folder}/run"
                train(program, images, method, out, **options)
                print(f"{method}{name}: {fingerprint(f'{out}/encoder.safetensors')}", flush=True)


main(*sys.argv[1:])
