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
    assert crew.decode(data) == (word, endpoint, thread, a, b)


@given(st.binary(max_size=48))
def test_any_bytes_are_a_message_or_an_error(data):
    try:
        message = crew.decode(data)
    except RemoteProtocolError:
        return
    assert crew.decode(crew.encode(*message)) == message


@pytest.mark.parametrize("data", [b"", crew.encode(crew.Word.UP)[:-1], bytes(24), b"\xff" * 24])
def test_nonsense(data):
    with pytest.raises(RemoteProtocolError, match="crew link"):
        crew.decode(data)
