"""The dispatcher's loop: sockets on one side, the router on the other."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from m2serve.config.deadlines import Deadlines
from m2serve.config.postlimits import PostLimits
from m2serve.dispatcher.adoption import adopt
from m2serve.dispatcher.crew import Crew
from m2serve.dispatcher.deaths import died
from m2serve.dispatcher.intake import Intake
from m2serve.dispatcher.leaving import Leaving
from m2serve.dispatcher.mode import Mode
from m2serve.dispatcher.outgoing import Outgoing
from m2serve.dispatcher.patience import expire, make_room
from m2serve.dispatcher.phase import Phase
from m2serve.dispatcher.proofs import Proofs
from m2serve.dispatcher.routing import Router
from m2serve.dispatcher.special import Special
from m2serve.dispatcher.streams import Streams
from m2serve.dispatcher.taken import Taken
from m2serve.dispatcher.tally import Counts, Tally
from m2serve.dispatcher.uploads import Uploads
from m2serve.errors import ProtocolError
from m2serve.ids import WorkerId
from m2serve.observe.log import reopen
from m2serve.system.link import EOF, Link
from m2serve.system.watch import Watch
from m2serve.transports import ledger
from m2serve.transports.ledger import Ledger
from m2serve.transports.node import NodeFds, WorkerPost
from m2serve.wire import crew as crew_wire
from m2serve.wire.crew import Word
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from m2serve.config.settings import Settings

log = logging.getLogger("m2serve.dispatcher")

_WAKE_BACKSTOP: Final = 0.02
"""Seconds until finished requests are looked for although nobody rang: a store and a load of two processors may
pass each other, so the bell alone is not enough."""
_GATHER: Final = 2
_BURST: Final = 3
"""Requests that have come at once from which on their answers leave together, by us. The answers of fewer leave each by
its worker, which is a hop less."""
_SPIN: Final = 0.0001
"""Seconds after a request was handed out for which we look, without sleeping, whether a thread takes it."""
_LINGER: Final = 0.0003
"""Seconds that the next request is awaited without sleeping, where the one before it came so soon: of the time that a
request takes on a quiet node, a good part is that processors and processes wake up."""
_UNRUNG_WAIT: Final = 0.001
_BLOCKED_RETRY: Final = 0.005
_HOUSEKEEPING: Final = 0.25
_SERIAL_BITS: Final = 40
"""Of a mail serial; above them stands which dispatcher gave it, so that no two give the same."""


class Dispatcher:
    """One a node. Runs until the master says DRAIN or its link ends."""

    def __init__(self, settings: Settings, link: Link, node: NodeFds) -> None:
        self._link = link
        self._node = node
        self._queue_timeout = float(settings.queue_timeout)
        self._deadlines = Deadlines(settings.harakiri)
        self._ledger = Ledger(node.ledger_fd, len(node.endpoints), node.ring_size)
        words = self._ledger.words
        self._counts = Counts(words)
        self._outgoing = Outgoing(node.endpoints, float(settings.keep_alive_interval), self._counts.answered)
        self._proofs = Proofs(len(node.endpoints), self._outgoing)
        self._router = Router(
            self._outgoing.refuse,
            self._outgoing.close_later,
            self._proofs.fence,
            limit=settings.queue_limit,
            health=[path.encode() for path in settings.health_check],
            retry=settings.retry_idempotent,
        )
        self._outgoing.router = self._router
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
        for intake in self._intakes:
            intake.keeps_running = settings.retry_idempotent
        self._uploads = Uploads(
            self._ledger.uploads,
            node.fronts,
            PostLimits(settings.limit_post),
            self._outgoing.refuse,
            self._router.end_behind,
        )
        self._streams = Streams(self._ledger.uploads)
        self._special = Special(self._router, self._uploads, self._streams, self._outgoing, self._counts)
        # A cell that is empty keeps no trace of its last serial, but the worker remembers it, and would not begin
        # another request of the same.
        words[ledger.LIVES] += 1
        self._router.start_serials_after(words[ledger.LIVES] << _SERIAL_BITS)
        self._due = 0.0
        self._watch = Watch()
        mercy = float(settings.worker_reload_mercy)
        self._leaving = Leaving(self._intakes, self._router, self._uploads, self._outgoing, mercy)
        self._running = True
        self._barrier = threading.Lock()
        self._asleep = False
        self._lay_down = 0.0
        """When it went to sleep last."""
        # with one processor there is nobody to look at meanwhile
        self._linger_most = _LINGER if len(os.sched_getaffinity(0)) > 1 else 0.0
        self._linger = 0.0
        """Seconds after a request for which the next one is awaited without sleeping: none after a long sleep."""
        self._unrung = False
        """Whether something was handed out that nobody was seen to take."""
        self._batch = 0
        """Answers that left together last time."""
        self._tally = Tally(words, self._router)
        self._mode = Mode(link, self._router)

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to leave."""
        now = time.monotonic()
        self._watch.add(self._link.fileno(), self._on_link)
        self._watch.add(self._node.wake_fd, self._on_wake)
        self._adopt(now)
        for responder in self._outgoing.responders:
            responder.tick(now)
        self._link.send(Verb.READY, {})
        router, wait = self._router, self._watch.wait
        while self._running:
            router.now = now = time.monotonic()
            if now >= self._due:
                self._due = self._housekeeping(now)
                if self._leaving.may_yield():
                    break
            wait(0.0 if self._turn() else self._sleep(now))
        self._close()

    def _turn(self) -> bool:
        """Collect what has finished, send the answers, wake who is overdue; whether there was anything to do."""
        router = self._router
        busy = router.collect()
        if router.answers:
            if self._batch > 2:
                self._gather()
            self._batch = len(router.answers)
            answers, router.answers = router.answers, []
            self._outgoing.send(self._intakes, answers)
        self._unrung = False
        for crew in router.crews:
            if crew.unrung:
                crew.call(router.now)
                if crew.unrung:
                    self._unrung = True
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
        if now - router.handed < (_SPIN if self._unrung else self._linger):
            os.sched_yield()  # shorter than the shortest sleep, which is a millisecond
            return 0.0
        for intake in self._intakes:
            intake.words[ledger.AWAKE] = 0
        if router.waiting or self._leaving.begun:
            words[ledger.WANT_WAKE] = 1
            self._mode.call()
        with self._barrier:  # its atomic instructions keep the stores above before the loads below
            pass
        timeout = max(0.0, self._due - now)
        if self._turn():
            timeout = 0.0
        elif self._unrung:
            timeout = min(timeout, _UNRUNG_WAIT)
        elif router.waiting or self._leaving.begun or any(crew.running for crew in router.crews):
            timeout = min(timeout, _WAKE_BACKSTOP)
        self._asleep = True
        self._lay_down = now
        return timeout

    def _collect_for(self, intake: Intake, burst: bool) -> None:
        """Say to the workers whether answers left in their slots are sent soon."""
        collects = burst and self._outgoing.may_answer_for(intake) and not intake.origin.dead
        intake.words[ledger.AWAKE] = intake.epoch if collects else 0

    def _housekeeping(self, now: float) -> float:
        """What need not be done in every turn; gives the time of the next."""
        self._periodic(now)
        self._registrations()
        self._tally.tick(now)
        return min(self._deadline(now), now + _HOUSEKEEPING)

    def _deadline(self, now: float) -> float:
        if self._leaving.begun or self._leaving.yields:
            return now + _WAKE_BACKSTOP
        deadlines = [d for i in self._intakes if (d := i.deadline()) is not None]
        deadlines += [d for r in self._outgoing.responders if (d := r.deadline()) is not None]
        deadlines += [when for when, *_ in self._outgoing.closing]
        if self._outgoing.is_blocked or any(crew.outbox for crew in self._router.crews) or self._streams:
            deadlines.append(now + _BLOCKED_RETRY)
        return min(deadlines, default=now + _HOUSEKEEPING)

    def _periodic(self, now: float) -> None:
        router = self._router
        for intake in self._intakes:
            if intake.phase is not Phase.OPEN:
                intake.tick(now)
            intake.free_if_due()
        for index, responder in enumerate(self._outgoing.responders):
            if responder.deadline() is not None:
                self._proofs.happened(self._intakes, index, responder.tick(now))
        self._connect_if_useful()
        self._outgoing.tick(self._intakes, now)
        router.forget_recent()
        if router.waiting:
            expire(router, self._mode.expired(now, self._queue_timeout))
            router.refill()
        for crew in router.crews:
            if crew.outbox:
                crew.flush()
        self._streams.tick()
        self._uploads.tick(now, self._intakes)
        if self._leaving.quiet(now):
            self._link.send(Verb.QUIET, {})

    def _close(self) -> None:
        if self._running:
            # Our successor goes on with the uploads. Until it is there the workers send all by themselves.
            for intake in self._intakes:
                intake.words[ledger.AWAKE] = 0
            log.info("leaves to its successor")
        else:
            self._uploads.close()
        self._outgoing.close()
        for intake in self._intakes:
            if intake.sock is not None:
                intake.sock.close()

    def _registrations(self) -> None:
        """Bring epoll in step with sockets that come, go and connect."""
        for index, intake in enumerate(self._intakes):
            self._watch.follow(intake, partial(self._on_pull, index))
        for index, responder in enumerate(self._outgoing.responders):
            self._watch.follow(responder, partial(self._on_responder, index))

    # -- Mongrel2 ----------------------------------------------------------------------------------------------

    def _on_pull(self, index: int) -> None:
        intake = self._intakes[index]
        self._router.now = now = time.monotonic()  # the loop's is from before it slept
        if intake.phase in (Phase.CONNECTING, Phase.OPENING):
            self._due = 0.0
            if intake.opening(now):
                self._proofs.pull_opened(intake, self._router.crews)
            elif intake.sock is None:
                self._watch.forget(intake)
            return
        if self._asleep:
            self._asleep = False
            self._ledger.words[ledger.WANT_WAKE] = 0
            self._linger = self._linger_most if now - self._lay_down < self._linger_most else 0.0
        try:
            alive = intake.receive()
            if intake.full:
                make_room(self._router, intake)
            given = self._router.given
            self._take_in(intake, now)
            self._collect_for(intake, self._router.given - given >= _BURST)
            while intake.strangers:
                # says it in the log if Mongrel2 would not take answers under this name
                self._outgoing.responders[index].subscribes(intake.strangers.pop())
            if intake.pongs:
                self._proofs.pull_heard(intake)
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
                self._special.arrived(intake, arrival, now)
                if self._streams:
                    self._due = min(self._due, now + _BLOCKED_RETRY)

    def _pull_ended(self, intake: Intake, reason: str, now: float) -> None:
        leaving = intake.phase is Phase.LEAVING
        self._due = 0.0
        self._proofs.pull_ended(intake.index)
        self._watch.forget(intake)
        epoch = intake.epoch
        intake.fail(reason, now)
        if leaving:
            return  # Mongrel2 goes on, and so do the requests that it gave us
        self._outgoing.responders[intake.index].forget(intake.origin)
        self._outgoing.flush(intake)  # drops what can no longer be delivered
        for crew in self._router.crews:
            crew.say(Word.LOST, intake.index, a=epoch)
        self._router.lost(intake)
        self._uploads.lost(intake)

    def _on_responder(self, index: int) -> None:
        responder = self._outgoing.responders[index]
        self._due = 0.0
        self._proofs.happened(self._intakes, index, responder.ready(time.monotonic()))
        self._connect_if_useful()
        if responder.fileno() < 0:
            self._watch.forget(responder)

    def _connect_if_useful(self) -> None:
        """Ask Mongrel2 for requests once somebody can serve and we can answer for the rest."""
        for intake in self._intakes:
            if intake.phase is not Phase.IDLE or self._leaving.begun:
                continue
            responder, now = self._outgoing.responders[intake.index], time.monotonic()
            up = any(crew.ready and intake.index in crew.generations for crew in self._router.crews)
            some = any(crew.ready for crew in self._router.crews)
            if self._mode.asleep:
                up = some = True  # whoever is needed will come
            if (up and responder.is_up) or (some and responder.is_stalled(now)):
                intake.connect(now)
                self._due = 0.0

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
            self._proofs.crew_up(crew, self._intakes[index], message.a)
        elif word is Word.DOWN:
            crew.generations.pop(index, None)
            crew.unsync(index)
        elif word is Word.SYNC:
            crew.sync(index, message.a)
            self._mode.served(time.monotonic())
        elif word is Word.LEAVE:
            self._router.leaves(crew)
            crew.say(Word.LEFT)
        self._connect_if_useful()
        self._router.refill()  # perhaps this worker may now serve what waits

    def _crew_died(self, crew: Crew) -> None:
        self._watch.remove(crew.link.fileno())
        crew.bury(self._deadlines, time.monotonic())
        died(self._router, crew)
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
                self._leaving.begin()
            elif received.verb is Verb.DRAIN:
                self._leaving.give_up()
                self._running = False
            elif received.verb is Verb.MODE:
                self._mode.take(received.payload)
                self._connect_if_useful()
            elif received.verb is Verb.YIELD:
                self._leaving.yields = True
            elif received.verb is Verb.REOPEN:
                reopen()
            elif received.verb is Verb.PING:
                self._link.send(Verb.ALIVE, {})

    def _keep(self, index: int, fd: int) -> None:
        self._link.send(Verb.PULL, {"endpoint": index}, (fd,))

    def _drop(self, index: int) -> None:
        self._link.send(Verb.DROP, {"endpoint": index})

    # -- succession --------------------------------------------------------------------------------------------

    def _adopt(self, now: float) -> None:
        """Go on where a predecessor died: connections, requests in the ring, requests in the cells."""
        crews = [self._enlist(post) for post in self._node.posts.values()]
        for intake in adopt(self._node, self._intakes, self._router, self._outgoing, self._uploads, self._streams, now):
            self._take_in(intake, now)
            self._proofs.prove_own(intake)
        for crew in crews:
            crew.say(Word.RESUME)
