"""Entries to values, and everything that is wrong with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from m2serve.config.entry import COMMAND_LINE, ENVIRONMENT, Entry
from m2serve.config.foreign import Fate
from m2serve.config.option import clear_truth
from m2serve.config.table import TABLE
from m2serve.config.words import CONDITIONS, GRAMMAR, LOOPS
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.config.expander import Expander
    from m2serve.config.foreign import Foreign
    from m2serve.config.table import Option, Table

_COMMENT = re.compile(r"(?:^|\s)[;#].*", re.DOTALL)
_MAY_BE_EMPTY = frozenset(
    {
        *("plugin", "env", "virtualenv", "pythonpath", "pyimport", "pyargv", "touch_reload", "attach_daemon"),
        *("procname_prefix", "log_format", "chown_socket"),
    }
)
"""Fields whose options do nothing in uWSGI without a value, and are written so: ``virtualenv = $(VIRTUAL_ENV)``."""
_BLOCK_WORD = re.compile(r"(if|for)-|else-?if|elif")


class Builder:
    """Collects what the entries say.

    ``values`` and ``origins`` have a key for each field that was set; of a list, the origins are those of its
    values. ``failed`` are fields whose value is missing because of a mistake.
    """

    def __init__(self, expander: Expander, table: Table = TABLE) -> None:
        self._expander = expander
        self._table = table
        self._notes: dict[str, str] = {}
        self._foreign: list[tuple[Entry, Foreign]] = []
        self._unknown: list[Entry] = []
        self.values: dict[str, Any] = {}
        self.origins: dict[str, tuple[str, ...]] = {}
        self.listed: list[tuple[str, str]] = []
        """The key, as it was spelled, and the field of each value of a list, in their order."""
        self.failed: set[str] = set()
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def take(self, entries: Iterable[Entry]) -> None:
        """Read every entry; of scalars the last one counts, lists grow."""
        for entry in entries:
            if entry.placeholder:
                continue
            option = self._table.lookup(entry.key)
            if option is not None:
                self._option(entry, option)
            elif not self._is_foreign(entry) and entry.key not in self._expander.referenced:
                self._unknown.append(entry)

    def close(self) -> tuple[str, ...]:
        """Say what was ignored, now that it is known whether ``strict`` holds; gives the notes."""
        strict = bool(self.values.get("strict"))
        notes = list(self._notes.values())
        for entry, row in self._foreign:
            report = {Fate.NEEDLESS: notes, Fate.ELSEWHERE: self.warnings}.get(row.fate)
            if report is None:
                report = self.problems if strict and entry.origin != ENVIRONMENT else self.warnings
            report.append(f"{entry}: {row.says()}")
        for entry in self._unknown:
            self._report_unknown(entry, strict)
        return tuple(notes)

    def _report_unknown(self, entry: Entry, strict: bool) -> None:
        word = GRAMMAR.get(entry.key)
        if word is not None:
            self.problems.append(f"{entry}: expected it on the command line only")
        elif _BLOCK_WORD.match(entry.key):
            # What follows would be taken, whatever the block says.
            blocks = ", ".join(sorted(LOOPS | {word for word in CONDITIONS if "-not-" not in word}))
            self.problems.append(f"{entry}: unknown block; expected one of {blocks}")
        else:
            guess = self._table.nearest(entry.key)
            report = self.problems if strict else self.warnings
            report.append(f"{entry}: unknown option" + (f"; did you mean {guess}?" if guess else ""))

    def expand(self, entry: Entry) -> str:
        """The value after all replacements; as it is written when that is a mistake, which is noted once."""
        try:
            return self._expander.expand(entry)
        except ConfigError as error:
            problem = f"{entry}: {error}"
            if problem not in self.problems:
                self.problems.append(problem)
            return entry.value

    def _is_foreign(self, entry: Entry) -> bool:
        text = self.expand(entry)
        row = self._table.foreign(entry.key, text)
        if row is None or (row.rare and entry.key in self._expander.referenced):
            return False
        if not (entry.value and row.asks_nothing(text)):
            self._foreign.append((entry, row))
        return True

    def _option(self, entry: Entry, option: Option) -> None:
        text = entry.value
        try:
            text = self._expander.expand(entry)
            if option.field in _MAY_BE_EMPTY and not text.strip():
                self._leave_out(entry, option)
                return
            if option.kind.comment and not entry.from_shell:
                text = self._without_comment(entry, text)
            value = option.kind.read(entry.key, text)
        except ConfigError as error:
            meaning = "" if text == entry.value or not text else f" (is {text!r})"
            self.problems.append(f"{entry}{meaning}: {error}")
            self.failed.add(option.field)
            return
        if option.kind.flag and not clear_truth(text):
            self.warnings.append(f"{entry}: counts as true; expected true or false")
        self._store(entry, option, value)

    def _leave_out(self, entry: Entry, option: Option) -> None:
        """Take a value that is empty for none."""
        self.warnings.append(f"{entry}: empty, so nothing is set")
        if not option.kind.many:
            self.values.pop(option.field, None)
            self.origins.pop(option.field, None)

    def _without_comment(self, entry: Entry, text: str) -> str:
        shorter = _COMMENT.sub("", text)
        if shorter != text:
            shorter = shorter.rstrip()
            self.warnings.append(f"{entry}: read as {shorter!r}; write comments on their own line")
        return shorter

    def _store(self, entry: Entry, option: Option, value: Any) -> None:
        if option.kind.many:
            self.values[option.field] = (*self.values.get(option.field, ()), value)
            self.listed.append((entry.spelled, option.field))
            self.origins[option.field] = (*self.origins.get(option.field, ()), entry.origin)
            return
        if self.origins.get(option.field) == (COMMAND_LINE,) and value != self.values[option.field]:
            if entry.origin != COMMAND_LINE:
                self.warnings.append(f"{entry}: replaces the command line's value: the file stands further right")
        self.values[option.field] = value
        self.origins[option.field] = (entry.origin,)
        if option.compat and value != option.default:
            self._notes[option.field] = f"{entry}: changes nothing: {option.doc}"
        else:
            self._notes.pop(option.field, None)
