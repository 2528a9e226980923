"""The one way a child comes to life: fork with signals blocked, keep listed descriptors, run, leave."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from m2serve.apps.variables import set_variables
from m2serve.errors import ExitCode
from m2serve.ids import Pid
from m2serve.master import signals
from m2serve.master.pidfile import write
from m2serve.system.fds import keep_only, log_fds, pipe_nonblocking
from m2serve.system.life import live
from m2serve.system.link import Link
from m2serve.system.parent_death import die_with
from m2serve.system.privileges import Privileges
from m2serve.system.title import set_title
from m2serve.worker.mule import run as run_mule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from m2serve.config.settings import Settings
    from m2serve.master.programs import Program, Smart
    from m2serve.transports.node import NodeFds, WorkerPost

    DispatcherEntry = Callable[[Settings, Link, NodeFds], int]
    NurseryEntry = Callable[[Settings, Link, NodeFds, int, int], int]
    MuleEntry = Callable[[Settings, NodeFds, int, str], int]
    WorkerEntry = Callable[[Settings, Link, NodeFds, WorkerPost], int]


@dataclass(frozen=True)
class Entries:
    """What a child runs; its return value is its exit code."""

    dispatcher: DispatcherEntry
    worker: WorkerEntry
    nursery: NurseryEntry
    mule: MuleEntry = run_mule


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
        """Fork a worker; of the node it keeps the ledger, doors, caches and its own post."""

        def keep() -> list[int]:
            self.node.pulls = {}
            self.node.posts = {post.key: post}
            # The other end of its own crew link is not for the worker.
            post.crew_dispatcher_fd = -1
            return [self.node.ledger_fd, self.node.wake_fd, *self._shared(), *post.worker_fds()]

        def run(link: Link) -> int:
            return self.entries.worker(self.settings, link, self.node, post)

        pid, link = self._fork_linked(f"worker {post.worker}", keep, run, early=self._early)
        post.close_worker_side()
        return pid, link

    def nursery(self, number: int, sheet_fd: int, *, first: bool) -> tuple[Pid, Link]:
        """Fork the nursery of generation *number*; *first*: none of that generation has been ready yet."""
        settings = self.settings if first else replace(self.settings, need_app=True)
        master = os.getpid()

        def keep() -> list[int]:
            self.node.pulls = {}
            self.node.posts = {}
            self.node.nurseries = {}
            return [self.node.ledger_fd, self.node.wake_fd, *self._shared(), sheet_fd]

        def run(link: Link) -> int:
            return self.entries.nursery(settings, link, self.node, master, sheet_fd)

        return self._fork_linked(f"nursery {number}", keep, run, early=self._early)

    @property
    def _early(self) -> bool:
        """Who loads the application has become the user before."""
        return not self.settings.drop_after_apps

    def _shared(self) -> list[int]:
        writers = (writer for _, writer in (*self.node.boxes, *self.node.farms.values()))
        return [*(door.fd for door in self.node.doors), *self.node.secrets, *self.node.caches.values(), *writers]

    def program(self, program: Program) -> tuple[Pid, int]:
        """Run a program; returns the read end of its output."""
        return self._program(program, program.rights or self.rights)

    def trial(self, program: Program, state: int) -> tuple[Pid, int]:
        """The same as whom we are, with a descriptor besides."""
        return self._program(program, Privileges(), (state,))

    def _program(self, program: Program, rights: Privileges, kept: Sequence[int] = ()) -> tuple[Pid, int]:
        reader, writer = pipe_nonblocking()
        master = os.getpid()

        def run() -> int:
            signals.reset_for_exec()
            # Out of our terminal's group: it must outlive a Ctrl-C, to deliver the answers of the workers.
            os.setsid()
            if program.stdin:
                os.dup2(_holding(program.stdin), 0)
            elif not program.our_stdin:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            keep_only(kept)
            for fd in kept:
                os.set_inheritable(fd, True)
            _change_user(master, rights)
            _execute(self.settings, program)

        try:
            return _fork(run), reader
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def mule(self, program: Program) -> Pid:
        """Fork a mule, which writes where workers write."""
        master = os.getpid()

        def body() -> int:
            signals.reset_for_exec()
            os.setsid()
            self.abandon()
            # The ledger's file is also that of the locks which applications share.
            keep_only([*log_fds(), self.node.ledger_fd, *self.node.caches.values(), *self.node.box_fds()])
            if self._early or program.script:
                _change_user(master, self.rights)
            set_title(program.name, self.settings)
            signals.unblock_all()
            return self.entries.mule(self.settings, self.node, program.number, program.script)

        return _fork(body)

    def _fork_linked(
        self, role: str, keep: Callable[[], Iterable[int]], run: Callable[[Link], int], *, early: bool = True
    ) -> tuple[Pid, Link]:
        ours, theirs = Link.pair()
        master = os.getpid()

        def body() -> int:
            signals.reset_for_child()
            ours.abandon()
            self.abandon()
            keep_only([theirs.fileno(), *log_fds(), *keep()])
            if early:
                _change_user(master, self.rights)
            set_title(role, self.settings)
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
            if not smart.program.our_stdin:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            keep_only(())
            (smart.program.rights or self.rights).assume()
            if smart.foreground:
                write(smart.pidfile)
            _execute(self.settings, smart.program)

        pid = _fork(run)
        os.waitpid(pid, 0)


def _holding(text: bytes) -> int:
    """A file without a name that is to be read from its beginning."""
    fd = os.memfd_create("stdin")
    os.write(fd, text)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _change_user(master: int, rights: Privileges) -> None:
    if rights:
        rights.assume()
        # The kernel forgets it with each change of user.
        die_with(master)


def _execute(settings: Settings, program: Program) -> NoReturn:
    signals.unblock_all()
    if program.of_application:
        set_variables(settings, os.getcwd())
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
            live(lambda: _begin(body, master))
        return Pid(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(body: Callable[[], int], master: int) -> int:
    # The master's exit functions are not the child's. The application's own are run at its end.
    atexit._clear()
    die_with(master)
    return body()
