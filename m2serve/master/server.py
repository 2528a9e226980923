"""The server: makes everything that lives as long as the master, and clears it up."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from typing import TYPE_CHECKING

import m2serve.dispatcher.main
import m2serve.worker.main
from m2serve.errors import ConfigError, ExitCode
from m2serve.master import report
from m2serve.master.act import Actor
from m2serve.master.board import Board, Slot
from m2serve.master.child import ChildKind
from m2serve.master.commands import Commands
from m2serve.master.daemons import DaemonOutput
from m2serve.master.fifo import Fifo
from m2serve.master.generation import ReloadKind
from m2serve.master.inbox import Inbox
from m2serve.master.loop import Loop, clock
from m2serve.master.meter import Meter, limits
from m2serve.master.pidfile import PidFiles
from m2serve.master.scores import Scores
from m2serve.master.service import Service
from m2serve.master.signals import SignalQueue
from m2serve.master.spawn import Entries, Spawner
from m2serve.master.stats import StatsServer
from m2serve.master.touch import Touch, watched
from m2serve.mongrel2.configdb import prepare
from m2serve.mongrel2.fronts import fronts
from m2serve.mongrel2.soundness import examine
from m2serve.system.fds import close_quietly
from m2serve.system.notify import Notifier
from m2serve.system.title import set_title
from m2serve.transports.node import NodeFds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.settings import Settings
    from m2serve.master.attachment import Attachment
    from m2serve.mongrel2.daemon import DaemonSpec

log = logging.getLogger("m2serve.master")

_ENTRIES = Entries(dispatcher=m2serve.dispatcher.main.run, worker=m2serve.worker.main.run)


class Server:
    """One m2serve. `run` is called once.

    Args: entries: what children run; tests bring their own.
    """

    def __init__(self, settings: Settings, entries: Entries = _ENTRIES) -> None:
        self._settings = settings
        self._entries = entries

    def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        set_title("master", prefix=self._settings.procname_prefix)
        settings = self._settings
        daemons: tuple[DaemonSpec, ...] = ()
        try:
            attached = None
            if settings.with_mongrel2 is not None:
                attached, mongrel2 = prepare(settings)
                daemons = (mongrel2,)
            known = fronts(settings, attached)
            examine(settings, known)
            settings = dataclasses.replace(settings, zeromq=tuple(front.pair for front in known))
            node = NodeFds.create(known, settings.request_buffer)
        except ConfigError as error:
            log.critical("nothing was started: %s", error)
            self._remove_files(daemons)
            return ExitCode.CONFIG
        report.log_lines(report.start_lines(settings, known))
        board = Board(not settings.zeromq_direct, settings.need_app, settings.worker_reload_mercy)
        board.limits = limits(settings)
        pidfiles = PidFiles(settings.pidfile, settings.safe_pidfile, board)
        commands = Commands(settings, board, pidfiles)
        fifo = Fifo(settings.master_fifo, commands)
        service = Service(board, Notifier.take(os.environ, os.getpid()))
        try:
            pidfiles.write_first()
            fifo.open()
            touch = Touch(watched(settings), commands)
            touch.begin(clock())
            attachments = [pidfiles, fifo, touch, service]
            return self._serve(settings, board, commands, attachments, node, daemons)
        except ConfigError as error:
            log.critical("nothing was started: %s", error)
            return ExitCode.CONFIG
        finally:
            fifo.close()
            pidfiles.remove()
            node.close()
            self._remove_files(daemons)

    def _serve(
        self,
        settings: Settings,
        board: Board,
        commands: Commands,
        attachments: Sequence[Attachment],
        node: NodeFds,
        daemons: tuple[DaemonSpec, ...],
    ) -> int:
        signals = SignalQueue()
        scores = Scores(board, node, settings.queue_limit, [" ".join(spec.argv) for spec in daemons])
        stats = _stats(settings, scores)
        spawner = Spawner(settings, self._entries, node, lambda: _abandon(board, stats))
        actor = Actor(board, node, spawner, daemons, settings.processes, settings.threads)
        inbox = Inbox(board, node)
        if stats is not None:
            stats.listen()
        signals.install()
        try:
            _furnish(board, daemons)
            actor.open_generation(ReloadKind.GRACEFUL, clock())
            attachments = [*attachments, scores, Meter(board, scores)]
            attachments += [] if stats is None else [stats]
            code = Loop(board, actor, inbox, signals, DaemonOutput("mongrel2"), commands, attachments).run()
            log.info("goodbye: exit code %d", code)
            return code
        except Exception:
            # A bug of the master's. Whoever started us can start us again; half a server would serve nobody.
            log.critical("the master breaks off", exc_info=True)
            return ExitCode.INTERNAL
        finally:
            # Empty after an orderly stop. Should the master break off instead, no child may stay.
            for child in board.children:
                actor.bury_alive(child)
            if stats is not None:
                stats.close()
            signals.uninstall()

    def _remove_files(self, daemons: tuple[DaemonSpec, ...]) -> None:
        for spec in daemons:
            close_quietly(spec.lock_fd)
            if spec.own_directory is not None:
                shutil.rmtree(spec.own_directory, ignore_errors=True)


def _furnish(board: Board, daemons: tuple[DaemonSpec, ...]) -> None:
    """Slots for all but workers; the respawn policy fills them."""
    for index, spec in enumerate(daemons):
        board.slots.append(Slot(ChildKind.DAEMON, spec.name, daemon=index))
    if board.dispatched:
        board.slots.append(Slot(ChildKind.DISPATCHER, "dispatcher"))


def _stats(settings: Settings, scores: Scores) -> StatsServer | None:
    if settings.stats is None:
        return None
    # Removed at exit, from wherever we are then.
    address = settings.stats.resolved(os.getcwd())
    return StatsServer(
        address,
        scores.snapshot,
        http=settings.stats_http,
        minified=settings.stats_minified,
        cores=not settings.stats_no_cores,
    )


def _abandon(board: Board, stats: StatsServer | None) -> None:
    """In a forked child: let go of what belongs to the master."""
    for child in board.children:
        if child.link is not None:
            child.link.abandon()
    if stats is not None:
        stats.abandon()
