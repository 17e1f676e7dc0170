"""The results of `first_steps.sh` as a Markdown table."""

import argparse
import json
from pathlib import Path

HEADER = """\
| case | optimizer | steps compared | losses apart, at most | PyTorch from itself | worst tensor: apart | PyTorch from itself |
|---|---|---|---|---|---|---|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of CASE.json")
    print(HEADER)
    for path in sorted(parser.parse_args().folder.glob("*.json")):
        print(row(path.stem, json.loads(path.read_text())))


def row(case, result):
    losses = f"{result['largest_difference']:.1e} | {result['largest_departure_of_torch']:.1e}"
    tensor = "not compared | "
    if result["worst_tensor"]:
        name, (difference, departure) = result["worst_tensor"]
        tensor = f"`{name}`: {difference:.1e} | {departure:.1e}"
    return f"| `{case}` | {result['optimizer']} | {result['steps_compared']} of {result['steps']} | {losses} | {tensor} |"


if __name__ == "__main__":
    main()
