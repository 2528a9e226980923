"""Sockets of our own: connections are read and answered here, whatever their protocol; threads come to run requests."""
