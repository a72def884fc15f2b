"""The ``flatleak`` command.

Exit codes: 0 done, 1 replicas given up, or a storage or cluster that failed, 2 a user's mistake, 130 Ctrl+C,
143 SIGTERM.
"""

from __future__ import annotations

import os
import sys

from sweep.runner import stopping


def main() -> None:
    """Run the command; it finds code of yours in the current directory, as ``python -m`` would."""
    stopping.install()  # before the imports, which take their time
    try:
        _run()
    except KeyboardInterrupt:  # while modules are imported
        print(stopping.how_to_go_on(), file=sys.stderr)
        stopping.leave(stopping.exit_code())
    except SystemExit as end:
        if end.code in stopping.CODES:
            stopping.leave(end.code)
        raise


def _run() -> None:
    from rich.markup import escape

    from sweep.commands import app, errors
    from trainables.errors import RunError, UserError

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
