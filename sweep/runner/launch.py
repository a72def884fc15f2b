"""Plan -> Ray Tune -> records -> audit -> report: ``run``, the whole of ``flatleak run``."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from sweep.cluster import chosen_address, require_head, require_local
from sweep.runner import lease, own_code, stopping
from sweep.runner.audits import on_cluster, shown
from sweep.runner.manifest import replaced
from sweep.runner.outcome import Trained
from sweep.runner.phases import conclude, noting_audits, told
from sweep.runner.search import require_optuna
from sweep.runner.stages import clear, named, no_empty_folder, stage, tidy
from sweep.runner.trainer import Trainer
from sweep.spec.schema import SweepSpec
from sweep.watch.console import standard_console
from sweep.watch.front_table import show_front
from sweep.watch.loading import loading_bar
from sweep.watch.loggers import make_loggers
from trainables.directory import RECORDS, STATE, read_manifest, read_table, require_manifest, require_usable
from trainables.errors import UserError
from trainables.phase import note_phase
from trainables.records import Context, content_id
from trainables.storage import Store, as_store

if TYPE_CHECKING:
    from analysis.audit.jobs import Execute
    from analysis.audit.sweep_audit import Results
    from trainables.data.dataset import Dataset

AUDITED = {"context_id", "recipes", "reference", "seeds", "first_seed", "audit", "versions", "show_examples"}


@dataclass(frozen=True)
class Outcome:
    """What a run did, for the terminal and for ``--json``."""

    directory: str
    trained: Trained
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 all there, 1 replicas given up, 130 Ctrl+C, 143 SIGTERM."""
        done = self.trained
        return stopping.exit_code() if done.interrupted else int(bool(done.failed or done.fatal))

    def to_json(self) -> dict[str, Any]:
        """Return what happened as JSON values, for ``--json``."""
        done = self.trained
        return {
            "directory": self.directory,
            "replicas": done.replicas,
            "present": done.present,
            "trained": done.trained,
            "failed": [block.name for block in done.failed],
            "fatal": done.fatal,
            "interrupted": done.interrupted,
            "set_aside": list(done.set_aside),
            "seconds": round(self.seconds, 2),
            "exit_code": self.exit_code,
        }


def run(
    spec: SweepSpec,
    out: str | Path | Store | None = None,
    *,
    address: str | None = None,
    analyse: bool = True,
    console: Console | None = None,
) -> Outcome:
    """Train what is missing of a sweep and nothing else, audit it and write the report.

    Args:
        spec: What to sweep.
        out: The sweep directory, a path or URI; ``runs/<name>`` by default.
        address: A Ray cluster that this machine is in (``auto``, ``host:port``); else that of RAY_ADDRESS,
            else Ray is embedded here.
        analyse: Whether to audit and report at the end, where every replica is there or given up.
        console: Where progress goes; by default standard error, in a notebook the cell's output.

    Returns:
        What was trained, what failed, and the exit code of the command.

    Raises:
        UserError: A mistake in the spec or an unusable directory, before anything is trained or written; a
            search none of whose recipes could be trained.
        RunError: Something else failed than a trial.

    >>> outcome = run(SweepSpec.load("digits"), "runs/digits")  # doctest: +SKIP
    """
    started = time.monotonic()
    require_head(address)
    from analysis.attacks import registry as attacks
    from trainables.engine.checks import check
    from trainables.models import complete_model

    console = console or standard_console()
    store = as_store(out if out is not None else Path("runs") / spec.name)
    require_usable(store)
    loggers = make_loggers(spec.loggers, spec.name)
    if spec.search is not None:
        require_optuna()
    attacks.select(spec.attacks)
    _require_shadows(spec)
    if chosen_address(address) == "local":
        require_local(spec.resources.demand)
    with no_empty_folder(store), lease.hold(store) as held, told(store, address):
        dataset = load(spec, store, console)
        model = complete_model(spec.model)
        with stage(store, console, f"trying model {model['name']}"):
            check([*spec.recipes, *spec.corners], dataset, model, spec.subsets.rule, spec.queries)
        for line in dataset.notes:
            console.print(f"[yellow]dataset:[/] {escape(line)}", soft_wrap=True, highlight=False)
        for name, logger in zip(spec.loggers, loggers, strict=True):
            with stage(store, console, f"opening logger {name}"):
                logger.setup()
        context = spec.context(dataset.fingerprint)
        _say_replaced(store, context, console)
        for name in own_code.changed(context, spec.recipes, read_manifest(store)):
            console.print(
                f"[yellow]{escape(name)} has changed[/] since the first replicas of {escape(str(store))} "
                "were trained; those stay as they are. A new name, or another --out, trains all anew.",
                soft_wrap=True,
                highlight=False,
            )
        with Trainer(spec, store, context, dataset, address, console, held, list(spec.recipes)) as trainer:
            trained = _train(spec, trainer)
            if not trained.fatal:
                clear(store)
            tidy(store)
            analyse = analyse and bool(trained.replicas_there)
            if analyse and not trained.interrupted and not trained.fatal:
                publish = noting_audits(store, held.publish)
                analyse_sweep(store, dataset, console, shown(_audits(trainer), console, publish))
            conclude(store, trained, audited=analyse)
    return Outcome(str(store), trained, time.monotonic() - started)


