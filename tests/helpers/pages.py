"""What a written page holds."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def chunks_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<script type="text/plain" data-chunk="([^"]+)">([^<]*)</script>', page))


def recipes(report: Path) -> pd.DataFrame:
    """The recipes that a page is drawn from, by recipe_id."""
    return pd.read_parquet(report.parent / "results/recipes.parquet").set_index("recipe_id")
