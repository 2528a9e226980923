"""What plugins have registered, and the calls to it: by argument name, with blame.

One object is made in the master. A child has its own copy from the fork on.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from m2serve.errors import ConfigError
from m2serve.plugin.moments import MOMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.endpoint import StatsAddress

log = logging.getLogger("m2serve.plugin")

MOST_FAILURES: Final = 10
"""After so many a function is not called any more in that process: its log lines would cost more than it gives."""


@dataclass
class Call:
    """One function of one plugin. Several request threads may call it at a time."""

    plugin: str
    moment: str
    function: Callable[..., Any]
    failures: int = 0

    def run(self, *values: Any, **named: Any) -> Any:
        """Call it; None if it raises."""
        if self.failures >= MOST_FAILURES:
            return None
        try:
            return self.function(*values, **named)
        except (Exception, SystemExit):
            # A plugin's mistake must cost neither a request nor the server.
            self.failures += 1
            # Tests wait for this line.
            log.exception("plugin %s: %s failed", self.plugin, self.moment)
            if self.failures == MOST_FAILURES:
                log.error("plugin %s: %s is not called any more in this process", self.plugin, self.moment)
            return None


@dataclass(frozen=True)
class Tick:
    """Something to do every so many seconds, in the master. The function gets a Snapshot."""

    call: Call
    seconds: float


@dataclass(frozen=True)
class Page:
    """What HTTP clients are answered at an address, by the master.

    The function gets the path and a Snapshot, and returns content type and content, or None: 404.
    """

    call: Call
    address: StatsAddress


@dataclass
class Hooks:
    """All of it; empty where there are no plugins."""

    ticks: list[Tick] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    _calls: dict[str, list[tuple[Call, tuple[str, ...]]]] = field(default_factory=dict)

    def add(self, call: Call) -> None:
        """Register a function for a moment.

        Raises: ConfigError: there is no such moment, or it does not have such an argument.
        """
        moment = MOMENTS.get(call.moment)
        if moment is None:
            raise ConfigError(f"{call.moment!r} is no moment; expected one of {', '.join(MOMENTS)}")
        wanted = arguments_of(call.function, moment.arguments, call.moment)
        self._calls.setdefault(call.moment, []).append((call, wanted))

    def __call__(self, moment: str, **values: Any) -> None:
        """The moment has come."""
        for call, wanted in self._calls.get(moment, ()):
            call.run(**{name: values[name] for name in wanted})

    def per_request(self) -> Callable[..., None] | None:
        """The function for the end of a request, or None if no plugin wants to know. Its arguments have no names."""
        known = MOMENTS["request_end"].arguments
        calls = [
            (call.run, [(name, known.index(name)) for name in wanted])
            for call, wanted in self._calls.get("request_end", ())
        ]
        if not calls:
            return None

        def ended(*values: Any) -> None:
            for run, wanted in calls:
                run(**{name: values[index] for name, index in wanted})

        return ended


@dataclass(frozen=True)
class Registrar:
    """What a plugin's ``setup`` gets as *hooks*."""

    plugin: str
    hooks: Hooks

    def on(self, moment: str, function: Callable[..., None]) -> None:
        """Call it at that moment (docs/plugins.md has them all)."""
        self.hooks.add(Call(self.plugin, moment, function))

    def every(self, seconds: float, function: Callable[..., None]) -> None:
        """Call it in the master every so many seconds, with the state of the server: m2serve.observe.snapshot."""
        if seconds <= 0:
            raise ConfigError("expected more than 0 seconds")
        self.hooks.ticks.append(Tick(Call(self.plugin, "tick", function), seconds))

    def page(self, address: StatsAddress, function: Callable[..., tuple[str, bytes] | None]) -> None:
        """Let the master answer ``GET`` at an address, with what the function makes of path and state."""
        self.hooks.pages.append(Page(Call(self.plugin, "page", function), address))


def arguments_of(function: Callable[..., Any], known: Iterable[str], where: str) -> tuple[str, ...]:
    """The names of the arguments that a function takes, of those that there are.

    Raises: ConfigError: it asks for another.
    """
    known = tuple(known)
    wanted = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return known
        if parameter.name in known:
            wanted.append(parameter.name)
        elif parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY:
            has = ", ".join(known) or "none"
            raise ConfigError(f"{where} has no argument {parameter.name!r}; it has: {has}")
    return tuple(wanted)
