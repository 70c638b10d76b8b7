"""Checks of the Python driver."""
