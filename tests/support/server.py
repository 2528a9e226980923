"""A real m2serve for one test: its processes, its log, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "tests" / "apps"

_SPAWNED = re.compile(r"spawned (\S+(?: \d+)?) \(pid: (\d+)")
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:^[ \t].*\n|^\n)*^.*$", re.MULTILINE)
_CRITICAL = re.compile(r"^.*\] CRITICAL .*$", re.MULTILINE)


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Poll until *condition* holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.005)


class Server:
    """One ``python -m m2serve``.

    Args:
        directory: for the log and, unless *cwd* says otherwise, the current directory.
        args: of the command line.
        environment: variables besides ours.
        user: number of the user and group it runs as.
        program: what Python runs, and its first arguments.
        stdin: a descriptor.
        pass_fds: further ones, which keep their numbers.
    """

    def __init__(
        self,
        directory: Path,
        *args: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        program: tuple[str, ...] = ("-m", "m2serve"),
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.args = args
        self.log_path = directory / "m2serve.log"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        if user is not None:
            os.chown(self.temporary, user, user)
        self._allowed: list[str] = []
        self._killed = False
        # pids come back: what was born before us is not ours
        self._born = time.time() - 1.0
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, *args],
                cwd=cwd or directory,
                stdin=stdin,
                pass_fds=pass_fds,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONFAULTHANDLER": "1",
                    "TMPDIR": str(self.temporary),
                    **(environment or {}),
                },
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else (),
            )

    # --- its log ----------------------------------------------------------------------

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def mark(self) -> int:
        """Where the log ends now, for ``wait_log(after=...)``."""
        return len(self.log)

    def wait_log(self, pattern: str, timeout: float = 30.0, *, after: int = 0) -> re.Match[str]:
        """Wait for a line."""
        expression, deadline = re.compile(pattern, re.MULTILINE), time.monotonic() + timeout
        while True:
            running = self.process.poll() is None
            text = self.log
            match = expression.search(text, after)
            if match is not None:
                return match
            late = time.monotonic() >= deadline
            assert running and not late, (
                f"{pattern!r} not in the log {f'within {timeout} s' if running else 'of a dead server'}:\n{_tail(text)}"
            )
            time.sleep(0.01)

    def wait_ready(self, workers: int = 1, timeout: float = 30.0, *, after: int = 0) -> Server:
        """Wait until a whole generation of workers serves, and the first dispatcher."""
        self.wait_log(rf"all {workers} workers ready", timeout, after=after)
        if "spawned dispatcher" in self.log:
            self.wait_log("dispatcher STARTING -> READY", timeout)
        return self

    def allow(self, *patterns: str) -> None:
        """Tracebacks and CRITICAL lines that the test provokes; each pattern is searched in the whole of one."""
        self._allowed += patterns

    def complaints(self) -> list[str]:
        """Tracebacks and CRITICAL lines that nobody expected."""
        text = self.log
        found = [match[0] for expression in (_TRACEBACK, _CRITICAL) for match in expression.finditer(text)]
        return [one for one in found if not any(re.search(pattern, one) for pattern in self._allowed)]

    # --- its processes ----------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"m2serve still runs after {timeout} s:\n{_tail(self.log)}") from None

    def stop(self, timeout: float = 30.0) -> int:
        """TERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def pids(self, kind: str = "") -> dict[str, int]:
        """The children that live, by title without ``m2serve``; *kind* is the beginning of the title.

        Of two of the same title, as during a reload, the second carries its pid.
        """
        found: dict[str, int] = {}
        for child in _descendants(self.pid):
            with contextlib.suppress(psutil.Error):
                title = " ".join(child.cmdline()).strip()
                if title.startswith(f"m2serve {kind}"):
                    title = title.removeprefix("m2serve ")
                    found[f"{title} {child.pid}" if title in found else title] = child.pid
        return found

    def wait_gone(self, pids: Iterable[int], timeout: float = 20.0) -> None:
        """Wait until none of these processes lives."""
        wait_until(lambda: not any(map(psutil.pid_exists, pids)), timeout, f"end of {pids}:\n{_tail(self.log)}")

    def kill_child(self, title: str) -> int:
        """SIGKILL to ``dispatcher`` or ``worker N``; gives the pid it had."""
        pids = self.pids()
        assert title in pids, f"no {title!r} among {pids}:\n{_tail(self.log)}"
        os.kill(pids[title], signal.SIGKILL)
        return pids[title]

    def kill_master(self) -> None:
        self._killed = True
        self.process.kill()
        self.process.wait()

    def spawned(self) -> set[int]:
        """Every pid the log ever named, and whoever shares the session."""
        named = {int(match[2]) for match in _SPAWNED.finditer(self.log)}
        return named | {pid for pid in psutil.pids() if pid != self.pid and _session(pid) == self.pid}

    def strays(self) -> list[str]:
        """Processes of this server's that live although it is gone."""
        found = []
        for pid in self.spawned():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE and process.create_time() >= self._born:
                    found.append(f"{pid} {' '.join(process.cmdline())!r}")
        return found

    # --- the end ----------------------------------------------------------------------

    def finish(self) -> list[str]:
        """Stop what still runs; says what is left over and what the log complains of."""
        problems = []
        if self.running():
            problems += self._zombies()
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                problems.append("does not stop within 20 s of TERM")
                self.kill_master()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.strays(), 10, "")
        strays = self.strays()
        problems += [f"stray process {one}" for one in strays]
        for one in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(one.split()[0]), signal.SIGKILL)
        if not self._killed:
            problems += [f"left behind: {path}" for path in sorted(self.temporary.rglob("*"))]
        problems += self.complaints()
        return [*problems, "--- the log:", _tail(self.log)] if problems else []

    def _zombies(self) -> list[str]:
        """Children that have been dead for a while without being reaped."""

        def dead() -> set[int]:
            found = set()
            for child in _descendants(self.pid):
                with contextlib.suppress(psutil.Error):
                    if child.status() == psutil.STATUS_ZOMBIE:
                        found.add(child.pid)
            return found

        first = dead()
        if not first:
            return []
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not first & dead(), 5, "")
        return [f"zombie {pid}" for pid in first & dead()]


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _tail(text: str, lines: int = 80) -> str:
    return "\n".join(text.splitlines()[-lines:])
