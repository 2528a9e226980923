"""The server: makes everything that lives as long as the master, and clears it up."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

import m2serve.dispatcher.main
import m2serve.worker.main
import m2serve.worker.nursery
from m2serve.config.caches import caches
from m2serve.config.daemonlines import mule_scripts
from m2serve.config.deadlines import Deadlines
from m2serve.errors import ConfigError, ExitCode
from m2serve.master import report
from m2serve.master.act import Actor
from m2serve.master.agreement import agree
from m2serve.master.alarms import Alarms
from m2serve.master.autoreload import Autoreload
from m2serve.master.bequest import slot_of
from m2serve.master.board import Board, Slot
from m2serve.master.boxes import make_boxes, make_farms
from m2serve.master.caches import make_caches
from m2serve.master.carbon import Carbon
from m2serve.master.census import Census, algorithm, crowd
from m2serve.master.child import ChildKind
from m2serve.master.commands import Commands, bound
from m2serve.master.daemons import DaemonOutput, DaemonTouch
from m2serve.master.doors import Doors
from m2serve.master.estate import Estate, Holdings, restore_node
from m2serve.master.fifo import Fifo
from m2serve.master.generation import ReloadKind
from m2serve.master.inbox import Inbox
from m2serve.master.jobs import Timetable, jobs
from m2serve.master.knocks import Knocks
from m2serve.master.logsize import LogSize
from m2serve.master.loop import Loop, clock
from m2serve.master.meter import Meter, limits
from m2serve.master.mode import Mode
from m2serve.master.overdue import Overdue
from m2serve.master.pages import PageServer
from m2serve.master.pidfile import PidFiles
from m2serve.master.programs import attached, mules, of_mongrel2, of_shell, smart
from m2serve.master.scores import Scores
from m2serve.master.service import Service
from m2serve.master.signals import SignalQueue
from m2serve.master.smart import SmartDaemons, Watch
from m2serve.master.spawn import Entries, Spawner
from m2serve.master.stats import StatsServer, listen_again
from m2serve.master.ticks import Ticks
from m2serve.master.told import Told
from m2serve.master.touch import Touch, watched
from m2serve.master.upgrade import Upgrade
from m2serve.mongrel2.configdb import prepare
from m2serve.mongrel2.fronts import fronts
from m2serve.mongrel2.soundness import examine
from m2serve.observe.log import move, reopens
from m2serve.plugin.hooks import Hooks
from m2serve.system.background import Launch
from m2serve.system.deeds import perform, perform_all, try_all
from m2serve.system.fds import close_quietly
from m2serve.system.notify import Notifier
from m2serve.system.orphan import take_orphans
from m2serve.system.privileges import Privileges
from m2serve.system.title import set_title
from m2serve.transports.node import NodeFds
from m2serve.worker.tracebacker import remove

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.config.deeds import Deed
    from m2serve.config.settings import Settings
    from m2serve.front import Front
    from m2serve.ids import Seconds
    from m2serve.master.attachment import Attachment
    from m2serve.master.heritage import Heritage
    from m2serve.master.programs import Program
    from m2serve.mongrel2.daemon import DaemonSpec
    from m2serve.system.activation import Activated
    from m2serve.system.start import Start

log = logging.getLogger("m2serve.master")

_ENTRIES = Entries(m2serve.dispatcher.main.run, m2serve.worker.main.run, m2serve.worker.nursery.run)
_UNCHANGED = Privileges()


class Server:
    """One m2serve. `run` is called once.

    Args:
        entries: what children run; tests bring their own.
        rights: whom the processes become once everything is made that root has to make.
        launch: who waits to be told that it serves.
        hooks: what plugins have registered.
        start: how we were started; without it there is no upgrade.
        left: what another master has left us to go on with.
        activated: sockets that a service manager has left us.
    """

    def __init__(
        self,
        settings: Settings,
        entries: Entries = _ENTRIES,
        rights: Privileges = _UNCHANGED,
        launch: Launch | None = None,
        hooks: Hooks | None = None,
        start: Start | None = None,
        left: Heritage | None = None,
        activated: Sequence[Activated] = (),
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._rights = rights
        self._launch = launch or Launch()
        self._hooks = hooks or Hooks()
        self._start = start
        self._left = left
        self._activated = activated

    def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        settings, left = self._settings, self._left
        # A master that stays root needs nobody's leave.
        own = None if settings.keeps_root else self._rights.own
        set_title("master", settings)
        board = Board(settings.dispatched, settings.need_app, settings.worker_reload_mercy)
        board.limits, board.crowd = limits(settings), crowd(settings)
        board.start_timeout = settings.worker_start_timeout
        board.verbose_harakiri = settings.harakiri_verbose
        board.wake()
        if settings.cheap:
            board.sleep()
        pidfiles = PidFiles(settings.pidfile, settings.safe_pidfile, board, settings.pidfile2, own)
        commands = Commands(settings, board, pidfiles, bound(settings))
        fifo = Fifo(settings.master_fifo, commands, own)
        listeners = _listeners(settings, self._hooks, own)
        doors = Doors(settings, self._rights, self._activated)
        service = Service(board, Notifier.take(os.environ, os.getpid()))
        carbon = Carbon(settings)
        daemons: tuple[DaemonSpec, ...] = ()
        node: NodeFds | None = None
        try:
            # Before a change of root directory, behind which no host may be known.
            carbon.resolve()
            if self._rights.chroot is not None:
                service.notifier.hold()
            self._open_files(doors, listeners, pidfiles, fifo)
            if left is None:
                front, daemons = self._attach()
                known = fronts(settings, front)
                examine(settings, known)
                node = NodeFds.create(known, settings.request_buffer)
            else:
                front, daemons = left.attached, left.daemons
                known = agree(left, settings)
                node = restore_node(left, known)
                if node.ring_size != settings.request_buffer:
                    log.warning("request-buffer stays %d until a restart", node.ring_size)
            node.doors, node.secrets = doors.doors, doors.secrets
            node.boxes = make_boxes(len(mule_scripts(settings)), node.boxes, settings.mule_msg_size)
            node.farms = make_farms((farm.name for farm in settings.farm), node.farms, settings.mule_msg_size)
            node.caches = make_caches(caches(settings), node.caches)
            board.doors = bool(node.doors)
            if not known and not node.doors:
                raise ConfigError("nowhere to take requests from: no socket was left to us")
            settings = dataclasses.replace(settings, zeromq=tuple(front.pair for front in known))
            report.log_lines(report.start_lines(settings, known))
            board.preload = settings.preload or (settings.processes > 1 and not settings.lazy_apps)
            if board.preload:
                take_orphans()
            size = LogSize(commands, settings.log_maxsize)
            told = Told(self._launch, board, settings.daemonize2 is not None)
            programs = [*map(of_mongrel2, daemons), *attached(settings), *mules(settings)]
            watches = [Watch(one) for one in smart(settings)]
            scores = Scores(board, node, settings.queue_limit, programs, watches)
            has = Holdings(board, node, scores, fifo, pidfiles, listeners, daemons, front, doors)
            carbon.snapshot = scores.snapshot
            attachments: list[Attachment] = [pidfiles, fifo, size, service, told, carbon]
            if settings.py_autoreload:
                attachments.append(Autoreload(settings.py_autoreload, board, commands))
            if left is None:
                perform_all(settings, "master_start")
            code = self._serve(settings, has, commands, attachments, service)
            try_all(settings, "as_user_atexit")
            self._launch.failed(code, f"the server ended with exit code {int(code)}; its log says why")
            return code
        except ConfigError as error:
            log.critical("nothing was started: %s", error)
            self._launch.failed(ExitCode.CONFIG, f"nothing was started: {error}")
            return ExitCode.CONFIG
        finally:
            for listener in listeners:
                listener.close()
            doors.close()
            fifo.close()
            carbon.close()
            pidfiles.remove()
            service.notifier.close()
            if node is not None:
                node.close()
            self._remove_files(daemons)

    def _open_files(self, doors: Doors, listeners: Sequence[StatsServer], pidfiles: PidFiles, fifo: Fifo) -> None:
        """All that has a name, and between them the change of user. Raises: ConfigError."""
        left = self._left
        if left is None:
            perform_all(self._settings, "asap")
            doors.open()
            for listener in listeners:
                listener.listen()
            pidfiles.write_first()
            fifo.open()
            for point in ("pre_jail", "post_jail", "in_jail", "as_root"):
                perform_all(self._settings, point)
            self._change_user()
            self._open_later_files(pidfiles)
            perform_all(self._settings, "as_user")
            return
        # Tests wait for this line.
        log.info("upgrade: goes on in place of m2serve %s with %d children", left.program, len(left.children))
        pidfiles.take_over(left.pidfiles)
        doors.take_over(left.doors)
        for listener in listen_again(listeners, left.listeners):
            _go_on(listener.listen)
        _go_on(pidfiles.write_first)
        _go_on(lambda: fifo.take_over(left.fifo))
        self._change_user()
        _go_on(lambda: self._open_later_files(pidfiles))

    def _change_user(self) -> None:
        """Whatever is made from now on is made by the user. Raises: ConfigError: it cannot be done."""
        settings = self._settings
        if self._rights:
            # Tests wait for this line.
            log.info("%s %s", "workers run as" if settings.keeps_root else "becoming", self._rights)
        if not settings.keeps_root:
            self._rights.assume()

    def _open_later_files(self, pidfiles: PidFiles) -> None:
        """Those that are the user's. Raises: ConfigError."""
        if self._settings.logto2 is not None:
            move(self._settings.logto2)
        elif self._rights and not reopens():
            log.warning("the log cannot be opened again by this user; logfile-chown gives it the file")
        pidfiles.write_second()

    def _attach(self) -> tuple[Front | None, tuple[DaemonSpec, ...]]:
        """Mongrel2, where it is ours to start; it runs as the same user as everything."""
        if self._settings.with_mongrel2 is None:
            return None, ()
        front, spec = prepare(self._settings)
        if self._settings.keeps_root:
            for path in (spec.directory, *spec.files):
                self._rights.own(path)
        return front, (spec,)

    def _serve(
        self,
        settings: Settings,
        has: Holdings,
        commands: Commands,
        attachments: Sequence[Attachment],
        service: Service,
    ) -> int:
        board, node, scores, listeners = has.board, has.node, has.scores, has.listeners
        programs, watches = scores.programs, scores.watches
        signals = SignalQueue()
        board.jobs = jobs(settings)
        board.patience = settings.reload_mercy
        for listener in listeners:
            listener.snapshot = scores.snapshot
        rights = self._rights if settings.keeps_root else _UNCHANGED
        spawner = Spawner(
            settings, self._entries, node, lambda: _abandon(board, [*listeners, alarms, *attachments]), rights
        )
        actor = Actor(board, node, spawner, programs, settings.threads, hooks=self._hooks)
        users = {0, os.geteuid(), rights.uid if rights.uid is not None else os.geteuid()}

        def run(program: Program, now: Seconds) -> None:
            if board.stop is None:
                actor.command(program, settings.hook_timeout, now)

        alarms = Alarms(settings, run, users)
        touch = Touch(watched(settings), commands, do=partial(_touched, settings, run))
        touch.begin(clock())
        inbox, outputs, timetable = Inbox(board, node), DaemonOutput(), Timetable(board)
        estate = Estate(has, actor, inbox, outputs, timetable)
        upgrade = Upgrade(estate, signals, service, self._start)
        if self._left is not None:
            estate.read(self._left, clock())
        alarms.open()
        signals.install()
        try:
            self._hooks("start")
            if self._left is None:
                _furnish(board, programs)
                actor.open_generation(ReloadKind.GRACEFUL, clock())
            deadlines = Deadlines(settings.harakiri)
            overdue = Overdue(board, scores, deadlines, settings.harakiri_queue_threshold)
            census = Census(board, scores, commands, algorithm(settings), settings.die_on_idle)
            attachments = [*attachments, scores, Meter(board, scores), overdue]
            attachments += [census, Mode(board, doors=bool(node.doors)), Knocks(board, node), *listeners]
            daemon_touch = DaemonTouch.of(board, programs, watches, settings.touch_mules_reload)
            attachments += [SmartDaemons(board, watches, spawner.detached), daemon_touch, touch, timetable, alarms]
            attachments += [Ticks(self._hooks.ticks, scores.snapshot)] if self._hooks.ticks else []
            code = Loop(board, actor, inbox, signals, outputs, commands, [*attachments, upgrade]).run()
            self._hooks("exit", code=code)
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
            upgrade.close()
            alarms.close()
            signals.uninstall()

    def _remove_files(self, daemons: tuple[DaemonSpec, ...]) -> None:
        if self._settings.py_tracebacker is not None:
            for number in range(1, self._settings.processes + 1):  # those of workers that were killed
                with contextlib.suppress(OSError):
                    remove(f"{self._settings.py_tracebacker}{number}")
        for spec in daemons:
            close_quietly(spec.lock_fd)
            if spec.own_directory is not None:
                shutil.rmtree(spec.own_directory, ignore_errors=True)


