"""The module ``uwsgi``."""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import socket
import sys
import threading
import types
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import m2serve
from m2serve.apps.uwsgi.clock import Entry
from m2serve.apps.uwsgi.locks import USER_LOCKS
from m2serve.apps.uwsgi.messages import Messages, as_bytes
from m2serve.apps.uwsgi.options import options
from m2serve.apps.uwsgi.times import Cron, Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.apps.cache.cache import Cache
    from m2serve.apps.uwsgi.running import Running

log = logging.getLogger("m2serve.worker")

VERSION_INFO: Final = (2, 0, 31, 0, b"m2serve")
"""Whose behaviour is to be expected; libraries compare the numbers."""
_SIGNALS: Final = 256
_LONGEST: Final = 10**9

_ONE = ("", "worker")
_ALL = ("workers", "active-workers")
_ONE_OF_THEM = re.compile("worker[1-9][0-9]{0,5}")

_REASONS = {
    "spool": "there is no spooler; use a task queue",
    "queue": "there is no shared memory for applications",
    "sharedarea": "there is no shared memory for applications",
    "metric": "there are no metrics; see the option stats",
    "rpc": "there is no RPC",
    "websocket": "WebSockets are not served",
    "workers": "a worker knows of no other; see the option stats",
    "disconnect": "return the answer and go on in a thread",
    "add_file_monitor": "files are not watched",
    "register_file_monitor": "files are not watched",
}


