"""The documents: links lead somewhere, words are those of the page, README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.report.glossary import TERMS
from trainables.data.dataset import DATASETS
from trainables.models import MODELS
from trainables.optimizers.registry import OPTIMIZERS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:")):
            file, _, anchor = target.partition("#")
            found = page.parent / file if file else page
            assert found.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(found), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:trainables|analysis|sweep|benchmarks|tests|docs)/[\w/.\-]+)`", text):
        assert (ROOT / name).exists(), f"{page.name}: {name}"
    for name in re.findall(r"`((?:trainables|analysis|sweep)(?:\.\w+)+)`", text):
        path = ROOT / name.replace(".", "/")
        module = path if path.with_suffix(".py").exists() or path.is_dir() else path.parent
        assert module.is_dir() or module.with_suffix(".py").exists(), f"{page.name}: {name}"


def test_every_page_is_linked_from_readme_or_a_page_that_is() -> None:
    reached, new = set(), [ROOT / "README.md"]
    while new:
        page = new.pop()
        reached.add(page.resolve())
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            if (page.parent / target).resolve() not in reached and "://" not in target:
                new.append(page.parent / target)
    assert {page.resolve() for page in PAGES} == reached


def test_the_glossary_has_the_words_of_the_page() -> None:
    rows = re.findall(
        r"^\| (.+?) \| (.+) \|$", (ROOT / "docs" / "glossary.md").read_text(), flags=re.MULTILINE
    )
    assert dict(rows[2:]) == TERMS


@pytest.mark.parametrize("registry", [DATASETS, MODELS, OPTIMIZERS], ids=["data", "models", "optimizers"])
def test_the_guide_to_a_spec_names_everything_registered(registry: dict[str, object]) -> None:
    guide = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    assert not [name for name in registry if f"`{name}`" not in guide]


def test_readme_is_read_in_three_minutes() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    before_the_first_command = "\n".join(lines[: lines.index("## Two commands")])
    assert not re.search(r"\[[-+\d.]+, ", before_the_first_command)
    assert len(before_the_first_command.split()) < 150
