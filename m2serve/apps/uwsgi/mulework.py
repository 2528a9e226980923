"""The decorators of ``uwsgidecorators`` that are about mules."""

from __future__ import annotations

import faulthandler
import functools
import logging
import pickle
from typing import TYPE_CHECKING, Any, TypeVar

from m2serve.apps.uwsgi.mules import CALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.apps.uwsgi.running import Running

F = TypeVar("F", bound="Callable[..., Any]")

log = logging.getLogger("m2serve.mule")


class MuleWork:
    """They are found as attributes of the module."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def mulefunc(self, what: Any) -> Any:
        """``@mulefunc``: a call, wherever it is made, is done by whichever mule comes first; ``@mulefunc(2)``: by mule
        2; ``@mulefunc("farm")``: by one of that farm. The caller gets True, or False where it could not be left.
        """
        if callable(what):
            return self._sent(what, 0)
        return lambda function: self._sent(function, what)

    def mule(self, number: int) -> Callable[[F], F]:
        """``@mule(2)``: mule 2 calls it once the application is loaded, and gets messages when it returns."""
        return self._kept(lambda: self._running.mule == number, lambda function: function())

    def muleloop(self, number: int) -> Callable[[F], F]:
        """``@muleloop(2)``: the same, again and again."""
        return self._kept(lambda: self._running.mule == number, _repeat)

    def mulemsg_loop(self, number: int) -> Callable[[F], F]:
        """``@mulemsg_loop(2)``: mule 2 calls it with each of its messages."""
        return self._kept(lambda: self._running.mule == number, lambda function: self._read(function, own=True))

    def farm_loop(self, farm: str) -> Callable[[F], F]:
        """``@farm_loop("farm")``: each mule of that farm calls it with messages to its farms, and gets no others."""
        return self._kept(
            lambda: farm in self._running.boxes.farms(self._running.mule),
            lambda function: self._read(function, own=False),
        )

    def _sent(self, function: Callable[..., Any], where: int | str) -> Callable[..., bool]:
        name = f"{function.__module__}.{function.__qualname__}"
        self._running.functions[name] = function

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> bool:
            return self._running.boxes.leave(pickle.dumps((name, args, kwargs)), where, CALL)

        return call

    def _kept(self, mine: Callable[[], bool], run: Callable[[Callable[..., Any]], object]) -> Callable[[F], F]:
        def decorate(function: F) -> F:
            self._running.in_mule.append(lambda: run(function) if mine() else None)
            return function

        return decorate

    def _read(self, function: Callable[[bytes], object], *, own: bool) -> None:
        running = self._running
        while True:
            taken = running.boxes.take(running.mule, own=own)
            if taken is not None:
                work(running, taken, function)


def _repeat(function: Callable[..., object]) -> None:
    while True:
        function()


def work(running: Running, taken: tuple[bytes, bytes], hook: Callable[[bytes], object] | None) -> None:
    """Do what a message asks for: call the function of a `mulefunc`, or the application's *hook*. What either raises is
    logged.
    """
    kind, message = taken
    seconds = running.settings.mule_harakiri
    if seconds:
        # A thread of C, which asks nobody: it writes all stacks and ends this process, whatever that is stuck in.
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        if kind == CALL:
            name, args, kwargs = pickle.loads(message)
            function = running.functions.get(name)
            if function is None:
                log.warning("mule %d: a call of %s, which is no @mulefunc here", running.mule, name)
            else:
                function(*args, **kwargs)
        elif hook is None:
            log.warning("mule %d: a message of %d bytes, and no uwsgi.mule_msg_hook", running.mule, len(message))
        else:
            hook(message)
    except Exception:
        # the application's, whatever it raises: the next message comes all the same
        what = "uwsgi.mule_msg_hook" if kind != CALL else "a call of @mulefunc"
        log.exception("mule %d: %s failed", running.mule, what)
    finally:
        if seconds:
            faulthandler.cancel_dump_traceback_later()
