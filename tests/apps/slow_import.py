"""Takes its time to import, as big applications do."""

import time

from probe import application

__all__ = ["application"]

time.sleep(1.0)
