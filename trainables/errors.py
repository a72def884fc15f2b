"""The errors that users see: one line each."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in a spec, a file or an option. Its text is one line and is shown without a traceback."""


class RunError(RuntimeError):
    """A run that failed by no mistake of its spec. Its text is one line and says where the traceback lies."""


class Diverged(UserError):
    """Training that ended in no numbers; it would end there again."""


class StorageFull(OSError):
    """The disk that a sweep directory lies on has no room, or the user none of its quota."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
