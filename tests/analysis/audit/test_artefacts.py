"""Audits that are kept: the same tables again, and only what changed is audited."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.audit import artefacts
from analysis.audit.sweep_audit import Results, audit_sweep
from tests.helpers.simulated_records import simulate
from trainables.records import Address, content_id, write_record
from trainables.storage import Store

KNOBS = [{"optimizer": "sgd"}, {"optimizer": "sam", "rho": 0.1}, {"optimizer": "sam", "rho": 0.2}]


def put(store: Store, recipes: int, seeds: int = 16, **manifest: object) -> None:
    """Records of so many recipes and their manifest."""
    for knobs in KNOBS[:recipes]:
        record = simulate(range(seeds), n=60, m=40, recipe=knobs)  # type: ignore[arg-type]
        write_record(store, Address(content_id(knobs), record.context.context_id, 0, seeds - 1), record)
    values = {
        "context_id": record.context.context_id,
        "recipes": {content_id(k): k for k in KNOBS[:recipes]},
        "seeds": seeds,
        "audit": {"attacks": ["lira", "confidence"], "resamples": 50},
        **manifest,
    }
    store.write("manifest.json", json.dumps(values).encode())


def tables(results: Results) -> list[pd.DataFrame]:
    """What was found, bit for bit."""
    return [results.recipes, results.comparisons, *map(results.stacked, ("metrics", "roc", "scores"))]


def test_only_what_changed_is_audited_and_the_tables_are_those_of_a_whole_audit(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "grows")
    put(store, 2)
    first = audit_sweep(store)
    assert first.done == "audited 2 recipes (sgd, sam rho=0.1), 0 were there"
    put(store, 3, reference=content_id(KNOBS[1]))
    grown = audit_sweep(store)
    assert grown.audited == ["sam rho=0.2"]
    fresh = Store.at(tmp_path / "fresh")
    put(fresh, 3, reference=content_id(KNOBS[1]))
    for found, expected in zip(tables(grown), tables(audit_sweep(fresh)), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    for name, draws in audit_sweep(store).audits[content_id(KNOBS[0])].draws.items():
        np.testing.assert_array_equal(draws, first.audits[content_id(KNOBS[0])].draws[name])
    assert (
        audit_sweep(store, resamples=60).done
        == "audited 3 recipes (sgd, sam rho=0.1, sam rho=0.2), 0 were there"
    )


@pytest.mark.parametrize("data", [b"", b"PK", None])
def test_a_damaged_audit_is_made_again_and_said(tmp_path: Path, data: bytes | None) -> None:
    store = Store.at(tmp_path)
    put(store, 2)
    whole = audit_sweep(store)
    path = artefacts.path_of(content_id(KNOBS[0]))
    store.write(path, store.read(path)[:-2000] if data is None else data)
    again = audit_sweep(store)
    assert again.audited == ["sgd"]
    assert len(again.damaged) == 1
    assert path in again.damaged[0]
    for found, expected in zip(tables(again), tables(whole), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_an_attack_of_ones_own_is_run_again_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "kept_attack.py"
    code.write_text("def score(signals, members):\n    return signals.signal('train', 'margin')[:, 0]\n")
    monkeypatch.syspath_prepend(tmp_path)
    store = Store.at(tmp_path / "sweep")
    put(store, 2)
    options = {"attacks": ["kept_attack:score"]}
    assert audit_sweep(store, **options).done == "audited 2 recipes (sgd, sam rho=0.1), 0 were there"
    assert audit_sweep(store, **options).done == "audited 0 recipes, 2 were there"
    code.write_text(code.read_text() + "# changed\n")
    assert audit_sweep(store, **options).done == "audited 2 recipes (sgd, sam rho=0.1), 0 were there"


def test_other_code_audits_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(tmp_path / "sweep")
    put(store, 2)
    audit_sweep(store)
    ours = Path(artefacts.__file__).parents[1]
    copy = Path(shutil.copytree(ours, tmp_path / "analysis"))
    assert artefacts.code_of(copy) == artefacts.code_of(ours)
    artefacts.code_of.cache_clear()
    with (copy / "statistics" / "intervals.py").open("a") as file:
        file.write("# other figures\n")
    assert artefacts.code_of(copy) != artefacts.code_of(ours)
    monkeypatch.setattr(artefacts, "code_of", lambda _: "other")
    assert audit_sweep(store).done == "audited 2 recipes (sgd, sam rho=0.1), 0 were there"


def test_recipes_that_lack_seeds_are_redrawn_with_the_others(tmp_path: Path) -> None:
    """The same accuracies by seed: what both have is drawn alike, whatever one of them lacks."""
    store = Store.at(tmp_path)
    put(store, 2, seeds=16)
    context = simulate(range(1), n=60, m=40).context.context_id
    store.delete(Address(content_id(KNOBS[1]), context, 0, 15).path)
    for knobs, spans in ((KNOBS[0], [(0, 15)]), (KNOBS[1], [(0, 3), (6, 15)])):
        for first, last in spans:
            record = simulate(range(first, last + 1), n=60, m=40, recipe=knobs)
            record = replace(record, test_accuracy=0.5 + 0.03 * (record.seeds // 2 % 5))
            write_record(store, Address(content_id(knobs), context, first, last), record)
    results = audit_sweep(store)
    one, other = (results.audits[content_id(k)].draws["test_accuracy"] for k in KNOBS[:2])
    assert np.corrcoef(one, other)[0, 1] > 0.8
    pair = results.comparisons.set_index("figure").loc["test_accuracy"]
    assert pair["difference"] == pair["low"] == pair["high"] == 0


def test_another_record_is_another_audit(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    put(store, 2)
    audit_sweep(store)
    record = simulate(range(16, 20), n=60, m=40, recipe=KNOBS[0])
    write_record(store, Address(content_id(KNOBS[0]), record.context.context_id, 16, 19), record)
    put(store, 2, seeds=16)
    assert audit_sweep(store).done == "audited 0 recipes, 2 were there"  # beyond the manifest's seeds
    values = json.loads(store.read("manifest.json")) | {"seeds": 20}
    store.write("manifest.json", json.dumps(values).encode())
    assert audit_sweep(store).audited == ["sgd", "sam rho=0.1"]  # which lacks some of the seeds from now on
    record = simulate(range(16, 18), n=60, m=40, recipe=KNOBS[1])
    write_record(store, Address(content_id(KNOBS[1]), record.context.context_id, 16, 17), record)
    assert audit_sweep(store).audited == ["sam rho=0.1"]
