"""Every update rule against a re-statement in float64 NumPy, one replica at a time, for five steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import pytorch_optimizer
import torch

from trainables import Recipe
from trainables.optimizers.registry import OPTIMIZERS
from trainables.optimizers.update_rules import update_rule

STEPS, BATCH, MICRO = 5, 6, 2
SHAPES = {"1.weight": (5, 4), "1.bias": (5,), "norm.weight": (5,), "2.weight": (3, 5), "2.bias": (3,)}


class Batch:
    """One batch a replica of a small network's mean squared error: what ``gradient_rules.Batch`` asks for."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y, self.size = x, y, x.shape[1]

    def losses(self, params):
        h = torch.einsum("kbi,koi->kbo", self.x, params["1.weight"]) + params["1.bias"][:, None]
        h = torch.tanh(h) * params["norm.weight"][:, None]
        out = torch.einsum("kbi,koi->kbo", h, params["2.weight"]) + params["2.bias"][:, None]
        return ((out - self.y) ** 2).sum(-1)

    def __call__(self, params):
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        with torch.enable_grad():
            loss = self.losses(leaves).mean(1).sum()
            return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def select(self, index):
        rows = torch.arange(len(index))[:, None]
        return Batch(self.x[rows, index], self.y[rows, index])

    def of(self, k):
        return Batch(self.x[k : k + 1], self.y[k : k + 1])


def flat(params) -> np.ndarray:
    return np.concatenate([params[name].detach().numpy().ravel() for name in SHAPES])


def named(vector: np.ndarray) -> dict[str, torch.Tensor]:
    out, start = {}, 0
    for name, shape in SHAPES.items():
        size = int(np.prod(shape))
        out[name] = torch.tensor(vector[start : start + size].reshape(1, *shape))
        start += size
    return out


IS_WEIGHT = np.concatenate([np.full(int(np.prod(s)), len(s) > 1) for s in SHAPES.values()])


def setting(replicas: int):
    torch.manual_seed(1)
    params = {name: torch.randn(replicas, *shape, dtype=torch.float64) for name, shape in SHAPES.items()}
    batches = [
        Batch(
            torch.randn(replicas, BATCH, 4, dtype=torch.float64),
            torch.randn(replicas, BATCH, 3, dtype=torch.float64),
        )
        for _ in range(STEPS)
    ]
    return params, batches


def stacked_run(recipe: Recipe, replicas: int) -> np.ndarray:
    params, batches = setting(replicas)
    rule = update_rule(recipe)
    state = rule.init(params)
    for t, batch in enumerate(batches):
        params, state = rule.step(params, state, batch, lr=0.05 / (t + 1))
    return np.stack([flat({name: p[k] for name, p in params.items()}) for k in range(replicas)])


@dataclass
class At:
    """Where a re-stated rule is: weights, gradient function, batch, step number, what it remembers."""

    w: np.ndarray
    g: Callable[[np.ndarray], np.ndarray]
    batch: Batch
    t: int
    memory: dict


Rule = Callable[[At], np.ndarray]


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt((v**2).sum())


def plain_sgd(at: At) -> np.ndarray:
    return at.g(at.w)


def plain_sam(at: At, rho: float = 0.2) -> np.ndarray:
    return at.g(at.w + rho * unit(at.g(at.w)))


def plain_m_sam(at: At, rho: float = 0.2) -> np.ndarray:
    total = np.zeros_like(at.w)
    for start in range(0, BATCH, MICRO):
        part = Batch(at.batch.x[:, start : start + MICRO], at.batch.y[:, start : start + MICRO])
        ahead = at.w + rho * unit(flat(part(named(at.w))))
        total += flat(part(named(ahead))) * MICRO / BATCH
    return total


def plain_asam(at: At, rho: float = 0.5, eta: float = 0.01) -> np.ndarray:
    scale = np.where(IS_WEIGHT, np.abs(at.w) + eta, 1.0)
    g = at.g(at.w)
    return at.g(at.w + rho * scale**2 * g / np.linalg.norm(scale * g))


def plain_gsam(at: At, alpha: float = 0.3) -> np.ndarray:
    g, g_s = at.g(at.w), plain_sam(at)
    return g_s - alpha * (g - (g @ unit(g_s)) * unit(g_s))


def plain_looksam(at: At, alpha: float = 0.7, k: int = 2) -> np.ndarray:
    g = at.g(at.w)
    if at.t % k:
        return g + alpha * np.linalg.norm(g) / np.linalg.norm(at.memory["v"]) * at.memory["v"]
    g_s = plain_sam(at)
    at.memory["v"] = g_s - (g_s @ unit(g)) * unit(g)
    return g_s


