"""K copies of one network in lockstep.

Their parameters lie in flat buffers; one pass gives the logits or the gradients of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables.engine.compilation import compiled
from trainables.optimizers.losses import Objective

Params = dict[str, Tensor]
PER_EXAMPLE_BYTES = 2**28
# The gradient of ReLU in one pass, where a comparison and a product take three.
threshold_backward = torch.ops.aten.threshold_backward


class Layout:
    """Where each tensor of a model lies in the two flat buffers that update rules work on.

    All weights of a replica (two or more dimensions) lie side by side in ``"weights"`` ``[K, 1, d]``, its
    biases and norm parameters in ``"rest"`` ``[K, d]``: a rule is a few operations over all parameters at
    once, and still tells weights from the rest by their dimensions.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        groups = {
            "weights": [name for name, shape in self.shapes.items() if len(shape) > 1],
            "rest": [name for name, shape in self.shapes.items() if len(shape) < 2],
        }
        self.groups = {group: names for group, names in groups.items() if names}
        self.sizes = {g: [prod(self.shapes[n]) for n in names] for g, names in self.groups.items()}
        self.numel = sum(map(sum, self.sizes.values()))

    def pack(self, named: Mapping[str, Tensor]) -> Params:
        """``{name: [K, *shape]}`` -> ``{"weights": [K, 1, d], "rest": [K, d]}``."""
        flat = {g: torch.cat([named[n].flatten(1) for n in names], dim=1) for g, names in self.groups.items()}
        return {group: t.unsqueeze(1) if group == "weights" else t for group, t in flat.items()}

    def unpack(self, params: Params) -> Params:
        """Return the inverse of ``pack``, as views."""
        named: Params = {}
        for group, names in self.groups.items():
            flat = params[group].flatten(1)
            replicas = flat.shape[0]
            for name, part in zip(names, flat.split_with_sizes(self.sizes[group], 1), strict=True):
                shape = self.shapes[name]
                named[name] = part if len(shape) == 1 else part.view(replicas, *shape)
        return named


