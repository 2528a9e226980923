"""The caches that applications share by ``uwsgi.cache_get`` and its kin."""