def plain_fsam(at: At, rho: float = 0.2, sigma: float = 0.8, lmbda: float = 0.6) -> np.ndarray:
    g = at.g(at.w)
    direction = g - sigma * at.memory["e"] if at.t else g
    at.memory["e"] = lmbda * at.memory["e"] + (1 - lmbda) * g if at.t else g
    return at.g(at.w + rho * unit(direction))


def plain_esam(at: At, rho: float = 0.2, gamma: float = 0.5, beta: float = 0.5) -> np.ndarray:
    mask = at.memory["masks"][at.t] if "masks" in at.memory else beta
    ahead = named(at.w + rho * mask / beta * unit(at.g(at.w)))
    rise = at.batch.losses(ahead)[0] - at.batch.losses(named(at.w))[0]
    worst = np.argsort(-rise.numpy())[: round(gamma * BATCH)].copy()
    return flat(Batch(at.batch.x[:, worst], at.batch.y[:, worst])(ahead))


RULES: dict[str, tuple[dict, Rule]] = {
    "sgd": ({"optimizer": "sgd"}, plain_sgd),
    "sam": ({"optimizer": "sam", "rho": 0.2}, plain_sam),
    "sam m": ({"optimizer": "sam", "rho": 0.2, "m": MICRO}, plain_m_sam),
    "asam": ({"optimizer": "asam", "rho": 0.5}, plain_asam),
    "gsam": ({"optimizer": "gsam", "rho": 0.2, "alpha": 0.3}, plain_gsam),
    "looksam": ({"optimizer": "looksam", "rho": 0.2, "k": 2}, plain_looksam),
    "fsam": ({"optimizer": "fsam", "rho": 0.2, "sigma": 0.8, "lmbda": 0.6}, plain_fsam),
    "esam": ({"optimizer": "esam", "rho": 0.2, "beta": 1, "gamma": 0.5}, plain_esam),
    "swa": ({"optimizer": "swa"}, plain_sgd),
    # Next to no noise; that and clipping, which the batch does, have their own tests in test_privacy.
    "dpsgd": ({"optimizer": "dpsgd", "clip": 1, "noise_multiplier": 1e-12}, plain_sgd),
    "dpsam": ({"optimizer": "dpsam", "rho": 0.2, "clip": 1, "noise_multiplier": 1e-12}, plain_sam),
}


def plain_run(
    rule: Rule,
    replicas: int,
    *,
    penalty: float = 0.0,
    base: str = "sgd",
    nesterov: bool = False,
    memory: dict | None = None,
) -> np.ndarray:
    params, batches = setting(replicas)
    out = []
    for k in range(replicas):
        w = flat({name: p[k] for name, p in params.items()})
        memory = dict(memory or {})
        momentum, square = np.zeros_like(w), np.zeros_like(w)
        for t, batch in enumerate(batches):
            lr, own = 0.05 / (t + 1), batch.of(k)

            def g(v, own=own):
                return flat(own(named(v)))

            def penalised(v, g=g):
                return g(v) + penalty * (g(v + 0.05 * unit(g(v))) - g(v)) / 0.05 if penalty else g(v)

            step = rule(At(w, penalised, own, t, memory))
            if base == "sgd":
                step = step + 0.01 * w
                momentum = 0.9 * momentum + step
                w = w - lr * (step + 0.9 * momentum if nesterov else momentum)
            else:
                w = w * (1 - lr * 0.01)
                momentum, square = 0.9 * momentum + 0.1 * step, 0.999 * square + 0.001 * step**2
                ahead = momentum / (1 - 0.9 ** (t + 1))
                w = w - lr * ahead / (np.sqrt(square / (1 - 0.999 ** (t + 1))) + 1e-8)
        out.append(w)
    return np.stack(out)


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("name", RULES)
def test_rule_equals_its_paper(name: str, replicas: int) -> None:
    knobs, rule = RULES[name]
    ours = stacked_run(Recipe(**knobs, weight_decay=0.01), replicas)
    np.testing.assert_allclose(ours, plain_run(rule, replicas), rtol=1e-9, atol=1e-11)


def test_esam_with_both_of_its_parts_equals_its_paper() -> None:
    """Given which parameters it drew: those that differ where it looks for the examples of rising loss."""
    seen: list[np.ndarray] = []

    class Watched(Batch):
        def losses(self, params):
            seen.append(flat(params))
            return super().losses(params)

    params, batches = setting(1)
    rule = update_rule(Recipe(optimizer="esam", rho=0.2, beta=0.5, gamma=0.5, weight_decay=0.01))
    state, masks = rule.init(params), []
    for t, batch in enumerate(batches):
        seen.clear()
        params, state = rule.step(params, state, Watched(batch.x, batch.y), lr=0.05 / (t + 1))
        ahead, at, *_ = seen
        masks.append(ahead != at)
    assert 0 < np.mean(masks) < 1
    expected = plain_run(plain_esam, 1, memory={"masks": masks})
    np.testing.assert_allclose(flat(params)[None], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["sgd", "sam", "asam", "gsam", "fsam"])
