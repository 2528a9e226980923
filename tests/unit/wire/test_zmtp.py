"""ZMTP: frames, handshake, commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import RemoteProtocolError
from m2serve.wire import zmtp

CAPTURED_GREETING = bytes.fromhex("ff00000000000000017f0301") + b"NULL" + bytes(48)
"""What libzmq 4.3.5 sends first."""
CAPTURED_READY_PUSH = b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH"
CAPTURED_READY_SUB = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"

BODIES = st.binary(max_size=400)
FRAMES = st.lists(st.tuples(st.sampled_from([0, zmtp.MORE, zmtp.COMMAND]), BODIES), max_size=8)


def wire(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(zmtp.frame_header(len(body), flags) + body for flags, body in frames)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """*data* in pieces; some may be empty."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


# --- frames -------------------------------------------------------------------


@given(FRAMES, st.lists(st.integers(min_value=0), max_size=20))
def test_any_chunking_gives_the_same_frames(frames, places):
    decoder = zmtp.Decoder()
    data = wire(frames)
    found = [frame for chunk in cut(data, places) for frame in decoder.feed(chunk)]
    assert found == [zmtp.Frame(flags, body) for flags, body in frames]
    assert decoder.pending == 0


@given(FRAMES, BODIES)
def test_byte_by_byte(frames, last):
    decoder = zmtp.Decoder()
    data = wire([*frames, (0, last)])
    found = [frame for i in range(len(data)) for frame in decoder.feed(data[i : i + 1])]
    assert found == zmtp.Decoder().feed(data)


@pytest.mark.parametrize(("size", "header"), [(0, 2), (255, 2), (256, 9), (70_000, 9)])
def test_length_of_the_header(size, header):
    data = zmtp.frame_header(size) + bytes(size)
    assert len(data) == header + size
    assert zmtp.Decoder().feed(data) == [(0, bytes(size))]


def test_a_long_header_for_a_short_body_is_allowed():
    assert zmtp.Decoder().feed(b"\x02" + (3).to_bytes(8, "big") + b"abc") == [(0, b"abc")]


def test_pending_counts_what_makes_no_frame_yet():
    decoder = zmtp.Decoder()
    data = zmtp.frame_header(1000) + bytes(1000)
    decoder.feed(data[:5])
    assert decoder.pending == 5
    decoder.feed(data[5:500])
    assert decoder.pending == 500
    assert decoder.feed(data[500:] + b"\0") == [(0, bytes(1000))]
    assert decoder.pending == 1


def test_the_limit_holds_before_the_body_has_come():
    decoder = zmtp.Decoder(limit=1000)
    assert decoder.feed(zmtp.frame_header(1000) + bytes(1000)) == [(0, bytes(1000))]
    with pytest.raises(RemoteProtocolError, match="1001 bytes, at most 1000"):
        decoder.feed(zmtp.frame_header(1001))


@pytest.mark.parametrize("flags", [0x08, 0x10, 0x80, 0xFF])
def test_reserved_flags(flags):
    with pytest.raises(RemoteProtocolError, match="reserved"):
        zmtp.Decoder().feed(bytes((flags, 0)))


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_hostile_frames_are_an_error_or_wait(chunks):
    decoder = zmtp.Decoder(limit=1 << 16)
    try:
        for chunk in chunks:
            for frame in decoder.feed(chunk):
                zmtp.subscription(frame)
    except RemoteProtocolError:
        return
    assert decoder.pending <= sum(map(len, chunks))


# --- commands -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "rest"),
    [
        (zmtp.ping(b"context"), b"PING", b"\0\0context"),
        (zmtp.pong(b""), b"PONG", b""),
        (zmtp.command(b"ERROR", b"\x03no!"), b"ERROR", b"\x03no!"),
    ],
)
def test_commands(data, name, rest):
    (frame,) = zmtp.Decoder().feed(data)
    assert frame.flags == zmtp.COMMAND
    assert zmtp.split_command(frame.body) == (name, rest)


@pytest.mark.parametrize("body", [b"", b"\x05PING"])
def test_a_command_without_a_name(body):
    with pytest.raises(RemoteProtocolError, match="name"):
        zmtp.split_command(body)


@pytest.mark.parametrize(
    ("frame", "meaning"),
    [
        ((0, b"\x01topic"), (True, b"topic")),
        ((0, b"\x00topic"), (False, b"topic")),
        ((0, b"\x01"), (True, b"")),
        ((0, b""), None),
        ((0, b"hello"), None),
        ((zmtp.COMMAND, b"\x09SUBSCRIBEtopic"), (True, b"topic")),
        ((zmtp.COMMAND, b"\x06CANCELtopic"), (False, b"topic")),
        ((zmtp.COMMAND, b"\x04PING\0\0"), None),
    ],
)
def test_subscriptions(frame, meaning):
    assert zmtp.subscription(zmtp.Frame(*frame)) == meaning


