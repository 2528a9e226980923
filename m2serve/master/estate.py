"""All that the master has, written down for the program that goes on, and taken over from the one before."""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

import m2serve
from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.master.bequest import restore_programs
from m2serve.master.board import Slot
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.heritage import ChildRow, Heritage, JobRow, Looked, Node, Post, SlotRow
from m2serve.system.link import Link
from m2serve.transports import layout
from m2serve.transports.node import NodeFds, WorkerPost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from m2serve.front import Front
    from m2serve.ids import Seconds
    from m2serve.master.act import Actor
    from m2serve.master.board import Board
    from m2serve.master.daemons import DaemonOutput
    from m2serve.master.doors import Doors
    from m2serve.master.fifo import Fifo
    from m2serve.master.inbox import Inbox
    from m2serve.master.jobs import Timetable
    from m2serve.master.pidfile import PidFiles
    from m2serve.master.scores import Scores
    from m2serve.master.stats import StatsServer
    from m2serve.mongrel2.daemon import DaemonSpec


_SAME = tuple({one.name for one in fields(Child)} & {one.name for one in fields(ChildRow)})
"""What goes over as it is."""


@dataclass(frozen=True)
class Holdings:
    """What there is before it serves. *attached* is what is known of the Mongrel2 of with-mongrel2."""

    board: Board
    node: NodeFds
    scores: Scores
    fifo: Fifo
    pidfiles: PidFiles
    listeners: Sequence[StatsServer]
    daemons: Sequence[DaemonSpec]
    attached: Front | None
    doors: Doors


@dataclass(frozen=True)
class Estate:
    """That, and who works with it."""

    has: Holdings
    actor: Actor
    inbox: Inbox
    outputs: DaemonOutput
    timetable: Timetable

    @property
    def board(self) -> Board:
        return self.has.board

    @property
    def settled(self) -> bool:
        """Nothing is half said, nobody half born: what waits in an outbox could not be left to anybody."""
        if any(child.state is ChildState.NEW for child in self.board.children):
            return False
        links = [child.link for child in self.board.children if child.link is not None]
        return not any(link.pending for link in links) and not any(one.clients for one in self.has.listeners)

    def write(self, master: int) -> Heritage:
        """The state at this moment. Args: master: our pid."""
        board = self.board
        children = [child for child in board.children if child.kind is not ChildKind.TRIAL]
        dead_keys, settled = self.inbox.waiting_posts()
        looked = self.timetable.almanac.looked
        return Heritage(
            program=m2serve.__version__,
            master=master,
            layout=layout.VERSION,
            dispatched=board.dispatched,
            node=_node(self.has.node, dead_keys, settled),
            posts=tuple(_post(post) for post in self.has.node.posts.values()),
            children=tuple(_child(child, self.outputs) for child in children),
            slots=tuple(self._slot(slot) for slot in board.slots),
            generations=tuple(board.generations),
            next_key=self.actor.next_key,
            next_generation=self.actor.next_generation,
            served=board.served,
            reload_wanted=board.reload_wanted,
            last_reload=board.last_reload,
            wanted=board.wanted,
            initial=board.crowd.initial,
            asleep=board.asleep,
            paused=board.paused,
            daemons=tuple(self.has.daemons),
            attached=self.has.attached,
            jobs=tuple(
                JobRow(job.program.command, job.runs, job.started, job.last_code, job.last_seconds)
                for job in board.jobs
            ),
            looked=None if looked is None else Looked(looked[0], looked[1].isoformat()),
            scoring=self.has.scores.leave(),
            listeners=tuple(left for one in self.has.listeners if (left := one.leave()) is not None),
            fifo=self.has.fifo.leave(),
            pidfiles=tuple(self.has.pidfiles.written),
            doors=self.has.doors.leave(),
        )

    def read(self, heritage: Heritage, now: Seconds) -> None:
        """Go on where another master stopped: the board, and everybody's counters."""
        restore_board(self.board, heritage)
        self.actor.next_key, self.actor.next_generation = heritage.next_key, heritage.next_generation
        self.inbox.wait_for(heritage.node.dead_keys, heritage.node.settled)
        for row, child in zip(heritage.children, self.board.children, strict=True):
            if row.rest:
                self.outputs.begin(child, row.rest)
        self.has.scores.take_over(heritage.scoring)
        if heritage.looked is not None:
            self.timetable.almanac.go_on(heritage.looked.minute, datetime.fromisoformat(heritage.looked.shown))
        for stop in restore_programs(self.board, heritage, self.actor.daemons, now):
            self.actor.perform(stop, now)

    def _slot(self, slot: Slot) -> SlotRow:
        slots = self.board.slots
        return SlotRow(
            slot.kind,
            slot.name,
            slot.generation,
            slot.worker,
            self.actor.daemons[slot.daemon].command if slot.kind is ChildKind.DAEMON else "",
            0 if slot.child is None else slot.child.key,
            slot.due,
            slot.short_lives,
            slot.was_ready,
            -1 if slot.replaces is None else slots.index(slot.replaces),
            slot.stays_until,
        )