def trained(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters that training moves, by name."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def held(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that training does not move: buffers, and parameters without a gradient."""
    frozen = ((name, p) for name, p in module.named_parameters() if not p.requires_grad)
    return chain(module.named_buffers(), frozen)


class Network:
    """The architecture that K replicas share. ``module`` lends its code; it holds no replica's weights.

    ``precision`` bfloat16 runs forward and backward of training under autocast; parameters, gradients and
    losses stay float32. So do the logits that replicas are audited by: three digits would tie or blur them.
    ``compile``: a mode of torch.compile for the passes of ``gradient`` (see `trainables.engine.compilation`).
    """

    def __init__(
        self, module: nn.Module, device: torch.device, precision: str = "float32", compile: str | None = None
    ) -> None:
        self.module = module.to(device)
        self.device = device
        self.half = precision == "bfloat16"
        self.layout = Layout({name: p.shape for name, p in trained(module)})
        self._training_forward = compiled(self._forward, compile, device.type) if compile else self._forward

    @contextmanager
    def _arithmetic(self, *, train: bool = True, mapped: bool) -> Iterator[None]:
        """Set the arithmetic of a forward pass.

        ``mapped``: vmap runs the pass. It has no rule for fused attention and would take one replica after
        the other.
        """
        attention = sdpa_kernel(SDPBackend.MATH) if mapped else nullcontext()
        # A capture must not keep casts of weights that a later step would reuse.
        kept = self.device.type != "cuda"
        autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.half and train, cache_enabled=kept
        )
        with autocast, attention:
            yield

    def logits(self, named: Params, buffers: Params, x: Tensor, *, train: bool) -> Tensor:
        """Return the logits of all replicas: ``x[K, B, ...]`` -> ``[K, B, C]``.

        In training, running statistics in ``buffers`` change in place.
        """
        self.module.train(train)
        with self._arithmetic(train=train, mapped=len(x) > 1):
            return self._forward(named, buffers, x)

    def _forward(self, named: Params, buffers: Params, x: Tensor) -> Tensor:
        if len(x) > 1:
            return vmap(self._one, randomness="different")(named, buffers, x).float()
        # One replica alone needs no vmap, whose convolutions are slower than plain ones.
        example = x[0]
        if example.ndim == 4 and self.device.type != "cpu":
            example = example.contiguous(memory_format=torch.channels_last)
        return self._one(_first(named), _first(buffers), example)[None].float()

    def _one(self, named: Params, buffers: Params, x: Tensor) -> Tensor:
        logits: Tensor = functional_call(self.module, (named, buffers), (x,))
        return logits

    def gradient(
        self, params: Params, buffers: Params, x: Tensor, targets: Tensor, share: Tensor, objective: Objective
    ) -> tuple[Params, Tensor]:
        """Gradient of each replica's loss, the sum of ``share * losses`` over its batch, and the losses.

        ``targets[C, K, B]``, ``share[K, B]`` -> packed gradient and losses ``[K, B]``. Replicas do not touch
        one another, so the gradient of the sum over replicas holds each one's own.
        """
        named = {n: p.detach().requires_grad_() for n, p in self.layout.unpack(params).items()}
        self.module.train()
        with torch.enable_grad():
            with self._arithmetic(mapped=len(x) > 1):
                logits = self._training_forward(named, buffers, x)
            losses = objective(logits.movedim(-1, 0), targets)
            grads = torch.autograd.grad(losses, list(named.values()), share)
        return self.layout.pack(dict(zip(named, grads, strict=True))), losses.detach()

    def clipped(
        self,
        params: Params,
        buffers: Params,
        x: Tensor,
        targets: Tensor,
        share: Tensor,
        objective: Objective,
        clip: float,
    ) -> tuple[Params, Tensor]:
        """Like ``gradient``, each example's own gradient clipped to L2 norm ``clip`` before it is summed.

        Examples pass in chunks, so that their gradients never take more than ``PER_EXAMPLE_BYTES``.
        """

        def loss(named: Params, buffers: Params, x: Tensor, target: Tensor) -> Tensor:
            with self._arithmetic(mapped=True):
                logits = self._one(named, buffers, x[None]).float()
            return objective(logits.movedim(-1, 0), target[:, None]).sum()

        self.module.train()
        example = vmap(grad_and_value(loss), in_dims=(None, None, 0, 0), randomness="different")
        each = vmap(example, randomness="different")
        named = self.layout.unpack(params)
        chunk = max(1, PER_EXAMPLE_BYTES // (4 * len(x) * self.layout.numel))
        total = {name: torch.zeros_like(p) for name, p in named.items()}
        losses = []
        parts = zip(
            x.split(chunk, 1), targets.movedim(0, -1).split(chunk, 1), share.split(chunk, 1), strict=True
        )
        for inputs, target, weight in parts:
            grads, values = each(named, buffers, inputs, target)
            losses.append(values)
            norm = torch.stack([g.flatten(2).norm(dim=2) for g in grads.values()]).norm(dim=0)
            weight = weight * (clip / norm.clamp_min(clip))
            for name, g in grads.items():
                total[name] += torch.einsum("kb,kb...->k...", weight, g)
        return self.layout.pack(total), torch.cat(losses, dim=1)


def _first(stacked: Params) -> Params:
    # The gradient of squeeze is a view, where that of an index is a copy in a tensor of zeros.
    return {name: tensor.squeeze(0) for name, tensor in stacked.items()}


class DenseNetwork(Network):
    """Dense layers with ReLU between them, forward and backward written out as batched matrix products.

    The mathematics of ``Network`` without its overhead: gradients land in the flat buffer directly, and the
    norm of an example's gradient follows from its layers' inputs and errors without forming it (Goodfellow
    2015).
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__(module, device)
        self.layers = [name for name, m in module.named_modules() if isinstance(m, nn.Linear)]

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Return whether the passes of a module can be written out.

        That is a module ``[Flatten] (Linear ReLU)* Linear`` of torch's own layers, each once and all trained,
        every Linear with a bias.
        """
        if type(module) is not nn.Sequential:
            return False
        layers = list(module)
        if layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
            layers = layers[1:]
        dense = layers[::2]
        return (
            len(layers) % 2 == 1
            and all(type(layer) is nn.ReLU for layer in layers[1::2])
            and all(type(layer) is nn.Linear and layer.bias is not None for layer in dense)
            and len({id(layer) for layer in dense}) == len(dense)
            and all(parameter.requires_grad for parameter in module.parameters())
        )

    def logits(self, named: Params, buffers: Params, x: Tensor, *, train: bool) -> Tensor:  # noqa: ARG002
        """Return the logits of all replicas, see `Network.logits`."""
        return self._activations(named, x)[-1]

    def _activations(self, named: Params, x: Tensor) -> list[Tensor]:
        """Return the input of every layer, then the logits."""
        values = [x.flatten(2)]
        *hidden, last = self.layers
        for layer in hidden:
            bias, weight = named[f"{layer}.bias"].unsqueeze(1), named[f"{layer}.weight"]
            values.append(torch.baddbmm(bias, values[-1], weight.mT).relu_())
        # The product of few classes takes half the time with the classes as its rows.
        bias, weight = named[f"{last}.bias"].unsqueeze(2), named[f"{last}.weight"]
        return [*values, torch.baddbmm(bias, weight, values[-1].mT).mT]

    def _backward(
        self, named: Params, x: Tensor, targets: Tensor, share: Tensor, objective: Objective
    ) -> tuple[list[tuple[str, Tensor, Tensor]], Tensor]:
        """Go backward, last layer first.

        Returns:
            For each layer its name, its input ``[K, B, i]`` and the gradient at its output ``[K, B, o]``; and
            the losses ``[K, B]``.
        """
        *inputs, logits = self._activations(named, x)
        logits = logits.detach().requires_grad_()
        with torch.enable_grad():
            losses = objective(logits.movedim(-1, 0), targets)
            (error,) = torch.autograd.grad(losses, logits, share)
        steps = []
        for layer, h in zip(reversed(self.layers), reversed(inputs), strict=True):
            steps.append((layer, h, error))
            if layer != self.layers[0]:
                error = threshold_backward(torch.bmm(error, named[f"{layer}.weight"]), h, 0)
        return steps, losses.detach()

    def _products(self, params: Params, steps: list[tuple[str, Tensor, Tensor]]) -> Params:
        grads = {group: torch.empty_like(t) for group, t in params.items()}
        out = self.layout.unpack(grads)
        for layer, h, error in steps:
            torch.sum(error, dim=1, out=out[f"{layer}.bias"])
            torch.bmm(error.mT, h, out=out[f"{layer}.weight"])
        return grads

    def gradient(
        self,
        params: Params,
        buffers: Params,  # noqa: ARG002
        x: Tensor,
        targets: Tensor,
        share: Tensor,
        objective: Objective,
    ) -> tuple[Params, Tensor]:
        """Return the gradient of all replicas, see `Network.gradient`."""
        steps, losses = self._backward(self.layout.unpack(params), x, targets, share, objective)
        return self._products(params, steps), losses

    def clipped(
        self,
        params: Params,
        buffers: Params,  # noqa: ARG002
        x: Tensor,
        targets: Tensor,
        share: Tensor,
        objective: Objective,
        clip: float,
    ) -> tuple[Params, Tensor]:
        """Return the mean of clipped gradients of all replicas, see `Network.clipped`."""
        every = torch.ones_like(share)
        steps, losses = self._backward(self.layout.unpack(params), x, targets, every, objective)
        squares = sum(error.square().sum(-1) * (h.square().sum(-1) + 1) for _, h, error in steps)
        weight = share * (clip / torch.as_tensor(squares).sqrt().clamp_min(clip))
        clipped = [(layer, h, error * weight[..., None]) for layer, h, error in steps]
        return self._products(params, clipped), losses


def make_network(
    module: nn.Module, device: torch.device, precision: str = "float32", compile: str | None = None
) -> Network:
    """Make the fastest network for a module: one whose passes are written out where it is a plain MLP.

    Args:
        module: The architecture; its weights are not used.
        device: Where it runs.
        precision: ``"float32"`` or ``"bfloat16"``.
        compile: A mode of torch.compile, or None; a plain MLP needs none.

    Returns:
        The network.
    """
    if precision == "float32" and DenseNetwork.fits(module):
        return DenseNetwork(module, device)
    return Network(module, device, precision, compile)
