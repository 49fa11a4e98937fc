"""Images whose files are missing or have changed since they were added."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from segmix_core.files import printable
from segmix_core.project.records import ImageRecord

_NAMED = 3


def find_changed(images: Iterable[ImageRecord]) -> tuple[ImageRecord, ...]:
    """Return the images whose files changed since they were added or accepted.

    Compares size and time first, and the content only if these differ, so a copied or
    touched file counts as unchanged. Skips missing files, and images that were added
    before fingerprints were stored.
    """
    return tuple(image for image in images if _has_changed(image))


def find_missing(images: Iterable[ImageRecord]) -> tuple[ImageRecord, ...]:
    """Return the images whose files cannot be found."""
    return tuple(image for image in images if not _exists(image.path))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _has_changed(image: ImageRecord) -> bool:
    if image.fingerprint is None:
        return False
    try:
        return not image.fingerprint.matches(image.path)
    except OSError:
        return False


def changed_note(changed: Sequence[ImageRecord]) -> str:
    """Return the warning about one or more images whose files changed."""
    names, is_one = _names(changed), len(changed) == 1
    return (
        f"{names} {'has' if is_one else 'have'} changed on disk since "
        f"{'it was' if is_one else 'they were'} added, so labels and masks may no "
        "longer match. Restore the old files, or accept the changed ones on the Data "
        "page or with 'segmix relocate' to the same path."
    )


def missing_note(missing: Sequence[ImageRecord]) -> str:
    """Return the warning about one or more images whose files are missing."""
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{_names(missing)} {verb} missing. Reconnect the disk, or choose the new "
        "place with 'segmix relocate' or on the Data page."
    )


def _names(images: Sequence[ImageRecord]) -> str:
    names = ", ".join(printable(image.path.name) for image in images[:_NAMED])
    more = len(images) - _NAMED
    return f"{names} and {more} more" if more > 0 else names