def _say_replaced(store: Store, context: Context, console: Console) -> None:
    """Say that the directory held another sweep, and how that differs."""
    other = replaced(read_manifest(store), context)
    if other:
        console.print(
            f"[yellow]{escape(str(store))} held another sweep:[/] {escape(other)}; its records stay, its "
            "manifest and report are replaced. Another --out keeps both.",
            soft_wrap=True,
            highlight=False,
        )


def _require_shadows(spec: SweepSpec) -> None:
    """Refuse a sweep whose only attacks have no other replicas to learn from."""
    from analysis.attacks import registry as attacks

    chosen, seeds = attacks.select(spec.audit.attacks), spec.subsets.seeds
    if all(attack.replicas > seeds for attack in chosen.values()):
        raise UserError(
            f"audit.attacks: {', '.join(chosen)} with subsets.seeds {seeds}: each target needs other "
            "replicas, with and without every example; expected at least 4 seeds, or another attack beside it"
        )


def load(spec: SweepSpec, store: Store | None, console: Console) -> Dataset:
    """Load the data set, under a bar. A failure is kept in the store, where there is one."""
    from trainables.data.dataset import load_dataset

    doing = f"loading dataset {spec.dataset['name']}"
    if store is not None:
        note_phase(store, "starting", doing)
    with named(store, doing), loading_bar(console, doing) as report:
        return load_dataset(spec.dataset, report=report)


def _train(spec: SweepSpec, trainer: Trainer) -> Trained:
    """Count the grid, then what the search finds beside it; of what it dropped only what failed."""
    trained = trainer.train(spec.recipes, spec.subsets.range)
    if spec.search is None or trained.interrupted or trained.fatal:
        return trained
    from sweep.runner.search import Search

    search = Search(spec, spec.search, trainer)
    found, stopped = search.run()
    if stopped:
        return replace(stopped, failed=tuple(search.failed))
    listed = {recipe.recipe_id: recipe for recipe in [*spec.recipes, *found]}
    trainer.listed = list(listed.values())
    verified = trainer.train(trainer.listed, spec.subsets.range)
    return replace(
        verified,
        present=verified.present - trained.trained,
        trained=verified.trained + trained.trained,
        failed=(*search.failed, *verified.failed),
        set_aside=trained.set_aside + verified.set_aside,
    )


def _audits(trainer: Trainer) -> Execute:
    """Audit as tasks where Ray runs or a cluster was named, else in threads: Ray is not started for them."""
    from analysis.audit.jobs import in_threads

    return lambda jobs: (on_cluster if trainer.has_ray() else in_threads)(jobs)


def analyse_sweep(store: Store, dataset: Dataset, console: Console, execute: Execute) -> None:
    """Audit every ensemble, draw the report and show the front; with nothing changed only the last.

    Args:
        store: the sweep directory.
        dataset: what pictures of examples are taken from.
        console: where the front goes.
        execute: runs the audits that are left.
    """
    from analysis.audit.sweep_audit import audit_sweep
    from analysis.report.html import write_report
    from analysis.report.pictures import save_pictures

    state = _state(store)
    if not store.exists(STATE) or store.read(STATE) != state:
        with named(store, "auditing"):
            results = audit_sweep(store, execute=execute)
        say_audited(console, results)
        note_phase(store, "drawing")
        with console.status("drawing the report"):
            save_pictures(store, dataset)
            write_report(store)
        store.write(STATE, state)
    show_front(console, read_table(store, "recipes"))


def say_audited(console: Console, results: Results) -> None:
    """Say how many recipes were audited, which audits were damaged, and which attacks were left out."""
    for problem in results.damaged:
        console.print(f"[yellow]{escape(problem)}[/]", soft_wrap=True, highlight=False)
    for label, notes in results.notes["notes"].items():
        for note in (n for n in notes if "left out, it raised" in n or "left out, attack " in n):
            console.print(f"[yellow]{escape(f'{label}: {note}')}[/]", soft_wrap=True, highlight=False)
    console.print(escape(results.done), style="dim", highlight=False, soft_wrap=True)


def _state(store: Store) -> bytes:
    """Address what results follow from by content: records, manifest and the release that audits them."""
    parts = require_manifest(store).model_dump(mode="json", include=AUDITED)
    records = [(entry.path, entry.size) for entry in store.list(RECORDS)]
    return content_id({**parts, "records": records}).encode()
