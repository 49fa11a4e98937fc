"""What a backbone begins with: nothing, published weights, or those of a file."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from segmix_core.disk_errors import reason_of
from segmix_core.encoders import DOWNLOAD, SCRATCH
from segmix_core.errors import ConfigError
from segmix_core.files import open_regular, printable
from segmix_core.models.checkpoint_files import parse_tensors

# What training programs put before the names of the network they wrap.
_WRAPPERS = re.compile(r"(?:model|backbone|module|encoder|network)\.")
_OPTIONAL = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Where the first weights of a backbone come from.

    Attributes
    ----------
    source
        "file" comes with the other three.
    name, sha256
        Of the file.
    tensors
        Its content.
    """

    source: Literal["scratch", "download", "file"] = "scratch"
    name: str = ""
    sha256: str = ""
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def origin(self) -> dict[str, str]:
        """What a checkpoint tells of them, as JSON."""
        if self.source == "file":
            return {"source": "file", "file": self.name, "sha256": self.sha256}
        return {"source": self.source}


def find_weights(text: str) -> InitialWeights:
    """Return the weights that a setting names.

    Parameters
    ----------
    text
        "scratch", "download", or the path of a ``.safetensors`` file.

    Raises
    ------
    ConfigError
        If there is no such file, or it holds no tensors.
    """
    if text == SCRATCH:
        return InitialWeights()
    if text == DOWNLOAD:
        return InitialWeights("download")
    path = Path(text)
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        # The text of an OSError repeats the path.
        raise _unusable(path, f"cannot be read ({reason_of(error)})") from error
    tensors = parse_tensors(data, lambda what: _unusable(path, what))
    return InitialWeights("file", path.name, hashlib.sha256(data).hexdigest(), tensors)


def fit_weights(
    weights: InitialWeights,
    wanted: Mapping[str, Tensor],
    *,
    network: str,
    heads: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Return the tensors of a file under the names of a network.

    Names may have prefixes such as ``model.`` or ``module.``; what lies outside of the
    prefix belongs to other parts and is left out.

    Parameters
    ----------
    weights
        From a file.
    wanted
        State of the network.
    network
        Its name, for messages.
    heads
        Parts that may differ or miss: classifiers and what pools for them.

    Raises
    ------
    ConfigError
        If names or shapes differ, with the number of tensors that match and the first
        that does not.
    """
    is_head = tuple(f"{head}." for head in heads)
    shapes = {n: tuple(t.shape) for n, t in wanted.items() if not n.startswith(is_head)}
    prefix = _best_prefix(weights.tensors, shapes)
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.tensors.items()
        if name.startswith(prefix) and not name[len(prefix) :].startswith(is_head)
    }
    wrong = [
        name
        for name in (*shapes, *(found.keys() - shapes.keys()))
        if not _fits(found.get(name), shapes.get(name), name)
    ]
    if wrong:
        matching = sum(_fits(found.get(n), shapes[n], "") for n in shapes)
        first = wrong[0]
        has = tuple(found[first].shape) if first in found else None
        raise ConfigError(
            f"{weights.name} does not fit {network}: {matching} of {len(shapes)} "
            f"tensors match; {first} is {_shape(has)} in the file and "
            f"{_shape(shapes.get(first))} in the network.",
            "Choose weights of this network, or the network of these weights.",
        )
    return found


def open_branches(network: nn.Module) -> None:
    """Let the residual branches of a network from scratch take part at once.

    Libraries begin many of them with a factor of zero, which is made for long trainings
    (Goyal et al., arXiv 1706.02677, sec. 5.1): in short ones the network stays behind.

    Parameters
    ----------
    network
        Not loaded with any weights: what is zero there has been learned.
    """
    for module in network.modules():
        if not (isinstance(module, nn.BatchNorm2d) and module.affine):
            continue
        if not module.weight.any():
            nn.init.ones_(module.weight)


def _best_prefix(names: Iterable[str], wanted: Mapping[str, object]) -> str:
    """Return the prefix under which most of the wanted names are found."""
    names = set(names)
    prefixes = {""}
    for name in names:
        end = 0
        while match := _WRAPPERS.match(name, end):
            end = match.end()
            prefixes.add(name[:end])
    # The shortest of equals: sorted() keeps max() from choosing by chance.
    ordered = sorted(prefixes, key=len)
    return max(ordered, key=lambda p: sum(p + name in names for name in wanted))


def _fits(tensor: Tensor | None, shape: tuple[int, ...] | None, name: str) -> bool:
    if tensor is None:
        return name.endswith(_OPTIONAL)
    return tuple(tensor.shape) == shape


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def _unusable(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{printable(str(path))} {what}.",
        "Choose a safetensors file of weights, or 'scratch'.",
    )
