"""Whoever changes what processes share has to say whether old and new code can still work together."""

from __future__ import annotations

import struct
import zlib

from m2serve.transports import card, layout, ledger, sheet, uploads
from m2serve.wire import crew
from m2serve.wire.crew import Word
from m2serve.wire.link import Verb

KNOWN = (3, "d0480a2f")


def constants(module):
    values = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    formats = {name: value.format for name, value in values.items() if isinstance(value, struct.Struct)}
    return {**{name: value for name, value in values.items() if type(value) is int}, **formats}


def fingerprint():
    shared = {module.__name__: constants(module) for module in (card, ledger, sheet, uploads, crew)}
    words = [sorted(one.value for one in words) for words in (Word, Verb)]
    text = repr([sorted((name, sorted(found.items())) for name, found in shared.items()), words])
    return f"{zlib.crc32(text.encode()):08x}"


def test_a_change_of_what_is_shared_is_a_decision():
    """If old and new code could misunderstand each other (a word moved, a message means something else) raise
    ``layout.VERSION``: an upgrade from the old one is then refused. If not (a word was free and is now used by those
    who know it), it stays. Either way put the new fingerprint here."""
    assert (layout.VERSION, fingerprint()) == KNOWN
