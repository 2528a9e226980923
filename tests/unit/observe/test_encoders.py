"""Other forms of a line of the log."""

from __future__ import annotations

import json
import time

import pytest

from m2serve.config.log_values import LogEncoder
from m2serve.observe.encoders import Said, compiled, encoded

SAID = Said(
    b'[12:00] [7] WARNING worker: slow "\xff"\nmore\n', b'slow "\xff"\nmore', "WARNING", "worker", 7, 1795182866.25
)


def made(*encoders: str) -> bytes:
    return encoded([compiled(LogEncoder.parse(one)) for one in encoders], SAID)


def test_without_any_a_line_is_as_it_is() -> None:
    assert made() == SAID.line


def test_a_chain_goes_from_one_to_the_next() -> None:
    assert made("prefix A", "suffix B", "nl", "prefix C") == b"CA" + SAID.line + b"B\n"


def test_a_template() -> None:
    assert made("format <${msg}>") == b"<" + SAID.line[:-1] + b">"
    assert made("format <${msgnl}>") == b"<" + SAID.line + b">"
    assert made("format ${unix} ${micros} ${pid} ${level} ${logger}") == b"1795182866 1795182866250000 7 WARNING worker"
    assert made("format ${strftime:%Y-%m}").decode() == time.strftime("%Y-%m", time.localtime(SAID.moment))
    assert made("format ${text}", "format [${msg}]") == b"[" + SAID.text + b"]"


def test_json_escapes_the_values_alone() -> None:
    line = made('json {"t": ${unix}, "said": "${text}", "line": "${msgnl}"}', "nl")
    assert line.endswith(b"}\n")
    said = json.loads(line)
    assert said["t"] == 1795182866
    assert said["said"] == 'slow "\\xff"\nmore'
    assert said["line"].endswith("more\n")


@pytest.mark.parametrize("text", ["umlaut ä", 'tab\tquote" back\\slash', "\x00\x1b", ""])
def test_any_text_is_json(text: str) -> None:
    said = Said.plain(text.encode() + b"\n", "request", 1)
    line = encoded([compiled(LogEncoder.parse('json {"msg": "${msg}"}'))], said)
    assert json.loads(line) == {"msg": text}
