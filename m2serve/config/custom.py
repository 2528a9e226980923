"""Options that a configuration makes itself: ``declare-option = shop=chdir=/srv/$1;module=$1:$2``, then ``shop = a b``.

As in uWSGI: a template ends at a part without ``=``, the first one of a name counts, and ``$1`` stands for the first
word of the value, in keys, too; what there is no word for stays as it is. In one thing it is not: placeholders are
replaced when everything has been read, so one of them is one word, whatever it stands for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from m2serve.config.magic import LETTER
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.config.entry import Entry

DECLARE = "declare-option"
"""What such an option says counts at once, and so before all that is said without one, wherever it stands."""
DECLARE_IN_PLACE = "declare-option2"
"""What it says counts where it stands."""

MAX_DEPTH = 16
"""Options in options."""

_WORD = re.compile(r"(?:[%$@]\([^()]*\)|[^ ])+")
_MAX_LENGTH = 1 << 20


class Custom(NamedTuple):
    """One of them."""

    name: str
    parts: tuple[tuple[str, str], ...]
    """Keys and values."""
    early: bool
    """It was made by `DECLARE`."""
    rest: str = ""
    """Where the template ends for want of a ``=``."""

    @classmethod
    def declared(cls, entry: Entry) -> Custom:
        """Raises: ConfigError: with what was expected."""
        name, equal, template = entry.value.partition("=")
        if not equal or not name or " " in name:
            raise ConfigError("expected NAME=KEY=VALUE;KEY=VALUE..., with $1, $2 ... for the words of its value")
        parts: list[tuple[str, str]] = []
        rest = ""
        for part in filter(None, _own_letters(template, entry).split(";")):
            key, equal, value = part.partition("=")
            if not equal:
                rest = part
                break
            parts.append((key, value))
        return cls(name, tuple(parts), entry.key == DECLARE, rest)

    def means(self, text: str) -> Iterator[tuple[str, str]]:
        """The options that it stands for, with this value. Raises: ConfigError: they become too long."""
        words = _WORD.findall(text) or [""]
        for part in self.parts:
            key, value = (_filled(one, words) for one in part)
            yield key, value


def _own_letters(template: str, entry: Entry) -> str:
    """With the one-letter variables of the file that it stands in, which need not be that of its use."""

    def replaced(match: re.Match[str]) -> str:
        if entry.from_shell:  # it has none there
            return "%%" + match[1].replace("%", "%%")
        value = entry.magic.get(match[1])
        return match[0] if value is None or match[1] == "%" else value.replace("%", "%%")

    return LETTER.sub(replaced, template)


def _filled(text: str, words: list[str]) -> str:
    for number, word in enumerate(words, start=1):
        name = f"${number}"
        if name not in text:
            continue
        if len(text) + text.count(name) * len(word) > _MAX_LENGTH:
            raise ConfigError(f"it grows past {_MAX_LENGTH} characters")
        text = text.replace(name, word)
    return text