def _go_on(step: Callable[[], None]) -> None:
    """After an upgrade: what would keep a server from starting is no reason to end one."""
    try:
        step()
    except ConfigError as error:
        log.error("upgrade: %s", error)


def _furnish(board: Board, programs: Sequence[Program]) -> None:
    """Slots for all but workers; the respawn policy fills them."""
    board.slots += [slot_of(program, index) for index, program in enumerate(programs)]
    if board.dispatched:
        board.slots.append(Slot(ChildKind.DISPATCHER, "dispatcher"))


def _listeners(settings: Settings, hooks: Hooks, own: Callable[[str], None] | None) -> list[StatsServer]:
    """Who tells about the server: the statistics, and pages of plugins."""
    here = os.getcwd()  # removed at exit, from wherever we are then
    found: list[StatsServer] = []
    if settings.stats is not None:
        server = StatsServer(
            settings.stats.resolved(here),
            http=settings.stats_http,
            minified=settings.stats_minified,
            cores=not settings.stats_no_cores,
            own=own,
        )
        found.append(server)
    for page in hooks.pages:
        what = f"page of {page.call.plugin}"
        found.append(PageServer(page.address.resolved(here), own=own, what=what, page=page))
    return found


def _touched(settings: Settings, run: Callable[[Program, Seconds], None], deed: Deed, why: str, now: Seconds) -> None:
    """Do what a touched file asks for; nothing that takes time is done by us."""
    if deed.kind in ("exec", "safeexec"):
        run(of_shell(settings, why.partition(" ")[0], deed.words[0]), now)
        return
    # Tests wait for this line.
    log.info("%s: %s", why, deed)
    try:
        perform(deed, settings.hook_timeout)
    except (OSError, ConfigError, LookupError) as error:
        log.error("failed: %s: %s: %s", why, deed, error)


def _abandon(board: Board, attachments: Sequence[Attachment]) -> None:
    """In a forked child: let go of what belongs to the master."""
    for child in board.children:
        if child.link is not None:
            child.link.abandon()
    for attachment in attachments:
        attachment.abandon()
