"""Medians, the table, and the ratios against the targets."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from load import Sample

MB = 1e6


class Target(NamedTuple):
    """A promise about a ratio or a size, and how the medians keep it."""

    name: str
    limit: str
    value: float | None
    kept: bool | None


def numbers(samples: Sequence[Sample]) -> dict[str, float]:
    """Medians over the rounds of one peer and load, each figure for itself."""

    def mid(figure: Callable[[Sample], float]) -> float:
        return median(map(figure, samples))

    rates = [s.requests_per_second for s in samples]
    return {
        "requests_per_second": median(rates),
        "spread_percent": 100 * (max(rates) - min(rates)) / median(rates),
        "p50_ms": mid(lambda s: s.p50),
        "p98_ms": mid(lambda s: s.p98),
        "p99_ms": mid(lambda s: s.p99),
        "cpu_us_per_request": mid(lambda s: s.cpu_us_per_request),
        "front_cpu_us_per_request": mid(lambda s: s.front_cpu_us_per_request),
        "foreign_cpu_percent": mid(lambda s: s.foreign_cpu_percent),
        "pss_front": mid(lambda s: s.pss_front),
        "pss_server": mid(lambda s: s.pss_server),
        "pss_worker": mid(lambda s: max(s.pss_workers, default=0)),
        "pss_bare": mid(lambda s: s.pss_bare or 0),
        "errors": sum(s.bad_status + s.socket_errors for s in samples),
    }


def medians(samples: Iterable[Sample]) -> dict[str, dict[str, dict[str, float]]]:
    """load → peer → figures."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.load, sample.peer), []).append(sample)
    out: dict[str, dict[str, dict[str, float]]] = {}
    for (load, peer), group in groups.items():
        out.setdefault(load, {})[peer] = numbers(group)
    return out


def table(load: str, rows: dict[str, dict[str, float]]) -> str:
    """One load as a Markdown table."""
    lines = [
        f"### {load}",
        "",
        "| peer | requests/s | ± % | p50 ms | p98 ms | p99 ms | CPU µs/req | of it front "
        "| PSS MB front | PSS MB server | PSS MB a worker | foreign CPU % | errors |",
        "|---|" + "--:|" * 12,
    ]
    for peer, n in rows.items():
        lines.append(
            f"| {peer} | {n['requests_per_second']:.0f} | {n['spread_percent'] / 2:.0f} | {n['p50_ms']:.2f} "
            f"| {n['p98_ms']:.2f} | {n['p99_ms']:.2f} | {n['cpu_us_per_request']:.0f} "
            f"| {n['front_cpu_us_per_request']:.0f} | {n['pss_front'] / MB:.1f} | {n['pss_server'] / MB:.1f} "
            f"| {n['pss_worker'] / MB:.1f} | {n['foreign_cpu_percent']:.0f} | {n['errors']:.0f} |"
        )
    return "\n".join(lines)


def targets(by_load: dict[str, dict[str, dict[str, float]]]) -> list[Target]:
    """The promises; a peer that did not run leaves its promise open."""

    def rate(load: str, peer: str) -> float | None:
        return by_load.get(load, {}).get(peer, {}).get("requests_per_second")

    def ratio(load: str, ours: str, theirs: str, least: float, aim: str = "") -> Target:
        name = f"{load}: {ours} / {theirs}"
        a, b = rate(load, ours), rate(load, theirs)
        limit = f">= {least:.2f}{aim}"
        if not a or not b:
            return Target(name, limit, None, None)
        return Target(name, limit, a / b, a / b >= least)

    added = [
        (n["pss_worker"] - n["pss_bare"]) / MB
        for rows in by_load.values()
        for peer, n in rows.items()
        if peer.startswith("m2serve-")
    ]
    worst = max(added, default=None)
    errors = sum(n["errors"] for rows in by_load.values() for p, n in rows.items() if p.startswith("m2serve-"))
    return [
        ratio("hello", "m2serve-4x8", "nginx-uwsgi", 1.0, ", aim 1.25"),
        ratio("mixed", "m2serve-4x8", "nginx-uwsgi", 0.95),
        ratio("hello", "m2serve-1x1-direct", "bare-c", 0.6),
        Target(
            "worker less bare interpreter, MB PSS, worst",
            "<= 25",
            worst,
            None if worst is None else worst <= 25,
        ),
        Target("errors of m2serve", "0", errors if added else None, errors == 0 if added else None),
    ]


def target_table(rows: Iterable[Target]) -> str:
    """The promises as a Markdown table."""
    lines = ["### targets", "", "| target | limit | measured | kept |", "|---|---|--:|---|"]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.2f}"
        kept = {None: "not measured", True: "yes", False: "**no**"}[row.kept]
        lines.append(f"| {row.name} | {row.limit} | {value} | {kept} |")
    return "\n".join(lines)
