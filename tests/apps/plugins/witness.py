# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""A plugin that writes down every moment, one line of JSON each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from m2serve.config.option import option
from m2serve.endpoint import StatsAddress  # noqa: TC001 - read at run time
from m2serve.plugin.moments import MOMENTS

if TYPE_CHECKING:
    from m2serve.observe.snapshot import Snapshot
    from m2serve.plugin.hooks import Registrar


@dataclass(frozen=True)
class Options:
    """The plugin witness"""

    witness_file: str = option("/dev/null", "Where to write.", metavar="FILE")
    witness_page: StatsAddress | None = option(None, "Where to answer.")


def setup(hooks: Registrar, options: Options) -> None:
    def write(moment: str, **values: Any) -> None:
        if "request" in values:
            values["request"] = values["request"].path.decode()
        line = json.dumps({"moment": moment, "process": os.getpid(), **values}).encode() + b"\n"
        # One write each: lines of several processes do not mix.
        file = os.open(options.witness_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, line)
        os.close(file)

    def fail(worker: int) -> None:
        raise RuntimeError(f"worker {worker}: raised by the plugin on purpose")

    def page(path: str, snapshot: Snapshot) -> tuple[str, bytes] | None:
        return ("text/plain", f"{len(snapshot.workers)} workers".encode()) if path == "/workers" else None

    for moment in MOMENTS:
        hooks.on(moment, lambda moment=moment, **values: write(moment, **values))
    hooks.on("ready", fail)
    hooks.every(0.2, lambda snapshot: write("tick", pid=snapshot.pid))
    if options.witness_page is not None:
        hooks.page(options.witness_page, page)
