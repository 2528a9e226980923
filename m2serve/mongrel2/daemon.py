"""How Mongrel2 runs as an attached daemon."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class DaemonSpec:
    """A program that lives and dies with the master."""

    name: str
    argv: tuple[str, ...]
    directory: str
    address: tuple[str, int]
    """It is ready when it accepts connections here."""
    url: str
    lock_fd: int
    """Locks the directory against a second server; the master closes it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    own_directory: str | None = None
    """A private directory, removed when the master leaves."""
    files: tuple[str, ...] = ()
    """What it has to read there."""


_LINE = re.compile(r"^.{0,40}?\[(?P<level>[A-Z]+)\] (?:\((?P<place>[^)]*)\) )?(?P<text>.*)$")

_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.DEBUG, "WARN": logging.WARNING, "ERROR": logging.ERROR}
"""Mongrel2 says as INFO what only its authors want to know."""

_HARMLESS = (
    "getlogin failed",
    # Said at every first start, before "No previous mongrel2 running".
    "Failed to open PID file",
    # A client, our own probe for one, that left without a request.
    "No handler to notify",
)


def log_level(line: str) -> tuple[int, str]:
    """Level and text, as we log it, of one line of Mongrel2's log."""
    match = _LINE.match(line)
    if match is None:
        return logging.DEBUG, line
    level = _LEVELS.get(match["level"], logging.WARNING)
    text = match["text"]
    if level > logging.DEBUG and text.startswith(_HARMLESS):
        level = logging.DEBUG
    return level, f"{text} ({match['place']})" if match["place"] else text
