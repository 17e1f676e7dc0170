"""Replays the training trajectories of the conformance suite in float64, to show that the PyTorch twins are correct."""

import argparse
import json
from pathlib import Path

from common import resnet, torch, tv_resnet, versions
from process import print_result, run
from safetensors import safe_open
from ssl_methods import METHODS, Batch, Progress, Training
from ssl_methods.encoders import SplitBatchNorm2d, vit
from ssl_methods.method import load_tensors, named_tensors
from ssl_methods.recipe import Rates
from ssl_methods.tokens import TokenVit

NAMES = {"simclr_v2": "simclr-v2", "moco_v1": "moco-v1", "moco_v2": "moco-v2", "moco_v3": "moco-v3", "sup_con": "supcon"}
NAMES |= {"barlow_twins": "barlow-twins", "distill": "distill-features"}
ON_TOKENS = {"mae", "simmim", "ijepa", "ibot", "dinov2", "msn"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path, help="folder of the suite's cases")
    folder = parser.parse_args().cases
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    cases = [Case(path) for path in sorted(folder.glob("method.*.safetensors"))]
    cases = [case for case in cases if case.method in METHODS]
    if not cases:
        raise ValueError(f"{folder} has no cases of these methods, expected files such as method.simclr.sgd.safetensors")
    worst = {case.name: case.check(replay(case)) for case in cases}
    print_result({"cases": len(cases), "largest_error_by_tolerance": max(worst.values())} | versions())
    failed = [name for name, error in worst.items() if not error <= 1]
    if failed:
        raise ValueError(f"{len(failed)} of {len(cases)} cases are off, expected all within their tolerance: {failed}")


class Case:
    """A file of the suite (sections 1 and 9)."""

    def __init__(self, path):
        with safe_open(path, "pt") as file:
            metadata, keys = file.metadata(), file.keys()
            self.tensors = {key: file.get_tensor(key) for key in keys}
        self.name, self.params = path.stem, json.loads(metadata["params"])
        self.method = NAMES.get(self.params["method"], self.params["method"])
        self.rtol, self.atol = float(metadata["rtol"]), float(metadata["atol"])

    def under(self, prefix):
        """Tensors under a prefix, floats in float64."""
        found = {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}
        return {key: value.double() if value.is_floating_point() else value for key, value in found.items()}

    def batch(self, step):
        views = self.under(f"views.{step}.")
        shuffles = self.under(f"aux.{step}.shuffle.")
        labels = self.tensors.get(f"labels.{step}")
        shuffles = [shuffles[str(i)] for i in range(len(shuffles))]
        aux = self.under(f"aux.{step}.")
        masks = {key.removeprefix("ids_"): value for key, value in aux.items() if key.startswith("ids_") or key == "mask"}
        return Batch([views[str(i)] for i in range(len(views))], labels, shuffles, aux.get("slices"), masks)

    def check(self, outputs):
        """The largest error, as a share of what the suite tolerates."""
        wanted = {key for key in self.tensors if key.split(".")[0] in ("loss", "grad", "final")}
        if wanted != outputs.keys():
            raise ValueError(f"{self.name}: {sorted(wanted ^ outputs.keys())} are on one side only, expected both")
        errors = {key: self.error(key, outputs[key]) for key in wanted}
        key = max(errors, key=errors.get)
        print(f"{self.name:32} {errors[key]:.1e} of the tolerance, {key}", flush=True)
        return errors[key]

    def error(self, key, got):
        want = self.tensors[key]
        if not want.is_floating_point():
            return 0.0 if torch.equal(want.reshape(-1), got.reshape(-1)) else float("inf")
        want, scale = want.double(), want.double()
        if key.startswith(("final.student.", "final.teacher.")):
            scale = want - self.tensors["init." + key.split(".", 2)[2]].double()
        off = (got.reshape(want.shape).double() - want).abs() * self.tensors.get(f"mask.{key}", torch.ones(()))
        return float(off.max()) / (self.atol + self.rtol * float(scale.abs().max()))


