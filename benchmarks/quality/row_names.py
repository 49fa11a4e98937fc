"""Methods to compare, as they are written on the command line."""

import re

from benchmarks.quality.variants import Variant
from segmix_core.cli.settings import parse_assignment

# Not the commas of a list; not the plus of a number such as 1e+3.
_NEXT_ROW = re.compile(r",(?![^\[]*\])")
_NEXT_SETTING = re.compile(r"\+(?=\w+\.\w+=)")


def parse_variants(text: str) -> list[Variant]:
    """Return the rows that a text such as ``cam,segmix:train.er_weight=0`` asks for.

    Rows are separated by commas. A colon begins the settings of a row, which are
    joined by ``+``, so that no shell needs quotes.

    Raises
    ------
    ConfigError
        If a setting does not have the form ``section.field=value``.
    """
    return [_parse(row.strip()) for row in _NEXT_ROW.split(text)]


def _parse(row: str) -> Variant:
    method, colon, settings = row.partition(":")
    parts = _NEXT_SETTING.split(settings) if colon else []
    return Variant(method, dict(parse_assignment(part) for part in parts))
