"""One setting as it was written, before anybody knows whether it makes sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND_LINE = "command line"
ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Entry:
    """A key with its value and the place where both stand.

    ``written`` is the key as the user spelled it, dashes included; empty for the name of a file among the arguments.
    ``magic`` holds the one-letter variables
    of the file (``%d``); the shell has none. ``item`` is what ``%(_)`` stands for, inside a block.
    ``placeholder`` entries define a name for ``%(name)`` and are no option even if one has that name.
    """

    key: str
    value: str
    origin: str
    written: str = ""
    magic: Mapping[str, str] = field(default_factory=dict)
    item: str | None = None
    placeholder: bool = False

    @property
    def from_shell(self) -> bool:
        """Whether the shell has already had its way with the text."""
        return self.origin in (COMMAND_LINE, ENVIRONMENT)

    @property
    def spelled(self) -> str:
        """The key as the user spelled it, in the form that it has in files."""
        written = self.written.lstrip("-")
        if self.origin == ENVIRONMENT:
            written = written.removeprefix("UWSGI_").lower().replace("_", "-")
        return written or self.key

    def __str__(self) -> str:
        if self.origin == COMMAND_LINE:
            return f"{self.origin}: " + f"{self.written} {self.value}".strip()
        written = self.written or self.key
        return f"{self.origin}: {written} = {self.value}".rstrip()
