"""A mule that does nothing."""

import time

while True:
    time.sleep(1000)
