"""What the figures were taken on: commit, machine, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

REPO = Path(__file__).resolve().parent.parent


def describe() -> dict[str, Any]:
    """For the JSON file."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": output("git", "rev-parse", "HEAD"),
        "modified": bool(output("git", "status", "--porcelain", "--untracked-files=no")),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "load_average": os.getloadavg(),
        },
        "kernel": platform.release(),
        "versions": {
            "python": platform.python_version(),
            "gunicorn": package("gunicorn"),
            "pyzmq": package("pyzmq"),
            "mongrel2": debian("mongrel2-core"),
            "libzmq": debian("libzmq5"),
            "nginx": output("nginx", "-v").removeprefix("nginx version: "),
            "uwsgi": output("uwsgi", "--version"),
            "uwsgi_python": output("uwsgi", "--plugin", "python3", "--python-version"),
            "wrk": output("wrk", "-v").partition(" [")[0],
        },
    }


def output(*argv: str) -> str:
    """First line a command prints, on either stream; empty if there is no such command."""
    try:
        done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return next(iter((done.stdout or done.stderr).splitlines()), "").strip()


def debian(name: str) -> str:
    return output("dpkg-query", "-W", "-f", "${Version}", name)


def package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
