"""The responder against a real libzmq SUB, as Mongrel2 has one."""

from __future__ import annotations

import select
import socket
import threading
import time

import pytest
import zmq
from support.ports import free_ports

from m2serve.endpoint import Endpoint
from m2serve.errors import ClientGone
from m2serve.transports.pings import Pings
from m2serve.transports.responder import Event, Origin, Phase, Responder
from m2serve.wire import zmtp

LIMIT = 20.0
SUBS: list[zmq.Socket] = []
"""libzmq sends subscriptions when its owner uses the socket: Mongrel2 polls it all the time, and so do we."""


def drive(responder, until):
    """Be the service thread until ``until(events)``; gives all events."""
    events = []
    deadline = time.monotonic() + LIMIT
    while not until(events):
        now = time.monotonic()
        assert now < deadline, (responder.phase, events)
        for sub in SUBS:
            if not sub.closed:
                sub.getsockopt(zmq.EVENTS)
        events += responder.tick(now)
        if responder.fileno() >= 0:
            poller = select.poll()
            poller.register(responder.fileno(), select.POLLOUT if responder.wants_write else select.POLLIN)
            if poller.poll(10):
                events += responder.ready(time.monotonic())
        else:
            time.sleep(max(0.0, min(responder.retry_at - now, 0.05)))
    return events


def happened(event):
    return lambda events: any(e.event is event for e in events)


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    for sub in SUBS:
        sub.close(0)
    SUBS.clear()
    context.destroy(0)


@pytest.fixture(params=["tcp", "ipc"])
def bind(request, context, tmp_path):
    """Bind a SUB; the second call, after a close, takes the same address."""
    address = []

    def bind(*topics):
        sub = context.socket(zmq.SUB)
        SUBS.append(sub)
        sub.rcvtimeo = int(LIMIT * 1000)
        sub.rcvhwm = 0
        for topic in topics:
            sub.subscribe(topic)
        if address:
            deadline = time.monotonic() + LIMIT
            while True:
                try:
                    sub.bind(address[0])
                    break
                except zmq.ZMQError:  # libzmq closes the old listener in its own time
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
        elif request.param == "ipc":
            sub.bind(f"ipc://{tmp_path}/s")
        else:
            sub.bind(f"tcp://127.0.0.1:{free_ports(1)[0]}")
        address[:] = [sub.last_endpoint.rstrip(b"\0").decode()]
        return sub

    bind.address = address
    return bind


@pytest.fixture
def responders():
    made = []
    yield made
    for responder in made:
        responder.close(0.1)


@pytest.fixture
def respond(bind, responders):
    def respond(**options):
        responder = Responder(Endpoint.parse(bind.address[0]), **options)
        responders.append(responder)
        return responder

    return respond


def up(responder):
    (event,) = [e for e in drive(responder, happened(Event.UP)) if e.event is Event.UP]
    return event.generation


def test_up_only_after_the_subscription(bind, respond):
    sub = bind()
    responder = respond()
    drive(responder, lambda _: responder.phase is Phase.SUBSCRIBING)
    assert not responder.wait_up(0)
    assert responder.generation == 1, "a PUSH connection made now is known to be made after this one"
    assert not responder.prove(Origin(1), 1)
    sub.subscribe(b"m2")
    assert up(responder) == 1
    assert responder.is_up
    assert responder.wait_up(0)
    assert responder.topics.wanted == {b"m2"}


def test_answers_arrive_whole(bind, respond):
    sub = bind(b"m2")
    responder, origin = respond(), Origin(1)
    assert responder.prove(origin, up(responder))
    responder.send(origin, b"m2 1:7, ", b"hello ", b"world")
    responder.send(origin, b"m2 1:7, ")
    assert [sub.recv(), sub.recv()] == [b"m2 1:7, hello world", b"m2 1:7, "]


def test_an_answer_bigger_than_every_buffer(bind, respond):
    sub = bind(b"m2")
    responder, origin = respond(), Origin(1)
    responder.prove(origin, up(responder))
    body = bytes(20_000_000)
    received = []
    reader = threading.Thread(target=lambda: received.append(sub.recv()))
    reader.start()
    responder.send(origin, b"m2 1:7, ", body)
    reader.join()
    assert received == [b"m2 1:7, " + body]


def test_topics_filter(bind, respond, caplog):
    sub = bind(b"mine")
    responder, origin = respond(), Origin(1)
    responder.prove(origin, up(responder))
    assert responder.subscribes(b"mine")
    for _ in range(2):
        with pytest.raises(ClientGone, match="subscription"):
            responder.send(origin, b"other 1:7, ", b"x")
    assert [r.levelname for r in caplog.records].count("ERROR") == 1
    assert "'other'" in caplog.text
    sub.subscribe(b"other")
    drive(responder, lambda _: b"other" in responder.topics.wanted)
    responder.send(origin, b"other 1:7, ", b"x")
    assert sub.recv() == b"other 1:7, x"
    sub.unsubscribe(b"mine")
    drive(responder, lambda _: responder.topics.wanted == {b"other"})
    assert responder.is_up
    assert not responder.subscribes(b"mine")


