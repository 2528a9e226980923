"""Many requests to one peer: do its master and its dispatcher stay as small as they were?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from load import wrk
from processes import pss_bytes

if TYPE_CHECKING:
    import psutil
    from peers import Peer

SLICE = 5
"""Seconds of load between two looks at the memory."""
GROWTH = 1_000_000
"""Bytes of PSS that still count as flat."""
SETTLED = 0.1
"""Share of the requests after which a process must have its final size."""


def soak(peer: Peer, requests: int, limit: float) -> dict[str, Any]:
    """Load *peer* until it has served *requests* or *limit* seconds are over.

    Growth is counted from the first look after a tenth of the requests to the last.
    """
    start = time.monotonic()
    looks = [look(peer, 0)]
    served = errors = 0
    while served < requests and time.monotonic() - start < limit:
        result = wrk(peer.url, "hello", SLICE)
        served += result["requests"]
        errors += sum(result[key] for key in ("status", "connect", "read", "write", "timeout"))
        looks.append(look(peer, served))
        print(f"{served:>9} requests  " + "  ".join(f"{k} {v / 1e6:.2f} MB" for k, v in looks[-1]["pss"].items()))
    first = next((entry for entry in looks[1:] if entry["requests"] >= SETTLED * served), looks[-1])
    growth = {role: looks[-1]["pss"][role] - first["pss"].get(role, 0) for role in looks[-1]["pss"]}
    watched = [role for role in growth if not role.startswith("worker")]
    return {
        "requests": served,
        "complete": served >= requests,
        "errors": errors,
        "growth": growth,
        "flat": all(growth[role] <= GROWTH for role in watched),
        "looks": looks,
    }


def look(peer: Peer, served: int) -> dict[str, Any]:
    """PSS and descriptors by process."""
    roles = peer.roles()
    named: dict[str, psutil.Process] = {
        f"{role}{number}": process
        for role in ("master", "dispatcher", "workers")
        for number, process in enumerate(getattr(roles, role), start=1)
    }
    return {
        "requests": served,
        "pss": {name: pss_bytes(process) for name, process in named.items()},
        "descriptors": {name: process.num_fds() for name, process in named.items()},
    }
