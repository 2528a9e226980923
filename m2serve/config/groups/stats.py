# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the statistics."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import compatible, option
from m2serve.endpoint import StatsAddress


@dataclass(frozen=True)
class StatsGroup:
    """Statistics"""

    stats: StatsAddress | None = option(
        None,
        "Where to tell, as JSON, how the server is: who connects gets uWSGI's document. A path is a Unix socket.",
        names=("stats-server",),
        metavar="[HOST]:PORT|PATH|@NAME",
    )
    stats_http: bool = option(False, "The same with a head of HTTP in front.")
    stats_minified: bool = option(False, "The same without white space.", names=("stats-min",))
    stats_no_cores: bool = option(False, "The same without what each thread does.")
    stats_no_metrics: bool = compatible(True, "there are no metrics in it")