def test_pongs_come_back(bind, respond):
    bind(b"")
    responder = respond()
    generation = up(responder)
    responder.ping(b"context")
    events = drive(responder, happened(Event.PONG))
    assert events == [(Event.PONG, generation, b"context")]


def test_of_many_pings_in_one_burst_all_are_answered(bind, respond):
    bind(b"")
    responder, pings, answered = respond(), Pings(), []
    generation = up(responder)
    burst = b"".join(zmtp.ping(pings.add(lambda n=n: answered.append(n))) for n in range(50))
    origin = Origin(1)
    responder.prove(origin, generation)
    assert responder.try_write(origin, burst) == len(burst)

    def all_back(events):
        while events:
            pings.pong(events.pop().context)
        return len(answered) == 50

    drive(responder, all_back)
    assert answered == list(range(50))


def test_send_waits_for_the_proof(bind, respond):
    sub = bind(b"")
    responder, origin = respond(), Origin(1)
    generation = up(responder)
    sender = threading.Thread(target=responder.send, args=(origin, b"m2 1:7, ", b"late"))
    sender.start()
    assert not responder.prove(Origin(2), generation + 1)
    sender.join(0.02)
    assert sender.is_alive()
    assert responder.prove(origin, generation)
    sender.join(LIMIT)
    assert sub.recv() == b"m2 1:7, late"


def test_an_unproven_origin_is_given_up_after_the_patience(bind, respond):
    bind(b"")
    responder = respond(patience=0.02)
    up(responder)
    with pytest.raises(ClientGone, match="proven"):
        responder.send(Origin(1), b"m2 1:7, ", b"x")
    with pytest.raises(ClientGone, match="proven"):
        responder.try_write(Origin(1), b"x")


def test_forgotten_origins_wait_no_longer(bind, respond):
    bind(b"")
    responder, origin = respond(patience=60.0), Origin(1)
    generation = up(responder)
    outcome = []

    def send():
        try:
            responder.send(origin, b"m2 1:7, ", b"x")
        except ClientGone as error:
            outcome.append(str(error))

    sender = threading.Thread(target=send)
    sender.start()
    responder.forget(origin)
    sender.join(LIMIT)
    assert "is gone" in outcome[0]
    responder.prove(origin, generation)  # too late
    with pytest.raises(ClientGone, match="is gone"):
        responder.send(origin, b"m2 1:7, ", b"x")


def test_close_wakes_who_waits(bind, respond):
    bind(b"")
    responder, outcome = respond(patience=60.0), []
    up(responder)

    def send():
        with pytest.raises(ClientGone):
            responder.send(Origin(1), b"m2 1:7, ", b"x")
        outcome.append("woken")

    sender = threading.Thread(target=send)
    sender.start()
    responder.close()
    sender.join(LIMIT)
    assert outcome == ["woken"]


def test_a_new_connection_is_a_new_generation_and_must_be_proven(bind, respond):
    sub = bind(b"")
    responder, old, new = respond(patience=0.02), Origin(1), Origin(2)
    first = up(responder)
    responder.prove(old, first)
    sub.close(0)
    assert drive(responder, happened(Event.DOWN))[-1] == (Event.DOWN, first, b"")
    sub = bind(b"")
    second = up(responder)
    assert second == first + 1
    with pytest.raises(ClientGone, match="proven"):
        responder.send(old, b"m2 1:7, ", b"of the old one")
    assert not responder.prove(new, first)
    assert responder.prove(new, second)
    responder.send(new, b"m2 1:7, ", b"of the new one")
    assert sub.recv() == b"m2 1:7, of the new one"


def test_a_send_survives_a_short_absence(bind, respond):
    sub = bind(b"")
    responder, origin = respond(), Origin(1)
    responder.prove(origin, up(responder))
    sub.close(0)
    drive(responder, happened(Event.DOWN))
    sender = threading.Thread(target=responder.send, args=(origin, b"m2 1:7, ", b"kept"))
    sender.start()
    sub = bind(b"")
    responder.prove(origin, up(responder))
    sender.join(LIMIT)
    assert sub.recv() == b"m2 1:7, kept"


def test_close_loses_nothing(bind, respond):
    sub = bind(b"")
    responder, origin = respond(), Origin(1)
    responder.prove(origin, up(responder))
    sent = [b"m2 1:7, %d " % n + bytes(n) for n in range(1000)]
    for message in sent:
        responder.send(origin, message)
    responder.close()
    assert responder.phase is Phase.CLOSED
    assert [sub.recv() for _ in sent] == sent


