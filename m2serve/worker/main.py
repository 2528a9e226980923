"""Entry of a worker process, after the fork: the steps in their order."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from m2serve.apps.uwsgi import install as uwsgi
from m2serve.config.postlimits import PostLimits
from m2serve.errors import ExitCode
from m2serve.gateways.exceptions import Exceptions
from m2serve.gateways.files.search import StaticFiles
from m2serve.gateways.routing.router import Router
from m2serve.gateways.wsgi import WsgiGateway
from m2serve.observe.log import reopen
from m2serve.plugin.hooks import Hooks
from m2serve.system import stacks
from m2serve.system.deeds import try_all
from m2serve.system.link import EOF
from m2serve.transports import sheet as sheets
from m2serve.transports.card import STREAM, UPLOAD, Card
from m2serve.transports.direct import DirectSubscription
from m2serve.transports.dispatched import MailRoom, MailSubscription
from m2serve.transports.doors.subscription import DoorSubscription
from m2serve.transports.ledger import Ledger
from m2serve.transports.responder import Responder
from m2serve.transports.sheet import Sheet
from m2serve.wire.link import Verb
from m2serve.worker import imports
from m2serve.worker.cycle import Cycle
from m2serve.worker.doors import open_doors
from m2serve.worker.harakiri import Harakiri
from m2serve.worker.loading import SIGNALS, load
from m2serve.worker.requestlog import request_log
from m2serve.worker.service import SIGNAL_DRAIN, Service
from m2serve.worker.streamed import StreamedUploads
from m2serve.worker.tracebacker import Tracebacker
from m2serve.worker.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from m2serve.config.settings import Settings
    from m2serve.system.link import Link
    from m2serve.system.privileges import Privileges
    from m2serve.transports.base import Source, Subscription
    from m2serve.transports.node import NodeFds, WorkerPost
    from m2serve.worker.loading import Loaded

log = logging.getLogger("m2serve.worker")


def run(
    settings: Settings,
    link: Link,
    node: NodeFds,
    post: WorkerPost,
    hooks: Hooks | None = None,
    loaded: Loaded | None = None,
    late: Privileges | None = None,
) -> int:
    """Load the application, serve until drained; gives the exit code.

    Args:
        loaded: by the nursery that we were forked from.
        late: whom we become when we have loaded it ourselves.
    """
    hooks = hooks or Hooks()
    wake, bell = _wake_socket()
    _take_signals(bell, loaded.handled if loaded is not None else ())
    stacks.listen(post.sheet_fd)
    sheet = Sheet(post.sheet_fd, settings.threads)
    sheet.head[sheets.LISTENS] = 1
    hooks("fork", worker=post.worker, key=post.key)
    try_all(settings, "post_fork")
    if loaded is None:
        loaded = load(settings, node, post.worker, late)
        imports.tell(link, loaded.files)
    running = loaded.running
    running.worker = post.worker
    if loaded.failure:
        link.send(Verb.FAILED, loaded.failure)
        if settings.need_app:
            return ExitCode.APP_LOAD
        if not _is_wanted(link):
            return ExitCode.OK
    mounts = loaded.mounts

    ledger = Ledger(node.ledger_fd, len(node.endpoints), node.ring_size)
    responders = [Responder(pair.recv) for pair in node.endpoints]
    limits = PostLimits(settings.limit_post)
    patience = (float(settings.socket_timeout), float(settings.chunked_input_timeout or settings.socket_timeout))
    streams = StreamedUploads(node.fronts, patience, limits)
    uploads = Uploads(node.fronts, ledger.uploads)

    def renew(reason: str) -> None:
        service.renew(reason)

    files, exceptions = StaticFiles.of(settings, loaded.base), Exceptions.of(settings, renew)
    router = Router.of(settings, loaded.base, files or StaticFiles(settings, loaded.base))

    def logged(name: str) -> bytes | None:
        value = running.logged(name)
        return router.logged(name) if value is None and router is not None else value

    cycle = Cycle(
        _gateway(settings, mounts, limits, uploads, files, router, exceptions),
        request_log(settings, post.worker, loaded.sinks, logged),
        ledger.served,
        post.worker,
        settings.processes,
        {UPLOAD: uploads.open, STREAM: streams.open},
        sheet,
        hooks.per_request(),
    )
    running.request, running.latest = cycle.number, cycle.latest
    running.end_by = cycle.end_by
    if settings.disable_logging:
        running.total = lambda: sheet.total(sheets.REQUESTS)  # those of all workers are counted for the log
    else:
        running.total = lambda: sum(ledger.served.tolist())
    uwsgi.begin()
    identities = [uuid.uuid4() for _ in range(settings.threads)]
    room: MailRoom | None = None
    subscriptions: list[Source] = []
    threads: list[threading.Thread] = []
    service = Service(link, responders, subscriptions, threads, wake, bell)
    if settings.zeromq_direct:
        largest = settings.request_buffer // 2
        subscriptions += [
            DirectSubscription(node.endpoints, responders, service, identity, largest) for identity in identities
        ]
    elif node.endpoints:
        card = Card(post.card_fd, post.threads)
        bell_fds = (post.bell_read_fd, post.bell_write_fd)
        room = MailRoom(ledger, card, responders, bell_fds, node.wake_fd, service.say)
        crew = socket.socket(fileno=post.crew_worker_fd)
        subscriptions += [MailSubscription(room, core, identity) for core, identity in enumerate(identities)]
        service.join_crew(crew, room)
    if node.doors:
        # each connection is accepted with a look at these: no more of them than there are workers
        visitors = ledger.visitors[: max(post.worker, settings.processes) + 1]
        refused = sheet.head[sheets.REFUSED : sheets.REFUSED + 1]
        doors = open_doors(settings, node.doors, limits, visitors, post.worker, refused, room)
        service.open_doors(doors)
        mails = [one for one in subscriptions if isinstance(one, MailSubscription)]
        subscriptions[:] = [
            DoorSubscription(doors, mails[core] if mails else None, identity)
            for core, identity in enumerate(identities)
        ]

    if settings.thread_stacksize:
        _set_stack(settings.thread_stacksize)

    def start(core: int) -> None:
        serving = (subscriptions[core], cycle, core, service.ring)
        thread = threading.Thread(target=_serve, args=serving, name=f"core-{core}", daemon=True)
        threads.append(thread)
        thread.start()

    def succeed(core: int) -> None:
        stuck = subscriptions[core]
        if isinstance(stuck, DirectSubscription):
            subscriptions[core] = stuck.bequeath()
            start(core)

    for core in range(settings.threads):
        start(core)
    harakiri = Harakiri(
        link,
        cycle,
        sheet,
        subscriptions,
        threads,
        patience=float(settings.harakiri_graceful_timeout),
        number=settings.harakiri_graceful_signal,
        every=settings.harakiri_verbose,
    )
    service.judge(harakiri, succeed)
    if settings.py_tracebacker is not None:
        service.tell_stacks(Tracebacker(os.path.join(loaded.start, f"{settings.py_tracebacker}{post.worker}")))
    if loaded.sources is not None:
        imports.follow(link, loaded.sources, settings.py_autoreload)
    hooks("ready", worker=post.worker)
    link.send(
        Verb.READY,
        {
            "threads": [subscription.uuid for subscription in subscriptions],
            "apps": [prefix for prefix, _ in mounts.apps],
            "seconds": round(loaded.seconds, 3),
            "deadlines": uwsgi.is_wanted(),
            "natives": [[thread.ident, thread.native_id] for thread in threads],
        },
    )
    _accepting(settings, post)
    service.run()
    hooks("worker_exit", worker=post.worker)
    if all(not thread.is_alive() for thread in threads):
        logging.shutdown()  # which a thread that is stuck may hold up
    return ExitCode.MASTER_LOST if service.master_lost else ExitCode.OK


def _set_stack(kib: int) -> None:
    try:
        threading.stack_size(kib * 1024)
    except (ValueError, OverflowError) as error:
        log.error("thread-stacksize %d: %s; threads have the usual stack", kib, error)


def _serve(subscription: Subscription, cycle: Cycle, core: int, ended: Callable[[], None]) -> None:
    """Body of a request thread."""
    cycle.enter(core)
    try:
        while (delivery := subscription.receive()) is not None:
            try:
                cycle.run(delivery, core)
            except BaseException:
                # not even SystemExit or a MemoryError may cost the worker a thread: nobody would notice
                log.exception("request thread %d: unexpected", core)
            subscription.done()
    finally:
        ended()


def _accepting(settings: Settings, post: WorkerPost) -> None:
    """What the settings want done when a worker is ready; nothing waits for it."""
    wanted = {
        "accepting": True,
        "accepting_once": post.first,
        "accepting1": post.worker == 1,
        "accepting1_once": post.worker == 1 and post.first,
    }
    points = [point for point, now in wanted.items() if now and getattr(settings, f"hook_{point}")]
    if points:
        body = partial(_try_each, settings, points)
        threading.Thread(target=body, name="hooks", daemon=True).start()


def _try_each(settings: Settings, points: Iterable[str]) -> None:
    for point in points:
        try_all(settings, point)


def _is_wanted(link: Link) -> bool:
    """Wait for the master's word: whether to answer 500 to everything, or to leave, since others serve."""
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    while True:
        received = link.receive()
        if received is None:
            poller.poll()
        elif received is EOF or received.verb in (Verb.DRAIN, Verb.STOP):
            return False
        elif received.verb is Verb.SERVE:
            return True
        elif received.verb is Verb.REOPEN:
            reopen()