def replay(case):
    """Every expected tensor of a case, computed by the twin."""
    method, outputs = build(case), {}
    training = Training(method, optimizer(case.params), lambda at: rates(case.params, at.step))

    def keep(parameters):
        if not any(key.startswith("grad.0.") for key in outputs):
            outputs.update({f"grad.0.{name}": parameter.grad.clone() for name, parameter in parameters.items()})

    steps = case.params["steps"]
    for step in range(steps):
        at = Progress(step, steps, 1)  # an epoch is a step: the suite counts in steps
        outputs[f"loss.{step}"] = training.step(case.batch(step), at, keep)
    for who, networks in (("student", method.student), ("teacher", method.teacher)):
        named = named_tensors(networks) if networks else {}
        outputs |= {f"final.{who}.{name}": tensor.detach() for name, tensor in named.items()}
    never = {key for key in outputs if key.startswith("grad.0.") and key not in case.tensors}
    frozen = tuple(case.params.get("frozen", ())) or ("\0",)
    for key in never:  # the suite has no gradients for what is never trained
        if key[len("grad.0.") :].startswith(frozen):
            del outputs[key]
    return outputs | {f"final.{name}": tensor for name, tensor in method.state().items()}


def build(case):
    encoder, feature_dim = build_encoder(case.params["encoder"], case.method)
    method = METHODS[case.method](options(case), encoder, feature_dim, **frozen_teacher(case)).double()
    tables = case.params
    if "ema" in tables:
        method.momentum_at = lambda at: tables["ema"]["momentum"][at.step]
    if case.method in ("dino", "ibot", "dinov2"):
        method.temperature_at = lambda at: tables["loss"]["teacher_temp"][at.step]
    if case.method == "ibot":
        method.patch_temperature_at = lambda at: tables["loss"]["teacher_patch_temp"][at.step]
    queue = {key: case.under("init.")[key] for key in ("queue", "queue_ptr", "cov") if f"init.{key}" in case.tensors}
    start = {key: value for key, value in case.under("init.").items() if key not in queue and not key.startswith("teacher.")}
    load_tensors(method.student, start)
    if method.teacher:
        load_tensors(method.teacher, {key: start[key] for key in named_tensors(method.teacher)})
    for key, value in queue.items():
        method.state()[key].copy_(value)
    return method


def frozen_teacher(case):
    """What a method that learns from a frozen network is given."""
    if "teacher" not in case.params:
        return {}
    network, feature_dim = build_encoder(case.params["teacher"]["encoder"], case.method)
    network.double().load_state_dict(case.under("init.teacher.encoder."))
    return {"teacher": (network, feature_dim)}


def build_encoder(spec, method):
    if spec["type"] == "vit" and method in ON_TOKENS:
        return token_vit(spec)
    if spec["type"] == "vit":
        return vit(spec["image"], spec["patch"], spec["dim"], spec["depth"], spec["heads"], spec["mlp_ratio"])
    block = {"basic": tv_resnet.BasicBlock, "bottleneck": tv_resnet.Bottleneck}[spec["block"]]

    def norm(channels):
        return SplitBatchNorm2d(channels, spec["splits"])

    return resnet((block, spec["layers"]), spec["width"], spec["stem"], norm)


def token_vit(spec):
    made = TokenVit(
        mask_token=spec.get("mask_token", False),
        positions="sin-cos-column-row" if spec.get("pos_embed") == "sincos" else "learned",
        img_size=spec["image"],
        patch_size=spec["patch"],
        embed_dim=spec["dim"],
        depth=spec["depth"],
        num_heads=spec["heads"],
        mlp_ratio=spec["mlp_ratio"],
        class_token=spec.get("cls_token", True),
        registers=spec.get("registers", 0),
        layer_scale=1e-5 if spec.get("layer_scale") else None,
    )
    return made, spec["dim"]


