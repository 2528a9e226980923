# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about how many workers there are at a time."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import option
from m2serve.ids import Bytes, Seconds


@dataclass(frozen=True)
class CheaperGroup:
    """Adaptive processes"""

    cheaper: int = option(0, "Keep so many workers at least, and up to processes as they are needed; 0 for always all.")
    cheaper_initial: int = option(0, "So many workers at the start; by default cheaper.")
    cheaper_step: int = option(1, "Start so many workers at a time when more are needed.", minimum=1)
    cheaper_algo: str = option(
        "spare", "Who decides how many are needed: spare, spare2, backlog, busyness or manual.", metavar="NAME"
    )
    cheaper_overload: int = option(
        3,
        "spare: seconds without a free thread after which workers start, and of spare ones after which one leaves. "
        "backlog: so many requests wait. busyness: the length of a window, in seconds.",
        minimum=1,
    )
    cheaper_idle: Seconds = option(Seconds(10), "spare2: seconds after which a worker too many leaves.")
    cheaper_rss_limit_soft: Bytes = option(
        Bytes(0), "Start no more workers when all together have so much in memory; 0 for no limit."
    )
    cheaper_rss_limit_hard: Bytes = option(
        Bytes(0), "Stop one worker after the other while all together have so much in memory; 0 for no limit."
    )
    cheaper_busyness_max: int = option(50, "busyness: more workers above so many percent.", minimum=1)
    cheaper_busyness_min: int = option(25, "busyness: fewer workers below so many percent.", minimum=1)
    cheaper_busyness_multiplier: int = option(
        10, "busyness: a worker leaves when it was too quiet for so many windows.", minimum=1
    )
    cheaper_busyness_penalty: int = option(
        2, "busyness: add this to the multiplier when a worker is missed soon after it has left."
    )
    cheaper_busyness_verbose: bool = option(False, "busyness: say in the log what was measured.")
    cheaper_busyness_backlog_alert: int = option(
        33, "busyness: more workers at once when more requests wait.", minimum=1
    )
    cheaper_busyness_backlog_multiplier: int = option(
        3, "busyness: the multiplier for workers that were started so.", minimum=1
    )
    cheaper_busyness_backlog_step: int = option(1, "busyness: start so many of those at a time.", minimum=1)
    cheaper_busyness_backlog_nonzero: Seconds = option(
        Seconds(60), "busyness: the same when some request has waited all this time.", minimum=1
    )
    cheap: bool = option(False, "Start no worker before the first request has come.")
    idle: Seconds = option(
        Seconds(0), "All workers leave when no request came for so long; the next one starts them again. 0 for never."
    )
    die_on_idle: bool = option(False, "Stop with exit code 0 instead, when idle is over.")
