"""Architectures by name: ``build_model({"name": "mlp", "hidden": [128]}, input_shape, num_classes)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import gcd, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.errors import UserError
from trainables.registry import lookup_factory, nearest

Shape = Sequence[int]
ModelSpec = str | Mapping[str, Any]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(gcd(32, channels), channels),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda _: nn.Identity(),
}


def mlp(shape: Shape, classes: int, *, hidden: Sequence[int] = (128, 128), norm: str = "none") -> nn.Module:
    """Build a multi-layer perceptron: dense layers with ReLU between them; images are flattened.

    Args:
        shape: Of an example.
        classes: How many.
        hidden: Width of each hidden layer.
        norm: ``batch``, ``group``, ``layer`` or ``none``.
    """
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    widths = [prod(shape), *hidden]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), _norm(norm, after, nn.BatchNorm1d), nn.ReLU()]
    layers.append(nn.Linear(widths[-1], classes))
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))


def cnn(shape: Shape, classes: int, *, width: int = 16, norm: str = "none") -> nn.Module:
    """Build a small CNN: two 3x3 convolutions, each halved by pooling, and two dense layers.

    Args:
        shape: Of an image, ``(channels, height, width)``.
        classes: How many.
        width: Channels of the first convolution; the second has twice as many.
        norm: ``batch``, ``group``, ``layer`` or ``none``.
    """
    channels, height, breadth = _image("cnn", shape, at_least=4)
    layers: list[nn.Module] = []
    for before, after in ((channels, width), (width, 2 * width)):
        layers += [nn.Conv2d(before, after, 3, padding=1), _norm(norm, after), nn.ReLU(), nn.MaxPool2d(2)]
    features = 2 * width * (height // 4) * (breadth // 4)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes))


def _vision() -> Any:
    """Import torchvision's models on use: that takes longer than torch itself, in every worker."""
    from torchvision import models

    return models


