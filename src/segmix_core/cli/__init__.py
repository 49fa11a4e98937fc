"""The command line: one command per stage; it starts the same runs as the dock."""

from segmix_core.cli.app import main

__all__ = ["main"]
