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

from m2serve.dispatcher.credits import WINDOW, settle
from m2serve.dispatcher.taken import State, Taken
from m2serve.errors import RemoteProtocolError
from m2serve.transports import card as cards
from m2serve.transports import ledger
from m2serve.wire import mongrel2
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
_SAFE = (b"GET", b"HEAD")
_HELD_MOST = 64
"""Requests of one connection that may wait for its first one; browsers that pipeline send six."""


def choose(crews: Iterable[Crew], endpoint: int, epoch: int, previous: Crew | None) -> Crew | None:
    """The worker for a request that may go anywhere; None if no thread is free."""
    best: Crew | None = None
    least = 0
    for crew in crews:
        if not crew.free or crew.epochs[endpoint] != epoch:
            continue
        load = len(crew.running)
        if best is None or load < least or (load == least and crew is previous):
            best, least = crew, load
    return best


def _queue_of(intake: Intake) -> deque[Taken]:
    """The queue of an endpoint whose head is next; that is no request whose client has left."""
    queue = intake.urgent
    while queue and queue[0].state is not State.QUEUED:
        queue.popleft()
    if not queue:
        queue = intake.queue
        while queue and queue[0].state is not State.QUEUED:
            queue.popleft()
    return queue


def _may_run_again(taken: Taken) -> bool:
    """Whether nothing is changed by running *taken* a second time, by RFC 9110, and its bytes are still there."""
    if taken.retried or taken.kind != cards.PLAIN or taken.frame < taken.intake.words[ledger.TAIL]:
        return False
    try:
        method = mongrel2.parse(taken.intake.ring.copy(taken.position, taken.size)).headers.get(b"METHOD")
    except RemoteProtocolError:
        return False
    return method in _SAFE


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
        self._refuse = refuse
        self._close_later = close_later
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
        self._retry = retry
        self.parking = False
        """Stopping: what arrives now waits until Mongrel2's PUSH is left."""
        self.parked: list[Taken] = []
        self._serial = self._first_serial = 0
        self._recent: dict[tuple[int, bytes], Crew] = {}

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
    def crowded(self) -> bool:
        """Whether more connections are remembered than is useful."""
        return len(self._recent) > _RECENT_MOST

    @property
    def draining(self) -> int:
        """Requests whose answers go on without a slot."""
        return sum(len(crew.drains) for crew in self.crews)

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
            self._recent[taken.intake.index, taken.conn] = crew

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
            self._refuse(taken, 503, "the server stops, and the rest of the body could not come any more")
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
        previous = self._recent.get((intake.index, conn))
        if conn in intake.pipelining and previous is not None and previous.epochs[intake.index] == taken.epoch:
            taken.road = cards.OWN_ROAD
            self.waiting += 1
            self._queue_behind(previous, taken)
            return
        if not _queue_of(intake):
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
            self._refuse(taken, 503, f"{self.waiting} requests wait already (queue-limit)")
            return
        self.waiting += 1
        intake.queue.append(taken)
        if crowded:
            self._drain()  # of those that are free now, not all may have been needed

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
                self._drop_held(first)
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
                    self._over(taken, crew)
        if found:
            self.refill()
        return found

    def sent(self, answered: Iterable[Taken]) -> None:
        """The answers of these requests have left by the dispatcher."""
        for taken in answered:
            crew = taken.crew
            if crew is not None and crew.running.get(taken.slot) is taken:
                crew.sent(taken)
                self._over(taken, crew)
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
        self._over(taken, crew)

    def refill(self) -> None:
        """Hand out what waits, as far as there are free slots."""
        if not self.waiting:
            return
        for crew in self._takers:
            while crew.waiting and crew.free:
                self._hand_waiting(crew)
        self._drain()

    def _over(self, taken: Taken, crew: Crew) -> None:
        taken.state = State.OVER
        if not taken.held and not taken.doomed:
            # nearly always; the rest of the work is below
            intake, conn = taken.intake, taken.conn
            if intake.current.get(conn) is taken:
                del intake.current[conn]
                self._recent[intake.index, conn] = crew
            return
        self._next_of_connection(taken, crew)

    def _next_of_connection(self, taken: Taken, crew: Crew) -> None:
        intake = taken.intake
        if intake.current.get(taken.conn) is not taken:
            return
        if taken.doomed:
            del intake.current[taken.conn]
            self._close_later(taken)
            return
        self._recent[intake.index, taken.conn] = crew
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

    def _drain(self) -> None:
        """Hand out queued requests, endpoint by endpoint in turn, while threads are free."""
        intakes = list(self.intakes)
        while intakes:
            intakes = [intake for intake in intakes if self._drain_one(intake)]

    def _drain_one(self, intake: Intake) -> bool:
        queue = _queue_of(intake)
        if not queue:
            return False
        taken = queue[0]
        crew = choose(self._takers, intake.index, taken.epoch, self._recent.get((intake.index, taken.conn)))
        if crew is None:
            return False
        queue.popleft()
        self.waiting -= 1
        self.waited += max(self.now - taken.arrived, 0.0)
        self._hand(crew, taken)
        return True

    def expire(self, before: float) -> float | None:
        """Refuse requests that arrived before *before* and still wait; gives the arrival of the oldest left."""
        if len(self._recent) > _RECENT_MOST:
            self._recent.clear()
        oldest: float | None = None
        for queue in [*(q for i in self.intakes for q in (i.urgent, i.queue)), *(c.waiting for c in self.crews)]:
            while queue and (queue[0].state is not State.QUEUED or queue[0].arrived < before):
                taken = queue.popleft()
                if self._withdraw(taken):
                    self._refuse(taken, 503, "waited too long for a free thread (queue-timeout)")
            if queue and (oldest is None or queue[0].arrived < oldest):
                oldest = queue[0].arrived
        return oldest

    def _end(self, taken: Taken) -> None:
        """*taken* is over without having run; what its connection held goes with it, for that is closed."""
        taken.intake.ring.take(taken.frame)
        self._break_off(taken)

    def _break_off(self, taken: Taken) -> None:
        """*taken* is over, and its connection is to be closed. Its bytes may have left the ring long ago."""
        taken.state = State.OVER
        self._drop_held(taken)
        if taken.intake.current.get(taken.conn) is taken:
            del taken.intake.current[taken.conn]

    def _withdraw(self, taken: Taken) -> bool:
        """End *taken* if it still waits to be handed out; whether it did."""
        if taken.state is State.QUEUED:
            self.waiting -= 1
        elif taken.state is not State.PARKED:
            return False
        self._end(taken)
        return True

    def _drop_held(self, taken: Taken) -> None:
        for held in taken.held or ():
            held.state = State.OVER
            taken.streaming |= held.streaming
            held.intake.ring.take(held.frame)
            self.waiting -= 1
        taken.held = None if taken.held is None else deque()

    def make_room(self, intake: Intake) -> None:
        """The ring is full, and its oldest request waits: refuse it.

        What it waits for may itself need the ring: a streamed upload, whose pieces come through it.
        """
        intake.full = False
        intake.free()
        while intake.live:
            taken = intake.live[0]
            if taken.is_piece:
                return  # it waits for its worker alone, and not for long
            if taken.state is State.HELD:
                first = intake.current.get(taken.conn)
                if first is None:
                    return
                log.warning(
                    "pipelined requests refused: the ring is full (request-buffer) conn=%s", taken.conn.decode()
                )
                self._drop_held(first)
                first.doomed = True
            elif self._withdraw(taken):
                self._refuse(taken, 503, "the ring is full, and this was the oldest that waits (request-buffer)")
            else:
                return
            before = intake.words[ledger.TAIL]
            intake.free()
            if intake.words[ledger.TAIL] - before > intake.ring.size // 8:
                return  # enough for now; the others may still be served

    def give_up(self) -> None:
        """The node leaves now: answer 503 to everybody who still waits."""
        for taken in [
            *self.parked,
            *(t for i in self.intakes for t in (*i.urgent, *i.queue)),
            *(t for c in self.crews for t in c.waiting),
        ]:
            if self._withdraw(taken):
                self._refuse(taken, 503, "the server stops, and the time for it is over")
        self.parked.clear()

    def end_behind(self, intake: Intake, conn: bytes) -> bool:
        """Close a connection behind the answer of its earliest request; whether there is one that is not over."""
        first = intake.current.get(conn)
        if first is None:
            return False
        self._drop_held(first)
        first.doomed = True
        return True

    # -- people leaving ----------------------------------------------------------------------------------------

    def gone(self, intake: Intake, conn: bytes) -> None:
        """The client of a connection has left."""
        self._recent.pop((intake.index, conn), None)
        intake.pipelining.discard(conn)
        if intake.debts is not None:
            intake.debts.forget(int(conn))
        taken = intake.current.get(conn)
        if taken is None:
            return
        self._drop_held(taken)
        if taken.state is State.HANDED:
            assert taken.crew is not None
            taken.crew.say(Word.GONE, intake.index, taken.drain or taken.slot, taken.serial)
        else:
            self._withdraw(taken)

    def lost(self, intake: Intake) -> None:
        """Mongrel2 itself has gone: nothing of this connection can be answered any more."""
        for taken in list(intake.current.values()):
            if taken.state is State.HANDED:
                self._drop_held(taken)
            else:
                self._withdraw(taken)
        intake.current.clear()
        intake.queue.clear()
        intake.urgent.clear()
        intake.live.clear()
        intake.pipelining.clear()
        self._recent.clear()

    def leaves(self, crew: Crew) -> None:
        """A worker drains: it gets nothing more, and what waited for it may go elsewhere."""
        crew.leave()
        while crew.waiting:
            taken = crew.waiting.popleft()
            if taken.state is State.QUEUED:
                taken.intake.queue.append(taken)

    def died(self, crew: Crew) -> None:
        """A worker's link has ended: settle what lies in its cells."""
        self.collect()
        self.leaves(crew)
        self.crews.remove(crew)
        back: list[Taken] = []
        for taken in crew.running.values():
            if taken.drain:
                crew.card.wipe(taken.slot)
                continue  # below
            if taken.metered:
                settle(crew.card, taken.slot, taken)
            intake = taken.intake
            state = crew.state(taken.slot)
            if intake.origin.dead or intake.origin.epoch != taken.epoch:
                taken.state = State.OVER
            elif taken.answer is not None:
                self._over(taken, crew)  # it had finished; we have the answer
            elif state == cards.HANDED:
                taken.intake.ring.untake(taken.frame)
                back.append(taken)
            elif state == cards.RUNNING and self._retry and taken.slot not in crew.late and _may_run_again(taken):
                log.warning(
                    "worker %d died while it ran a request: another one gets it (retry-idempotent) conn=%s",
                    crew.worker, taken.conn.decode(),
                )  # fmt: skip
                taken.retried = True
                taken.intake.ring.untake(taken.frame)
                back.append(taken)
            elif state == cards.RUNNING:
                self._break_off(taken)
                late = taken.slot in crew.late
                reason = (
                    f"worker {crew.worker} died while it ran the request{' for too long (harakiri)' if late else ''}"
                )
                self._refuse(taken, 504 if late else 502, reason)
            else:
                self._close_broken(taken, crew)
            crew.card.wipe(taken.slot)
        crew.running.clear()
        for cell, taken in crew.drains.running.items():
            if crew.drains.is_over(cell) or taken.intake.origin.dead or taken.intake.origin.epoch != taken.epoch:
                if taken.metered:
                    settle(crew.card, cell, taken)
                self._over(taken, crew)
            else:
                self._close_broken(taken, crew)
        crew.drains.wipe()
        for taken in sorted(back, key=lambda t: t.serial, reverse=True):
            self._requeue(taken)
        self._recent = {key: known for key, known in self._recent.items() if known is not crew}
        if self.waiting:
            self._drain()

    def _close_broken(self, taken: Taken, crew: Crew) -> None:
        self._break_off(taken)
        log.error("worker %d died while it answered: connection closed conn=%s", crew.worker, taken.conn.decode())
        self._close_later(taken)

    def _requeue(self, taken: Taken) -> None:
        """It was handed out but nobody had begun, or it may begin again: it goes to the front of the queue."""
        taken.state = State.QUEUED
        taken.crew = None
        self.waiting += 1
        taken.intake.queue.appendleft(taken)
