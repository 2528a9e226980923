"""The one way a child comes to life: fork with signals blocked, keep listed descriptors, run, leave."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from m2serve.errors import ExitCode
from m2serve.ids import Pid
from m2serve.master import signals
from m2serve.master.pidfile import write
from m2serve.system.fds import keep_only, log_fds, pipe_nonblocking
from m2serve.system.link import Link
from m2serve.system.parent_death import die_with
from m2serve.system.privileges import Privileges
from m2serve.system.title import set_title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.config.settings import Settings
    from m2serve.master.programs import Program, Smart
    from m2serve.transports.node import NodeFds, WorkerPost

    DispatcherEntry = Callable[[Settings, Link, NodeFds], int]
    WorkerEntry = Callable[[Settings, Link, NodeFds, WorkerPost], int]

log = logging.getLogger("m2serve.master")

_CANNOT_EXEC = 127
"""The shell's code for a command that cannot be run."""


@dataclass(frozen=True)
class Entries:
    """What a child runs; its return value is its exit code."""

    dispatcher: DispatcherEntry
    worker: WorkerEntry


@dataclass(frozen=True)
class Spawner:
    """Forks children for one server."""

    settings: Settings
    entries: Entries
    node: NodeFds
    abandon: Callable[[], None]
    """Run in the child: the master's objects let go of descriptors whose numbers will be used again."""
    rights: Privileges = field(default_factory=Privileges)
    """Whom children become, if the master has not become it."""

    def dispatcher(self) -> tuple[Pid, Link]:
        """Fork a dispatcher; it inherits all that the node keeps."""

        def run(link: Link) -> int:
            return self.entries.dispatcher(self.settings, link, self.node)

        return self._fork_linked("dispatcher", self.node.fds, run)

    def worker(self, post: WorkerPost) -> tuple[Pid, Link]:
        """Fork a worker; of the node it keeps the ledger and its own post."""

        def keep() -> list[int]:
            self.node.pulls = {}
            self.node.posts = {post.key: post}
            # The other end of its own crew link is not for the worker.
            post.crew_dispatcher_fd = -1
            return [self.node.ledger_fd, self.node.wake_fd, *post.worker_fds()]

        def run(link: Link) -> int:
            return self.entries.worker(self.settings, link, self.node, post)

        pid, link = self._fork_linked(f"worker {post.worker}", keep, run)
        post.close_worker_side()
        return pid, link

    def program(self, program: Program) -> tuple[Pid, int]:
        """Run a program; returns the read end of its output."""
        reader, writer = pipe_nonblocking()
        master = os.getpid()

        def run() -> int:
            signals.reset_for_exec()
            # Out of our terminal's group: it must outlive a Ctrl-C, to deliver the answers of the workers.
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            keep_only(())
            self._change_user(master, program.rights)
            _execute(program)

        try:
            return _fork(run), reader
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def _fork_linked(
        self, role: str, keep: Callable[[], Iterable[int]], run: Callable[[Link], int]
    ) -> tuple[Pid, Link]:
        ours, theirs = Link.pair()
        master = os.getpid()

        def body() -> int:
            signals.reset_for_child()
            ours.abandon()
            self.abandon()
            keep_only([theirs.fileno(), *log_fds(), *keep()])
            self._change_user(master)
            set_title(role, prefix=self.settings.procname_prefix)
            signals.unblock_all()
            return run(theirs)

        try:
            return _fork(body), ours
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    def detached(self, smart: Smart) -> None:
        """Run a program that is none of our children, does not end with us, and writes where we write."""

        def run() -> int:
            signals.reset_for_exec()
            os.setsid()
            if os.fork() != 0:
                os._exit(ExitCode.OK)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            keep_only(())
            (smart.program.rights or self.rights).assume()
            if smart.foreground:
                write(smart.pidfile)
            _execute(smart.program)

        pid = _fork(run)
        os.waitpid(pid, 0)

    def _change_user(self, master: int, rights: Privileges | None = None) -> None:
        rights = rights or self.rights
        if rights:
            rights.assume()
            # The kernel forgets it with each change of user.
            die_with(master)


def _execute(program: Program) -> NoReturn:
    signals.unblock_all()
    if program.directory is not None:
        os.chdir(program.directory)
    os.execvpe(program.argv[0], program.argv, {**os.environ, **program.environment})


def _fork(body: Callable[[], int]) -> Pid:
    """Fork; the child runs *body* with signals still blocked and never returns from here.

    Raises: OSError: no process to be had.
    """
    master = os.getpid()
    # What is buffered would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal between fork and the child's own handlers would run the master's, or kill the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(body, master)
        return Pid(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(body: Callable[[], int], master: int) -> NoReturn:
    code: int = ExitCode.INTERNAL
    try:
        # The master's exit functions are not the child's. The application's own are run below.
        atexit._clear()
        die_with(master)
        code = body()
    except SystemExit as leaving:
        code = _code_of(leaving)
    except OSError as error:
        # No traceback for the commonest case, a program that is not there.
        log.error("child %d cannot go on: %s", os.getpid(), error, exc_info=log.isEnabledFor(logging.DEBUG))
        code = _CANNOT_EXEC if isinstance(error, FileNotFoundError | PermissionError) else ExitCode.INTERNAL
    except BaseException:
        # The last frame of the process: whatever it is, it belongs into the log.
        log.exception("child %d died of an exception", os.getpid())
    _leave(code)


def _leave(code: int) -> NoReturn:
    try:
        atexit._run_exitfuncs()
    except BaseException:
        # An exit function of the application's; the process leaves all the same.
        log.exception("an exit function failed")
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass
    finally:
        # Not sys.exit: the frames above are the master's, with its clean-up.
        os._exit(code)


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return ExitCode.OK
    return leaving.code if isinstance(leaving.code, int) else ExitCode.CONFIG