def resnet9(shape: Shape, classes: int, *, width: int = 64, norm: str = "batch") -> nn.Module:
    """ResNet-9, 2.4 million parameters: the network of the DAWNBench entries for CIFAR-10 (Page 2018).

    Three stages of convolutions end in pooling; the first and the last have a residual block. The scaled
    logits of the original are left out.

    Args:
        shape: Of an image, ``(channels, height, width)``.
        classes: How many.
        width: Channels before the first stage.
        norm: ``batch``, ``group``, ``layer`` or ``none``.
    """
    channels, *_ = _image("resnet9", shape, at_least=8)
    stem, first, second = width, 2 * width, 4 * width

    def conv(before: int, after: int, *, pool: bool = False) -> list[nn.Module]:
        pooling: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
        return [_conv3(before, after), *pooling, _norm(norm, after), nn.ReLU()]

    return nn.Sequential(
        *conv(channels, stem),
        *conv(stem, first, pool=True),
        _Residual(*conv(first, first), *conv(first, first)),
        *conv(first, second, pool=True),
        *conv(second, second, pool=True),
        _Residual(*conv(second, second), *conv(second, second)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(second, classes),
    )


def resnet18(shape: Shape, classes: int, *, norm: str = "batch") -> nn.Module:
    """ResNet-18 of torchvision with the CIFAR stem: a 3x3 convolution of stride 1 and no pooling.

    Source: He et al. 2016.
    """
    channels, *_ = _image("resnet18", shape, at_least=8)
    model: nn.Module = _vision().resnet18(num_classes=classes, norm_layer=lambda c: _norm(norm, c))
    model.conv1 = _conv3(channels, 64)
    model.maxpool = nn.Identity()
    return model


def wide_resnet(shape: Shape, classes: int, *, depth: int, width: int, norm: str = "batch") -> nn.Module:
    """Wide residual network WRN-depth-width, pre-activation, no dropout (Zagoruyko and Komodakis 2016).

    Args:
        shape: Of an image, ``(channels, height, width)``, at least 8 pixels.
        classes: How many.
        depth: 6 n + 4 layers, as 16, 28 or 40.
        width: How many times as wide as a residual network of 16, 32 and 64 channels.
        norm: ``batch``, ``group``, ``layer`` or ``none``.

    Raises:
        UserError: A depth that is not 6 n + 4, or data that are no images of at least 8 pixels.
    """
    if depth < 10 or (depth - 4) % 6:
        raise UserError(f"model 'wide_resnet': depth {depth} is not 6 n + 4, as in 10, 16, 28 or 40")
    channels, *_ = _image("wide_resnet", shape, at_least=8)
    widths = [16 * width, 32 * width, 64 * width]
    layers: list[nn.Module] = [_conv3(channels, 16)]
    before = 16
    for group, after in enumerate(widths):
        for block in range((depth - 4) // 6):
            layers.append(_PreActivation(before, after, 2 if group and not block else 1, norm))
            before = after
    layers += [
        _norm(norm, before),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(before, classes),
    ]
    return nn.Sequential(*layers)


def wrn28_2(shape: Shape, classes: int, *, norm: str = "batch") -> nn.Module:
    """WRN-28-2, 1.5 million parameters."""
    return wide_resnet(shape, classes, depth=28, width=2, norm=norm)


def wrn16_4(shape: Shape, classes: int, *, norm: str = "batch") -> nn.Module:
    """WRN-16-4, 2.7 million parameters.

    It is the network of De et al. 2022 for CIFAR-10 under differential privacy.
    """
    return wide_resnet(shape, classes, depth=16, width=4, norm=norm)


def vgg11(shape: Shape, classes: int, *, norm: str = "batch") -> nn.Module:
    """VGG-11: torchvision's features under one dense layer, as is usual on CIFAR.

    Source: Simonyan and Zisserman 2015.
    """
    channels, *_ = _image("vgg11", shape, at_least=32)
    layers: list[nn.Module] = []
    for layer in _vision().vgg11_bn(num_classes=classes, init_weights=False).features:
        layers.append(_norm(norm, layer.num_features) if isinstance(layer, nn.BatchNorm2d) else layer)
    layers[0] = nn.Conv2d(channels, 64, 3, padding=1)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return model


def vit_tiny(
    shape: Shape, classes: int, *, patch: int = 4, depth: int = 12, norm: str = "layer"
) -> nn.Module:
    """Vision Transformer of torchvision at ViT-Ti size: width 192, 3 heads (Touvron et al. 2021).

    Its own ``norm: layer`` looks at one token at a time, "batch" and "group" at all tokens of an image.
    """
    channels, height, breadth = _image("vit-tiny", shape, at_least=patch)
    if height != breadth or height % patch:
        raise UserError(
            f"model 'vit-tiny': images of {height}x{breadth} do not split into patches of {patch}x{patch}"
        )
    token_norm = partial(nn.LayerNorm, eps=1e-6) if norm == "layer" else partial(_OverTokens, norm)
    model = _vision().VisionTransformer(
        image_size=height, patch_size=patch, num_layers=depth, num_heads=3, hidden_dim=192, mlp_dim=768,
        num_classes=classes, norm_layer=token_norm,
    )  # fmt: skip
    if channels != 3:
        model.conv_proj = nn.Conv2d(channels, 192, patch, patch)
        nn.init.trunc_normal_(model.conv_proj.weight, std=(channels * patch * patch) ** -0.5)
        nn.init.zeros_(model.conv_proj.bias)
    built: nn.Module = model
    return built


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet9": resnet9,
    "resnet18": resnet18,
    "wide_resnet": wide_resnet,
    "wrn28-2": wrn28_2,
    "wrn16-4": wrn16_4,
    "vgg11": vgg11,
    "vit-tiny": vit_tiny,
}


def complete_model(spec: ModelSpec) -> dict[str, Any]:
    """Return the model as a mapping, with the defaults of a registered one filled in.

    Two specs of one model give equal mappings.

    Raises:
        UserError: No such model, or an option that it does not have or whose value it cannot take.

    >>> complete_model("mlp")
    {'name': 'mlp', 'hidden': [128, 128], 'norm': 'none'}
    """
    given = {"name": spec} if isinstance(spec, str) else dict(spec)
    if not isinstance(name := given.pop("name", None), str):
        raise UserError(f"model {dict(given)!r} has no name; expected one of {', '.join(MODELS)}")
    factory = lookup_factory("model", name, MODELS)
    parameters = list(inspect.signature(factory).parameters.values())[2:]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        options = {p.name: p.default for p in parameters}
        for option in given:
            if option not in options:
                raise UserError(f"model {name!r} has no option {option!r}; {_choices(option, options)}")
        given = options | given
    if missing := [option for option, value in given.items() if value is inspect.Parameter.empty]:
        raise UserError(f"model {name!r} needs option {missing[0]!r}")
    if name in MODELS:
        _check_options(name, given)
    return {"name": name} | {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}


def build_model(spec: ModelSpec, input_shape: Shape, num_classes: int) -> nn.Module:
    """Build a freshly initialised module.

    Args:
        spec: A name, or a mapping with ``name`` and options; the name may be ``package.module:factory``.
        input_shape: Of an example, as ``(3, 32, 32)``.
        num_classes: Classes C.

    Returns:
        A module ``[B, *input_shape]`` -> logits ``[B, C]``, its weights from torch's default generator.

    Raises:
        UserError: No such model, an option that it does not have, or data that it cannot take.
    """
    return model_factory(spec)(input_shape, num_classes)


def model_factory(spec: ModelSpec) -> Callable[[Shape, int], nn.Module]:
    """Return what builds the model that a spec names, its options checked.

    A factory of your own, ``package.module:factory``, is called as ``factory(input_shape, num_classes,
    **options)``.
    """
    options = complete_model(spec)
    factory = lookup_factory("model", options.pop("name"), MODELS)
    return lambda input_shape, num_classes: factory(tuple(input_shape), num_classes, **options)


def _choices(option: str, options: Mapping[str, Any]) -> str:
    return nearest(option, options) if options else "it takes none"


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        if option == "norm":
            if not isinstance(value, str) or value not in NORMS:
                raise UserError(f"model {name!r}: norm {value!r} is not known; {nearest(str(value), NORMS)}")
            continue
        listed = option == "hidden"
        values = value if listed and isinstance(value, (list, tuple)) else [None] if listed else [value]
        if not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values):
            kind = "a list of positive whole numbers" if listed else "a positive whole number"
            raise UserError(f"model {name!r}: {option} {value!r}: expected {kind}")


