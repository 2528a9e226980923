"""Types for numbers and bytes that must not be mixed up."""

from __future__ import annotations

from typing import NewType

WorkerId = NewType("WorkerId", int)
"""Position of a worker, 1..N; a replacement takes the number of the worker it replaces."""

Pid = NewType("Pid", int)

ConnId = NewType("ConnId", bytes)
"""Mongrel2's decimal number of one client connection; starts again from 1 when Mongrel2 restarts."""

Seconds = NewType("Seconds", float)

Bytes = NewType("Bytes", int)