# --- handshake ----------------------------------------------------------------


def test_our_greeting_is_one():
    assert len(zmtp.GREETING) == zmtp.GREETING_SIZE == len(CAPTURED_GREETING)
    shake = zmtp.Handshake(b"XPUB")
    assert shake.feed(zmtp.GREETING + zmtp.ready(b"XPUB")) == b""
    assert shake.done


@pytest.mark.parametrize(
    ("ready", "expected"), [(CAPTURED_READY_PUSH, (b"PUSH",)), (CAPTURED_READY_SUB, (b"SUB", b"XSUB"))]
)
@given(places=st.lists(st.integers(min_value=0), max_size=20))
def test_captured_handshakes_in_any_chunking(ready, expected, places):
    shake = zmtp.Handshake(*expected)
    stream = b"\0\x05first"
    rest = b""
    for chunk in cut(CAPTURED_GREETING + ready + stream, places):
        if shake.done:
            rest += chunk
        else:
            rest += shake.feed(chunk)
    assert shake.done
    assert rest == stream
    assert shake.taken == len(CAPTURED_GREETING + ready)


@pytest.mark.parametrize("long", [False, True])
@given(most=st.integers(min_value=1, max_value=100))
def test_missing_never_reads_past_the_handshake(long, most):
    ready = CAPTURED_READY_PUSH
    if long:
        ready = bytes((zmtp.COMMAND | zmtp.LONG,)) + (len(ready) - 2).to_bytes(8, "big") + ready[2:]
    handshake = CAPTURED_GREETING + ready
    stream = handshake + b"\0\x01x"
    shake = zmtp.Handshake(b"PUSH")
    at = 0
    while not shake.done:
        assert shake.missing > 0
        size = min(shake.missing, most)
        assert shake.feed(stream[at : at + size]) == b""
        at += size
    assert at == len(handshake)


def test_the_wrong_socket_type_is_explained():
    with pytest.raises(RemoteProtocolError, match=r"'SUB' socket, PUSH expected.*swapped"):
        zmtp.Handshake(b"PUSH").feed(CAPTURED_GREETING + CAPTURED_READY_SUB)
    with pytest.raises(RemoteProtocolError, match=r"'PUSH' socket, SUB or XSUB expected.*swapped"):
        zmtp.Handshake(b"SUB", b"XSUB").feed(CAPTURED_GREETING + CAPTURED_READY_PUSH)


def test_property_names_have_no_case():
    ready = zmtp.command(b"READY", b"\x0bsocket-TYPE\0\0\0\x04PUSH")
    shake = zmtp.Handshake(b"PUSH")
    shake.feed(CAPTURED_GREETING + ready)
    assert shake.done


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak ZMTP"),
        (b"\xff" + bytes(8) + b"\x7e\x03", "does not speak ZMTP"),
        (b"\xff" + bytes(8) + b"\x7f\x01\x00", "ZMTP 1"),
        (CAPTURED_GREETING[:12] + b"CURVE".ljust(52, b"\0"), "'CURVE'"),
        (CAPTURED_GREETING + b"\0\x05hello", "before READY"),
        (CAPTURED_GREETING + zmtp.command(b"ERROR", b"\x06denied"), "refuses the connection: denied"),
        (CAPTURED_GREETING + zmtp.ping(b""), "PING where READY"),
        (CAPTURED_GREETING + b"\x06" + (1 << 60).to_bytes(8, "big"), "READY of"),
        (CAPTURED_GREETING + b"\x04\x00", "without a name"),
        (CAPTURED_GREETING + zmtp.command(b"READY", b"\x0bSocket-Type\0\0\0\x09PUSH"), "cut off"),
        (CAPTURED_GREETING + zmtp.command(b"READY", b"\x0bSock"), "cut off"),
        (CAPTURED_GREETING + zmtp.command(b"READY"), "'' socket"),
    ],
)
def test_who_is_no_peer(data, reason):
    with pytest.raises(RemoteProtocolError, match=reason):
        zmtp.Handshake(b"PUSH").feed(data)


@given(st.binary(max_size=120), st.booleans(), st.lists(st.integers(min_value=0), max_size=5))
def test_hostile_handshakes_are_an_error_or_wait(data, greeted, places):
    shake = zmtp.Handshake(b"PUSH")
    try:
        for chunk in cut((CAPTURED_GREETING if greeted else b"") + data, places):
            assert not shake.done
            shake.feed(chunk)
            assert shake.done or 0 < shake.missing <= 4096 + zmtp.GREETING_SIZE
    except RemoteProtocolError:
        pass
