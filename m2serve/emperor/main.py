"""``m2serve --emperor DIR``: one server for each configuration file of a directory.

The emperor forks, executes, reaps and decides. It reads no vassal's file, imports no application and starts no thread.
A vassal is an m2serve like any other; that its emperor is gone it hears from the kernel, and stops as by TERM.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from m2serve.emperor import policy
from m2serve.emperor.heralds import Heralds
from m2serve.emperor.policy import Action, Deed, Rules
from m2serve.emperor.scan import scan
from m2serve.emperor.stats import Chronicle, named
from m2serve.emperor.vassal import Identity, State, Vassal
from m2serve.errors import ConfigError, ExitCode
from m2serve.ids import Seconds
from m2serve.system import parent_death
from m2serve.system.background import VASSAL
from m2serve.system.deeds import try_all
from m2serve.system.fds import keep_only, log_fds
from m2serve.system.notify import Notifier
from m2serve.system.title import set_title

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.endpoint import StatsAddress
    from m2serve.system.background import Launch
    from m2serve.system.privileges import Privileges

log = logging.getLogger("m2serve.emperor")

_HEEDED: Final = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH, signal.SIGUSR1,
)  # fmt: skip
_RELOAD: Final = signal.SIGUSR2
"""The vassal reads its file anew, and loses no request: the upgrade of a master."""
_PACKAGES: Final = str(Path(__file__).resolve().parents[2])
_OWN_MERCY: Final = Seconds(5.0)
"""Beyond what a vassal gives its own workers."""


class Emperor:
    """One process; runs until TERM, INT or QUIT, and leaves when its vassals have."""

    def __init__(self, settings: Settings, rights: Privileges, launch: Launch) -> None:
        self._settings = settings
        self._launch = launch
        self._rules = Rules(
            Seconds(settings.emperor_throttle / 1000),
            Seconds(settings.emperor_max_throttle / 1000),
            Seconds(settings.worker_reload_mercy + _OWN_MERCY)
            if settings.emperor_curse_tolerance is None
            else settings.emperor_curse_tolerance,
        )
        self._rights = rights
        self._refused: set[str] = set()
        self._places = [os.path.abspath(place) for place in settings.emperor]
        self._vassals: dict[str, Vassal] = {}
        self._heralds = Heralds()
        self._chronicle = self._told_at(settings.emperor_stats_server)
        self._notifier = Notifier.take(os.environ, os.getpid())
        self._looks_at = Seconds(0.0)
        self._leaving = False
        self._caught: list[signal.Signals] = []

    def run(self) -> int:
        """Rule; gives the exit code."""
        name = self._settings.emperor_procname or self._settings.procname
        set_title("emperor", dataclasses.replace(self._settings, procname=name))
        wake, bell = socket.socketpair()
        with wake, bell, contextlib.closing(self._heralds):
            for end in (wake, bell):
                end.setblocking(False)
            signal.set_wakeup_fd(bell.fileno())
            for number in _HEEDED:
                signal.signal(number, self._catch)
            log.info("emperor (pid: %d) of %s", os.getpid(), ", ".join(self._places))
            try:
                if self._chronicle is not None:
                    self._chronicle.listen()
                self._write_pid()
                self._rights.assume()
            except ConfigError as error:
                # Tests wait for this line.
                log.critical("nothing was started: %s", error)
                self._close()
                self._launch.failed(ExitCode.CONFIG, f"nothing was started: {error}")
                return ExitCode.CONFIG
            try_all(self._settings, "emperor_start")
            self._launch.succeeded()
            self._notifier.say("READY=1", "STATUS=emperor of " + ", ".join(self._places))
            while not (self._leaving and not self._vassals):
                self._turn(_now())
                self._sleep(wake)
        self._close()
        self._remove_pid()
        log.info("goodbye: exit code 0")
        return ExitCode.OK

    def _told_at(self, address: StatsAddress | None) -> Chronicle | None:
        settings = self._settings
        if address is None:
            return None
        return Chronicle(
            address.resolved(os.getcwd()), http=settings.stats_http, minified=settings.stats_minified,
            own=self._rights.own, places=self._places, tyrant=settings.emperor_tyrant, rules=self._rules,
            vassals=self._vassals,
        )  # fmt: skip

    # -- what happens ------------------------------------------------------------------------------------------

    def _turn(self, now: Seconds) -> None:
        self._signals(now)
        self._reap(now)
        for pid, words in self._heralds.heard():
            self._told(pid, words, now)
        if self._chronicle is not None:
            self._chronicle.turn(now)
        actions: list[Action] = []
        if now >= self._looks_at and not self._leaving:
            self._looks_at = Seconds(now + self._settings.emperor_freq)
            actions += policy.census(self._vassals, self._found(), now)
        actions += policy.decide(self._vassals.values(), now, leaving=self._leaving)
        for action in actions:
            self._act(action, now)
        if self._leaving:
            for path, vassal in list(self._vassals.items()):
                if vassal.state is State.WAITING:
                    del self._vassals[path]

    def _found(self) -> dict[str, Identity]:
        settings = self._settings
        found = scan(self._places, settings.emperor_extra_extension, follow=not settings.emperor_nofollow)
        if settings.emperor_tyrant:
            for path in [path for path, seen in found.items() if 0 in (seen.owner, seen.group)]:
                del found[path]
                if path not in self._refused:
                    self._refused.add(path)
                    log.error("vassal %s belongs to root: emperor-tyrant does not run it", path)
        return found

    def _sleep(self, wake: socket.socket) -> None:
        """Until somebody has something to say, or something is due."""
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        poller.register(self._heralds, select.POLLIN)
        told = self._chronicle.polled() if self._chronicle is not None else {}
        for fd, events in told.items():
            poller.register(fd, events)
        ready = poller.poll(self._wait(_now()))
        with contextlib.suppress(BlockingIOError):
            wake.recv(4096)
        for fd, _ in ready:
            if self._chronicle is not None and fd in told:
                self._chronicle.ready(fd, _now())

    def _wait(self, now: Seconds) -> float:
        """Milliseconds."""
        dues = (policy.next_look(self._vassals.values()), self._chronicle.due(now) if self._chronicle else None)
        due = min((one for one in dues if one is not None), default=None)
        until = self._looks_at if not self._leaving else Seconds(now + 1.0)
        until = until if due is None else min(until, due)
        return max(0.0, until - now) * 1000 + 1

    def _catch(self, number: int, _: object) -> None:
        self._caught.append(signal.Signals(number))

    def _signals(self, now: Seconds) -> None:
        caught, self._caught = self._caught, []
        for number in caught:
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                log.info("%s: stopping %d vassals", number.name, len(self._vassals))
                self._notifier.say("STOPPING=1")
                self._leaving = True
            elif number is signal.SIGHUP:
                log.info("SIGHUP: every vassal reads its file anew")
                for vassal in self._vassals.values():
                    if vassal.state is State.RUNNING:
                        self._act(Action(Deed.RELOAD, vassal), now)
            elif number is signal.SIGWINCH:
                self._looks_at = now
            elif number is signal.SIGUSR1:
                for vassal in self._vassals.values():
                    log.info(
                        "vassal %s: %s%s pid=%d starts=%d failures=%d", vassal.path, vassal.state.value,
                        ", loyal" if vassal.loyal else "", vassal.pid, vassal.starts, vassal.failures,
                    )  # fmt: skip

    def _reap(self, now: Seconds) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                vassal = next((one for one in self._vassals.values() if one.pid == pid), None)
                if vassal is not None:
                    self._died(vassal, os.waitstatus_to_exitcode(status), now)

    def _died(self, vassal: Vassal, code: int, now: Seconds) -> None:
        asked = vassal.state is State.STOPPING
        how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        policy.died(self._vassals, vassal, self._rules, now)
        if asked or self._leaving:
            log.info("vassal %s has left: %s", vassal.path, how)
        elif vassal.failures:
            log.error(
                "vassal %s ended before it was ready: %s; next attempt in %g s (its log says why)",
                vassal.path, how, max(0.0, vassal.due - now),
            )  # fmt: skip
        else:
            log.error("vassal %s ended: %s; it is started again", vassal.path, how)

    def _told(self, pid: int, words: dict[str, str], now: Seconds) -> None:
        vassal = next((one for one in self._vassals.values() if one.pid == pid), None)
        if vassal is None:
            return
        if words.get("RELOADING") == "1":
            vassal.ready = False
        if words.get("READY") != "1":
            return
        vassal.ready, vassal.ready_at = True, now
        if not vassal.loyal:
            vassal.loyal, vassal.failures, vassal.loyal_at = True, 0, now
            log.info("vassal %s is ready and loyal (pid: %d)", vassal.path, pid)

    # -- what is done ------------------------------------------------------------------------------------------

    def _act(self, action: Action, now: Seconds) -> None:
        deed, vassal = action
        if deed is Deed.START:
            self._start(vassal, now)
        elif deed is Deed.RELOAD and vassal.loyal:
            log.info("vassal %s: its file has changed, it reads it anew (pid: %d)", vassal.path, vassal.pid)
            vassal.reloads += 1
            vassal.last_run = now
            _signal(vassal, _RELOAD)
        elif deed in (Deed.STOP, Deed.RELOAD):
            # one that is not ready yet has nothing to lose: it is started again
            log.info("vassal %s: stopping (pid: %d)", vassal.path, vassal.pid)
            vassal.state, vassal.due, vassal.stopped_at = State.STOPPING, Seconds(now + self._rules.mercy), now
            _signal(vassal, signal.SIGTERM)
        else:
            log.warning("vassal %s does not leave: killed (pid: %d)", vassal.path, vassal.pid)
            vassal.killed = True
            _signal(vassal, signal.SIGKILL)

    def _start(self, vassal: Vassal, now: Seconds) -> None:
        emperor = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            log.error("vassal %s cannot be started: %s", vassal.path, error.strerror)
            vassal.due = Seconds(now + 1.0)
            return
        if pid == 0:
            self._become(vassal, emperor)
        vassal.state, vassal.pid = State.RUNNING, pid
        vassal.starts += 1
        vassal.last_run = now
        vassal.first_run = now if vassal.first_run is None else vassal.first_run
        log.info("vassal %s started (pid: %d)", vassal.path, pid)
        if self._settings.hook_as_emperor or self._settings.exec_as_emperor:
            self._celebrate(vassal)

    def _celebrate(self, vassal: Vassal) -> None:
        """In a child, so that nobody waits: what the settings want done, with uWSGI's variables."""
        try:
            if os.fork() != 0:
                return
        except OSError as error:
            log.error("hooks as-emperor are left out for %s: %s", vassal.path, error.strerror)
            return
        try:
            _heed_nothing()
            keep_only(log_fds())
            os.environ["UWSGI_VASSAL_CONFIG"] = named(vassal.path, self._places)[0]
            os.environ["UWSGI_VASSAL_PID"] = str(vassal.pid)
            own = not self._settings.emperor_tyrant
            os.environ["UWSGI_VASSAL_UID"] = str(os.getuid() if own else vassal.seen.owner)
            os.environ["UWSGI_VASSAL_GID"] = str(os.getgid() if own else vassal.seen.group)
            try_all(self._settings, "as_emperor")
        finally:
            os._exit(ExitCode.OK)

    def _become(self, vassal: Vassal, emperor: int) -> None:
        """In the child: execute, or leave."""
        try:
            _heed_nothing()
            if self._settings.emperor_tyrant and os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(vassal.seen.group, vassal.seen.group, vassal.seen.group)
                os.setresuid(vassal.seen.owner, vassal.seen.owner, vassal.seen.owner)
            # after the user has changed, for that takes it away
            parent_death.die_with(emperor, signal.SIGTERM)
            os.chdir(os.path.dirname(vassal.path))
            try_all(self._settings, "as_vassal")
            environment = {**os.environ, "NOTIFY_SOCKET": self._heralds.address, VASSAL: vassal.path}
            os.execve(sys.executable, self._command(vassal), environment)
        except OSError as error:
            log.error("vassal %s cannot be started: %s", vassal.path, error)
        finally:
            os._exit(ExitCode.INTERNAL)

    def _command(self, vassal: Vassal) -> list[str]:
        settings = self._settings
        # Not -m: in the vassals' directory may lie anything, and this very package may not be installed.
        begin = f"import sys; sys.path[0] = {_PACKAGES!r}; from m2serve.cli import entry; entry()"
        command = [sys.executable, "-c", begin]
        for value in settings.vassal_set:
            command += ["--set", value]
        for file in (*settings.vassals_include, vassal.path, *settings.vassals_inherit):
            ending = file.rpartition(".")[2]
            command += ["--ini", file] if f".{ending}" in _as_ini(settings) else ["--config", file]
        # TERM is how its emperor, or the kernel in its emperor's name, ends it
        return [*command, "--die-on-term"]

    @property
    def _pidfiles(self) -> tuple[str | None, ...]:
        return self._settings.pidfile, self._settings.safe_pidfile, self._settings.emperor_pidfile

    def _write_pid(self) -> None:
        """Raises: ConfigError: it cannot be written."""
        for path in self._pidfiles:
            if path is not None:
                try:
                    with open(path, "w", encoding="ascii") as file:
                        file.write(f"{os.getpid()}\n")
                except OSError as error:
                    raise ConfigError(f"{path}: {error.strerror}") from error

    def _close(self) -> None:
        if self._chronicle is not None:
            self._chronicle.close()

    def _remove_pid(self) -> None:
        for path in self._pidfiles:
            if path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _as_ini(settings: Settings) -> set[str]:
    return {
        ".ini",
        *(ending if ending.startswith(".") else f".{ending}" for ending in settings.emperor_extra_extension),
    }


def _heed_nothing() -> None:
    """In a child: signals do what they do by themselves."""
    signal.set_wakeup_fd(-1)
    for number in _HEEDED:
        signal.signal(number, signal.SIG_DFL)


def _signal(vassal: Vassal, number: signal.Signals) -> None:
    if vassal.pid:  # not reaped yet: the number is its own
        with contextlib.suppress(ProcessLookupError):
            os.kill(vassal.pid, number)


def _now() -> Seconds:
    return Seconds(time.monotonic())
