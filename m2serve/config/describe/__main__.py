"""Print a generated page, or write all: ``python -m m2serve.config.describe [markdown|man|bash|write]``."""

from __future__ import annotations

import sys
from pathlib import Path

from m2serve.config.describe.completion import completion
from m2serve.config.describe.man import man
from m2serve.config.describe.markdown import markdown

_PAGES = {"markdown": markdown, "man": man, "bash": completion}
_FILES = {"options.md": markdown, "m2serve.1": man, "m2serve.bash": completion}

if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else "markdown"
    if wanted == "write":
        for name, page in _FILES.items():
            Path("docs", name).write_text(page())
    else:
        sys.stdout.write(_PAGES[wanted]())
