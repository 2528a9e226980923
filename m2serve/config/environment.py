"""Variables of the environment that are settings: uWSGI takes every ``UWSGI_NAME`` for an option ``name``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.config.entry import ENVIRONMENT, Entry
from m2serve.config.table import TABLE
from m2serve.config.words import GRAMMAR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from m2serve.config.table import Table

_PREFIX = "UWSGI_"
_NOT_SETTINGS = frozenset(
    {
        "UWSGI_RELOADS",
        "UWSGI_VASSALS_DIR",
        "UWSGI_EMPEROR_FD",
        "UWSGI_EMPEROR_FD_CONFIG",
        "UWSGI_EMPEROR_PROXY",
        "UWSGI_BROODLORD_NUM",
        "UWSGI_JAIL_PID",
        "UWSGI_ORIGINAL_PROC_NAME",
    }
)
"""What uWSGI tells its own children."""


def entries(env: Mapping[str, str], table: Table = TABLE) -> Iterator[Entry]:
    """The settings in the environment; a name that means nothing to us can be used as ``%(name)``."""
    for variable, value in env.items():
        if not variable.startswith(_PREFIX) or variable in _NOT_SETTINGS:
            continue
        key = variable.removeprefix(_PREFIX).lower().replace("_", "-")
        word = GRAMMAR.get(key)
        known = (
            table.lookup(key) is not None
            or table.foreign(key, value) is not None
            or (word is not None and word.shell and word.file)
        )
        name = table.by_name[key].name if table.lookup(key) else key
        yield Entry(name, value, ENVIRONMENT, variable, placeholder=not known)