def test_a_push_behind_the_address_is_named(context, bind, respond, caplog):
    bind(b"").close(0)
    port_taken = context.socket(zmq.PUSH)
    SUBS.append(port_taken)
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            port_taken.bind(bind.address[0])
            break
        except zmq.ZMQError:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    responder = respond()
    drive(responder, lambda _: "swapped" in caplog.text)
    assert not responder.is_up


# --- against a plain socket -----------------------------------------------------


@pytest.fixture
def plain(responders):
    """A connected responder and the raw socket at its other end."""
    sockets = []

    def connect(**options):
        server = socket.create_server(("127.0.0.1", 0))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sockets.append(server)
        responder = Responder(Endpoint.parse(f"tcp://127.0.0.1:{server.getsockname()[1]}"), **options)
        responders.append(responder)
        responder.tick(time.monotonic())
        return responder, server, accept(responder, server)

    def accept(responder, server):
        server.settimeout(LIMIT)
        drive(responder, lambda _: responder.phase in (Phase.CONNECTING, Phase.OPENING))
        far, _ = server.accept()
        far.settimeout(LIMIT)
        sockets.append(far)
        far.sendall(zmtp.GREETING + zmtp.ready(b"SUB") + b"\0\x01\x01")
        up(responder)
        read(far, len(zmtp.GREETING + zmtp.ready(b"XPUB")))
        return far

    connect.accept = accept
    yield connect
    for sock in sockets:
        sock.close()


def read(sock, count):
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        assert chunk
        data += chunk
    return data


def fill(responder, origin):
    """A message of which the kernel takes only a part; gives all and the rest."""
    message = zmtp.frame_header(50_000_000) + bytes(50_000_000)
    sent = responder.try_write(origin, message)
    assert 0 < sent < len(message)
    return message, message[sent:]


def test_a_ping_is_answered(plain):
    responder, _, far = plain()
    far.sendall(zmtp.ping(b"you?"))
    drive(responder, lambda _: select.select([far], [], [], 0)[0])
    assert far.recv(100) == zmtp.pong(b"you?")


def test_nothing_gets_into_a_message_that_is_half_sent(plain):
    responder, _, far = plain()
    origin = Origin(1)
    responder.prove(origin, responder.generation)
    message, rest = fill(responder, origin)
    taken = read(far, len(message) - len(rest))  # now there is room again
    responder.ping(b"hello")
    responder.tick(time.monotonic())
    while rest:
        sent = responder.try_write(origin, rest)
        rest = rest[sent:]
        taken += read(far, sent)
    responder.tick(time.monotonic())
    assert zmtp.Decoder().feed(taken + read(far, len(zmtp.ping(b"hello")))) == [
        (0, message[9:]),
        (zmtp.COMMAND, b"\x04PING\0\0hello"),
    ]


def test_a_half_sent_message_of_a_dead_origin_ends_the_connection(plain):
    responder, _, _ = plain()
    origin = Origin(1)
    responder.prove(origin, responder.generation)
    fill(responder, origin)
    responder.forget(origin)
    assert drive(responder, happened(Event.DOWN))


def test_whose_answer_broke_off_is_closed_once_proven_again(plain):
    responder, server, far = plain(patience=0.0)
    mine, other = Origin(1), Origin(2)
    for origin in (mine, other):
        responder.prove(origin, responder.generation)
    failed = []
    threads = []
    for origin, envelope in ((mine, b"m2 1:1, "), (other, b"m2 1:2, ")):

        def send(origin=origin, envelope=envelope):
            with pytest.raises(ClientGone):
                responder.send(origin, envelope, bytes(50_000_000))
            failed.append(envelope)

        threads.append(threading.Thread(target=send))
    threads[0].start()
    read(far, 9)  # it has begun
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    threads[0].join(LIMIT)
    assert failed == [b"m2 1:1, "]
    drive(responder, happened(Event.DOWN))
    far = plain.accept(responder, server)
    assert responder.prove(other, responder.generation)  # another's proof must not forget it
    assert responder.prove(mine, responder.generation)
    assert read(far, 10) == b"\0\x08m2 1:1, "


def test_an_opening_that_never_comes_is_given_up(plain, responders, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:
        responder = Responder(Endpoint.parse(f"tcp://127.0.0.1:{server.getsockname()[1]}"))
        responders.append(responder)
        drive(responder, lambda _: responder.phase is Phase.OPENING)
        assert responder.deadline() > time.monotonic()
        responder.tick(responder.deadline() + 0.001)
        assert responder.phase is Phase.DOWN
        assert "no ZMTP handshake in time" in caplog.text


def test_garbage_from_the_peer_ends_the_connection(plain):
    responder, _, far = plain()
    far.sendall(b"\xff\xff")
    assert drive(responder, happened(Event.DOWN))
