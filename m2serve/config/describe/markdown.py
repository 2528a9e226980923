"""docs/options.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from m2serve.config.table import Option

_FOREIGN = (
    "An option of uWSGI's that m2serve has no setting for is never a reason not to start. What it asked for is",
    "said in one line of the log, and in the report of `--check`. With `strict`, those of the first table are",
    "mistakes. A value that only says no (`harakiri = 0`) is passed over. Names with `…` stand for all that begin",
    "so.",
)
_TITLES = {
    Fate.MISSING: "Not in this version",
    Fate.ELSEWHERE: "Without meaning here: what to use instead",
    Fate.NEEDLESS: "Needless: nothing is lost",
}


def markdown() -> str:
    """The whole page."""
    lines = [
        "# Options",
        "",
        "<!-- Generated: python -m m2serve.config.describe > docs/options.md -->",
        "",
        "Every option can stand on the command line (`--threads 4`) and in a file (`threads = 4`, in a section",
        "`[uwsgi]` or `[m2serve]`); [ini.md](ini.md) is about the files. What stands further right on the command",
        "line counts, files and single options alike; of several values the last one, unless the option is marked",
        "as repeatable. Flags are true unless the value is `false`, `off`, `no` or `0`. Bytes may be written with",
        "K, M or G, seconds with ms, s, m or h.",
    ]
    for title, options in groups():
        lines += ["", f"## {title}", ""]
        lines += ["| option | value | default | meaning |", "|---|---|---|---|"]
        lines += [_row(option) for option in options]
    lines += ["", "## Configuration files", "", *GRAMMAR, ""]
    lines += ["| key | value | where | meaning |", "|---|---|---|---|"]
    for name, word in WORDS.items():
        where = "anywhere" if word.shell and word.file else "command line" if word.shell else "files"
        value = f"`{word.metavar}`" if word.metavar else ""
        lines.append(f"| `{name}` | {value} | {where} | {word.doc} |")
    lines += ["", "Every `if-` has a contrary, `if-not-`.", "", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {int(code)} | {text} |" for code, text in EXIT_CODES.items()]
    lines += ["", "## Other options of uWSGI's", "", *_FOREIGN]
    for fate, title in _TITLES.items():
        lines += ["", f"### {title}", "", "| option | value | |", "|---|---|---|"]
        for row in foreign_rows(fate):
            names = [f"`{name}`" for name in foreign_names(row)] + [f"`-{letter}`" for letter in row.short]
            value = f"`{row.metavar}`" if row.metavar else "flag"
            value += f" matching `{row.value.pattern}`".replace("|", "\\|") if row.value else ""
            lines.append(f"| {', '.join(names)} | {value} | {row.text} |")
    return "\n".join(lines) + "\n"


def _row(option: Option) -> str:
    names = [f"`{option.name}`", *(f"`{alias}`" for alias in option.aliases)]
    names += [f"`-{letter}`" for letter in option.short]
    value = "flag" if option.kind.flag else f"`{option.metavar}`".replace("|", "\\|")
    if option.kind.many:
        value += ", repeatable"
    shown = f"`{default(option)}`" if default(option) else ""
    return f"| {', '.join(names)} | {value} | {shown} | {doc(option)} |"
