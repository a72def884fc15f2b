"""How many requests a look at a large sweep on an object store takes: moto's S3, behind a counter.

    python benchmarks/object_store.py [BLOCK]

50 recipes x 2,000 seeds in records of BLOCK replicas (32 by default), small made-up ones. ``first`` is where
no record was checked before, ``then`` what any later look costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.audit.sweep_audit import audit_sweep
from sweep.runner.plan import take_stock
from sweep.watch.status import status
from tests.helpers.servers import BUCKET, aws_environment, counting, free_port, wait_for
from tests.helpers.simulated_records import simulate
from trainables.records import Address, content_id, write_record
from trainables.storage import Store

RECIPES, SEEDS = 50, 2000


def fill(store: Store, block: int) -> tuple[list[str], str]:
    """Write the sweep; return its recipes and its context."""
    recipes = {content_id(k): k for k in ({"optimizer": "sgd", "noise": i} for i in range(RECIPES))}
    content = simulate(range(block), n=60, m=30)
    context_id = content.context.context_id

    def put(recipe_id: str, first: int) -> None:
        seeds = np.arange(first, min(first + block, SEEDS))
        record = simulate(seeds, n=60, m=30) if len(seeds) < block else content
        address = Address(recipe_id, context_id, first, int(seeds[-1]))
        write_record(store, address, replace(record, recipe=recipes[recipe_id], seeds=seeds))

    with ThreadPoolExecutor(8) as pool:
        places = [(recipe_id, first) for recipe_id in recipes for first in range(0, SEEDS, block)]
        list(pool.map(lambda place: put(*place), places))
    manifest = {"name": "far", "context_id": context_id, "recipes": recipes, "seeds": SEEDS}
    store.write("manifest.json", json.dumps(manifest).encode())
    print(f"{len(places)} records of {block} replicas")
    return list(recipes), context_id


def show(what: str, look: Callable[[], Any], seen: Counter[str]) -> None:
    """Count the requests of a look."""
    seen.clear()
    begin = time.perf_counter()
    look()
    kinds = ", ".join(f"{count} {method}" for method, count in sorted(seen.items()))
    print(f"{what:30} {seen.total():6} requests, {time.perf_counter() - begin:5.1f} s ({kinds})")


def main(block: int) -> None:
    """Print the requests of each look."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/moto-api/")
        os.environ |= aws_environment(url)
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=10)
        with counting(url) as (endpoint, seen):
            store = Store.at(f"s3://{BUCKET}/far?endpoint_override={endpoint}")
            recipes, context_id = fill(store, block)
            for when in ("first", "then"):
                show(f"status, {when}", lambda: status(store), seen)
                show(
                    f"what is missing, {when}",
                    lambda: take_stock(store, recipes, context_id, range(SEEDS)),
                    seen,
                )
            for when in ("first", "then"):
                options: dict[str, Any] = {"attacks": ["confidence"], "resamples": 20}
                show(f"audit, {when}", lambda: audit_sweep(store, **options), seen)  # noqa: B023
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 32)
