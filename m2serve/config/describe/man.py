"""The manual page, m2serve(1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve import __version__
from m2serve.config.describe.rows import (
    EXIT_CODES,
    GRAMMAR,
    default,
    doc,
    foreign_names,
    foreign_rows,
    groups,
)
from m2serve.config.foreign import Fate
from m2serve.config.words import GRAMMAR as WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.config.table import Option

_HEAD = """\
.\\" Generated: python -m m2serve.config.describe man > docs/m2serve.1
.TH M2SERVE 1 "" "m2serve {version}" ""
.SH NAME
m2serve \\- serve a Python web application behind Mongrel2
.SH SYNOPSIS
.B m2serve
[\\fIOPTION\\fR]... [\\fIFILE\\fR[:\\fISECTION\\fR]]...
.SH DESCRIPTION
A master, worker processes with threads, and a dispatcher that takes requests from one or more Mongrel2 servers.
Options have uWSGI's names, and its configuration files are read: ini, YAML, JSON, and TOML besides.
What stands further right on the command line counts, files and single options alike.
.PP
TERM stops the server when its requests are finished, INT at once, HUP reloads the application, USR2 replaces
m2serve itself."""

_FOREIGN = {
    Fate.MISSING: "Not in this version, and what therefore does not happen; mistakes under \\fBstrict\\fR:",
    Fate.ELSEWHERE: "Without meaning here, and what to use instead:",
    Fate.NEEDLESS: "Needless, and why nothing is lost:",
}


def man() -> str:
    """The page as troff."""
    lines = [_HEAD.format(version=__version__), ".SH OPTIONS"]
    for title, options in groups():
        lines.append(f".SS {_text(title)}")
        for option in options:
            lines += _entry(_flags(option), _doc(option))
    lines.append(".SS Configuration files and information")
    for name, word in WORDS.items():
        if word.shell:
            lines += _entry(_flag(f"--{name}", word.metavar), word.doc)
    lines += _entry(_flag("-h") + ", " + _flag("--help"), "Print the options.")
    lines += _entry(_flag("-V") + ", " + _flag("--version"), "Print the version.")
    lines += [".SH CONFIGURATION FILES", _text(" ".join(GRAMMAR).replace("`", ""))]
    lines += [".PP", "These keys may stand in files only; every if\\- has a contrary, if\\-not\\-:"]
    for name, word in WORDS.items():
        if not word.shell:
            lines += _entry(_flag(name, word.metavar), word.doc)
    lines.append(".SH OTHER OPTIONS OF UWSGI")
    for fate, title in _FOREIGN.items():
        lines += [".PP", title]
        for row in foreign_rows(fate):
            lines += _entry(", ".join(_flag(name) for name in foreign_names(row)), f"{row.text}.")
    lines.append(".SH EXIT STATUS")
    for code, text in EXIT_CODES.items():
        lines += _entry(f"\\fB{int(code)}\\fR", text)
    return "\n".join(lines) + "\n"


def _flags(option: Option) -> str:
    names: Iterable[str] = (f"-{letter}" for letter in option.short)
    long = (f"--{name}" for name in (option.name, *option.aliases))
    return ", ".join([*map(_flag, names), *map(_flag, long)]) + (
        f" \\fI{_text(option.metavar)}\\fR" if option.metavar else ""
    )


def _flag(name: str, metavar: str = "") -> str:
    return f"\\fB{_text(name)}\\fR" + (f" \\fI{_text(metavar)}\\fR" if metavar else "")


def _doc(option: Option) -> str:
    parts = [doc(option)]
    if option.kind.many:
        parts.append("Repeatable.")
    if default(option):
        parts.append(f"[{default(option)}]")
    return " ".join(parts)


def _entry(head: str, text: str) -> list[str]:
    return [".TP", head, _text(text)]


def _text(text: str) -> str:
    """Text without meaning for troff; a dot or a quote at the start of a line would be a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
