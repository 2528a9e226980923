"""The version of everything that processes of one node share, for those that run different versions of m2serve.

It covers the ledger, cards, sheets, the tables behind them, the words of the crew link and the verbs of links. After an
upgrade of the master a dispatcher and workers of the new code work with workers, memory and messages of the old one;
they may if this number is the same. tests/unit/transports/test_layout.py fails when the constants of these modules
change: raise VERSION if old and new code could then misunderstand each other.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
