"""What ``--help`` prints."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from m2serve.config.describe.rows import default, doc, groups
from m2serve.config.table import TABLE
from m2serve.config.words import GRAMMAR

if TYPE_CHECKING:
    from m2serve.config.table import Option, Table

_WIDTH = 79
_COLUMN = 30

_USAGE = """\
usage: m2serve [OPTION]... [FILE.ini[:SECTION]]...

Serve a Python web application behind Mongrel2.

  m2serve --module shop.wsgi --with-mongrel2 :8080
  m2serve --module shop.wsgi --zeromq tcp://127.0.0.1:9997,tcp://127.0.0.1:9996
  m2serve deploy.ini
"""

_OTHERS = """\
Other options of uWSGI are accepted; the log says what becomes of each, and so
do m2serve(1) and docs/options.md.
"""


def help_text(table: Table = TABLE) -> str:
    """The whole text, no line longer than a terminal."""
    lines = [_USAGE]
    for title, options in groups(table):
        lines.append(f"{title}:")
        for option in options:
            lines += _entry(_flags(option), _doc(option))
        lines.append("")
    lines.append("Configuration files and information:")
    for name, word in GRAMMAR.items():
        if word.shell:
            lines += _entry(f"--{name} {word.metavar}".rstrip(), word.doc)
    lines += _entry("-h, --help", "Print this text.")
    lines += _entry("-V, --version", "Print the version.")
    lines += ["", "In files only:"]
    for name, word in GRAMMAR.items():
        if not word.shell:
            lines += _entry(f"{name} = {word.metavar}" if word.metavar else name, word.doc)
    return "\n".join([*lines, "", _OTHERS])


def _flags(option: Option) -> str:
    short = "".join(f"-{letter}, " for letter in option.short)
    return f"{short}--{option.name} {option.metavar}".rstrip()


def _doc(option: Option) -> str:
    parts = [doc(option)]
    if option.aliases:
        parts.append(f"Also --{', --'.join(option.aliases)}.")
    if not option.kind.flag and default(option):
        parts.append(f"[{default(option)}]")
    return " ".join(parts)


def _entry(flags: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, _WIDTH - _COLUMN, break_on_hyphens=False)
    head = f"  {flags}"
    if len(head) + 2 > _COLUMN:
        return [head, *(" " * _COLUMN + line for line in wrapped)]
    return [head.ljust(_COLUMN) + wrapped[0], *(" " * _COLUMN + line for line in wrapped[1:])]
