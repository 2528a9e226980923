"""The moments at which plugins may be called: for each its name, its arguments and where it is.

A function takes any of the arguments of its moment, by their names. Whatever it does, it must not wait: in the master
all processes wait with it, in a worker its thread does. What it raises is logged with the plugin's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(Enum):
    """The process, and the thread in it."""

    MASTER = "the master, in its only thread"
    WORKER = "each worker, in its main thread"
    REQUEST = "each worker, in the thread of the request"


@dataclass(frozen=True)
class Moment:
    """A row."""

    name: str
    place: Place
    arguments: tuple[str, ...]
    doc: str


_ROWS = (
    Moment("start", Place.MASTER, (), "Before the first process is started; listeners and pid files are there."),
    Moment(
        "spawn", Place.MASTER, ("worker", "key"), "A worker is about to be forked; *key* is this life's own number."
    ),
    Moment("gone", Place.MASTER, ("worker", "key", "pid", "reason"), "A worker has died or left, and is reaped."),
    Moment(
        "serving", Place.MASTER, ("generation", "seconds"), "All workers are ready: after the start, after a reload."
    ),
    Moment("reload", Place.MASTER, ("kind", "generation"), "A reload begins."),
    Moment("reload_failed", Place.MASTER, ("kind", "reason"), "A reload is given up; the old workers go on."),
    Moment("exit", Place.MASTER, ("code",), "All children have left, the master is about to."),
    Moment(
        "fork",
        Place.WORKER,
        ("worker", "key"),
        "The worker begins to live, before it loads the application, unless its nursery has loaded it.",
    ),
    Moment("ready", Place.WORKER, ("worker",), "The application is loaded, the threads run; before the first request."),
    Moment(
        "request_end",
        Place.REQUEST,
        ("core", "status", "nanoseconds", "sent", "request"),
        "A request is over: number of the thread, status, time in the worker, bytes of the answer, "
        "and the request, whose ``path`` and ``headers`` are bytes.",
    ),
    Moment("worker_exit", Place.WORKER, ("worker",), "The worker has served its last request and is about to leave."),
)

MOMENTS: Final[Mapping[str, Moment]] = MappingProxyType({row.name: row for row in _ROWS})
