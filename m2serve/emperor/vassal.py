"""One configuration file in the emperor's directory, and the server that runs it.

```
 (file appears) ─▶ WAITING ─ its time has come ─▶ RUNNING ──▶ STOPPING ──▶ (gone)
                      ▲                              │  file is gone, or the emperor leaves
                      └── died: at once if it was ───┘
                          loyal, else throttled
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from m2serve.ids import Seconds


class Identity(NamedTuple):
    """What changes when somebody writes a file, touches it, or puts another in its place."""

    device: int
    inode: int
    changed: int
    """Nanoseconds, of the content's last change."""
    owner: int = 0
    group: int = 0


class State(Enum):
    """Life of a vassal."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(eq=False)
class Vassal:
    """What is known of it. Times are monotonic seconds."""

    path: str
    seen: Identity
    """As of its last start or reload."""
    due: Seconds
    """WAITING: when to start it; STOPPING: when to kill it."""
    state: State = State.WAITING
    pid: int = 0
    loyal: bool = False
    """It has said that it is ready."""
    failures: int = 0
    """One after the other, before it was loyal."""
    starts: int = 0
    reloads: int = 0
    ready: bool = False
    """It has said so since it began, or began to reload."""
    born: Seconds | None = None
    """When its file was found."""
    first_run: Seconds | None = None
    last_run: Seconds | None = None
    """When it was started, or told to reload."""
    loyal_at: Seconds | None = None
    ready_at: Seconds | None = None
    stopped_at: Seconds | None = None
    first_failure: Seconds | None = None
    """Of those that ``failures`` counts."""
    last_failure: Seconds | None = None
    killed: bool = False
    banished: bool = False
    """Its file is gone: it is not to come back."""
