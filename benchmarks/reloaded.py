"""The application that is reloaded: slow to import, and each answer says which import it comes from.

``BENCH_IMPORT`` in the environment: seconds of processor time that importing takes, as a large framework would.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_COST = float(os.environ.get("BENCH_IMPORT", "0"))
_BEGUN = time.process_time()
while time.process_time() < _BEGUN + _COST:
    sum(range(1000))

LOADED = b"%.6f " % time.monotonic()
"""When, on the machine's one monotonic clock."""
QUICK, SLOW = 0.005, 0.1
"""Seconds of waiting, as if for a database."""


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The time of the import, then the path, so that a client can tell whose answer it got."""
    path = environ["PATH_INFO"]
    time.sleep(SLOW if path.startswith("/slow") else QUICK)
    body = LOADED + path.encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
