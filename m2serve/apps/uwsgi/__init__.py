"""The modules ``uwsgi`` and ``uwsgidecorators`` that applications import; made when the first one asks for them."""
