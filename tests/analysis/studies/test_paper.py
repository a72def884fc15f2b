"""What was published, as a sweep is held against it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.studies.paper import ALSO, PUBLISHED, TITLES, data_of
from tests.helpers.simulated_results import simulate


@pytest.mark.parametrize(
    ("directory", "data"),
    [
        ("cifar10", "cifar10"),
        ("cifar10-resnet9", "cifar10"),
        ("cifar100-wrn28-2", "cifar100"),
        ("my-cifar10", ""),
    ],
)
def test_the_data_of_a_sweep_is_what_its_name_starts_with(directory: str, data: str) -> None:
    assert data_of(directory) == data


def test_sam_is_published_as_more_accurate_and_more_exposed() -> None:
    assert {row.data for row in PUBLISHED} == set(TITLES)
    assert all(0.05 < row.sgd < row.sam < 1 for row in PUBLISHED)


def test_metrics_are_columns_of_an_audited_sweep(tmp_path: Path) -> None:

    directory = simulate(tmp_path, 3, examples=5, images=False)
    columns = set(pd.read_parquet(directory / "results" / "recipes.parquet").columns)
    assert {row.metric for row in PUBLISHED} <= columns
    assert set(ALSO) <= columns
