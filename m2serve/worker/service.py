"""A worker's service thread: everything but the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from m2serve.errors import ProtocolError
from m2serve.observe.log import reopen
from m2serve.system.link import EOF, Link
from m2serve.system.watch import Watch
from m2serve.transports.direct import DirectSubscription
from m2serve.transports.pings import Pings
from m2serve.transports.responder import Event, Happened, Origin, Responder
from m2serve.wire import crew as crew_wire
from m2serve.wire.crew import Word
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from m2serve.transports.base import Source
    from m2serve.transports.dispatched import MailRoom
    from m2serve.transports.doors.room import DoorRoom
    from m2serve.worker.harakiri import Harakiri
    from m2serve.worker.tracebacker import Tracebacker

log = logging.getLogger("m2serve.worker")

SIGNAL_DRAIN: Final = b"d"

_CREW_RETRY: Final = 0.005


class Service:
    """Owns the responders, the crew link (dispatched topology) and the link to the master; starts and ends the drain.

    Runs in the main thread. Other threads reach it through :meth:`prove`, :meth:`announce_gone`, :meth:`say` and the
    wake socket only. ``_saying`` guards ``_said`` and the order of what is said.
    """

    def __init__(
        self,
        link: Link,
        responders: list[Responder],
        subscriptions: Sequence[Source],
        threads: Sequence[threading.Thread],
        wake: socket.socket,
        bell: socket.socket,
    ) -> None:
        self._link = link
        self._responders = responders
        self._subscriptions = subscriptions
        self._threads = threads
        self._room: MailRoom | None = None
        self._doors: DoorRoom | None = None
        self._crew: socket.socket | None = None
        self._said: deque[bytes] = deque()
        """Words that the crew link had no room for."""
        self._saying = threading.Lock()
        self._wake = wake
        self._bell = bell
        self._tracebacker: Tracebacker | None = None
        self._unwanted = ""
        """Why the worker is to be replaced, until the master is told."""
        self._unwanted_said = False
        self._harakiri: Harakiri | None = None
        self._succeed: Callable[[int], None] = lambda core: None
        self._watch = Watch()
        self._pings = [Pings() for _ in responders]
        self._proof_lock = threading.Lock()
        self._loaded = False
        self._draining = False
        self._stopped = False
        self._final = False
        """No worker comes after us."""
        self.master_lost = False

    def join_crew(self, crew: socket.socket, room: MailRoom) -> None:
        """Dispatched topology: the link to the dispatcher, before :meth:`run`."""
        crew.setblocking(False)
        self._crew, self._room = crew, room

    def open_doors(self, doors: DoorRoom) -> None:
        """There are doors, whose connections we wait for when we leave; before :meth:`run`."""
        self._doors = doors

    def judge(self, harakiri: Harakiri, succeed: Callable[[int], None]) -> None:
        """Who deals with threads that are stuck, before :meth:`run`.

        Args: succeed: has another thread go on in place of a stuck one, where others wait for it.
        """
        self._harakiri, self._succeed = harakiri, succeed

    def tell_stacks(self, tracebacker: Tracebacker) -> None:
        """Show what the threads do to whoever connects, before :meth:`run`."""
        self._tracebacker = tracebacker

    def renew(self, reason: str) -> None:
        """Have the worker replaced, when its successor is ready. Any thread; only the first reason is told."""
        self._unwanted = self._unwanted or reason
        self.ring()

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until drained, or until the master is gone."""
        self._watch.add(self._link.fileno(), self._on_link)
        self._watch.add(self._wake.fileno(), self._on_wake)
        if self._crew is not None:
            self._watch.add(self._crew.fileno(), self._on_crew)
        if self._tracebacker is not None and (fd := self._tracebacker.listen()) >= 0:
            self._watch.add(fd, self._tracebacker.answer)
        self._loaded = True
        self._say(Word.HELLO)
        while not self.master_lost and not self._is_over():
            now = time.monotonic()
            for index, responder in enumerate(self._responders):
                if responder.deadline() is not None:
                    self._happened(index, responder.tick(now))
                    self._look_after(index)
                self._watch.follow(responder, partial(self._on_responder, index))
            if self._said:
                with self._saying:
                    self._hand_on()
            self._watch.wait(self._timeout(time.monotonic()))
        if self._tracebacker is not None:
            self._tracebacker.close()
        if not self.master_lost:
            for core, thread in enumerate(self._threads):
                if not self._is_stuck(core):
                    thread.join()
            for responder in self._responders:
                responder.close()

    def _is_over(self) -> bool:
        if not self._stopped:
            return False
        if any(thread.is_alive() and not self._is_stuck(core) for core, thread in enumerate(self._threads)):
            return False
        if self._harakiri is not None and self._harakiri.busy:
            return False
        # answers that go on without a thread are answers
        return self._room is None or not self._room.detached

    def _is_stuck(self, core: int) -> bool:
        return self._harakiri is not None and self._harakiri.holds(core)

    def _timeout(self, now: float) -> float | None:
        deadlines = [d for r in self._responders if (d := r.deadline()) is not None]
        if self._stopped:
            deadlines.append(now + 0.02)  # a thread rings before it is quite gone, and the courier does not ring
        if self._said:
            deadlines.append(now + _CREW_RETRY)
        return max(0.0, min(deadlines) - now) if deadlines else None

    # -- responders --------------------------------------------------------------------------------------------

    def _on_responder(self, index: int) -> None:
        responder = self._responders[index]
        self._happened(index, responder.ready(time.monotonic()))
        if responder.fileno() < 0:
            self._watch.forget(responder)

    def _happened(self, index: int, events: list[Happened]) -> None:
        for event, generation, context in events:
            if event is Event.UP:
                self._say(Word.UP, index, a=generation)
                for subscription in self._subscriptions:
                    if isinstance(subscription, DirectSubscription):
                        subscription.reprove(index)
            elif event is Event.DOWN:
                self._say(Word.DOWN, index, a=generation)
                self._look_after(index)
            elif event is Event.PONG:
                with self._proof_lock:
                    self._pings[index].pong(context)

    def _look_after(self, index: int) -> None:
        if self._responders[index].is_up:
            return
        for subscription in self._subscriptions:
            if isinstance(subscription, DirectSubscription):
                subscription.look_after(index)

    def prove(self, index: int, origin: Origin, generation: int) -> None:
        """The PUSH connection of *origin* was alive after responder connection *generation* was made: prove that one
        alive from now on. Any thread."""
        responder = self._responders[index]

        def proven() -> None:
            if responder.prove(origin, generation):
                self._say(Word.SYNC, index, a=origin.epoch)

        with self._proof_lock:
            context = self._pings[index].add(proven)
        responder.ping(context)
        self.ring()

    # -- dispatcher --------------------------------------------------------------------------------------------

    def _say(self, word: Word, endpoint: int = 0, a: int = 0, thread: int = 0) -> None:
        if self._crew is None:
            return
        with self._saying:
            self._said.append(crew_wire.encode(word, endpoint, thread, a))
            self._hand_on()

    def say(self, word: Word, thread: int, serial: int) -> None:
        """Tell the dispatcher something about one request. Any thread."""
        self._say(word, a=serial, thread=thread)
        if self._said:
            self.ring()

    def _hand_on(self) -> None:
        """Send what was said, in order; what there is no room for waits for the next turn of the loop."""
        assert self._crew is not None
        while self._said:
            try:
                self._crew.send(self._said[0])
            except BlockingIOError:
                return
            except OSError as error:
                # The master holds the other end as long as it lives.
                log.error("crew link: %d words not sent: %s", len(self._said), error)
                self._said.clear()
                return
            self._said.popleft()

    def _on_crew(self) -> None:
        assert self._crew is not None
        while True:
            try:
                data = self._crew.recv(crew_wire.SIZE + crew_wire.PIECE_MOST)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._watch.remove(self._crew.fileno())
                return
            try:
                self._dispatcher_says(crew_wire.decode(data))
            except ProtocolError as error:
                log.error("dispatcher sent nonsense: %s", error)

    def _dispatcher_says(self, message: crew_wire.CrewMessage) -> None:
        word, index = message.word, message.endpoint
        if word is Word.PROVEN:
            self._pull_proven(index, epoch=message.a, generation=message.b)
        elif word is Word.LOST:
            self._pull_lost(index, message.a)
        elif word is Word.GONE:
            assert self._room is not None
            self._room.gone(message.thread, message.a)
        elif word is Word.PIECE:
            assert self._room is not None
            offset = message.b & ~crew_wire.LAST_PIECE
            self._room.feed(message.thread, message.a, offset, bool(message.b & crew_wire.LAST_PIECE), message.data)
        elif word is Word.CREDIT:
            assert self._room is not None
            self._room.credit(message.a)
        elif word is Word.DETACHED:
            assert self._room is not None
            self._room.moves(message.a, message.b)
        elif word is Word.RESUME:
            self._introduce()
        elif word is Word.LEFT:
            self._stop()

    def _pull_proven(self, index: int, epoch: int, generation: int) -> None:
        assert self._room is not None
        responder = self._responders[index]
        if responder.generation != generation:
            return
        origin = self._room.origins[index]
        if origin.epoch != epoch:
            responder.forget(origin)
            origin = self._room.origins[index] = Origin(epoch)
        self.prove(index, origin, generation)

    def _pull_lost(self, index: int, epoch: int) -> None:
        assert self._room is not None
        origin = self._room.origins[index]
        if origin.epoch == epoch:
            self._responders[index].forget(origin)
        self._room.epoch_lost(index, epoch)

    def _introduce(self) -> None:
        """A new dispatcher asks who we are."""
        assert self._room is not None
        if self._loaded:
            self._say(Word.HELLO)
        for index, responder in enumerate(self._responders):
            if responder.fileno() < 0 or not responder.is_up:
                continue
            self._say(Word.UP, index, a=responder.generation)
            origin = self._room.origins[index]
            if origin.proof == responder.generation and not origin.dead:
                self._say(Word.SYNC, index, a=origin.epoch)
        self._room.ask_again()
        if self._draining:
            self._say(Word.LEAVE)

    # -- master ------------------------------------------------------------------------------------------------

    def _on_link(self) -> None:
        while True:
            received = self._link.receive()
            if received is None:
                return
            if received is EOF:
                self.master_lost = True
                return
            if received.verb in (Verb.DRAIN, Verb.STOP):
                self._final = bool(received.payload.get("final"))
                self._drain()
            elif received.verb is Verb.MODE and self._doors is not None:
                self._doors.pause(bool(received.payload.get("paused")))
            elif received.verb is Verb.REOPEN:
                reopen()
            elif received.verb is Verb.HARAKIRI:
                self._give_up(received.payload)

    def _give_up(self, payload: Mapping[str, Any]) -> None:
        """A request is over its deadline: let others finish, and leave."""
        assert self._harakiri is not None
        core = self._harakiri.accuse(payload)
        if core is None:
            return
        self._succeed(core)
        if not self._draining:
            self._link.send(Verb.LEAVING, {"reason": "harakiri"})
            self._drain()
        self._harakiri.warn()

    def _on_wake(self) -> None:
        try:
            said = self._wake.recv(4096)
        except BlockingIOError:
            return
        if self._unwanted and not self._unwanted_said:
            self._unwanted_said = True
            self._link.send(Verb.RENEW, {"reason": self._unwanted})
        if SIGNAL_DRAIN in said and not self._draining:
            self._link.send(Verb.LEAVING, {"reason": "HUP"})
            self._drain()

    def ring(self) -> None:
        """Make the loop turn. Any thread."""
        try:
            self._bell.send(b".")
        except OSError:
            pass  # full: it will turn

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        if self._crew is not None:
            self._say(Word.LEAVE)  # the answer is LEFT: from then on no mail can come
        else:
            self._stop()

    def _stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._doors is not None:
            self._doors.stop(final=self._final)
        if self._room is not None:
            self._room.stop()
        else:
            for subscription in self._subscriptions:
                subscription.stop()

    def announce_gone(self, index: int, conn: bytes) -> None:
        """Direct topology: a thread read a notice that may be for another one's client. Any thread."""
        for subscription in self._subscriptions:
            if isinstance(subscription, DirectSubscription):
                subscription.client_gone(conn, index)
