"""The messages between master and child."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import LocalProtocolError, RemoteProtocolError
from m2serve.wire.link import MAX_MESSAGE, Message, Verb, clip, decode, encode

TEXT = st.text(st.characters(exclude_categories=()), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(Verb), st.dictionaries(TEXT, JSON, max_size=5))
def test_what_is_written_is_read(verb, payload):
    assert decode(encode(verb, payload)) == Message(verb, payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(raw):
    try:
        message = decode(raw)
    except RemoteProtocolError:
        return
    assert isinstance(message.verb, Verb)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"READY",
        b"READY ",
        b"READY []",
        b"READY nul",
        b"ready {}",
        b"\xff {}",
        b"READY \xff",
        b"READY " + b"[" * 100_000,
    ],
)
def test_broken_messages_are_refused(raw):
    with pytest.raises(RemoteProtocolError):
        decode(raw)


def test_the_form_is_the_documented_one():
    assert encode(Verb.PULL, {"endpoint": 1}) == b'PULL {"endpoint":1}'


@pytest.mark.parametrize("char", ["x", "\x1b", "\N{SNOWMAN}", "\udcff"])
def test_a_long_traceback_loses_its_middle(char):
    raw = encode(Verb.FAILED, {"traceback": "first " + char * 300_000 + " last", "summary": "s"})
    assert len(raw) <= MAX_MESSAGE
    payload = decode(raw).payload
    assert payload["traceback"].startswith("first ")
    assert payload["traceback"].endswith(" last")
    assert payload["summary"] == "s"


def test_what_cannot_be_clipped_is_refused():
    with pytest.raises(LocalProtocolError, match="at most"):
        encode(Verb.READY, {"threads": ["x" * 1000] * 1000})


@pytest.mark.parametrize("value", [b"bytes", object(), {1: object()}])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(LocalProtocolError, match="JSON"):
        encode(Verb.READY, {"threads": value})


@given(st.text(max_size=300), st.integers(min_value=10, max_value=400))
def test_clip_leaves_short_texts_alone(text, limit):
    if len(text) <= limit:
        assert clip(text, limit) == text
    else:
        assert "left out" in clip(text, limit)
