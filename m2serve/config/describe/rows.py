"""What every generated page says about an option."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from m2serve.config.table import FOREIGN, TABLE, Option, Table
from m2serve.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.config.foreign import Fate, Foreign

EXIT_CODES = {
    ExitCode.OK: "Stopped as asked, or a question was answered.",
    ExitCode.CONFIG: "Wrong settings, or a Mongrel2 that does not start; nothing runs.",
    ExitCode.APP_LOAD: "The application cannot be loaded, and need-app is set.",
    ExitCode.INTERNAL: "A fault of m2serve's own; the log has the traceback.",
}
"""Those of the master."""

GRAMMAR = (
    "Lines are `key = value`; a key alone is a flag that is set; lines that start with `;` or `#` are comments.",
    "`%(name)` is the first value of a key, those of the command line coming first; with blanks it is",
    "arithmetic from left to right, `%(threads * 2)`, or puts texts together, `%(base name)`. `$(NAME)` is an",
    "environment variable, `$(NAME:-default)` one with a default, `@(path)` the content of a file. About the",
    "file: `%p` path, `%d` directory with its slash, `%s` name, `%n` name without ending, `%e` ending, `%c` last",
    "part of the directory, `%0` to `%9` its parts, `%o` the name as given, `%x` the section asked for, `%i`",
    "inode, `%j` hash of the path; `%P %D %S %N %E %C %O %X %I %J` the same about the first file. About the",
    "machine: `%h` host, `%k` processors, `%v` directory at start, `%u %U %g %G` user and group, `%t %T` time,",
    "`%V` version, `%b` the program, `%[` escape. `%%` is a plain `%`; what has no meaning stays as it is.",
    "Relative paths start at the directory m2serve was started in; those of the application (`wsgi-file`,",
    "`mount`, `pythonpath`) at `chdir`.",
)


def groups(table: Table = TABLE) -> Iterator[tuple[str, Iterator[Option]]]:
    """The options by group, with its title."""
    return groupby(table.options, key=lambda option: option.group)


def foreign_rows(fate: Fate) -> list[Foreign]:
    """uWSGI's options with this fate."""
    return [row for row in FOREIGN if row.fate is fate]


def foreign_names(row: Foreign) -> list[str]:
    """The names for users; those of a family stand for all that begin so."""
    return [f"{name}…" if row.family else name for name in row.names]


def doc(option: Option) -> str:
    """One or more sentences."""
    if option.compat:
        return f"Accepted, changes nothing: {option.doc}."
    return option.doc


def default(option: Option) -> str:
    """The default as one would write it; empty when there is nothing to say."""
    value = option.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and option.kind.metavar == "BYTES" and value % 2**20 == 0:
        return f"{value // 2**20}M"
    return str(value)
