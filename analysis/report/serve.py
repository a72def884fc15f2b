"""The report page, live: served on loopback, audited again in the background as records land."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from typing import Any, NamedTuple

from analysis.audit.sweep_audit import Results, audit_sweep
from analysis.report.html import page, payload, title
from analysis.results import Tables
from trainables.directory import DRIVER, NO_MANIFEST, addresses, read_manifest, require_manifest, table_path
from trainables.errors import UserError
from trainables.pace import pace
from trainables.phase import read_phase
from trainables.storage import Store, as_store

HOST = "127.0.0.1"
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
PORT = 8700


class Counts(NamedTuple):
    """Replicas that lie in records, and those that the manifest asks for."""

    done: int
    total: int


def count(store: Store) -> Counts:
    """Count replicas from names of files alone; a subset seed that two records hold counts once."""
    manifest = read_manifest(store) or NO_MANIFEST
    wanted = manifest.seed_range
    done = {(a.recipe_id, seed) for a in addresses(store, manifest) for seed in a.seeds if seed in wanted}
    return Counts(len(done), len(manifest.recipes) * len(wanted))


class Driven:
    """What the driver of a sweep says of itself, while its lease changes.

    Args:
        store: The sweep directory.
        patience: Seconds without a change until the driver counts as gone.
    """

    def __init__(self, store: Store, patience: float = 60.0) -> None:
        self._store, self._patience = store, patience
        self._lease, self._changed = b"", time.monotonic()

    def words(self) -> str:
        """Return the phase, and the nodes, pace, retries and failures; empty where nobody drives."""
        try:
            lease = self._store.read(DRIVER)
            figures = json.loads(lease)["figures"]
        except (OSError, ValueError, KeyError):
            return ""
        if lease != self._lease:
            self._lease, self._changed = lease, time.monotonic()
        if time.monotonic() - self._changed > self._patience:
            return ""
        phase = read_phase(self._store)
        return ", ".join([*([str(phase)] if phase else []), *pace(figures)])


class Live:
    """What the page sees now: counts of replicas, the packed results of the last audit, and their version.

    Args:
        store: The sweep directory.
        announce: Told after each audit which recipes were audited, and how many were there.
        audit: Makes the results in the directory new.
    """

    def __init__(
        self,
        store: Store,
        announce: Callable[[str], None] = lambda _: None,
        audit: Callable[[Store], Results] = audit_sweep,
    ) -> None:
        self.store, self._announce, self._audit = store, announce, audit
        self.counts, self.version, self.note = count(store), "", "Waiting for records"
        self.chunks: dict[str, str] = {}
        self._audited = 0
        self._driver = Driven(store)

    def refresh(self) -> None:
        """Audit when there are more replicas than at the last audit; a failure is told, never raised."""
        try:
            self.counts = count(self.store)
            if not self.version:
                self._adopt_results()
            if self.counts.done > self._audited:
                self.note = "Auditing what has landed"
                done = self.counts.done
                results = self._audit(self.store)
                self._publish(done)
                self._announce(results.done)
            self.note = "" if self.version else "Waiting for records"
        except UserError as error:
            self._audited = self.counts.done
            self.note = str(error)
        except Exception as error:  # the page must outlive whatever a half-finished sweep does to an audit
            self._audited = self.counts.done
            self.note = f"The audit failed: {type(error).__name__}: {error}"

    def _adopt_results(self) -> None:
        """Show results that are there already, without auditing where they cover every record."""
        if self.store.exists(table_path("recipes")):
            self._publish(int(Tables(self.store).recipes["replicas"].sum()))

    def _publish(self, replicas: int) -> None:
        tables = Tables(self.store)
        self.chunks = payload(tables)
        self._audited = replicas
        self.version = f"{replicas}-{hash(tuple(self.chunks.values())) & 0xFFFFFFFF:x}"

    def status(self) -> dict[str, Any]:
        """Return counts, the version of the results, a note, and what the driver says, as JSON values."""
        note = ". ".join(part for part in (self.note, self._driver.words()) if part)
        return {**self.counts._asdict(), "version": self.version, "note": note}


class LiveServer:
    """A server of one sweep directory, for use in ``with``; ``url`` is where it answers.

    Binds to loopback only and refuses requests that name another host, so that no web page elsewhere can
    read results through the reader's browser.

    Raises:
        UserError: the port is taken, or the directory is no sweep.
    """

    def __init__(
        self,
        directory: str | PathLike[str] | Store,
        port: int = PORT,
        *,
        interval: float = 3.0,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        store = as_store(directory)
        require_manifest(store)
        self.live = Live(store, announce)
        self._interval, self._stopped = interval, threading.Event()
        html = page({}, title=title(Tables(store)), live=True).encode()
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self.live, html))
        except OSError as error:
            raise UserError(
                f"port {port} on {HOST} cannot be had ({error.strerror}); choose another by --port"
            ) from None
        self.url = f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> LiveServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.live.refresh()
            self._stopped.wait(self._interval)

    def wait(self) -> None:
        """Wait until someone stops the server."""
        self._stopped.wait()


def serve(
    directory: str | PathLike[str] | Store, port: int = PORT, *, announce: Callable[[str], None] = print
) -> None:
    """Serve the live page until interrupted.

    Args:
        directory: A sweep directory, a path or a URI.
        port: Of the server; 0 takes any free one.
        announce: Told the page's address once it answers, and after each audit what was audited.
    """
    with LiveServer(directory, port, announce=announce) as server, suppress(KeyboardInterrupt):
        announce(server.url)
        server.wait()


def _handler(live: Live, html: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Host", "").rsplit(":", 1)[0] not in LOOPBACK:
                self.send_error(HTTPStatus.FORBIDDEN, "only this machine may ask")
                return
            if self.path == "/":
                self._answer(html, "text/html; charset=utf-8")
            elif self.path == "/version":
                self._answer(json.dumps(live.status()).encode(), "application/json")
            elif self.path == "/payload":
                self._answer(json.dumps(live.chunks).encode(), "application/json")
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet: the terminal belongs to whoever started the server."""

    return Handler
