"""The options as text: ``--help`` and docs/options.md."""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from m2serve.config.table import GRAMMAR, OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 79
_COLUMN = 30

_USAGE = """\
usage: m2serve [OPTION]... [FILE.ini[:SECTION]]...

Serve a Python web application behind Mongrel2.

  m2serve --module shop.wsgi --with-mongrel2 :8080
  m2serve --module shop.wsgi --zeromq tcp://127.0.0.1:9997,tcp://127.0.0.1:9996
  m2serve deploy.ini
"""

_GRAMMAR = (
    "Lines are `key = value`; a key alone is a flag that is set; lines that start with `;` or `#` are",
    "comments. `%(name)` is the first value of a key, those of the command line coming first; `$(NAME)`",
    "is an environment variable, `$(NAME:-default)` one with a default. About the file: `%p` path, `%d`",
    "directory with its slash, `%s` name, `%n` name without ending, `%e` ending, `%c` last part of the",
    "directory, `%0` to `%9` its parts, `%o` the name as given, `%x` the section asked for. About the",
    "machine: `%h` host, `%k` processors, `%v` directory at start, `%u %U %g %G` user and group, `%t",
    "%T` time, `%V` version. `%%` is a plain `%`; what has no meaning stays as it is. Relative paths",
    "start at the directory m2serve was started in; those of the application (`wsgi-file`, `mount`,",
    "`pythonpath`) at `chdir`.",
)


def help_text() -> str:
    """What ``--help`` prints."""
    lines = [_USAGE]
    for title, options in _groups():
        lines.append(f"{title}:")
        for option in options:
            lines += _help_entry(_flags(option), _help_doc(option))
        lines.append("")
    lines.append("Configuration files and information:")
    for name, word in GRAMMAR.items():
        lines += _help_entry(f"--{name} {word.metavar}", word.doc)
    lines += _help_entry("-h, --help", "Print this text.")
    lines += _help_entry("-V, --version", "Print the version.")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """The content of docs/options.md."""
    lines = [
        "# Options",
        "",
        "<!-- Generated: python -m m2serve.config.describe > docs/options.md -->",
        "",
        "Every option can stand on the command line (`--threads 4`) and in an ini file (`threads = 4`, in a",
        "section `[uwsgi]` or `[m2serve]`). The command line wins over files; of several values the last",
        "one counts, unless the option is marked as repeatable. Flags are true unless the value is `false`,",
        "`off`, `no` or `0`. Bytes may be written with K, M or G, seconds with ms, s, m or h.",
    ]
    for title, options in _groups():
        lines += ["", f"## {title}", ""]
        lines += ["| option | value | default | meaning |", "|---|---|---|---|"]
        lines += [_row(option) for option in options]
    lines += ["", "## Configuration files", "", *_GRAMMAR, ""]
    lines += ["| key | value | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | `{word.metavar}` | {word.doc} |" for name, word in GRAMMAR.items()]
    return "\n".join(lines) + "\n"


def _groups() -> Iterator[tuple[str, Iterator[Option]]]:
    return groupby(OPTIONS, key=lambda option: option.group)


def _flags(option: Option) -> str:
    short = "".join(f"-{letter}, " for letter in option.short)
    return f"{short}--{option.name} {option.metavar}".rstrip()


def _help_doc(option: Option) -> str:
    parts = [_doc(option)]
    if option.aliases:
        parts.append(f"Also --{', --'.join(option.aliases)}.")
    if not option.kind.flag and _default(option):
        parts.append(f"[{_default(option)}]")
    return " ".join(parts)


def _help_entry(flags: str, doc: str) -> list[str]:
    wrapped = textwrap.wrap(doc, _WIDTH - _COLUMN, break_on_hyphens=False)
    head = f"  {flags}"
    if len(head) + 2 > _COLUMN:
        return [head, *(" " * _COLUMN + line for line in wrapped)]
    return [head.ljust(_COLUMN) + wrapped[0], *(" " * _COLUMN + line for line in wrapped[1:])]


def _row(option: Option) -> str:
    names = [f"`{option.name}`", *(f"`{alias}`" for alias in option.aliases)]
    names += [f"`-{letter}`" for letter in option.short]
    value = "flag" if option.kind.flag else f"`{option.metavar}`".replace("|", "\\|")
    if option.kind.many:
        value += ", repeatable"
    default = f"`{_default(option)}`" if _default(option) else ""
    return f"| {', '.join(names)} | {value} | {default} | {_doc(option)} |"


def _doc(option: Option) -> str:
    if option.compat:
        return f"Accepted, changes nothing: {option.doc}."
    return option.doc


def _default(option: Option) -> str:
    """The default as one would write it; empty when there is nothing to say."""
    default = option.default
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, int) and option.kind.metavar == "BYTES" and default % 2**20 == 0:
        return f"{default // 2**20}M"
    return str(default)


if __name__ == "__main__":
    sys.stdout.write(markdown())
