"""Specs: what they expand to, that they survive YAML, and one clear line for every mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import SweepSpec
from sweep.spec.reading import override, shipped
from trainables.errors import UserError

BASE = {
    "name": "x",
    "dataset": "digits",
    "model": {"name": "mlp", "hidden": [8]},
    "grid": [{"optimizer": "sgd"}, {"optimizer": "sam", "rho": [0.1, 0.2]}],
}
positive = st.floats(min_value=1e-6, max_value=1e3)


def test_training_is_the_default_of_every_entry() -> None:
    grid = [{"optimizer": "sam", "rho": 0.1, "epochs": 7}]
    (recipe,) = SweepSpec.of({**BASE, "training": {"epochs": 3, "lr": 0.5}, "grid": grid}).recipes
    assert (recipe.epochs, recipe.lr) == (7, 0.5)


@given(
    rho=st.lists(positive, min_size=1, max_size=3, unique=True),
    noise=st.lists(st.floats(0, 10), min_size=1, max_size=3, unique=True),
    seeds=st.integers(1, 500).map(lambda k: 2 * k),
    epochs=st.integers(1, 200),
    lr=positive,
    cpu=st.sampled_from([0.5, 1, 4]),
    sweep_seed=st.integers(0, 2**31),
)
def test_a_spec_survives_yaml(
    rho: list[float], noise: list[float], seeds: int, epochs: int, lr: float, cpu: float, sweep_seed: int
) -> None:
    spec = SweepSpec.of(
        {
            **BASE,
            "subsets": {"seeds": seeds},
            "training": {"epochs": epochs, "lr": lr},
            "grid": [{"optimizer": "sam", "rho": rho, "noise": noise}],
            "resources": {"cpu": cpu},
            "sweep_seed": sweep_seed,
        }
    )
    again = SweepSpec.of(spec.to_yaml())
    assert again == spec
    assert [r.recipe_id for r in again.recipes] == [r.recipe_id for r in spec.recipes]
    assert len(spec.recipes) == len(rho) * len(noise)


@pytest.mark.parametrize("name", shipped())
def test_shipped_specs_are_valid_and_say_what_they_are_about(name: str) -> None:
    spec = SweepSpec.load(name)
    assert spec.name == name
    assert spec.about
    assert SweepSpec.of(spec.to_yaml()) == spec


MISTAKES = {
    "model=mpl": "model: 'mpl' is not known; did you mean 'mlp'?",
    "model={name: cnn, norm: bach}": "model 'cnn': norm 'bach' is not known; did you mean 'batch'?",
    "model={name: cnn, widht: 8}": "model 'cnn' has no option 'widht'; did you mean 'width'?",
    "dataset=digit": "dataset: 'digit' is not known; did you mean 'digits'?",
    "grid[0].optimizer=sdg": "grid[0]: optimizer 'sdg' is not known; did you mean 'sgd'?",
    "gird=1": "gird: unknown key; did you mean 'grid'?",
    "training.epoch=5": "training.epoch: unknown key; did you mean 'epochs'?",
    "grid[1].rh0=1": "grid[1].rh0: unknown key; did you mean 'rho'?",
    "grid[0].optimizer=json:laods": "grid[0]: optimizer 'json:laods' cannot be imported",
    "grid[0]={optimizer: json:loads, rho: 1}": "grid[0]: optimizer 'json:loads' has no knob 'rho'; write",
    "grid[0]={optimizer: sgd, options: {rho: 1}}": "grid[0]: options are for an optimizer of your own",
    "grid[1].rho=-1": "grid[1].rho: -1: expected greater than 0",
    "grid[0].rho=0.1": "grid[0]: optimizer 'sgd' has no knob 'rho'",
    "grid=[{optimizer: sam}]": "grid[0]: optimizer 'sam' needs rho",
    "subsets={scheme: fraction, fraction: 1.5}": "subsets.fraction: 1.5: expected less than 1",
    "subsets={scheme: fraction, fraction: 0}": "subsets.fraction: 0: expected greater than 0",
    "subsets.seeds=63": "subsets.seeds: 63 is odd; scheme 'half' pairs seeds, expected an even number",
    "subsets.scheme=halves": "subsets.scheme: 'halves': expected 'half', 'fraction' or 'canaries'",
    "grid=[]": "grid: [] is empty; expected at least one entry such as {optimizer: sgd}",
    "grid[1].rho=[]": "grid[1].rho: [] is empty; expected at least one value",
    "grid[0].optimizer=[sgd, sgd]": "grid[0]: repeats recipe 'sgd' of grid[0]",
    "training.epochs=ten": "training.epochs: 'ten': expected a valid integer",
    "resources.gpu=1.5": "resources.gpu: 1.5: expected 'auto', a fraction up to 1, or a whole number",
    "resources.gpu=all": "resources.gpu: 'all': expected 'auto', a fraction up to 1, or a whole number",
    "resources.tpu=-1": "resources.tpu: -1: expected greater than 0",
    "audit.reference=asam": "audit.reference: 'asam' matches no recipe; did you mean 'sam'?",
    "audit.attacks=[default, lirra]": "audit.attacks[1]: 'lirra' is not known; did you mean 'lira'?",
    "search={space: [{optimizer: sgd}], attack: lirra}": "search.attack: 'lirra' is not known; did you mean",
    "search={space: [{optimizer: sgd}], attack: default}": "search.attack: 'default' is not known; expected",
    "search.space=[{optimizer: json:loads, options: {a: {low: 1}}}]": "search.space[0].options.a.high: is",
    "audit.delta=1": "audit.delta: 1: expected less than 1",
    "compile=defualt": "compile: 'defualt': did you mean 'default'?",
    "block=big": "block: 'big': expected 'auto' or a number of replicas of at least 1",
    "dataset=7": "dataset: 7: expected a name, or a mapping with 'name' and its options",
    "loggers=[jsn]": "loggers[0]: 'jsn' is not known; did you mean 'json'?",
    "grid[5].rho=1": "--set 'grid[5].rho=1': grid.5: expected an index below 2",
    "name.first=1": "--set 'name.first=1': name is not a mapping that could hold this key",
    "nonsense": "--set 'nonsense': expected key=value, such as training.epochs=5",
}


@pytest.mark.parametrize(("assignment", "line"), MISTAKES.items(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_with_place_value_and_what_was_expected(assignment: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        SweepSpec.of(override(BASE, [assignment]))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
