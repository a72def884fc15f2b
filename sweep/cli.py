"""The ``flatleak`` command.

Exit codes: 0 done, 1 replicas given up, or a storage or cluster that failed, 2 a user's mistake, 130 Ctrl+C.
"""

from __future__ import annotations

import os
import sys

from rich.markup import escape

from sweep.commands import sweeping  # noqa: F401 -- each module adds its commands to the app, in this order

# isort: split
from sweep.commands import results, watching  # noqa: F401
from sweep.commands.app import app, errors
from trainables.errors import RunError, UserError


def main() -> None:
    """The console script. It finds code of yours in the current directory, as ``python -m`` would."""
    sys.path.append(os.getcwd())
    try:
        app(standalone_mode=True)
    except UserError as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except (RunError, OSError) as error:  # the latter: no bucket, no rights, no room, in the storage's words
        errors.print(f"[red]error:[/] {escape(' '.join(str(error).split()))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
