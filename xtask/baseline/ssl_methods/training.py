"""One optimizer step, in the order of the conformance suite, section 9."""

from torch.nn.utils import clip_grad_norm_

from .method import trained_parameters
from .optimizers import build_optimizer, set_rates


class Training:
    """A method with its optimizer; `rates_at(at)` gives the rates of a step. `fused` takes PyTorch's fastest SGD and AdamW."""

    def __init__(self, method, optimizer, rates_at, fused=False):
        self.method, self.config, self.rates_at = method, optimizer, rates_at
        self.parameters = trained_parameters(method.student)
        self.optimizer = build_optimizer(optimizer, method, fused)

    def step(self, batch, at, on_gradients=None):
        """Trains on a batch and returns its loss; `on_gradients` sees the gradients right after the backward pass."""
        self.method.train()
        self.method.before_step(at)
        loss = self.method.loss(batch, at)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if on_gradients:
            on_gradients(self.parameters)
        self.clip()
        self.drop(tuple(self.method.frozen(at)))
        set_rates(self.optimizer, self.rates_at(at), self.method.held(at))
        self.optimizer.step()
        self.method.after_step(at)
        return loss.detach()

    def clip(self):
        largest = self.config.get("clip_norm")
        groups = self.config.get("clip_groups")
        if largest and groups:
            for prefixes in groups:
                starts = tuple(f"{prefix}." for prefix in prefixes)
                clip_grad_norm_([p for name, p in self.parameters.items() if name.startswith(starts)], largest)
        elif largest and self.config["clip_per_parameter"]:
            for parameter in self.parameters.values():
                clip_grad_norm_([parameter], largest)
        elif largest:
            clip_grad_norm_(self.parameters.values(), largest)

    def drop(self, frozen):
        """The optimizer skips a parameter without gradient: no weight decay, no momentum."""
        for name, parameter in self.parameters.items():
            if frozen and name.startswith(frozen):
                parameter.grad = None