def options(case):
    """The options of a recipe that correspond to the case."""
    params, loss = case.params, case.params["loss"]
    found = {key: loss[key] for key in ("temperature", "base_temperature", "epsilon") if key in loss}
    if "projector" in params:
        layers = params["projector"]
        found |= {"projector_layers": len(layers), "hidden_dim": layers[0]["out"], "output_dim": layers[-1]["out"]}
    match case.method:
        case "moco-v1" | "moco-v2":
            queue = {"queue_len": params["queue"], "momentum": None}
            found |= queue | {"symmetric": params["symmetric"], "shuffle": params.get("shuffle", False)}
        case "moco-v3":
            heads = "vit" if params["encoder"]["type"] == "vit" else "resnet"
            found |= {"heads": heads, "freeze_patch_embed": True, "momentum": None, "momentum_end": None}
        case "byol":
            found |= {"momentum": None, "momentum_end": None}
        case "simsiam":
            found["predictor_dim"] = params["predictor"][0]["out"]
        case "barlow-twins":
            found |= {"off_diagonal_weight": loss["lambda"], "scale": loss["scale"]}
        case "dcl" | "dclw":
            found["sigma"] = loss.get("sigma", 0)
        case "vicreg":
            weights = {"invariance_weight": "lambda", "variance_weight": "mu", "covariance_weight": "nu"}
            found |= {name: loss[key] for name, key in weights.items()}
        case "nnclr":
            found |= {"queue_len": params["queue"], "predictor_dim": params["predictor"][0]["out"]}
        case "tico":
            found |= {"covariance_momentum": loss["beta"], "covariance_weight": loss["rho"]}
            found |= {"momentum": None, "momentum_end": None}
        case "lejepa":
            found |= {key: loss[key] for key in ("global_views", "knots", "t_max")}
            found |= {"sigreg_weight": loss["lambda"], "slices": case.tensors["aux.0.slices"].shape[1]}
        case "mae":
            found |= narrow("decoder", params["decoder"]) | {"norm_pix": loss["norm_pix"]}
        case "ijepa":
            found |= narrow("predictor", params["predictor"]) | {"teacher_momentum": None, "teacher_momentum_end": None}
        case "msn":
            found["sharpen_temperature"] = loss["target_sharpen_temperature"]
            found |= {key: loss[key] for key in ("regularization_weight", "sinkhorn_iterations", "random_views")}
            found |= {"prototypes": params["prototypes"]["out"], "teacher_momentum": None, "teacher_momentum_end": None}
        case "ibot":
            found |= dino_options(params) | {"patch_center_momentum": loss["patch_center_momentum"]}
            found |= {"class_weight": loss["lambda1"], "patch_weight": loss["lambda2"]}
            found["train_prototype_lengths"] = params["head"]["train_g"]
        case "dinov2":
            found |= dino_options(params) | dinov2_options(params)
        case "swav":
            found |= {"prototypes": params["prototypes"]["out"], "sinkhorn_iterations": loss["iterations"]}
            found |= {"queue_len": params.get("queue", 0), "queue_start_epoch": 0}
            found["freeze_prototypes_steps"] = params["freeze_first_steps"]["prototypes."]
        case "dino":
            found |= dino_options(params)
        case "distill-features":
            found |= distill_options(params)
    return found


def distill_options(params):
    """The terms of the loss, and the width of the adapters."""
    found, layers = {}, params.get("projector") or params["token_projector"]
    for key, name in (("pooled", "pooled"), ("tokens", "token")):
        term = params["loss"].get(key, {"weight": 0.0, "distance": "cosine", "teacher_norm": "none"})
        found |= {f"{name}_weight": term["weight"], f"{name}_distance": term["distance"], f"{name}_norm": term["teacher_norm"]}
    return found | {"hidden_dim": layers[0]["out"]}


