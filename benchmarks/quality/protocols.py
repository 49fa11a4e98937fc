"""The protocols by name."""

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.protocol import Protocol
from benchmarks.quality.protocol_subtype import SubtypeProtocol
from benchmarks.quality.protocol_tags import PatchTagProtocol
from segmix_core.errors import ConfigError

PROTOCOLS: dict[str, type[Protocol]] = {"p1": SubtypeProtocol, "p2": PatchTagProtocol}


def make_protocol(name: str, folder: BenchmarkFolder) -> Protocol:
    """Return a protocol by name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(
            f"{name!r} is not a valid protocol.",
            f"Choose one of {', '.join(PROTOCOLS)}.",
        )
    return PROTOCOLS[name](folder)
