"""Spec files and YAML text -> plain mappings, ``--set`` overrides, and the import strings in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sweep.spec.explaining import short
from trainables.errors import UserError, first_line
from trainables.registry import nearest

SHIPPED = files("sweep.spec") / "shipped"
MOST_VALUES = 100_000
DEEPEST = 50


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads ``5e-4`` as a number, as YAML 1.2 does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"key {twice!r} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse(text: str, source: str = "spec") -> dict[str, Any]:
    """Read YAML text.

    Args:
        text: What a spec file holds.
        source: What errors call it.

    Returns:
        The mapping.

    Raises:
        UserError: The text is not valid YAML, or no mapping; names the line.
    """
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{source}:{mark.line + 1}" if mark else source
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{line}: not valid YAML: {problem}") from error
    except RecursionError as error:
        raise UserError(f"{source}: not valid YAML: nested too deep") from error
    except (ValueError, TypeError, OverflowError, LookupError) as error:  # of dates, keys and other tags
        raise UserError(f"{source}: not valid YAML: {first_line(error)}") from error
    _require_finite(value, source)
    if not isinstance(value, dict):
        raise UserError(f"{source}: expected a mapping such as 'name: digits', found {type(value).__name__}")
    return value


def read_text(path: Path) -> str:
    """Return the text of a spec file.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: is not UTF-8 ({error.reason}); save the file as UTF-8") from error
    except OSError as error:
        raise UserError(f"spec {str(path)!r}: cannot be read ({error.strerror})") from error


def _require_finite(value: Any, source: str) -> None:
    """Refuse anchors that hold themselves, or each other so often that the spec would never end."""
    left = MOST_VALUES

    def visit(value: Any, holders: tuple[int, ...]) -> None:
        nonlocal left
        left -= 1
        if id(value) in holders:
            raise UserError(f"{source}: not valid YAML: an anchor holds itself")
        if left < 0 or len(holders) > DEEPEST:
            raise UserError(f"{source}: holds more than {MOST_VALUES:,} values, or {DEEPEST} in each other")
        if isinstance(value, (dict, list, tuple, set)):
            parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
            for part in parts:
                visit(part, (*holders, id(value)))

    visit(value, ())


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Apply assignments to the values of a spec.

    Args:
        values: The raw spec; it stays as it is.
        assignments: ``key.sub=value`` each; values are YAML, ``grid[1].rho`` counts from 0.

    Returns:
        The changed values.

    Raises:
        UserError: An assignment that is none, or whose place is not there.

    >>> override({"training": {"epochs": 40}, "model": "mlp"}, ["training.epochs=5", "model.hidden=[8]"])
    {'training': {'epochs': 5}, 'model': {'name': 'mlp', 'hidden': [8]}}
    """
    result: dict[str, Any] = _copy(values)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set {assignment!r}: expected key=value, such as training.epochs=5")
        value = parse(f"value: {text}", f"--set {assignment}")["value"]
        _assign(result, _keys(key), value, assignment)
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(v) for key, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list | tuple) else value


def _keys(key: str) -> list[str | int]:
    parts = re.sub(r"\[(\d+)\]", r".\1", key).split(".")
    return [int(part) if part.isdigit() else part for part in parts]


def _assign(target: Any, keys: list[str | int], value: Any, assignment: str) -> None:
    *path, last = keys
    for i, key in enumerate(path):
        if isinstance(target, dict) and isinstance(target.get(key), str) and key in ("dataset", "model"):
            target[key] = {"name": target[key]}
        if isinstance(target, dict) and isinstance(key, str):
            target = target.setdefault(key, {})
        else:
            target = _item(target, key, keys[: i + 1], assignment)
    if isinstance(target, dict):
        target[last] = value
    else:
        _item(target, last, keys, assignment)
        target[last] = value


def _item(target: Any, key: str | int, keys: list[str | int], assignment: str) -> Any:
    where = ".".join(map(str, keys))
    if not isinstance(target, list) or not isinstance(key, int):
        holder = ".".join(map(str, keys[:-1]))
        raise UserError(f"--set {assignment!r}: {holder} is not a mapping that could hold this key")
    if key >= len(target):
        raise UserError(f"--set {assignment!r}: {where}: expected an index below {len(target)}")
    return target[key]


def import_strings(values: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Find the code that reading a spec would run.

    Args:
        values: The raw spec.
        at: The place of ``values`` in it.

    Yields:
        Place and import string ``package.module:attribute`` of each.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from import_strings(value, f"{at}.{key}" if at else str(key))
    elif isinstance(values, list):
        for i, value in enumerate(values):
            yield from import_strings(value, f"{at}[{i}]")
    elif isinstance(values, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", values):
        yield at, values


def read(source: str | Path) -> dict[str, Any]:
    """Read the raw mapping of a spec.

    Args:
        source: A path, or the name of a shipped spec.

    Returns:
        The mapping, not yet checked.

    Raises:
        UserError: There is no such file or shipped spec, or it is not valid YAML.
    """
    try:
        path = Path(source).expanduser()
        path.is_file()  # a name may be too long
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"spec {short(str(source))}: {first_line(error)}") from error
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"spec {str(source)!r}: there is no such file")
        return parse(read_text(path), str(source))
    if str(source) in shipped():
        return parse((SHIPPED / f"{source}.yaml").read_text(), str(source))
    raise UserError(f"spec {str(source)!r} is neither a file nor shipped; {nearest(str(source), shipped())}")


def shipped() -> list[str]:
    """Return the names of the specs that come with the package."""
    return sorted(p.name.removesuffix(".yaml") for p in SHIPPED.iterdir() if p.name.endswith(".yaml"))