def test_gradient_penalty_composes_with_every_rule(name: str) -> None:
    knobs, rule = RULES[name]
    ours = stacked_run(Recipe(**knobs, weight_decay=0.01, grad_reg=0.03), 2)
    np.testing.assert_allclose(ours, plain_run(rule, 2, penalty=0.03), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["sgd", "sam"])
@pytest.mark.parametrize(("base", "nesterov"), [("sgd", True), ("adamw", False)])
def test_base_optimizers(name: str, base: str, nesterov: bool) -> None:
    knobs, rule = RULES[name]
    ours = stacked_run(Recipe(**knobs, weight_decay=0.01, base=base, nesterov=nesterov), 2)
    np.testing.assert_allclose(ours, plain_run(rule, 2, base=base, nesterov=nesterov), rtol=1e-9, atol=1e-11)


def test_every_registered_rule_is_checked_here() -> None:
    assert {knobs["optimizer"] for knobs, _ in RULES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("name", ["sam", "asam", "looksam", "fsam"])
def test_a_published_implementation_agrees(name: str) -> None:
    """pytorch-optimizer's SAM, adaptive SAM (eta 0), LookSAM and Friendly SAM on one parameter, where
    per-tensor and global norms are one."""
    published = {
        "sam": ("SAM", {}),
        "asam": ("SAM", {"adaptive": True}),
        "fsam": ("FriendlySAM", {"sigma": 1.0, "lmbda": 0.9}),
        "looksam": ("LookSAM", {"k": 5, "alpha": 0.7}),
    }
    kind, options = published[name]
    torch.manual_seed(3)
    start = torch.randn(1, 4, 6, dtype=torch.float64)
    targets = [torch.randn(4, 6, dtype=torch.float64) for _ in range(STEPS)]

    def loss(w, target):
        return ((w - target) ** 4).sum() / 10

    weight = torch.nn.Parameter(start[0].clone())
    optimizer = getattr(pytorch_optimizer, kind)(
        [weight], torch.optim.SGD, rho=0.1, lr=0.05, momentum=0.9, weight_decay=0.01, **options
    )
    for target in targets:

        def closure(target=target):
            optimizer.zero_grad()
            value = loss(weight, target)
            value.backward()
            return value

        closure()
        optimizer.step(closure)
    own = {"eta": 0} if name == "asam" else {}
    rule = update_rule(Recipe(optimizer=name, rho=0.1, weight_decay=0.01, **own))
    params = {"w": start}
    state = rule.init(params)
    for target in targets:

        def gradient(p, target=target):
            return {"w": 4 * (p["w"] - target) ** 3 / 10}

        params, state = rule.step(params, state, gradient, lr=0.05)
    torch.testing.assert_close(params["w"][0], weight.detach(), rtol=1e-6, atol=1e-8)


def test_the_published_gsam_agrees() -> None:
    class Constant:
        def step(self) -> float:
            return 0.1

    torch.manual_seed(4)
    model = torch.nn.Linear(6, 4, bias=False).double()
    params = {"w": model.weight.detach().clone()[None]}
    base = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    published = pytorch_optimizer.GSAM(model.parameters(), base, model, Constant(), alpha=0.3)
    rule = update_rule(Recipe(optimizer="gsam", rho=0.1, alpha=0.3, weight_decay=0.01))
    state = rule.init(params)
    for _ in range(STEPS):
        x, y = torch.randn(8, 6, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)
        published.set_closure(torch.nn.functional.mse_loss, x, y)
        published.step()

        def gradient(p, x=x, y=y):
            return {"w": 2 * (p["w"] @ x.T - y.T) @ x / y.numel()}

        params, state = rule.step(params, state, gradient, lr=0.05)
    torch.testing.assert_close(params["w"][0], model.weight.detach(), rtol=1e-6, atol=1e-8)


def test_the_penalty_is_the_gradient_of_its_loss_where_gradients_are_linear() -> None:
    """On a quadratic the finite difference is exact: d (L + lambda ||dL||) by differentiating twice."""
    torch.manual_seed(5)
    root, start = torch.randn(7, 7, dtype=torch.float64), torch.randn(1, 7, dtype=torch.float64)
    curvature, lmbda = root @ root.T, 0.03
    leaf = start.clone().requires_grad_()
    loss = (leaf @ curvature * leaf).sum() / 2
    (g,) = torch.autograd.grad(loss, leaf, create_graph=True)
    (expected,) = torch.autograd.grad(loss + lmbda * g.norm(), leaf)
    rule = update_rule(Recipe(grad_reg=lmbda, momentum=0, weight_decay=0))
    params, _ = rule.step({"w": start}, rule.init({"w": start}), lambda p: {"w": p["w"] @ curvature}, lr=1.0)
    torch.testing.assert_close(start - params["w"], expected, rtol=1e-10, atol=1e-12)
