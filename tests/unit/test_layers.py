"""Imports go downwards only."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[2] / "m2serve"
VOCABULARY = frozenset({"m2serve", "errors", "ids", "message", "endpoint", "front", "door", "clock", "trusted"})
RANKS = {
    **dict.fromkeys(VOCABULARY, 0),
    **dict.fromkeys(("wire", "config", "plugin"), 1),
    **dict.fromkeys(("transports", "engines", "gateways", "handler", "apps", "uploads", "observe", "system"), 2),
    **dict.fromkeys(("worker", "dispatcher", "mongrel2", "web", "cluster", "testing"), 3),
    **dict.fromkeys(("master", "emperor"), 4),
    **dict.fromkeys(("cli", "top"), 5),
    "__main__": 6,
}
VOCABULARY_ORDER = {
    "m2serve": 0,
    "errors": 0,
    "ids": 0,
    "message": 1,
    "endpoint": 1,
    "front": 2,
    "door": 1,
    "clock": 1,
    "trusted": 1,
}
"""The vocabulary has an order of its own: each may use those of a lower number."""


def unit(module: str) -> str:
    """The part of the package that a dotted name belongs to: its second word, ``m2serve`` for the root."""
    words = module.split(".")
    return words[1] if len(words) > 1 else words[0]


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names of ours that a module imports; ``from m2serve import x`` counts as ``m2serve.x``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "m2serve")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            if base == "m2serve":
                for alias in node.names:
                    yield f"m2serve.{alias.name}" if alias.name in RANKS else "m2serve"
            elif base.startswith("m2serve."):
                yield base


def forbidden(importer: str, imported: str) -> str | None:
    """Why a part may not use another, or None."""
    if imported not in RANKS:
        return f"{imported} has no rank"
    if importer == imported or RANKS[imported] < RANKS[importer]:
        return None
    if RANKS[imported] == RANKS[importer] == 0 and VOCABULARY_ORDER[imported] < VOCABULARY_ORDER[importer]:
        return None
    direction = "sideways" if RANKS[imported] == RANKS[importer] else "upwards"
    return f"{direction} to {imported}"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(words[:-1] if words[-1] == "__init__" else words)
    package = name if words[-1] == "__init__" else name.rpartition(".")[0]
    assert unit(name) in RANKS, f"{name} needs a rank in this test"
    tree = ast.parse(path.read_text())
    wrong = [reason for imported in imports(tree, package) if (reason := forbidden(unit(name), unit(imported)))]
    assert wrong == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_hides_in_a_function(path: Path) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, functions):
            assert list(imports(function, "m2serve")) == [], f"{function.name} imports late"


@pytest.mark.parametrize(
    ("source", "importer", "allowed"),
    [
        ("from m2serve.errors import ConfigError", "wire", True),
        ("from m2serve import __version__", "config", True),
        ("from m2serve.wire import mongrel2", "transports", True),
        ("from m2serve.apps.loader import load", "gateways", False),
        ("import m2serve.master.server", "worker", False),
        ("from m2serve import cli", "master", False),
        ("from ..master import server", "worker", False),
        ("from m2serve.message import Request", "ids", False),
        ("from m2serve.ids import ConnId", "message", True),
        ("from m2serve.unheard import x", "master", False),
    ],
)
def test_the_rule_itself(source: str, importer: str, allowed: bool) -> None:
    found = list(imports(ast.parse(source), f"m2serve.{importer}"))
    assert len(found) == 1
    assert (forbidden(importer, unit(found[0])) is None) == allowed
