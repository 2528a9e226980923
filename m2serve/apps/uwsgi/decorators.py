"""The module ``uwsgidecorators``."""

from __future__ import annotations

import functools
import itertools
import threading
import types
from typing import TYPE_CHECKING, Any, TypeVar

from m2serve.apps.uwsgi.mulework import MuleWork

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from m2serve.apps.uwsgi.module import Uwsgi
    from m2serve.apps.uwsgi.running import Running

    Handler = Callable[[int], object]

F = TypeVar("F", bound="Callable[..., Any]")

_REFUSED = {
    "spool": "there is no spooler; use a task queue",
    "spoolforever": "there is no spooler; use a task queue",
    "spoolraw": "there is no spooler; use a task queue",
    "muled": "use uwsgi.mule_msg and uwsgi.mule_msg_hook; mule = FILE runs a script",
    "mule_brain": "use uwsgi.mule_msg and uwsgi.mule_msg_hook; mule = FILE runs a script",
    "mule_brainloop": "use uwsgi.mule_msg and uwsgi.mule_msg_hook; mule = FILE runs a script",
    "mulemsg": "use uwsgi.mule_msg and uwsgi.mule_msg_hook; mule = FILE runs a script",
    "filemon": "files are not watched; see the option touch-reload",
    "rpc": "there is no RPC",
    "erlang": "there is no Erlang node",
    "cron_raw": "use @cron",
}


class UwsgiDecorators(types.ModuleType):
    """What ``import uwsgidecorators`` gives. A decorator for something that m2serve does not have raises
    NotImplementedError, with the reason, where it is used.
    """

    def __init__(self, running: Running, uwsgi: Uwsgi) -> None:
        super().__init__("uwsgidecorators", "Decorators for uwsgi's functions; m2serve's.")
        self._running = running
        self._uwsgi = uwsgi
        self._numbers = itertools.count()
        work = MuleWork(running)
        for decorator in (work.mulefunc, work.mule, work.muleloop, work.mulemsg_loop, work.farm_loop):
            setattr(self, decorator.__name__, decorator)
        for name, reason in _REFUSED.items():
            setattr(self, name, functools.partial(_refuse, name, reason))

    def postfork(self, what: Any) -> Any:
        """``@postfork``: call it, without arguments, in each worker when the application has been loaded and the worker
        forked; ``@postfork(2)``: in worker 2 only.
        """
        if callable(what):
            self._running.postfork.append(what)
            return what

        def decorate(hook: F) -> F:
            self._running.postfork.append(lambda: hook() if self._uwsgi.worker_id() == what else None)
            return hook

        return decorate

    def timer(self, seconds: float, target: str = "", signum: int | None = None, **_: Any) -> Callable[[F], F]:
        """``@timer(60)``: call it with the signal's number every minute, in one worker."""
        return self._signalled(signum, target, lambda number: self._uwsgi.add_timer(number, seconds))

    def rbtimer(
        self, seconds: float, iterations: int = 0, target: str = "", signum: int | None = None, **_: Any
    ) -> Callable[[F], F]:
        """The same, so many times."""
        return self._signalled(signum, target, lambda number: self._uwsgi.add_rb_timer(number, seconds, iterations))

    def cron(
        self,
        minute: int,
        hour: int,
        day: int,
        month: int,
        week: int,
        target: str = "",
        signum: int | None = None,
        **_: Any,
    ) -> Callable[[F], F]:
        """``@cron(0, 3, -1, -1, -1)``: at three in the night, in one worker."""
        return self._signalled(
            signum, target, lambda number: self._uwsgi.add_cron(number, minute, hour, day, month, week)
        )

    def signal(self, number: int, target: str = "", **_: Any) -> Callable[[F], F]:
        """``@signal(17)``: what ``uwsgi.signal(17)`` runs."""
        return self._signalled(number, target, lambda _: None)

    def thread(self, function: Callable[..., Any]) -> Callable[..., threading.Thread]:
        """``@thread``: each call starts a thread that runs it."""

        @functools.wraps(function)
        def start(*args: Any, **kwargs: Any) -> threading.Thread:
            thread = threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True)
            thread.start()
            return thread

        return start

    def lock(self, function: F) -> F:
        """``@lock``: only one call at a time, in all workers together."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._uwsgi.lock()
            try:
                return function(*args, **kwargs)
            finally:
                self._uwsgi.unlock()

        return call  # type: ignore[return-value]  # it takes what the function takes

    def harakiri(self, seconds: float) -> Callable[[F], F]:
        """``@harakiri(30)``: a request that is in it for longer is answered in its place."""

        def decorate(function: F) -> F:
            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                self._uwsgi.set_user_harakiri(seconds)
                try:
                    return function(*args, **kwargs)
                finally:
                    self._uwsgi.set_user_harakiri(0)

            return call  # type: ignore[return-value]  # it takes what the function takes

        return decorate

    def _signalled(self, number: int | None, target: str, then: Callable[[int], None]) -> Callable[[F], F]:
        chosen = self._free() if number is None else number

        def decorate(handler: F) -> F:
            self._uwsgi.register_signal(chosen, target, handler)
            then(chosen)
            return handler

        return decorate

    def _free(self) -> int:
        return next(number for number in self._numbers if not self._uwsgi.signal_registered(number))


def _refuse(name: str, reason: str, *_: object, **__: object) -> NoReturn:
    raise NotImplementedError(f"@{name}: {reason}")
