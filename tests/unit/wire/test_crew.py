"""The messages of the crew link."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import RemoteProtocolError
from m2serve.wire import crew

WORD64 = st.integers(min_value=0, max_value=(1 << 64) - 1)


@given(
    st.sampled_from(crew.Word),
    st.integers(min_value=0, max_value=0xFFFF),
    st.integers(min_value=0, max_value=(1 << 32) - 1),
    WORD64,
    WORD64,
)
def test_what_is_written_is_read(word, endpoint, thread, a, b):
    data = crew.encode(word, endpoint, thread, a, b)
    assert len(data) == crew.SIZE == 24
    assert crew.decode(data) == (word, endpoint, thread, a, b, b"")


@given(st.binary(max_size=48))
def test_any_bytes_are_a_message_or_an_error(data):
    try:
        message = crew.decode(data)
    except RemoteProtocolError:
        return
    assert crew.decode(crew.encode(*message[:5]) + message.data) == message


@given(
    st.integers(min_value=0, max_value=0xFFFF),
    st.integers(min_value=0, max_value=(1 << 32) - 1),
    WORD64,
    st.integers(min_value=0, max_value=(1 << 63) - 1),
    st.booleans(),
    st.binary(max_size=100),
)
def test_a_piece_carries_its_bytes(endpoint, thread, serial, offset, last, data):
    message = crew.decode(crew.encode_piece(endpoint, thread, serial, offset, last, data))
    assert message[:4] == (crew.Word.PIECE, endpoint, thread, serial)
    assert message.b & ~crew.LAST_PIECE == offset
    assert bool(message.b & crew.LAST_PIECE) is last
    assert message.data == data


def test_the_largest_piece():
    data = crew.encode_piece(0, 0, 1, 0, False, bytes(crew.PIECE_MOST))
    assert len(crew.decode(data).data) == crew.PIECE_MOST
    with pytest.raises(RemoteProtocolError, match="at most"):
        crew.decode(data + b"!")


def test_only_a_piece_has_bytes_behind_it():
    with pytest.raises(RemoteProtocolError, match="1 bytes behind GONE"):
        crew.decode(crew.encode(crew.Word.GONE) + b"!")


@pytest.mark.parametrize("data", [b"", crew.encode(crew.Word.UP)[:-1], bytes(24), b"\xff" * 24])
def test_nonsense(data):
    with pytest.raises(RemoteProtocolError, match="crew link"):
        crew.decode(data)