def restore_node(heritage: Heritage, known: Sequence[Front]) -> NodeFds:
    """The shared descriptors, with what is known of each Mongrel2 now."""
    node = heritage.node
    posts = [
        WorkerPost(
            post.key,
            post.worker,
            post.threads,
            post.card_fd,
            -1,
            post.bell_write_fd,
            post.crew_dispatcher_fd,
            -1,
            post.sheet_fd,
        )
        for post in heritage.posts
    ]
    return NodeFds(
        tuple(ZmqPair(Endpoint.parse(send), Endpoint.parse(recv)) for send, recv in node.endpoints),
        node.ring_size,
        node.ledger_fd,
        node.wake_fd,
        {int(index): fd for index, fd in node.pulls.items()},
        {post.key: post for post in posts},
        {int(key): fd for key, fd in node.nurseries.items()},
        fronts=tuple(known),
        caches=dict(node.caches),
        boxes=node.boxes,
        farms=dict(node.farms),
    )


def restore_board(board: Board, heritage: Heritage) -> None:
    """Children, slots and generations as they were; all of the old code are to be replaced."""
    board.children = [_restored(row) for row in heritage.children]
    by_key = {child.key: child for child in board.children}
    board.slots = [
        Slot(
            row.kind,
            row.name,
            row.generation,
            row.worker,
            child=by_key.get(row.child),
            due=row.due,
            short_lives=row.short_lives,
            was_ready=row.was_ready,
            stays_until=row.stays_until,
        )
        for row in heritage.slots
    ]
    for slot, row in zip(board.slots, heritage.slots, strict=True):
        if row.replaces >= 0:
            slot.replaces = board.slots[row.replaces]
    board.generations = list(heritage.generations)
    board.served = heritage.served
    board.reload_wanted = heritage.reload_wanted
    board.last_reload = heritage.last_reload
    board.paused = heritage.paused
    if heritage.asleep:
        board.sleep()
    elif heritage.wanted != heritage.initial:
        # Somebody has changed the number since the start; else it is that of the options now.
        board.wanted = board.crowd.within(heritage.wanted, by_hand=True)
    board.inherited = True


def _restored(row: ChildRow) -> Child:
    return Child(
        **{name: getattr(row, name) for name in _SAME},
        accused={one.late.key: one for one in row.accusations},
        link=Link(socket.socket(fileno=row.link_fd), patient=False) if row.link_fd >= 0 else None,
        output=row.output_fd if row.output_fd >= 0 else None,
        inherited=row.kind in (ChildKind.DISPATCHER, ChildKind.WORKER),
    )


def _node(node: NodeFds, dead_keys: Iterable[int], settled: Iterable[int]) -> Node:
    return Node(
        tuple((str(pair.send), str(pair.recv)) for pair in node.endpoints),
        node.ring_size,
        node.ledger_fd,
        node.wake_fd,
        {str(index): fd for index, fd in node.pulls.items()},
        {str(key): fd for key, fd in node.nurseries.items()},
        tuple(dead_keys),
        tuple(settled),
        dict(node.caches),
        node.boxes,
        dict(node.farms),
    )


def _post(post: WorkerPost) -> Post:
    return Post(
        post.key,
        post.worker,
        post.threads,
        post.card_fd,
        post.bell_write_fd,
        post.crew_dispatcher_fd,
        post.sheet_fd,
    )


def _child(child: Child, outputs: DaemonOutput) -> ChildRow:
    return ChildRow(
        **{name: getattr(child, name) for name in _SAME},
        accusations=tuple(child.accused.values()),
        link_fd=-1 if child.link is None else child.link.fileno(),
        output_fd=-1 if child.output is None else child.output,
        rest=outputs.rest(child),
        command="" if child.program is None else child.program.command,
        stop_signal=0 if child.program is None else child.program.stop_signal,
    )
