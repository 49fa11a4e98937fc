"""Lack of memory, on any device, and what fits all the same."""

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import torch

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class _Images(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Self: ...


Images = TypeVar("Images", bound=_Images)
Answer = TypeVar("Answer")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    return any(words in message for words in _OUT_OF_MEMORY)


class PartsThatFit:
    """Asks about a batch at once; where memory runs out, about halves of it.

    What did not fit once is not tried again.
    """

    def __init__(self) -> None:
        self._most: int | None = None

    def ask(self, ask: Callable[[Images], Answer], images: Images) -> list[Answer]:
        """Return the answers about the parts of a batch, in order.

        Parameters
        ----------
        ask
            Called with images as often as it takes, without effects of its own.
        images
            An array or tensor (B, ...), B >= 1.
        """
        while True:
            most = self._most or len(images)
            try:
                return [
                    ask(images[start : start + most])
                    for start in range(0, len(images), most)
                ]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or min(most, len(images)) == 1:
                    raise
            # Only here, outside the handler, are the tensors of the attempt free.
            self._most = min(most, len(images)) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
