"""``flatleak run`` without training, for scripts: ``pretend.py run SPEC --out DIR [--set KEY=VALUE ...]``.

Records are simulated for every recipe and subset seed of the spec; SAM leaks more, noise and a penalty less.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from analysis.audit.sweep_audit import audit_sweep
from sweep.runner import manifest
from sweep.spec.reading import override, read
from sweep.spec.schema import SweepSpec
from tests.helpers.simulated_records import simulate
from trainables.recipe import Recipe
from trainables.records import Address, write_record
from trainables.storage import as_store


def leak(recipe: Recipe) -> float:
    defences = recipe.noise / 4 + recipe.grad_reg * 2 + recipe.early_stopping / 2
    return (1.5 if recipe.optimizer == "sam" else 1.0) * (1 - min(defences, 0.9))


def main(_: str, source: str, __: str, out: str, *options: str) -> None:
    spec = SweepSpec.of(override(read(source), options[1::2]))
    store, seeds, context = as_store(out), spec.subsets.range, spec.context("simulated")
    for recipe in spec.recipes:
        record = simulate(seeds, leak=leak(recipe), recipe=recipe.knobs, queries=spec.queries)
        address = Address(recipe.recipe_id, context.context_id, seeds.start, seeds.stop - 1)
        write_record(store, address, replace(record, context=context))
    manifest.write(store, spec, manifest.make_manifest(spec, spec.recipes, context, {}, {}, None))
    audit_sweep(store)


if __name__ == "__main__":
    main(*sys.argv[1:])
