"""Names of a package that load their modules when they are first used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trainables.lazy import lazily


def test_a_name_loads_its_module_when_it_is_used_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_module.py").write_text("value = 42\nother = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_module", raising=False)
    find = lazily("package", {"value": "slow_module"})
    assert "slow_module" not in sys.modules
    assert find("value") == 42
    assert sys.modules.pop("slow_module").other == 7


def test_other_names_are_no_attributes() -> None:
    find = lazily("package", {"sqrt": "math", "gone": "math"})
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'value'"):
        find("value")
    with pytest.raises(AttributeError, match="gone"):
        find("gone")
