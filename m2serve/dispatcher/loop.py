"""The dispatcher's loop: sockets on one side, the router on the other."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from m2serve.config.postlimits import PostLimits
from m2serve.dispatcher import credits
from m2serve.dispatcher.adoption import adopt_cells
from m2serve.dispatcher.credits import WINDOW
from m2serve.dispatcher.crew import Crew
from m2serve.dispatcher.intake import Intake, Phase
from m2serve.dispatcher.keepalive import KeepAlive
from m2serve.dispatcher.outbox import Outbox, framed
from m2serve.dispatcher.routing import Router
from m2serve.dispatcher.special import Special
from m2serve.dispatcher.streams import Streams
from m2serve.dispatcher.taken import Arrival, Marked, Taken
from m2serve.dispatcher.tally import Tally
from m2serve.dispatcher.uploads import Uploads
from m2serve.errors import ProtocolError
from m2serve.ids import WorkerId
from m2serve.observe.log import reopen
from m2serve.system.link import EOF, Link
from m2serve.system.watch import Watch
from m2serve.transports import ledger
from m2serve.transports.ledger import Ledger
from m2serve.transports.node import NodeFds, WorkerPost
from m2serve.transports.pings import Pings
from m2serve.transports.responder import Event, Happened, Responder
from m2serve.wire import crew as crew_wire
from m2serve.wire import mongrel2, pieces
from m2serve.wire.control import upload_credits
from m2serve.wire.crew import Word
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.settings import Settings

log = logging.getLogger("m2serve.dispatcher")

_WAKE_BACKSTOP: Final = 0.02
"""Seconds until finished requests are looked for although nobody rang: a store and a load of two processors may
pass each other, so the bell alone is not enough."""
_GATHER: Final = 2
_SPIN: Final = 0.0005
"""Seconds after a request was handed out for which we look, without sleeping, whether a thread takes it."""
_UNRUNG_WAIT: Final = 0.001
_BLOCKED_RETRY: Final = 0.005
_HOUSEKEEPING: Final = 0.25
_BROKEN_ANSWER_PAUSE: Final = 0.1
"""Seconds between a worker's death amid an answer and the close: its last bytes take another road to Mongrel2."""
_RETRY_AFTER: Final = 1
_UPLOADS_END_BEFORE: Final = 1.0
"""Seconds before the end of the mercy at which incomplete uploads are refused, so that their clients hear of it."""
_SERIAL_BITS: Final = 40
"""Of a mail serial; above them stands which dispatcher gave it, so that no two give the same."""


