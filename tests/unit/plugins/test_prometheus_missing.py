"""Without prometheus_client."""

from __future__ import annotations

import sys

import pytest

from m2serve.errors import ConfigError
from m2serve.plugin.loader import find


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("m2serve_plugins")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"prometheus_client is not installed: pip install 'm2serve\[prometheus\]'"):
        find("prometheus", [], importable=False)
