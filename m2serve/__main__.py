"""``python -m m2serve``."""

from m2serve.cli import entry

if __name__ == "__main__":
    entry()
