"""Find sources and images named on the command line."""

from typing import TYPE_CHECKING

from segmix_core.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segmix_core.project.records import Source
    from segmix_core.project.store import ProjectStore


def find_source(store: "ProjectStore", name: str) -> "Source":
    """Find a source by id, name or path.

    Paths are matched by :mod:`segmix_core.project.matching`.

    Raises
    ------
    ProjectError
        If there is no such source, or several.
    """
    from segmix_core.project.matching import PathMatcher

    sources = store.sources()
    found = [s for s in sources if name == str(s.id)] or _named(sources, name)
    if not found:
        match = PathMatcher((s.path, s) for s in sources).find(name)
        found = [match.item] if match.item else []
    if len(found) != 1:
        names = ", ".join(f"{s.id} {s.name}" for s in sources)
        raise ProjectError(
            f"'{name}' matches {len(found) or 'no'} sources.",
            f"The sources are: {names or 'none yet'}.",
        )
    return found[0]


def image_ids(store: "ProjectStore", name: str) -> list[int]:
    """Return the ids of the images of a source, or of one image, by name or path.

    Images are matched by :mod:`segmix_core.project.matching`.

    Raises
    ------
    ProjectError
        If there is nothing of that name, or several images match.
    """
    from segmix_core.project.matching import ImageMatcher, shortest_paths

    sources = {source.id for source in _named(store.sources(), name)}
    images = store.images()
    if found := [image.id for image in images if image.source_id in sources]:
        return found
    match = ImageMatcher(images).find(name)
    if match.item is not None:
        return [match.item.id]
    candidates = shortest_paths([image.path for image in match.candidates])
    if match.is_ambiguous:
        raise ProjectError(
            f"'{name}' matches several images: {candidates}.",
            "Give a longer part of the path.",
        )
    known = ", ".join(source.name for source in store.sources()[:5])
    raise ProjectError(
        f"The project has no image or source named '{name}'"
        + (f", but {candidates}." if candidates else "."),
        f"Choose a source such as {known}." if known else "Add it with 'segmix add'.",
    )


def _named(sources: "Iterable[Source]", name: str) -> "list[Source]":
    """Return the sources with exactly this name, path, or file or folder name."""
    return [s for s in sources if name in {s.name, str(s.path), s.path.name}]
