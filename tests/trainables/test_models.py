"""Every architecture trains a step, has the parameters its paper says, and refuses what it cannot take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainables.engine.networks import make_network
from trainables.errors import UserError
from trainables.models import MODELS, build_model, complete_model

IMAGE = (3, 32, 32)
SMALL: dict[str, dict[str, Any]] = {"wide_resnet": {"depth": 10, "width": 1}, "vit-tiny": {"depth": 1}}


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -(logits.log_softmax(0) * targets).sum(0)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_a_training_step_alone_and_stacked(name: str) -> None:
    torch.manual_seed(0)
    modules = [build_model({"name": name, **SMALL.get(name, {})}, IMAGE, 4) for _ in range(2)]
    network = make_network(modules[0], torch.device("cpu"))
    stacked = [
        {n: torch.stack([dict(part)[n].detach() for part in parts]) for n in dict(parts[0])}
        for parts in (
            [list(m.named_parameters()) for m in modules],
            [list(m.named_buffers()) for m in modules],
        )
    ]
    named, buffers = stacked
    x, targets = torch.randn(2, 2, *IMAGE), torch.eye(4)[:, [[0, 1], [2, 3]]]
    share = torch.full((2, 2), 0.5)
    params = network.layout.pack(named)
    together, _ = network.gradient(
        params, {n: b.clone() for n, b in buffers.items()}, x, targets, share, loss
    )
    for k in range(2):
        one = {g: t[k : k + 1] for g, t in params.items()}
        own = {n: b[k : k + 1].clone() for n, b in buffers.items()}
        part = slice(k, k + 1)
        alone, losses = network.gradient(one, own, x[part], targets[:, part], share[part], loss)
        assert losses.isfinite().all()
        for group, g in alone.items():
            assert g.abs().max() > 0
            scale = float(g.abs().max())
            torch.testing.assert_close(together[group][part] / scale, g / scale, rtol=1e-2, atol=2e-3)
    with torch.no_grad():
        assert network.logits(named, buffers, x, train=False).shape == (2, 2, 4)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("name", MODELS)
def test_norms_are_what_was_asked_for(name: str, norm: str) -> None:
    with torch.device("meta"):
        model = build_model({"name": name, "norm": norm, **SMALL.get(name, {})}, IMAGE, 4)
    batch = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    group = any(isinstance(m, nn.GroupNorm) for m in model.modules())
    layer = any(isinstance(m, nn.LayerNorm) for m in model.modules())
    assert (batch, group, layer) == (norm == "batch", norm == "group", False)


def test_a_transformer_with_batch_norm_normalises_each_channel_over_all_tokens() -> None:
    model = build_model({"name": "vit-tiny", "depth": 1, "norm": "batch"}, IMAGE, 4).train()
    seen = []
    model.encoder.ln.register_forward_hook(lambda *args: seen.append(args[2]))  # type: ignore[union-attr]
    with torch.no_grad():
        model(torch.randn(8, *IMAGE))
    (tokens,) = seen
    torch.testing.assert_close(tokens.mean((0, 1)), torch.zeros(192), atol=1e-4, rtol=0)
    torch.testing.assert_close(tokens.var((0, 1), correction=0), torch.ones(192), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    (
        "name",
        "millions",
    ),  # on CIFAR-10; ViT-Ti has 5.7 with ImageNet's head and patches
    [
        ("resnet9", 2.4),
        ("resnet18", 11.2),
        ("wrn28-2", 1.5),
        ("wrn16-4", 2.7),
        ("vgg11", 9.2),
        ("vit-tiny", 5.4),
    ],
)
def test_parameters_are_as_many_as_published(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = build_model(name, IMAGE, 10)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("name", ["resnet18", "wrn28-2", "vit-tiny", "cnn"])
def test_grey_images_of_28_pixels_fit(name: str) -> None:
    model = build_model({"name": name, **SMALL.get(name, {})}, (1, 28, 28), 10).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def own(shape: tuple[int, ...], classes: int, *, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width), nn.Linear(width, classes)
    )


def test_a_factory_of_ones_own_gets_shape_classes_and_options() -> None:
    model = build_model({"name": f"{__name__}:own", "width": 7}, (1, 2, 2), 3)
    assert model(torch.zeros(5, 1, 2, 2)).shape == (5, 3)


def test_two_ways_to_name_one_model_resolve_alike() -> None:
    assert complete_model("mlp") == complete_model({"norm": "none", "hidden": (128, 128), "name": "mlp"})
    assert complete_model("mlp") != complete_model({"name": "mlp", "hidden": [64]})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mpl", "model 'mpl' is not known; did you mean 'mlp'?"),
        ({"name": "mlp", "hiden": [3]}, "model 'mlp' has no option 'hiden'; did you mean 'hidden'?"),
        ({"name": "cnn", "norm": "bach"}, "norm 'bach' is not known; did you mean 'batch'?"),
        ({"name": "cnn", "norm": ["batch"]}, "norm .'batch'. is not known"),
        ({"name": "mlp", "hidden": [0]}, "hidden .0.: expected a list of positive whole numbers"),
        ({"name": "mlp", "hidden": 64}, "hidden 64: expected a list of positive whole numbers"),
        ({"name": "cnn", "width": "wide"}, "width 'wide': expected a positive whole number"),
        ({"hidden": [3]}, "has no name"),
        ("wide_resnet", "model 'wide_resnet' needs option 'depth'"),
        ({"name": "wide_resnet", "depth": 11, "width": 1}, "depth 11 is not 6 n . 4"),
        ({"name": "vit-tiny", "patch": 5}, "do not split into patches of 5x5"),
        ("no.such.module:factory", "cannot be imported"),
        ("math:pi", "model 'math:pi' is of type float; expected a function"),
        (f"{__name__}:own", "needs option 'width'"),
    ],
)
def test_wrong_options_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_model(spec, IMAGE, 10)


def test_tables_are_refused_by_convolutions() -> None:
    with pytest.raises(UserError, match="needs images"):
        build_model("cnn", (20,), 2)
