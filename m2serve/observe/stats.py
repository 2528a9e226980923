"""The stats document: uWSGI's JSON, key by key, and what only m2serve has under a key of its own.

Consumers decode numbers into integers, and tell workers by their id: so no number here has a fraction, nothing is
null, and of two lives of one worker only that which serves is shown. ``m2serve.workers`` has all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from m2serve.observe.snapshot import (
        App,
        Cache,
        Core,
        Cron,
        Dispatcher,
        Life,
        Listening,
        RunningRequest,
        Snapshot,
        Socket,
        Worker,
    )

Document = dict[str, Any]


def document(snapshot: Snapshot, *, cores: bool = True) -> Document:
    """uWSGI's document.

    Args: cores: with what each thread does.
    """
    dispatcher = snapshot.dispatcher
    # As in uWSGI the longest of all queues.
    queue = max([dispatcher.waiting if dispatcher is not None else 0, *(one.waiting for one in snapshot.doors)])
    refused = dispatcher.answered["503"] if dispatcher is not None else 0
    result: Document = {
        "version": snapshot.version,
        "listen_queue": queue,
        "listen_queue_errors": refused + sum(one.dropped for one in snapshot.doors),
        "signal_queue": 0,
        "load": queue,
        "pid": snapshot.pid,
        "uid": snapshot.uid,
        "gid": snapshot.gid,
        "cwd": snapshot.cwd,
    }
    if snapshot.daemons:
        result["daemons"] = [{"cmd": one.command, "pid": one.pid, "respawns": one.respawns} for one in snapshot.daemons]
    result["locks"] = []
    if snapshot.caches:
        result["caches"] = [_cache(one) for one in snapshot.caches]
    result["sockets"] = [
        *map(_door, snapshot.doors),
        *(_socket(one, snapshot.queue_limit) for one in snapshot.sockets),
    ]
    result["workers"] = [_worker(one, cores, paused=snapshot.paused) for one in snapshot.workers]
    if snapshot.crons:
        result["crons"] = [_cron(one) for one in snapshot.crons]
    result["m2serve"] = _ours(snapshot, cores)
    return result


def encode(document: Document, *, minified: bool) -> bytes:
    """The document as it is sent."""
    if minified:
        return json.dumps(document, separators=(",", ":")).encode()
    return json.dumps(document, indent="\t").encode() + b"\n"


def shown(worker: Worker) -> Life | None:
    """The life that stands for the worker: the latest that serves, else the latest."""
    return max(worker.lives, key=lambda life: (life.ready, life.key), default=None)


def _cron(one: Cron) -> Document:
    return {
        "minute": one.minute,
        "hour": one.hour,
        "day": one.day,
        "month": one.month,
        "week": one.week,
        "command": one.command,
        "unique": int(one.unique),
        "legion": "",
        "pid": one.pid,
        "started_at": int(one.started) if one.pid != -1 else 0,
    }


def _cache(one: Cache) -> Document:
    return {
        "name": one.name,
        "hash": "blake2b",
        "hashsize": one.buckets,
        "keysize": one.keysize,
        "max_items": one.max_items,
        "blocks": one.blocks,
        "blocksize": one.blocksize,
        "items": one.items,
        "hits": one.hits,
        "miss": one.misses,
        "full": one.full,
        "last_modified_at": one.modified,
    }


def _door(one: Listening) -> Document:
    return {
        "name": one.name,
        "proto": one.protocol,
        "queue": one.waiting,
        "max_queue": one.most,
        "shared": int(one.shared),
        "can_offload": 0,
    }


def _socket(one: Socket, limit: int) -> Document:
    return {"name": one.name, "proto": "zeromq", "queue": one.queued, "max_queue": limit, "shared": 0, "can_offload": 0}


def _worker(worker: Worker, cores: bool, *, paused: bool) -> Document:
    life = shown(worker)
    past = worker.past
    all_cores = [core for one in worker.lives for core in (*one.cores, one.aside)]
    own = () if life is None else life.cores
    averages = [core.average for core in own if core.requests]
    result: Document = {
        "id": worker.number,
        "pid": life.pid if life is not None else 0,
        "accepting": int(life is not None and life.ready),
        "requests": past.requests + sum(core.requests for core in all_cores),
        "delta_requests": sum(core.requests for core in own),
        "exceptions": past.exceptions + sum(core.exceptions for core in all_cores),
        "harakiri_count": past.harakiris + sum(one.harakiris for one in worker.lives),
        "signals": 0,
        "signal_queue": 0,
        "status": _status(life, paused),
        "rss": life.rss if life is not None else 0,
        "vsz": life.vsz if life is not None else 0,
        "running_time": past.busy + sum(core.busy for core in all_cores),
        "last_spawn": int(life.started) if life is not None else 0,
        "respawn_count": worker.spawns,
        "tx": past.sent + sum(core.sent for core in all_cores),
        "avg_rt": sum(averages) // len(averages) if averages else 0,
        "apps": [] if life is None else [_app(i, one, life) for i, one in enumerate(life.apps)],
    }
    if cores:
        result["cores"] = [_core(number, core) for number, core in enumerate(own)]
    return result


def _status(life: Life | None, paused: bool) -> str:
    if life is None:
        return "cheap"  # no process: the only word of uWSGI's for that
    if any(core.request is not None for core in life.cores):
        return "busy"
    return "pause" if paused else "idle"


def _app(number: int, app: App, life: Life) -> Document:
    return {
        "id": number,
        "modifier1": 0,
        "mountpoint": app.mountpoint,
        "startup_time": int(life.loading),
        "requests": app.requests,
        "exceptions": app.exceptions,
        "chdir": "",
    }


def _core(number: int, core: Core) -> Document:
    request = core.request
    return {
        "id": number,
        "requests": core.requests,
        "static_requests": core.files,
        "routed_requests": 0,
        "offloaded_requests": core.offloaded,
        "write_errors": core.write_errors,
        "read_errors": core.read_errors,
        "in_request": int(request is not None),
        "vars": [] if request is None else [*_variables(request), ""],
        "req_info": {} if request is None else {"request_start": int(request.started)},
    }


def _variables(request: RunningRequest) -> list[str]:
    """No header is among them, so no cookie either."""
    path, _, query = request.uri.partition("?")
    return [
        f"REQUEST_METHOD={request.method}",
        f"PATH_INFO={unquote(path, 'latin-1')}",
        f"REQUEST_URI={request.uri}",
        f"QUERY_STRING={query}",
    ]


def _ours(snapshot: Snapshot, cores: bool) -> Document:
    dispatcher = snapshot.dispatcher
    result: Document = {
        "topology": _topology(snapshot),
        "generation": snapshot.generation,
        "reloading": int(snapshot.reloading),
        "wanted": snapshot.wanted,
        "asleep": int(snapshot.asleep),
        "paused": int(snapshot.paused),
        "last_reload": snapshot.last_reload,
        "time": int(snapshot.now),
    }
    if dispatcher is not None:
        result["dispatcher"] = _dispatcher(dispatcher, snapshot)
        result["endpoints"] = [
            {"name": one.name, "epoch": one.epoch, "queue": one.queued, "oldest_us": one.oldest}
            for one in snapshot.sockets
        ]
    if snapshot.doors:
        result["doors"] = [{"name": one.name, "dropped": one.dropped} for one in snapshot.doors]
    if snapshot.crons:
        result["crons"] = [
            {
                "command": one.command,
                "running": one.running,
                "runs": one.runs,
                "last_start": int(one.started),
                "last_exit": one.code,
                "last_us": one.seconds,
            }
            for one in snapshot.crons
        ]
    if snapshot.unfit:
        result["not_preloaded"] = snapshot.unfit
    result["nurseries"] = [
        {
            "pid": one.pid,
            "generation": one.generation,
            "state": one.state,
            "startup_time_ms": int(one.loading * 1000),
            "rss": one.rss,
        }
        for one in snapshot.nurseries
    ]
    result["workers"] = [_life(worker, life, cores) for worker in snapshot.workers for life in worker.lives]
    return result


def _topology(snapshot: Snapshot) -> str:
    if snapshot.dispatcher is not None:
        return "dispatched"
    return "direct" if snapshot.sockets else "doors"


def _dispatcher(dispatcher: Dispatcher, snapshot: Snapshot) -> Document:
    return {
        "pid": dispatcher.pid,
        "state": dispatcher.state,
        "lives": dispatcher.lives,
        "requests": dispatcher.handed,
        "queue": dispatcher.waiting,
        "queue_limit": snapshot.queue_limit,
        "queue_time_us": dispatcher.queue_time,
        "oldest_us": max((one.oldest for one in snapshot.sockets), default=0),
        "parked": dispatcher.parked,
        "running": dispatcher.running,
        "draining": dispatcher.draining,
        "answered": dispatcher.answered,
        "bad_messages": dispatcher.garbage,
        "disconnects": dispatcher.disconnects,
    }


def _life(worker: Worker, life: Life, cores: bool) -> Document:
    result: Document = {
        "id": worker.number,
        "pid": life.pid,
        "generation": life.generation,
        "state": life.state,
        "requests": sum(core.requests for core in life.cores),
        "bad_messages": sum(core.garbage for core in life.cores),
        "refused": life.refused,
    }
    if cores:
        result["threads"] = [_thread(number, core) for number, core in enumerate(life.cores)]
    return result


def _thread(number: int, core: Core) -> Document:
    result: Document = {
        "core": number,
        "uuid": core.uuid,
        "requests": core.requests,
        "exceptions": core.exceptions,
        "running_time": core.busy,
        "tx": core.sent,
    }
    request = core.request
    if request is not None:
        result["request"] = {
            "id": request.request_id,
            "method": request.method,
            "uri": request.uri,
            "elapsed_us": request.elapsed,
        }
    return result
