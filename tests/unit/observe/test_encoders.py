"""Other forms of a line of the log."""

from __future__ import annotations

import gzip
import json
import time
import zlib

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


def test_compressed_lines_follow_each_other() -> None:
    file = made("gzip") * 2
    assert file.startswith(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")
    assert gzip.decompress(file) == SAID.line * 2
    inflate = zlib.decompressobj()
    assert inflate.decompress(made("compress") * 2) == SAID.line
    assert zlib.decompress(inflate.unused_data) == SAID.line
    assert gzip.decompress(made("prefix A", "gzip")) == b"A" + SAID.line


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("map:2|str:timestamp|unix|str:msg|msg", b"\x82\xa9timestamp\xd2k\x02\x13\xde\xa3msg\xa3abc"),
        ("map:20|micros|msgnl", b"\xde\x00\x14\xd3\x00\x06`\xd0s\xaa\x04\x10\xa4abc\n"),
        ("nil|true|false|array:17", b"\xc0\xc3\xc2\xdc\x00\x11"),
        ("int:5|int:-5|int:200|int:-100|int:0", b"\x05\xfb\xd1\x00\xc8\xd0\x9c\xd0\x00"),
        ("int:70000|int:-70000", b"\xd2\x00\x01\x11p\xd2\xff\xfe\xee\x90"),
        ("int:5000000000", b"\xd3\x00\x00\x00\x01*\x05\xf2\x00"),
        ("int:-5000000000", b"\xd3\xff\xff\xff\xfe\xd5\xfa\x0e\x00"),
        ("float:1.5|bin:abc|msgbin|msgbinnl", b"\xca?\xc0\x00\x00\xc4\x03abc\xc4\x03abc\xc4\x04abc\n"),
        ("str:|bin:|map:0", b"\xa0\xc4\x00\x80"),
        (f"str:{'a' * 54}|str:{'b' * 31}", b"\xda\x006" + b"a" * 54 + b"\xbf" + b"b" * 31),
        ("map:300|array:70000", b"\xde\x01,\xdd\x00\x01\x11p"),
    ],
)
def test_the_bytes_of_uwsgis_msgpack(items: str, expected: bytes) -> None:
    """Measured with 2.0.21."""
    said = Said(b"abc\n", b"abc", "INFO", "request", 7, 1795298270.25)
    assert encoded([compiled(LogEncoder.parse(f"msgpack {items}"))], said) == expected


def test_msgpack_of_long_texts_and_of_ours() -> None:
    for size, text, binary in ((255, b"\xda\x00\xff", b"\xc4\xff"), (256, b"\xda\x01\x00", b"\xc5\x01\x00")):
        assert made(f"msgpack str:{'x' * size}|bin:{'x' * size}") == text + b"x" * size + binary + b"x" * size
    long = "x" * 65536
    assert made(f"msgpack str:{long}") == b"\xdb\x00\x01\x00\x00" + long.encode()
    assert made(f"msgpack bin:{long}") == b"\xc6\x00\x01\x00\x00" + long.encode()
    assert made("msgpack pid|level|logger") == b"\x07\xa7WARNING\xa6worker"
    assert made("msgpack text") == b"\xad" + SAID.text
    assert made("msgpack strftime:%Y") == b"\xa4" + time.strftime("%Y", time.localtime(SAID.moment)).encode()
