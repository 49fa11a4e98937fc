"""The command line: one command a stage, the same runs the dock starts."""

from segmix_core.cli.app import main

__all__ = ["main"]