class Dispatcher:
    """One a node. Runs until the master says DRAIN or its link ends."""

    def __init__(self, settings: Settings, link: Link, node: NodeFds) -> None:
        self._link = link
        self._node = node
        self._queue_timeout = float(settings.queue_timeout)
        self._ledger = Ledger(node.ledger_fd, len(node.endpoints), node.ring_size)
        self._router = Router(self._refuse, self._close_later, self._fence, limit=settings.queue_limit)
        self._intakes = tuple(
            Intake(
                i,
                front.pair,
                self._ledger.rings[i],
                self._keep,
                self._drop,
                flow_control=front.flow_control,
            )
            for i, front in enumerate(node.fronts)
        )
        self._router.intakes = self._intakes
        self._uploads = Uploads(
            self._ledger.uploads, node.fronts, PostLimits(settings.limit_post), self._refuse, self._router.end_behind
        )
        self._streams = Streams(self._ledger.uploads)
        self._special = Special(self._router, self._uploads, self._streams)
        # A cell that is empty keeps no trace of its last serial, but the worker remembers it, and would not begin
        # another request of the same.
        self._ledger.words[ledger.LIVES] += 1
        self._router.start_serials_after(self._ledger.words[ledger.LIVES] << _SERIAL_BITS)
        # patience 0: this thread also drives the responder, so it must never wait for it
        self._responders = [Responder(pair.recv, patience=0.0) for pair in node.endpoints]
        self._outboxes = [Outbox(responder) for responder in self._responders]
        self._due = 0.0
        self._closing: list[tuple[float, Intake, int, bytes]] = []
        self._watch = Watch()
        self._pull_pings = [Pings() for _ in node.endpoints]
        self._responder_pings = [Pings() for _ in node.endpoints]
        self._keep_alive = KeepAlive(float(settings.keep_alive_interval))
        self._stopping = False
        self._give_up_uploads = 0.0
        """Stopping: when uploads that are not complete get no more time."""
        self._parks_late = False
        self._mercy = float(settings.worker_reload_mercy)
        self._quiet_said = False
        self._running = True
        self._barrier = threading.Lock()
        self._asleep = False
        self._batch = 0
        """Answers that left together last time."""
        self._tally = Tally(self._ledger.words, self._router)

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to leave."""
        now = time.monotonic()
        self._watch.add(self._link.fileno(), self._on_link)
        self._watch.add(self._node.wake_fd, self._on_wake)
        self._adopt(now)
        for responder in self._responders:
            responder.tick(now)
        self._link.send(Verb.READY, {})
        router, wait = self._router, self._watch.wait
        while self._running:
            router.now = now = time.monotonic()
            if now >= self._due:
                self._due = self._housekeeping(now)
            wait(0.0 if self._turn() else self._sleep(now))
        self._leave()

    def _turn(self) -> bool:
        """Collect what has finished, send the answers, wake who is overdue; whether there was anything to do."""
        router = self._router
        busy = router.collect()
        if router.answers:
            if self._batch > 2:
                self._gather()
            self._batch = len(router.answers)
            self._send_answers()
        for crew in router.crews:
            if crew.unrung:
                crew.call(router.now)
        return busy

    def _gather(self) -> None:
        """Under load: let the workers finish a few more before sending; one message stream costs Mongrel2 less."""
        router = self._router
        for _ in range(_GATHER):
            if len(router.answers) >= router.running:
                return
            os.sched_yield()
            if not router.collect():
                return

    def _sleep(self, now: float) -> float | None:
        """Prepare to wait: say so where the workers look, then look again ourselves; gives the timeout."""
        router, words = self._router, self._ledger.words
        if now - router.handed < _SPIN and any(crew.unrung for crew in router.crews):
            os.sched_yield()  # shorter than the shortest sleep, which is a millisecond
            return 0.0
        for intake in self._intakes:
            intake.words[ledger.AWAKE] = 0
        if router.waiting or self._stopping:
            words[ledger.WANT_WAKE] = 1
        with self._barrier:  # its atomic instructions keep the stores above before the loads below
            pass
        timeout = max(0.0, self._due - now)
        if self._turn():
            timeout = 0.0
        elif any(crew.unrung for crew in router.crews):
            timeout = min(timeout, _UNRUNG_WAIT)
        elif router.waiting or self._stopping or any(crew.running for crew in router.crews):
            timeout = min(timeout, _WAKE_BACKSTOP)
        self._asleep = True
        return timeout

    def _awake(self) -> None:
        """Say to the workers that answers left in their slots are sent soon."""
        self._asleep = False
        self._ledger.words[ledger.WANT_WAKE] = 0
        for index, intake in enumerate(self._intakes):
            if not self._outboxes[index] and self._responders[index].generation == intake.origin.proof != 0:
                intake.words[ledger.AWAKE] = 0 if intake.origin.dead else intake.epoch

    def _send_answers(self) -> None:
        """One message stream per Mongrel2, however many answers there are."""
        answers, self._router.answers = self._router.answers, []
        if len(self._intakes) == 1:
            self._send_batch(self._intakes[0], answers)
            return
        for intake in self._intakes:
            own = [taken for taken in answers if taken.intake is intake]
            if own:
                self._send_batch(intake, own)

    def _send_batch(self, intake: Intake, answers: list[Taken]) -> None:
        data = b"".join([taken.answer or b"" for taken in answers])
        # as late as possible: of what is marked when this process dies, the clients are closed
        for taken in answers:
            if taken.crew is not None:
                taken.crew.sending(taken)
        self._outboxes[intake.index].put(data, answers)
        self._flush(intake)

    def _flush(self, intake: Intake) -> None:
        outbox = self._outboxes[intake.index]
        done = outbox.flush(intake.origin)
        if outbox:
            intake.words[ledger.AWAKE] = 0  # Mongrel2 does not keep up: the workers wait by themselves
        if done:
            self._router.sent(done)

    def _housekeeping(self, now: float) -> float:
        """What need not be done in every turn; gives the time of the next."""
        self._periodic(now)
        self._registrations()
        self._tally.tick(now)
        return min(self._deadline(now), now + _HOUSEKEEPING)

    def _deadline(self, now: float) -> float:
        if self._stopping:
            return now + _WAKE_BACKSTOP
        deadlines = [d for i in self._intakes if (d := i.deadline()) is not None]
        deadlines += [d for r in self._responders if (d := r.deadline()) is not None]
        deadlines += [when for when, *_ in self._closing]
        if any(self._outboxes) or any(crew.outbox for crew in self._router.crews) or self._streams:
            deadlines.append(now + _BLOCKED_RETRY)
        return min(deadlines, default=now + _HOUSEKEEPING)

    def _periodic(self, now: float) -> None:
        for intake in self._intakes:
            if intake.phase is not Phase.OPEN:
                intake.tick(now)
            intake.free_if_due()
            if intake.doubts_credits and (stalled := credits.stalled(intake, now)):
                self._disbelieve(intake, stalled)
            self._flush(intake)
        for index, responder in enumerate(self._responders):
            if responder.deadline() is not None:
                self._happened(index, responder.tick(now))
        self._connect_if_useful()
        if self._router.waiting or self._router.crowded:
            self._router.expire(now - self._queue_timeout)
            self._router.refill()
        if self._closing:
            self._close_due(now)
        if now >= self._keep_alive.due:
            self._keep_alive_all(now)
        for crew in self._router.crews:
            if crew.outbox:
                crew.flush()
        self._streams.tick()
        self._uploads.tick(now, self._intakes)
        if self._stopping and not self._quiet_said:
            self._leave_when_done(now)

    def _leave(self) -> None:
        self._uploads.close()
        for responder in self._responders:
            responder.close()
        for intake in self._intakes:
            if intake.sock is not None:
                intake.sock.close()

    def _registrations(self) -> None:
        """Bring epoll in step with sockets that come, go and connect."""
        for index, intake in enumerate(self._intakes):
            self._watch.follow(intake, partial(self._on_pull, index))
        for index, responder in enumerate(self._responders):
            self._watch.follow(responder, partial(self._on_responder, index))

    # -- Mongrel2: requests ------------------------------------------------------------------------------------

    def _on_pull(self, index: int) -> None:
        intake = self._intakes[index]
        self._router.now = now = time.monotonic()  # the loop's is from before it slept
        if intake.phase in (Phase.CONNECTING, Phase.OPENING):
            self._due = 0.0
            if intake.opening(now):
                self._pull_opened(intake)
            elif intake.sock is None:
                self._watch.forget(intake)
            return
        if self._asleep:
            self._awake()
        try:
            alive = intake.receive()
            if intake.full:
                self._router.make_room(intake)
            self._take_in(intake, now)
            while intake.strangers:
                # says it in the log if Mongrel2 would not take answers under this name
                self._responders[index].subscribes(intake.strangers.pop())
            while intake.pongs:
                self._pull_pings[index].pong(intake.pongs.popleft())
            reason = "closed by Mongrel2"
        except (OSError, ProtocolError) as error:
            alive, reason = False, str(error)
        if not alive:
            self._pull_ended(intake, reason, now)

    def _take_in(self, intake: Intake, now: float) -> None:
        """Route every message that is complete in the ring."""
        arrive = self._router.arrive
        for arrival in intake.arrivals(now):
            if isinstance(arrival, Taken):
                arrive(arrival)
            else:
                self._arrival(intake, arrival, now)

    def _arrival(self, intake: Intake, arrival: Arrival | Marked, now: float) -> None:
        if isinstance(arrival, Marked):
            self._special.arrived(arrival)
            if self._streams:
                self._due = min(self._due, now + _BLOCKED_RETRY)
            return
        if arrival.fault is not None:
            self._garbage(intake, arrival)
            return
        if arrival.is_notice:
            raw = intake.ring.copy(arrival.position, arrival.size)
            kind = mongrel2.notice(raw)
            if kind is not None:
                intake.ring.take(arrival.frame)
                if kind is mongrel2.Kind.DISCONNECT:
                    self._tally.disconnected()
                    self._uploads.gone(intake, arrival.conn)
                    self._router.gone(intake, arrival.conn)
                else:
                    intake.credited(arrival.conn, mongrel2.granted_credits(mongrel2.parse(raw)) or 0)
                return
        taken = Taken(intake, arrival.frame, arrival.position, arrival.size, arrival.sender, arrival.conn, now)
        self._router.arrive(taken)

    def _garbage(self, intake: Intake, arrival: Arrival) -> None:
        assert arrival.fault is not None
        status, reason = arrival.fault
        self._tally.garbage()
        head = intake.ring.copy(arrival.position, min(arrival.size, 60)) if status == 400 else b""
        log.warning(
            "bad message endpoint=%s conn=%s status=%s reason=%s size=%d head=%r",
            intake.pair.send, arrival.conn.decode("latin-1") or "-", status if arrival.conn else "dropped",
            reason, arrival.size, head,
        )  # fmt: skip
        if arrival.conn:
            self._answer(intake, arrival.sender, arrival.conn, status)
        intake.ring.take(arrival.frame)

    def _pull_opened(self, intake: Intake) -> None:
        for crew in self._router.crews:
            generation = crew.generations.get(intake.index)
            if generation is not None:
                crew.say(Word.PROVEN, intake.index, a=intake.epoch, b=generation)
        self._prove_own(intake)

    def _pull_ended(self, intake: Intake, reason: str, now: float) -> None:
        leaving = intake.phase is Phase.LEAVING
        self._due = 0.0
        self._pull_pings[intake.index].forget()
        self._watch.forget(intake)
        epoch = intake.epoch
        intake.fail(reason, now)
        if leaving:
            return  # Mongrel2 goes on, and so do the requests that it gave us
        self._responders[intake.index].forget(intake.origin)
        self._flush(intake)  # drops what can no longer be delivered
        for crew in self._router.crews:
            crew.say(Word.LOST, intake.index, a=epoch)
        self._router.lost(intake)
        self._uploads.lost(intake)

    # -- Mongrel2: our own answers -----------------------------------------------------------------------------

    def _on_responder(self, index: int) -> None:
        responder = self._responders[index]
        self._due = 0.0
        self._happened(index, responder.ready(time.monotonic()))
        if responder.fileno() < 0:
            self._watch.forget(responder)

    def _happened(self, index: int, events: list[Happened]) -> None:
        intake = self._intakes[index]
        for happened in events:
            if happened.event is Event.UP and intake.phase is Phase.OPEN:
                self._ping_pull(intake, partial(self._prove_own, intake))
            elif happened.event is Event.PONG:
                self._responder_pings[index].pong(happened.context)
            elif happened.event is Event.DOWN:
                self._fences_broken(index)
        self._connect_if_useful()

    def _prove_own(self, intake: Intake) -> None:
        """The PUSH connection lives at least as long as our responder's: now the other way round."""
        responder = self._responders[intake.index]
        generation, origin = responder.generation, intake.origin
        if not generation:
            return

        def proven() -> None:
            if responder.prove(origin, generation):
                self._flush(intake)

        responder.ping(self._responder_pings[intake.index].add(proven))

    def _ping_pull(self, intake: Intake, answered: Callable[[], None]) -> None:
        intake.ping(self._pull_pings[intake.index].add(answered))

    def _fence(self, intake: Intake, passed: Callable[[], None]) -> None:
        """Call *passed* once Mongrel2 has received everything that left by our responder."""
        responder = self._responders[intake.index]
        if responder.is_up:
            responder.ping(self._responder_pings[intake.index].add(passed))
        else:
            passed()  # what was on its way is lost: there is nothing to overtake

    def _fences_broken(self, index: int) -> None:
        self._responder_pings[index].pong(b"\xff" * 8)

    def _refuse(self, taken: Taken, status: int, reason: str) -> None:
        log.log(
            logging.WARNING if status in (413, 503) else logging.ERROR,
            "request answered %d endpoint=%s conn=%s reason=%s",
            status, taken.intake.pair.send, taken.conn.decode(), reason,
        )  # fmt: skip
        self._answer(taken.intake, taken.sender, taken.conn, status, streaming=taken.streaming)

    def _answer(self, intake: Intake, sender: bytes, conn: bytes, status: int, *, streaming: bool = False) -> None:
        self._tally.answered(status)
        retry_after = _RETRY_AFTER if status == 503 else None
        envelope = mongrel2.head(sender, conn)
        answer = mongrel2.error_answer(status, retry_after=retry_after)
        close = _close(sender, conn, streaming)
        if intake.debts is None or intake.debts.of(int(conn)) + len(answer) <= WINDOW:
            close = framed(envelope, answer) + close
        # else it has not even read the answer before this one, which so much more would cut off
        self._outboxes[intake.index].put(close, [])
        self._flush(intake)

    def _keep_alive_all(self, now: float) -> None:
        """Not to a Mongrel2 that we have left: its notice of a connection that has gone would find nobody."""
        self._keep_alive.said(now)
        for intake in self._intakes:
            if intake.phase is Phase.OPEN and (messages := self._keep_alive.messages(intake, now)):
                self._outboxes[intake.index].put(messages, [])
                self._flush(intake)

    def _disbelieve(self, intake: Intake, stalled: list[Taken]) -> None:
        """Close those who would wait for ever, and count no more."""
        log.error(
            "no download credits endpoint=%s: they were expected, and none came in 10 s; connections closed=%d; does "
            "Mongrel2 run with download.flow_control=1? Start it anew, or say mongrel2-setting download.flow_control=0",
            intake.pair.send, len(stalled),
        )  # fmt: skip
        intake.disbelieve_credits()
        for taken in stalled:
            self._router.gone(intake, taken.conn)
            self._close_later(taken)

    def _close_later(self, taken: Taken) -> None:
        due = time.monotonic() + _BROKEN_ANSWER_PAUSE
        self._closing.append((due, taken.intake, taken.epoch, _close(taken.sender, taken.conn, taken.streaming)))

    def _close_due(self, now: float) -> None:
        due = [entry for entry in self._closing if entry[0] <= now]
        self._closing = [entry for entry in self._closing if entry[0] > now]
        for _, intake, epoch, close in due:
            if epoch == intake.epoch:
                self._outboxes[intake.index].put(close, [])
                self._flush(intake)

    # -- workers -----------------------------------------------------------------------------------------------

    def _enlist(self, post: WorkerPost) -> Crew:
        crew = Crew(post, len(self._intakes))
        self._router.crews.append(crew)
        self._watch.add(crew.link.fileno(), partial(self._on_crew, crew))
        return crew

    def _on_crew(self, crew: Crew) -> None:
        while True:
            try:
                data = crew.link.recv(crew_wire.SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._crew_died(crew)
                return
            try:
                self._crew_says(crew, crew_wire.decode(data))
            except ProtocolError as error:
                log.error("worker %d sent nonsense: %s", crew.worker, error)

    def _crew_says(self, crew: Crew, message: crew_wire.CrewMessage) -> None:
        word, index = message.word, message.endpoint
        if word is Word.DETACH:
            self._router.detach(crew, message.thread, message.a)
            return
        if word is Word.DRAINED:
            self._router.drained(crew, message.thread, message.a)
        elif word is Word.HELLO:
            crew.greet()
            log.debug("worker %d takes requests threads=%d", crew.worker, crew.threads)
        elif word is Word.UP:
            crew.generations[index] = message.a
            crew.unsync(index)
            intake = self._intakes[index]
            if intake.phase in (Phase.OPEN, Phase.LEAVING):
                self._ping_pull(intake, lambda: self._prove_crew(crew, intake, message.a))
        elif word is Word.DOWN:
            crew.generations.pop(index, None)
            crew.unsync(index)
        elif word is Word.SYNC:
            crew.sync(index, message.a)
        elif word is Word.LEAVE:
            self._router.leaves(crew)
            crew.say(Word.LEFT)
        self._connect_if_useful()
        self._router.refill()  # perhaps this worker may now serve what waits

    def _prove_crew(self, crew: Crew, intake: Intake, generation: int) -> None:
        if crew.generations.get(intake.index) == generation:
            crew.say(Word.PROVEN, intake.index, a=intake.epoch, b=generation)

    def _connect_if_useful(self) -> None:
        """Ask Mongrel2 for requests once somebody can serve and we can answer for the rest."""
        for intake in self._intakes:
            if intake.phase is not Phase.IDLE or self._stopping:
                continue
            responder, now = self._responders[intake.index], time.monotonic()
            up = responder.is_up and any(crew.ready and intake.index in crew.generations for crew in self._router.crews)
            stalled = responder.is_stalled(now) and any(crew.ready for crew in self._router.crews)
            if up or stalled:
                intake.connect(now)
                self._due = 0.0

    def _crew_died(self, crew: Crew) -> None:
        self._watch.remove(crew.link.fileno())
        self._router.died(crew)
        crew.close()
        self._link.send(Verb.SETTLED, {"key": crew.key})

    # -- master ------------------------------------------------------------------------------------------------

    def _on_wake(self) -> None:
        try:
            os.eventfd_read(self._node.wake_fd)
        except BlockingIOError:
            pass

    def _on_link(self) -> None:
        self._due = 0.0
        while True:
            received = self._link.receive()
            if received is None:
                return
            if received is EOF:
                self._running = False
                return
            if received.verb is Verb.WORKER:
                payload = received.payload
                self._enlist(
                    WorkerPost.from_fds(
                        int(payload["key"]),
                        WorkerId(int(payload["worker"])),
                        int(payload["threads"]),
                        received.fds,
                    )
                )
            elif received.verb is Verb.STOP:
                self._stop()
            elif received.verb is Verb.DRAIN:
                self._router.give_up()
                self._uploads.give_up(self._intakes, "the server stops, and the time for it is over")
                self._running = False
            elif received.verb is Verb.REOPEN:
                reopen()
            elif received.verb is Verb.PING:
                self._link.send(Verb.ALIVE, {})

    def _stop(self) -> None:
        """Finish what was taken. Uploads may take long: until the last is complete, all else is served as ever."""
        self._stopping = self._uploads.stopping = True
        self._router.parking = not self._uploads.running
        self._give_up_uploads = time.monotonic() + max(0.0, self._mercy - _UPLOADS_END_BEFORE)

    def _has_uploads(self, now: float) -> bool:
        if not self._uploads.running:
            return False
        if now < self._give_up_uploads:
            return True
        self._uploads.give_up(self._intakes, "the server stops, and the time for it is over")
        return False

    def _leave_when_done(self, now: float) -> None:
        """Stopping: answer what was taken, leave Mongrel2's PUSH, answer what came meanwhile, say QUIET.

        In this order: when nobody takes notices any more, the first answer to a client that has left blocks Mongrel2's
        reader, and with it the answers of all others. So as little as possible is answered after leaving, and nothing
        whose client was seen to go.
        """
        router = self._router
        if self._has_uploads(now):
            self._parks_late = True
            return
        if self._parks_late:
            self._parks_late, router.parking = False, True
        if self._quiet_said or router.waiting or router.running or router.draining:
            return
        if self._closing or any(self._outboxes):
            return
        for intake in self._intakes:
            intake.leave(now)
        if any(intake.phase is not Phase.LEFT for intake in self._intakes):
            return
        if router.parking:
            router.unpark()
            return
        self._quiet_said = True
        self._link.send(Verb.QUIET, {})

    def _keep(self, index: int, fd: int) -> None:
        self._link.send(Verb.PULL, {"endpoint": index}, (fd,))

    def _drop(self, index: int) -> None:
        self._link.send(Verb.DROP, {"endpoint": index})

    # -- succession --------------------------------------------------------------------------------------------

    def _adopt(self, now: float) -> None:
        """Go on where a predecessor died: connections, requests in the ring, requests in the cells."""
        crews = [self._enlist(post) for post in self._node.posts.values()]
        claimed: dict[int, set[tuple[int, int]]] = {i.index: set() for i in self._intakes}
        for crew in crews:
            adopt_cells(crew, self._intakes, self._router, self._close_later, claimed)
        running = [taken for crew in crews for taken in crew.running.values()]
        self._uploads.adopt(running, self._intakes)
        self._streams.adopt(running)
        for intake in self._intakes:
            fd = self._node.pulls.pop(intake.index, None)
            if fd is None:
                continue
            intake.adopt(fd, now, claimed[intake.index])
            if intake.sock is None:
                continue
            own = [taken for taken in running if taken.intake is intake and taken.epoch == intake.epoch]
            intake.live.extend(sorted(own, key=lambda taken: taken.frame))
            self._take_in(intake, now)
            self._prove_own(intake)
        for intake in self._intakes:
            if intake.sock is None:
                self._uploads.lost(intake)
        for crew in crews:
            crew.say(Word.RESUME)


def _close(sender: bytes, conn: bytes, streaming: bool) -> bytes:
    """What closes a connection, framed; of a streamed upload, so that Mongrel2 wakes up and notices."""
    close = framed(mongrel2.head(sender, conn))
    return close + framed(upload_credits(sender, conn, pieces.ENOUGH)) if streaming else close
