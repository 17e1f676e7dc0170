"""iBOT (arXiv:2111.07832) and DINOv2 (arXiv:2304.07193), from the papers and the definitions of the conformance suite."""

import torch
from torch import nn
from torch.nn import functional as F

from .dino import dino_head
from .method import Method
from .recipe import cosine
from .sinkhorn import sinkhorn


class IBot(Method):
    """DINO on class tokens, and the teacher's words for the patches that the student does not see."""

    def __init__(self, options, encoder, feature_dim):
        super().__init__(**self.networks(options, encoder, feature_dim))
        self.make_teacher(*self.student.keys())
        self.options = options
        self.momentum, self.momentum_end = options["teacher_momentum"], options.get("teacher_momentum_end", 1.0)
        self.register_buffer("center", torch.zeros(options["output_dim"]))
        self.register_buffer("patch_center", torch.zeros(options.get("patch_output_dim") or options["output_dim"]))

    def networks(self, options, encoder, feature_dim):
        return {"encoder": encoder, "head": trained_lengths(options, dino_head(options, feature_dim))}

    def loss(self, batch, at):
        large, mask = torch.cat(batch.views[:2]), batch.masks["mask"].flatten(1).bool()
        with torch.no_grad():
            teacher = self.outputs(self.teacher, large)
            targets, patch_targets = self.targets(teacher, mask, at)
        student = self.outputs(self.student, large, mask)
        class_logits = [*student.classes.chunk(2)]
        if len(batch.views) > 2:
            local = self.outputs(self.student, torch.cat(batch.views[2:]))
            class_logits += local.classes.chunk(len(batch.views) - 2)
        temperature = self.options["student_temperature"]
        pairs = [
            cross_entropy(target, logits / temperature).mean()
            for i, target in enumerate(targets.chunk(2))
            for v, logits in enumerate(class_logits)
            if v != i
        ]
        weights = (1 / mask.sum(1).clamp(min=1)).unsqueeze(1).expand_as(mask)[mask]
        patches = (cross_entropy(patch_targets, student.patches[mask] / temperature) * weights).sum() / len(mask)
        loss = self.options["class_weight"] * sum(pairs) / len(pairs) + self.options["patch_weight"] * patches
        return loss + self.spread(student.features)

    def outputs(self, networks, images, mask=None):
        encoder = networks["encoder"]
        tokens = encoder.tokens(images, mask=mask)
        classes, patches = tokens[:, 0], tokens[:, encoder.num_prefix_tokens :]
        of_patches = networks["patch_head"] if "patch_head" in networks else networks["head"]
        return Outputs(classes, networks["head"](classes), of_patches(patches.flatten(0, 1)).unflatten(0, patches.shape[:2]))

    def targets(self, teacher, mask, at):
        """Of class tokens, and of hidden patches; the centres move afterwards."""
        classes = ((teacher.classes - self.center) / self.temperature_at(at)).softmax(-1)
        patches = ((teacher.patches[mask] - self.patch_center) / self.patch_temperature_at(at)).softmax(-1)
        self.move_center("center", teacher.classes)
        self.move_center("patch_center", teacher.patches.flatten(0, 1))
        return classes, patches

    def move_center(self, name, rows):
        center, momentum = getattr(self, name), self.options[f"{name}_momentum"]
        if len(rows):
            center.mul_(momentum).add_(rows.mean(0), alpha=1 - momentum)

    def spread(self, features):
        """What keeps class tokens apart."""
        return 0.0

    def temperature_at(self, at):
        return self.warmed(at, "teacher_temperature")

    def patch_temperature_at(self, at):
        return self.warmed(at, "teacher_patch_temperature")

    def warmed(self, at, name):
        start, end = self.options[f"warmup_{name}"], self.options[name]
        epochs = self.options["warmup_teacher_temperature_epochs"]
        return end if at.epoch >= epochs else start + (end - start) * at.epoch / max(epochs - 1, 1)

    def frozen(self, at):
        return ("head.last_layer.",) if at.epoch < self.options["freeze_last_layer_epochs"] else ()

    def after_step(self, at):
        self.move_teacher(self.momentum_at(at))

    def momentum_at(self, at):
        return cosine(at.step, at.total_steps, self.momentum, self.momentum_end)

    def state(self):
        return {"center": self.center, "patch_center": self.patch_center}

    @property
    def encoder(self):
        return self.teacher["encoder"]


class DinoV2(IBot):
    """Both losses with balanced assignments or centres, KoLeo, and heads that may be apart."""

    held_prefixes = ("head.last_layer.", "patch_head.last_layer.")

    def networks(self, options, encoder, feature_dim):
        networks = super().networks(options, encoder, feature_dim)
        if options["separate_patch_head"]:
            of_patches = options | {key.removeprefix("patch_"): options[key] for key in options if key.startswith("patch_")}
            networks["patch_head"] = trained_lengths(options, dino_head(of_patches, feature_dim))
        return networks

    def targets(self, teacher, mask, at):
        temperature = self.temperature_at(at)
        patches = teacher.patches[mask]
        if self.options["centering"] == "sinkhorn":
            iterations = self.options["sinkhorn_iterations"]
            return tuple(sinkhorn(rows / temperature, iterations) for rows in (teacher.classes, patches))
        targets = [((rows - center) / temperature).softmax(-1) for rows, center in ((teacher.classes, self.center), (patches, self.patch_center))]
        self.move_center("center", teacher.classes)
        self.move_center("patch_center", patches)
        return tuple(targets)

    def spread(self, features):
        return self.options["koleo_weight"] * sum(koleo(view) for view in features.chunk(2))

    def frozen(self, at):
        return ()

    def held(self, at):
        """Prefixes of the parameters whose rate is 0; Adam's moments run."""
        return self.held_prefixes if at.epoch < self.options["freeze_last_layer_epochs"] else ()

    def state(self):
        return super().state() if self.options["centering"] != "sinkhorn" else {}


class Outputs:
    """What a network says of images: class tokens, and the logits of these and of patches."""

    def __init__(self, features, classes, patches):
        self.features, self.classes, self.patches = features, classes, patches


def trained_lengths(options, head):
    """Whether the lengths of the prototypes are trained."""
    head.last_layer.weight_g.requires_grad_(options["train_prototype_lengths"])
    return head


def cross_entropy(targets, logits):
    return -(targets * F.log_softmax(logits, -1)).sum(-1)


def koleo(x):
    """Minus the mean logarithm of the distance to the nearest neighbour, as in the official code."""
    x = F.normalize(x, eps=1e-8, dim=-1)
    with torch.no_grad():
        similarities = x @ x.T
        similarities.fill_diagonal_(-1)
        nearest = similarities.argmax(1)
    return -(nn.PairwiseDistance(2, eps=1e-8)(x, x[nearest]) + 1e-8).log().mean()
