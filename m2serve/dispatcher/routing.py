"""Which request goes to which worker, and when.

The rules, in the order in which they bind:

1. A request is handed out only into a free slot, of which a worker has one a thread; else it waits in the queue of
   its endpoint.
2. A request whose connection has an earlier one that is not over is held, and then goes to the worker that gave
   that answer: its responder carries both, so they cannot overtake each other on the way to Mongrel2. Where the
   first has left by the dispatcher's, the second waits until Mongrel2 has confirmed that it arrived.
3. A health check waits in front of all others of its endpoint.
4. Otherwise the worker with the fewest running requests; among equals the one that last served the connection.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from m2serve.dispatcher.choice import choose, queue_of
from m2serve.dispatcher.credits import WINDOW
from m2serve.dispatcher.taken import State, Taken
from m2serve.transports import card as cards
from m2serve.wire.crew import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from m2serve.dispatcher.crew import Crew
    from m2serve.dispatcher.intake import Intake

log = logging.getLogger("m2serve.dispatcher")

_RECENT_MOST = 8192
_URGENT_MOST = 16
"""Health checks of one Mongrel2 that may wait; more are requests like all others."""
_HEAD_MOST = 4096
_HELD_MOST = 64
"""Requests of one connection that may wait for its first one; browsers that pipeline send six."""


class Router:
    """All requests between Mongrel2 and the threads.

    Args:
        refuse: answers a request with an error of our own and closes its connection.
        close_later: closes a connection whose answer broke off, once what was sent has arrived.
        fence: calls back when Mongrel2 has received all that the dispatcher has sent.
        limit: requests that may wait, over all endpoints.
        health: paths whose requests wait in front of all others, and beside the limit.
        retry: a GET or HEAD whose worker has died before the first byte of its answer goes to another one, once.
    """

    def __init__(
        self,
        refuse: Callable[[Taken, int, str], None],
        close_later: Callable[[Taken], None],
        fence: Callable[[Intake, Callable[[], None]], None],
        *,
        limit: int,
        health: Collection[bytes] = (),
        retry: bool = False,
    ) -> None:
        self.crews: list[Crew] = []
        self._takers = self.crews
        """Those that get requests: the same list, or none."""
        self.intakes: tuple[Intake, ...] = ()
        self.waiting = 0
        """Requests queued or held."""
        self.refuse = refuse
        self.close_later = close_later
        self._fence = fence
        self.now = 0.0
        """Monotonic seconds, set by the loop once a turn."""
        self.handed = 0.0
        """When the last request was handed out."""
        self.waited = 0.0
        """Seconds, of all requests together that had to wait before they were handed out."""
        self.answers: list[Taken] = []
        """Requests with an answer in their slot, collected but not sent."""
        self._limit = limit
        self._health = frozenset(health)
        self.retry = retry
        self.parking = False
        """Stopping: what arrives now waits until Mongrel2's PUSH is left."""
        self.parked: list[Taken] = []
        self._serial = self._first_serial = 0
        self.recent: dict[tuple[int, bytes], Crew] = {}

    @property
    def running(self) -> int:
        """Requests that lie in a cell."""
        return sum(len(crew.running) for crew in self.crews)

    @property
    def given(self) -> int:
        """Requests handed out."""
        return self._serial - self._first_serial

    @staticmethod
    def queued(intake: Intake) -> tuple[int, float | None]:
        """Requests that wait in an endpoint's queue, and when the oldest came."""
        waiting = [taken.arrived for taken in (*intake.urgent, *intake.queue) if taken.state is State.QUEUED]
        return len(waiting), min(waiting, default=None)

    @property
    def draining(self) -> int:
        """Requests whose answers go on without a slot."""
        return sum(len(crew.drains) for crew in self.crews)

    def forget_recent(self) -> None:
        """Remember no more who has served which connection, if they are many."""
        if len(self.recent) > _RECENT_MOST:
            self.recent.clear()

    def start_serials_after(self, serial: int) -> None:
        """A successor gives no serial number that a predecessor may have given."""
        self._serial = self._first_serial = serial

    def resume(self, taken: Taken, crew: Crew, slot: int, serial: int) -> None:
        """A predecessor had put *taken* into *slot*."""
        taken.state = State.HANDED
        crew.resume(taken, slot, serial)
        if taken.epoch == taken.intake.epoch:
            taken.intake.current[taken.conn] = taken

    def follows(self, taken: Taken, crew: Crew) -> None:
        """The last answer of a connection that pipelines left by *crew*, and so shall the next."""
        if taken.epoch == taken.intake.epoch:
            taken.intake.pipelining.add(taken.conn)
            self.recent[taken.intake.index, taken.conn] = crew

    def resume_drains(self, crew: Crew) -> None:
        """A predecessor had let these answers go on without a slot."""
        for taken in crew.drains.running.values():
            taken.crew = crew
            if taken.epoch == taken.intake.epoch:
                taken.intake.current[taken.conn] = taken

    def pause(self, paused: bool) -> None:
        """Hand out nothing, or go on."""
        self._takers = [] if paused else self.crews
        self.refill()

    # -- arrivals ----------------------------------------------------------------------------------------------

    def arrive(self, taken: Taken) -> None:
        """A request came from Mongrel2."""
        intake = taken.intake
        conn = taken.conn
        intake.live.append(taken)
        first = intake.current.get(conn)
        if first is not None and self.waiting >= self._limit and self.collect():
            first = intake.current.get(conn)  # it may be over
        if first is not None:
            self._hold(first, taken)
            return
        intake.current[conn] = taken
        if not (self.parking and self._park(taken)):
            self._place(taken)

    def _park(self, taken: Taken) -> bool:
        """Keep *taken* until Mongrel2's PUSH is left, or refuse it; False: so many wait that the limit decides."""
        if taken.streaming:
            # Its body would have to come through that PUSH.
            self._end(taken)
            self.refuse(taken, 503, "the server stops, and the rest of the body could not come any more")
            return True
        if self.waiting + len(self.parked) >= self._limit:
            return False
        taken.state = State.PARKED
        self.parked.append(taken)
        return True

    def unpark(self) -> None:
        """Serve what was parked."""
        self.parking = False
        parked, self.parked = self.parked, []
        for taken in parked:
            if taken.state is State.PARKED:
                taken.state = State.QUEUED
                self._place(taken)

    def _place(self, taken: Taken) -> None:
        """Hand *taken*, the first of its connection, to a worker, or queue it."""
        intake, conn = taken.intake, taken.conn
        previous = self.recent.get((intake.index, conn))
        if conn in intake.pipelining and previous is not None and previous.epochs[intake.index] == taken.epoch:
            taken.road = cards.OWN_ROAD
            self.waiting += 1
            self._queue_behind(previous, taken)
            return
        if not queue_of(intake):
            crew = choose(self._takers, intake.index, taken.epoch, previous)
            if crew is not None:
                self._hand(crew, taken)
                return
        if self._health and len(intake.urgent) < _URGENT_MOST and self._is_health_check(taken):
            self.waiting += 1
            intake.urgent.append(taken)
            return
        crowded = self.waiting >= self._limit
        # threads may have become free since the last look
        if crowded and not (self.collect() and self.waiting < self._limit):
            self._end(taken)
            self.refuse(taken, 503, f"{self.waiting} requests wait already (queue-limit)")
            return
        self.waiting += 1
        intake.queue.append(taken)
        if crowded:
            self.drain()  # of those that are free now, not all may have been needed

    def _is_health_check(self, taken: Taken) -> bool:
        head = taken.intake.ring.copy(taken.position, min(taken.size, _HEAD_MOST)).split(b" ", 3)
        return len(head) > 3 and head[2] in self._health

    def _hold(self, first: Taken, taken: Taken) -> None:
        if first.held is None:
            first.held = deque()
            if first.crew is None or not first.crew.has_begun_to_answer(first):
                # It did not wait for the answer. (Else it may have the answer, and we shall see soon that it is over.)
                taken.intake.pipelining.add(taken.conn)
            if first.crew is not None and not first.drain:
                first.crew.keep_to_own_road(first.slot)
            first.road = cards.OWN_ROAD
        before = first.held[-1] if first.held else first
        if before.final:
            taken.state = State.OVER
            taken.intake.ring.take(taken.frame)
            before.doomed = True
            before.streaming |= taken.streaming
            return
        # Whoever may have the answer already has pipelined nothing: a full queue is no reason to close on him.
        answered = not first.held and first.crew is not None and first.crew.has_begun_to_answer(first)
        if first.doomed or len(first.held) >= _HELD_MOST or (self.waiting >= self._limit and not answered):
            taken.state = State.OVER
            taken.intake.ring.take(taken.frame)
            first.streaming |= taken.streaming
            if not first.doomed:
                log.warning(
                    "too many pipelined requests: connection closes after the running one conn=%s held=%d waiting=%d",
                    taken.conn.decode(), len(first.held), self.waiting,
                )  # fmt: skip
                self.drop_held(first)
                first.doomed = True
            return
        taken.state = State.HELD
        first.held.append(taken)
        self.waiting += 1

    def _hand(self, crew: Crew, taken: Taken) -> None:
        self._serial += 1
        taken.state = State.HANDED
        self.handed = self.now
        debts = taken.intake.debts
        if debts is None:
            crew.hand(taken, self._serial, taken.road, self.now)
        else:
            taken.metered = True
            crew.hand(taken, self._serial, taken.road, self.now, WINDOW - debts.of(int(taken.conn)))

    # -- ends --------------------------------------------------------------------------------------------------

    def collect(self) -> bool:
        """Notice what the threads have finished, and hand out what waited for it; whether there was anything."""
        found = False
        for crew in self.crews:
            for taken in crew.finished(self.now):
                found = True
                if taken.answer is not None:
                    self.answers.append(taken)
                else:
                    self.over(taken, crew)
        if found:
            self.refill()
        return found

    def sent(self, answered: Iterable[Taken]) -> None:
        """The answers of these requests have left by the dispatcher."""
        for taken in answered:
            crew = taken.crew
            if crew is not None and crew.running.get(taken.slot) is taken:
                crew.sent(taken)
                self.over(taken, crew)
        self.refill()

    def detach(self, crew: Crew, slot: int, serial: int) -> None:
        """The answer in *slot* goes on without its thread."""
        taken = crew.running.get(slot)
        if taken is None or taken.serial != serial or crew.mails[slot] != serial:
            return  # it is over, or had moved before a predecessor's death
        if taken.drain or crew.drains.open(taken):
            crew.say(Word.DETACHED, taken.intake.index, slot, serial, taken.drain)

    def drained(self, crew: Crew, cell: int, serial: int) -> None:
        """The answer in *cell*, which had no slot any more, is over."""
        taken = crew.drains.running.get(cell)
        if taken is None or taken.serial != serial:
            return  # settled by a predecessor, or by us when we found it over
        if crew.running.get(taken.slot) is taken:
            crew.vacate(taken.slot)  # it is free, but that was not seen yet
        crew.drains.end(cell, taken)
        if crew.drains.wanting:
            wanting = crew.drains.wanting.popleft()
            self.detach(crew, wanting.slot, wanting.serial)
        self.over(taken, crew)

    def refill(self) -> None:
        """Hand out what waits, as far as there are free slots."""
        if not self.waiting:
            return
        for crew in self._takers:
            while crew.waiting and crew.free:
                self._hand_waiting(crew)
        self.drain()

    def over(self, taken: Taken, crew: Crew) -> None:
        """*taken* has its answer, which *crew* has given; what its connection holds follows."""
        taken.state = State.OVER
        if not taken.held and not taken.doomed:
            # nearly always; the rest of the work is below
            intake, conn = taken.intake, taken.conn
            if intake.current.get(conn) is taken:
                del intake.current[conn]
                self.recent[intake.index, conn] = crew
            return
        self._next_of_connection(taken, crew)

    def _next_of_connection(self, taken: Taken, crew: Crew) -> None:
        intake = taken.intake
        if intake.current.get(taken.conn) is not taken:
            return
        if taken.doomed:
            del intake.current[taken.conn]
            self.close_later(taken)
            return
        self.recent[intake.index, taken.conn] = crew
        assert taken.held
        following = taken.held.popleft()
        following.held = taken.held
        following.state = State.QUEUED
        following.road = cards.OWN_ROAD
        intake.current[taken.conn] = following
        if taken.answer is None:
            self._queue_behind(crew, following)
        else:
            # It left by our responder, the next one leaves by the worker's: not before the first has arrived.
            self._fence(intake, lambda: self._queue_behind(crew, following))

    def _queue_behind(self, crew: Crew, taken: Taken) -> None:
        """Queue *taken* for the worker that gave its connection's last answer, or for any if that one leaves."""
        if taken.state is not State.QUEUED:
            return
        if crew in self.crews and crew.serves(taken.intake.index, taken.epoch):
            crew.waiting.append(taken)
        else:
            taken.intake.queue.append(taken)
        self.refill()

    def _hand_waiting(self, crew: Crew) -> None:
        taken = crew.waiting.popleft()
        if taken.state is State.QUEUED:
            self.waiting -= 1
            self.waited += max(self.now - taken.arrived, 0.0)
            self._hand(crew, taken)

    def drain(self) -> None:
        """Hand out queued requests, endpoint by endpoint in turn, while threads are free."""
        intakes = list(self.intakes)
        while intakes:
            intakes = [intake for intake in intakes if self._drain_one(intake)]

    def _drain_one(self, intake: Intake) -> bool:
        queue = queue_of(intake)
        if not queue:
            return False
        taken = queue[0]
        crew = choose(self._takers, intake.index, taken.epoch, self.recent.get((intake.index, taken.conn)))
        if crew is None:
            return False
        queue.popleft()
        self.waiting -= 1
        self.waited += max(self.now - taken.arrived, 0.0)
        self._hand(crew, taken)
        return True

    def _end(self, taken: Taken) -> None:
        """*taken* is over without having run; what its connection held goes with it, for that is closed."""
        taken.intake.ring.take(taken.frame)
        self.break_off(taken)

    def break_off(self, taken: Taken) -> None:
        """*taken* is over, and its connection is to be closed. Its bytes may have left the ring long ago."""
        taken.state = State.OVER
        self.drop_held(taken)
        if taken.intake.current.get(taken.conn) is taken:
            del taken.intake.current[taken.conn]

    def withdraw(self, taken: Taken) -> bool:
        """End *taken* if it still waits to be handed out; whether it did."""
        if taken.state is State.QUEUED:
            self.waiting -= 1
        elif taken.state is not State.PARKED:
            return False
        self._end(taken)
        return True

    def drop_held(self, taken: Taken) -> None:
        """What its connection has sent behind *taken* is not served any more."""
        for held in taken.held or ():
            held.state = State.OVER
            taken.streaming |= held.streaming
            held.intake.ring.take(held.frame)
            self.waiting -= 1
        taken.held = None if taken.held is None else deque()

    def end_behind(self, intake: Intake, conn: bytes) -> bool:
        """Close a connection behind the answer of its earliest request; whether there is one that is not over."""
        first = intake.current.get(conn)
        if first is None:
            return False
        self.drop_held(first)
        first.doomed = True
        return True

    # -- people leaving ----------------------------------------------------------------------------------------

    def gone(self, intake: Intake, conn: bytes) -> None:
        """The client of a connection has left."""
        self.recent.pop((intake.index, conn), None)
        intake.pipelining.discard(conn)
        if intake.debts is not None:
            intake.debts.forget(int(conn))
        taken = intake.current.get(conn)
        if taken is None:
            return
        self.drop_held(taken)
        if taken.state is State.HANDED:
            assert taken.crew is not None
            taken.crew.say(Word.GONE, intake.index, taken.drain or taken.slot, taken.serial)
        else:
            self.withdraw(taken)

    def lost(self, intake: Intake) -> None:
        """Mongrel2 itself has gone: nothing of this connection can be answered any more."""
        for taken in list(intake.current.values()):
            if taken.state is State.HANDED:
                self.drop_held(taken)
            else:
                self.withdraw(taken)
        intake.current.clear()
        intake.queue.clear()
        intake.urgent.clear()
        intake.live.clear()
        intake.pipelining.clear()
        self.recent.clear()

    def leaves(self, crew: Crew) -> None:
        """A worker drains: it gets nothing more, and what waited for it may go elsewhere."""
        crew.leave()
        while crew.waiting:
            taken = crew.waiting.popleft()
            if taken.state is State.QUEUED:
                taken.intake.queue.append(taken)
