"""A request that has run for longer than it may, and what is told of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.ids import Seconds
    from m2serve.master.child import Child

log = logging.getLogger("m2serve.master")


class Late(NamedTuple):
    """It runs in thread *core* of its worker, which counts its requests by *number*."""

    core: int
    number: int
    began: Seconds
    limit: Seconds
    method: str
    uri: str
    request_id: str

    @property
    def key(self) -> tuple[int, int]:
        return self.core, self.number


class Accusation(NamedTuple):
    """The worker was told of it *at* a time."""

    late: Late
    at: Seconds


def report(child: Child, late: Late, now: Seconds, verdict: str, stack: str, *, verbose: bool) -> None:
    """One message with all that is known; count it."""
    child.harakiris += 1
    lines = [stack or "  (its stack is not known)"]
    if verbose:
        lines += kernel(child, late.core)
    # Tests wait for this line.
    log.error(
        "HARAKIRI: %s (pid: %d) core %d: %s %s id=%s ran for %.1f s (harakiri %g s): %s\n%s",
        child.name, child.pid, late.core, ascii(late.method)[1:-1], ascii(late.uri), late.request_id,
        now - late.began, late.limit, verdict, "\n".join(lines),
    )  # fmt: skip


def kernel(child: Child, core: int) -> Sequence[str]:
    """What the kernel says of a thread, in uWSGI's words."""
    native = child.natives[core][1] if core < len(child.natives) else child.pid
    return [f"HARAKIRI: -- {name}> {_read(child.pid, native, name)}" for name in ("syscall", "wchan")]


def _read(pid: int, native: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/task/{native}/{name}", "rb") as stream:
            return stream.read().decode("ascii", "replace").strip()
    except OSError as error:
        return f"({error.strerror})"
