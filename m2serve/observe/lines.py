"""The way of a line of the log: dropped, to the logger of its route, or to all that have no name; encoded for each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from m2serve.config.log_values import BINARY
from m2serve.observe.encoders import Exact, Said, compiled, encoded
from m2serve.observe.sinks import EachProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.log_values import LogEncoder, LogRoute, LogTarget
    from m2serve.config.static_values import Pattern
    from m2serve.observe.alarms import AlarmLines
    from m2serve.observe.encoders import Encoder
    from m2serve.observe.sinks import Sink


class Outlet:
    """One logger: where its lines go, and what they look like there."""

    def __init__(self, target: LogTarget | None, sink: Sink, encoders: Sequence[LogEncoder]) -> None:
        self.name = target.name if target is not None else ""
        self.sink = sink
        # A file has lines, whatever the encoders leave; a message is what they make.
        self._lined = target is None or target.driver in ("file", "stdio")
        own = [one for one in encoders if one.target in ("", self.name)]
        self._exact = any(one.kind in BINARY for one in own)
        self._encoders: list[Encoder] = [compiled(one) for one in own]

    def write(self, said: Said) -> None:
        """Encode it and hand it on."""
        made = encoded(self._encoders, said)
        if self._exact:
            self.sink.write(Exact(made))
            return
        self.sink.write(made + b"\n" if self._lined and not made.endswith(b"\n") else made)


class Lines:
    """Where lines of one kind go. A :class:`~m2serve.observe.sinks.Sink` for lines about which nothing else is known.

    Args:
        outlets: those with a name get only what a route sends there.
        source: the logger that plain lines are said to come from.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet],
        routes: Sequence[LogRoute] = (),
        only: Sequence[Pattern] = (),
        drop: Sequence[Pattern] = (),
        source: str = "request",
        alarms: AlarmLines | None = None,
    ) -> None:
        self._outlets = tuple(outlets)
        self._everywhere = tuple(one for one in outlets if not one.name)
        self._routes = [
            (route.pattern.regexp, tuple(one for one in outlets if one.name == route.target)) for route in routes
        ]
        self._only = tuple(one.regexp for one in only)
        self._drop = tuple(one.regexp for one in drop)
        self._source = source
        self._alarms = alarms

    def put(self, said: Said) -> None:
        """Take one line."""
        text = said.line.rstrip(b"\n").decode("utf-8", "replace")
        if self._alarms is not None:
            self._alarms.look(said, text)  # uWSGI, too, does it before anything is left out
        if any(regexp.search(text) for regexp in self._drop):
            return
        if self._only and not any(regexp.search(text) for regexp in self._only):
            return
        routed = False
        for regexp, outlets in self._routes:
            if regexp.search(text):
                routed = True
                for outlet in outlets:
                    outlet.write(said)
        if not routed:
            for outlet in self._everywhere:
                outlet.write(said)

    def write(self, line: bytes) -> None:
        """Take a line with its newline."""
        self.put(Said.plain(line, self._source, os.getpid()))

    def rest(self) -> None:
        """Let go of connections until the next line."""
        for outlet in self._outlets:
            if isinstance(outlet.sink, EachProcess):
                outlet.sink.rest()

    def reopen(self) -> None:
        for outlet in self._outlets:
            outlet.sink.reopen()

    def forget(self) -> None:
        for outlet in self._outlets:
            outlet.sink.forget()

    def close(self) -> None:
        for outlet in self._outlets:
            outlet.sink.close()