def narrow(name, spec):
    """The sizes of a decoder or predictor."""
    return {f"{name}_{key}": spec[key] for key in ("dim", "depth", "heads", "mlp_ratio")}


def dino_options(params):
    layers, loss = params["head"]["layers"], params["loss"]
    return {
        "head_layers": len(layers),
        "bn_in_head": layers[0]["norm"] == "affine",
        "hidden_dim": layers[0]["out"],
        "bottleneck_dim": layers[-1]["out"],
        "output_dim": params["head"]["out"],
        "student_temperature": loss["student_temp"],
        "teacher_temperature": None,
        "warmup_teacher_temperature": None,
        "warmup_teacher_temperature_epochs": 0,
        "center_momentum": loss.get("center_momentum", 0),
        "teacher_momentum": None,
        "freeze_last_layer_epochs": params.get("freeze_first_steps", {}).get("head.last_layer.", 0),
    }


def dinov2_options(params):
    loss, patch = params["loss"], params.get("patch_head")
    found = {
        "class_weight": loss["dino_weight"],
        "patch_weight": loss["ibot_weight"],
        "koleo_weight": loss["koleo_weight"],
        "centering": loss["centering"],
        "sinkhorn_iterations": loss.get("iterations", 0),
        "train_prototype_lengths": params["head"]["train_g"],
        "separate_patch_head": patch is not None,
        "patch_center_momentum": loss.get("patch_center_momentum", loss.get("center_momentum", 0)),
        "freeze_last_layer_epochs": 1 if "lr_groups" in params["optimizer"] else 0,
    }
    if patch:
        layers = patch["layers"]
        found |= {"patch_head_layers": len(layers), "patch_hidden_dim": layers[0]["out"]}
        found |= {"patch_bottleneck_dim": layers[-1]["out"], "patch_output_dim": patch["out"]}
    return found


def optimizer(params):
    """The section `[optimizer]` of a recipe; rates come from the case's tables."""
    given, clip = params["optimizer"], params.get("clip_per_parameter", 0)
    groups = params.get("clip_groups", {})
    found = layerwise(given)
    found["rules"] += [{"path": prefix.rstrip("."), "no_decay": True} for prefix in given.get("no_decay", [])]
    return found | {
        "clip_groups": [[prefix.rstrip(".") for prefix in group] for group in groups.get("groups", [])],
        "name": given["name"],
        "momentum": given.get("momentum", 0),
        "nesterov": given.get("nesterov", False),
        "betas": given.get("betas", [0.9, 0.999]),
        "eps": given.get("eps", 1e-8),
        "trust_coefficient": given.get("eta", 0),
        "lr_in_momentum": given.get("lr_in_momentum", False),
        "no_decay": "bias-and-norm" if given["exclude_1d"] else "none",
        "clip_norm": clip or groups.get("max_norm", 0),
        "clip_per_parameter": bool(clip),
    }


def layerwise(given):
    """Layer-wise decay and the slower patch embedding, from the rates of the groups."""
    groups, lr = given.get("lr_groups", {}), given["lr"][-1]
    blocks = sorted(name for name in groups if name.startswith("encoder.blocks."))
    if not blocks:
        return {"rules": []}
    slower = groups["encoder.patch_embed."][-1] / groups["encoder.cls_token"][-1]
    return {"layer_decay": groups[blocks[-1]][-1] / lr, "rules": [{"path": "patch_embed", "lr_scale": slower}]}


def rates(params, step):
    given = params["optimizer"]
    table = {key: given.get(key, given["lr"])[step] for key in ("lr", "lr_1d")}
    frozen = {name: rates for name, rates in given.get("lr_groups", {}).items() if len(set(rates)) == 1}
    constant = [rates[step] for rates in frozen.values()]
    decay = given["weight_decay"]
    decay = decay[step] if isinstance(decay, list) else decay
    return Rates(table["lr"], table["lr_1d"], constant[0] if constant else table["lr"], decay)


if __name__ == "__main__":
    run(main)