class Uwsgi(Messages, types.ModuleType):
    """What ``import uwsgi`` gives. Applications may assign ``post_fork_hook``, ``atexit`` and
    ``mule_msg_hook``.

    Texts are bytes where uWSGI's are. A function that is not here raises AttributeError with the reason.

    Threads: any.
    """

    def __init__(self, running: Running) -> None:
        types.ModuleType.__init__(self, "uwsgi", "The server as an application sees it; m2serve's.")
        self._running = running
        self._variables: dict[int, tuple[int, dict[str, bytes]]] = {}
        """By thread: the request they belong to, and the variables."""
        self._handlers: dict[int, tuple[str, Callable[[int], object]]] = {}
        running.logged = self._logged
        settings = running.settings
        self.version = b"2.0.31-m2serve"
        self.version_info = VERSION_INFO
        self.m2serve_version = m2serve.__version__
        self.opt = options(settings)
        self.hostname = socket.gethostname().encode()
        self.numproc = settings.processes
        self.cores = settings.threads
        self.has_threads = 1
        self.buffer_size = int(settings.request_buffer) // 2
        self.started_on = running.started_wall
        self.sockets: list[int] = []
        self.magic_table: dict[bytes, bytes] = {}
        self.applications = None
        self.loop = None
        self.unbit = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("post_fork_hook", "atexit", "mule_msg_hook"):
            raise AttributeError(f"module 'uwsgi' has no attribute {name!r}")
        reason = next((text for begin, text in _REASONS.items() if name.startswith(begin)), "m2serve does not have it")
        raise AttributeError(f"uwsgi.{name}: {reason}")

    # --- who and what -----------------------------------------------------------------

    def worker_id(self) -> int:
        """Number of this worker, from 1 on; 0 where the application is loaded before the workers are forked."""
        return self._running.worker

    def mule_id(self) -> int:
        """Number of this mule, from 1 on; 0 in workers."""
        return self._running.mule

    def masterpid(self) -> int:
        """Pid of the master."""
        return self._running.master

    def request_id(self) -> int:
        """Number of the request that this thread runs, among those of this worker; 0: it runs none."""
        return self._running.request() or 0

    def total_requests(self) -> int:
        """Requests that all workers have served since the start."""
        return self._running.total()

    def mem(self) -> tuple[int, int]:
        """Bytes of this process in memory, and of its address space."""
        with open("/proc/self/statm", "rb") as file:
            size, resident, *_ = file.read().split()
        page = os.sysconf("SC_PAGE_SIZE")
        return int(resident) * page, int(size) * page

    # --- the master -------------------------------------------------------------------

    def reload(self) -> bool:
        """Ask the master for a graceful reload."""
        self._running.tell_master(signal.SIGHUP)
        return True

    def stop(self) -> bool:
        """Ask the master to stop at once, as INT does."""
        self._running.tell_master(signal.SIGINT)
        return True

    def set_user_harakiri(self, seconds: float) -> None:
        """Let this thread's request run so many seconds longer, and no more; 0: only what the option harakiri says.
        Whichever of the two comes first counts. Nothing happens outside of a request.
        """
        if not 0 <= seconds < _LONGEST:
            raise ValueError(f"{seconds} seconds: expected 0 or more")
        self._running.end_by(seconds)

    # --- the log ----------------------------------------------------------------------

    def log(self, text: str | bytes) -> bool:
        """Write a line into the log."""
        line = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
        self._running.say(line + b"\n")
        return True

    def alarm(self, name: str, text: str | bytes) -> None:
        """Raise an alarm of the options."""
        said = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
        self._running.raise_alarm(name, said)

    def set_logvar(self, name: str, value: str | bytes) -> None:
        """Keep a value for this thread's request and its line in the log (``log-format``); nothing happens outside of
        a request.
        """
        number = self._running.request()
        if number is not None:
            owner, variables = self._variables.get(threading.get_ident(), (-1, {}))
            if owner != number:
                variables = {}
            variables[name] = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
            self._variables[threading.get_ident()] = number, variables

    def get_logvar(self, name: str) -> bytes | None:
        """The value that this thread's request has kept under that name."""
        number, variables = self._variables.get(threading.get_ident(), (-1, {}))
        return variables.get(name) if number == self._running.request() else None

    def _logged(self, name: str) -> bytes | None:
        number, variables = self._variables.get(threading.get_ident(), (-1, {}))
        return variables.get(name) if number == self._running.latest() else None

    # --- locks ------------------------------------------------------------------------

    def lock(self, number: int = 0) -> None:
        """Wait for one of 256 locks that all workers share; a worker that dies gives back what it has."""
        self._running.locks.acquire(_lock(number))

    def unlock(self, number: int = 0) -> None:
        """Give it back."""
        self._running.locks.release(_lock(number))

    def is_locked(self, number: int = 0) -> bool:
        """Whether any worker has it."""
        return self._running.locks.is_taken(_lock(number))

    # --- caches: as uWSGI, without one nothing is there, and nothing is kept --------------

    def cache_get(self, key: str | bytes, name: str = "") -> bytes | None:
        """The value; None: there is none."""
        cache = self._cache(name)
        return cache.get(as_bytes(key)) if cache is not None else None

    def cache_set(self, key: str | bytes, value: str | bytes, expires: int = 0, name: str = "") -> bool | None:
        """Keep a value, unless there is one; None: there is, or it cannot be kept.

        Args: expires: in so many seconds; 0: as the cache has it.
        """
        text, cache = as_bytes(value), self._cache(name)
        return (cache is not None and cache.store(as_bytes(key), text, expires)) or None

    def cache_update(self, key: str | bytes, value: str | bytes, expires: int = 0, name: str = "") -> bool | None:
        """Keep a value, in place of another if there is one; None: it cannot be kept."""
        text, cache = as_bytes(value), self._cache(name)
        return (cache is not None and cache.store(as_bytes(key), text, expires, overwrite=True)) or None

    def cache_del(self, key: str | bytes, name: str = "") -> bool | None:
        """None: there was none."""
        cache = self._cache(name)
        return (cache is not None and cache.delete(as_bytes(key))) or None

    def cache_exists(self, key: str | bytes, name: str = "") -> bool | None:
        """None: there is none."""
        cache = self._cache(name)
        return (cache is not None and cache.exists(as_bytes(key))) or None

    def cache_inc(self, key: str | bytes, by: int = 1, expires: int = 0, name: str = "") -> bool | None:
        """Add to a value, a number of eight bytes that begins with 0; `cache_num` tells it."""
        return self._change("inc", key, by, expires, name)

    def cache_dec(self, key: str | bytes, by: int = 1, expires: int = 0, name: str = "") -> bool | None:
        """Take from it."""
        return self._change("dec", key, by, expires, name)

    def cache_mul(self, key: str | bytes, by: int = 2, expires: int = 0, name: str = "") -> bool | None:
        """Multiply it."""
        return self._change("mul", key, by, expires, name)

    def cache_div(self, key: str | bytes, by: int = 2, expires: int = 0, name: str = "") -> bool | None:
        """Divide it; by 0, it is 0."""
        return self._change("div", key, by, expires, name)

    def cache_num(self, key: str | bytes, name: str = "") -> int:
        """The number; 0: there is none."""
        cache = self._cache(name)
        return cache.number(as_bytes(key)) if cache is not None else 0

    def cache_clear(self, name: str = "") -> bool | None:
        """Forget all items; None: there is no such cache."""
        cache = self._cache(name)
        if cache is None:
            return None
        cache.clear()
        return True

    def cache_keys(self, name: str = "") -> list[bytes]:
        """Raises: ValueError: there is no such cache."""
        cache = self._cache(name)
        if cache is None:
            raise ValueError("no local uWSGI cache available")
        return cache.keys()

    def _cache(self, name: str) -> Cache | None:
        return self._running.caches.find(name)

    def _change(self, how: str, key: str | bytes, by: int, expires: int, name: str) -> bool | None:
        cache = self._cache(name)
        return (cache is not None and cache.change(as_bytes(key), how, by, expires)) or None

    # --- signals, timers --------------------------------------------------------------

    def register_signal(self, number: int, target: str, handler: Callable[[int], object]) -> None:
        """Name the function for a signal.

        Args: target: ``""`` and ``worker``: one worker runs it; ``workers``, ``active-workers``: each does;
            ``workerN``: that one.

        Raises: ValueError: a target that does not exist here, or no number from 0 to 255.
        """
        if target not in _ONE and target not in _ALL and not _ONE_OF_THEM.fullmatch(target):
            raise ValueError(
                f"target {target!r}: there are only workers; expected '', 'worker', 'workers' or 'workerN'"
            )
        self._handlers[_signal(number)] = (target, handler)

    def signal_registered(self, number: int) -> bool:
        """Whether it has a function."""
        return number in self._handlers

    def signal(self, number: int) -> None:
        """Run a signal's function soon, in this worker, beside the requests.

        Raises: ValueError: it has none, or is for other workers, which cannot be reached.
        """
        target, handler = self._handlers.get(number, ("", None))
        if handler is None:
            raise ValueError(f"signal {number} is not registered")
        if target not in _ONE and target != f"worker{self._running.worker}":
            raise ValueError(f"signal {number} is for {target!r}: other workers cannot be told from here")
        self._running.clock.call(partial(handler, number))

    def add_timer(self, number: int, seconds: float) -> None:
        """Raise a signal again and again; the moments count from the start of the server."""
        self.add_rb_timer(number, seconds)

    def add_rb_timer(self, number: int, seconds: float, iterations: int = 0) -> None:
        """The same, so many times; 0: without end."""
        if not seconds > 0:
            raise ValueError(f"{seconds} seconds: expected more than 0")
        self._add(number, Every(float(seconds), self._running.started), iterations)

    def add_cron(self, number: int, minute: int, hour: int, day: int, month: int, week: int) -> None:
        """Raise a signal at minutes of the local clock: -1 is any, -N every N."""
        self._add(number, Cron(minute, hour, day, month, week), 0)

    def _add(self, number: int, times: Every | Cron, left: int) -> None:
        self._running.clock.add(
            Entry(times, partial(self._perform, _signal(number)), partial(self._scope, number), left)
        )

    def _scope(self, number: int) -> bool:
        """Whether each worker is to look at it when it is due."""
        return self._handlers.get(number, ("", None))[0] not in _ONE

    def _perform(self, number: int) -> None:
        target, handler = self._handlers.get(number, ("", None))
        if handler is None:
            log.warning("timer for signal %d: nobody has registered it", number)
        elif target in _ONE or target in _ALL or target == f"worker{self._running.worker}":
            handler(number)

    # --- what the worker calls --------------------------------------------------------

    def begin(self) -> None:
        """In a worker, when the application has been loaded: the hooks after the fork, then the clock."""
        atexit.register(self._end)
        hooks = list(self._running.postfork)
        own = self.__dict__.get("post_fork_hook")
        for hook in [own, *hooks] if own is not None else hooks:
            try:
                hook()
            except BaseException:
                # the application's; uWSGI prints it and goes on, too
                log.exception("postfork failed")
        self._running.clock.start()

    def _end(self) -> None:
        self._running.clock.stop()
        last = self.__dict__.get("atexit")
        if last is not None:
            last()


def _lock(number: int) -> int:
    if not 0 <= number < USER_LOCKS:
        raise ValueError(f"lock {number}: expected 0 to {USER_LOCKS - 1}")
    return number


def _signal(number: int) -> int:
    if not 0 <= number < _SIGNALS:
        raise ValueError(f"signal {number}: expected 0 to {_SIGNALS - 1}")
    return number


def loaded() -> Uwsgi | None:
    """The module, if somebody has imported it."""
    module = sys.modules.get("uwsgi")
    return module if isinstance(module, Uwsgi) else None