def _norm(kind: str, channels: int, batch: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Module:
    return batch(channels) if kind == "batch" else NORMS[kind](channels)


class _OverTokens(nn.Module):
    """A norm over the channels of tokens ``[B, tokens, channels]``."""

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        self.norm = _norm(kind, channels, nn.BatchNorm1d)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.mT)
        return normed.mT


def _image(name: str, shape: Shape, *, at_least: int) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise UserError(f"model {name!r} needs images [channels, height, width]; the data are {list(shape)}")
    if min(shape[1:]) < at_least:
        raise UserError(
            f"model {name!r} needs images of at least {at_least} pixels; the data are {list(shape)}"
        )
    return shape[0], shape[1], shape[2]


def _conv3(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class _Residual(nn.Module):
    """Layers whose input is added to what they give."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.layers(x)
        return x + added


class _PreActivation(nn.Module):
    """BN-ReLU-conv twice; where the width changes the shortcut starts after the first ReLU."""

    def __init__(self, before: int, after: int, stride: int, norm: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(norm, before), _norm(norm, after)
        self.conv1, self.conv2 = _conv3(before, after, stride), _conv3(after, after)
        same = before == after and stride == 1
        self.shortcut = None if same else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(x))
        skip = x if self.shortcut is None else self.shortcut(h)
        return torch.add(self.conv2(F.relu(self.norm2(self.conv1(h)))), skip)
