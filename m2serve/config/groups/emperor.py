# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options of the emperor: many servers from one directory."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import option
from m2serve.endpoint import StatsAddress
from m2serve.ids import Seconds


@dataclass(frozen=True)
class EmperorGroup:
    """Emperor"""

    emperor: tuple[str, ...] = option(
        (),
        "Directory, or pattern, of configuration files: each runs as a server of its own as long as it is there.",
        metavar="DIR",
    )
    emperor_freq: Seconds = option(Seconds(3), "How often the directory is looked at.", names=("emperor-frequency",))
    emperor_throttle: int = option(
        1000,
        "Milliseconds for which a vassal that fails at once is left alone; each further failure doubles them.",
        metavar="MS",
    )
    emperor_max_throttle: int = option(180_000, "Milliseconds beyond which that does not grow.", metavar="MS")
    emperor_extra_extension: tuple[str, ...] = option(
        (),
        "Further ending of configuration files, read as ini.",
        names=("emperor-extra-ext",),
        metavar="SUFFIX",
    )
    emperor_nofollow: bool = option(False, "A link counts as changed when it changes, not what it leads to.")
    emperor_tyrant: bool = option(False, "Run each vassal as the owner of its file; root's files are not run.")
    emperor_stats_server: StatsAddress | None = option(
        None,
        "Where the emperor tells, as JSON, how its vassals are. A path is a Unix socket.",
        names=("emperor-stats",),
        metavar="[HOST]:PORT|PATH|@NAME",
    )
    emperor_pidfile: str | None = option(None, "File that holds the emperor's pid.", metavar="FILE")
    emperor_procname: str = option("", "Name of the emperor in ps and top.", metavar="NAME")
    emperor_curse_tolerance: Seconds | None = option(
        None,
        "How long a vassal may take to stop; then it is killed. By default the emperor's worker-reload-mercy and 5 s.",
    )
    vassal_set: tuple[str, ...] = option(
        (), "Placeholder or option for all vassals, as name=value.", names=("vassals-set",), metavar="NAME=VALUE"
    )
    vassals_include: tuple[str, ...] = option(
        (), "Configuration file that all vassals read first.", names=("vassals-include-before",), metavar="FILE"
    )
    vassals_inherit: tuple[str, ...] = option((), "The same, read last.", metavar="FILE")
