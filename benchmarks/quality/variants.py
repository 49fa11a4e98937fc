"""A row of the benchmark: a method, maybe with settings of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.quality.methods import METHODS, BenchmarkMethod, check_methods
from segmix_core.errors import ConfigError
from segmix_core.methods import MethodSettings
from segmix_core.settings import RunSettings

OF_THE_BENCHMARK = (
    "train.method",
    "train.seed",
    "segmenter.seed",
    "pseudo_masks.background",
)
"""Settings that rows, ``--seeds`` and the protocol decide."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A method, and what it changes of the settings that all methods share.

    Attributes
    ----------
    method
        One of :data:`benchmarks.quality.methods.METHODS`.
    changes
        Value by dotted name of a setting; none is the method itself.
    """

    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The row's name, as it is written on the command line."""
        parts = [f"{name}={_text(value)}" for name, value in self.changes.items()]
        return ":".join([self.method, "+".join(parts)]) if parts else self.method

    @property
    def recipe(self) -> BenchmarkMethod:
        """How the method trains and is asked."""
        return METHODS[self.method]

    def apply(self, config: RunSettings) -> RunSettings:
        """Return the settings that this row trains with.

        What all methods have is that of ``config``; what this one has besides comes
        from the row, or is its default.

        Raises
        ------
        ConfigError
            If a setting is unknown, out of range, or not the row's to change.
        """
        fixed = {*OF_THE_BENCHMARK, *self.recipe.changes}
        for name in self.changes:
            if name in fixed:
                raise ConfigError(
                    f"{name!r} cannot be set for rows of {self.method}.",
                    "Choose methods by their names and seeds with --seeds; the "
                    "protocol decides what is background.",
                )
        shared = {
            f"train.{name}": getattr(config.train, name)
            for name in MethodSettings.fields()
        }
        return config.replace({**shared, **self.recipe.changes, **self.changes})


def check_variants(variants: Sequence[Variant], config: RunSettings) -> None:
    """Raise ConfigError unless all rows differ and can be trained.

    Raises
    ------
    ConfigError
        Naming the first method, setting or row that is wrong.
    """
    check_methods([variant.method for variant in variants])
    names = [variant.name for variant in variants]
    for number, variant in enumerate(variants):
        variant.apply(config)
        if variant.name in names[:number]:
            raise ConfigError(
                f"{variant.name!r} is given twice.",
                "Remove one of them.",
            )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