def _gateway(
    settings: Settings,
    mounts: Any,
    limits: PostLimits,
    uploads: Uploads,
    files: StaticFiles | None,
    router: Router | None,
    exceptions: Exceptions | None,
) -> WsgiGateway:
    return WsgiGateway(
        mounts,
        multithread=settings.threads > 1,
        multiprocess=settings.processes > 1,
        server_name_default=socket.gethostname(),
        errors=sys.stderr,
        uploads_proven=not settings.zeromq_direct,
        post_limits=limits,
        file_wrapper=not settings.wsgi_disable_file_wrapper,
        extra={"m2serve.uploads": uploads.progress},
        files=files,
        router=router,
        exceptions=exceptions,
        buffer=settings.response_buffer,
        spool=settings.response_spool,
        patience=float(settings.send_timeout),
        headers=settings.add_header,
    )


def _wake_socket() -> tuple[socket.socket, socket.socket]:
    ours, bell = socket.socketpair()
    ours.setblocking(False)
    bell.setblocking(False)
    return ours, bell


def _take_signals(bell: socket.socket, handled: Container[signal.Signals] = ()) -> None:
    """HUP drains. INT, TERM and QUIT reach the whole group and are the master's to decide on.

    Handlers, not SIG_IGN: what the application starts must get the default action back at its exec. The application's
    own stay: *handled* are those it has installed already.
    """

    def drain(number: int, frame: object) -> None:
        try:
            bell.send(SIGNAL_DRAIN)
        except OSError:
            pass

    def nothing(number: int, frame: object) -> None:
        pass

    for number in SIGNALS:
        if number not in handled:
            signal.signal(number, drain if number is signal.SIGHUP else nothing)
