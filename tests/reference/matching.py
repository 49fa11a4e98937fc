"""The matcher's rule, written down once more: every image is asked in turn."""

import unicodedata
from pathlib import PurePosixPath

ENDINGS = {
    *("bif", "bmp", "btf", "czi", "dcm", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg"),
    *("mrxs", "ndpi", "ome", "png", "qptiff", "scn", "svs", "svslide", "tf2", "tf8"),
    *("tif", "tiff", "vms", "vmu", "webp"),
}
DOUBLE = ("ome.tif", "ome.tiff", "ome.btf", "ome.tf2", "ome.tf8")


def parts_of(text):
    text = unicodedata.normalize("NFC", text.strip()).replace("\\", "/")
    is_share = text.startswith("//")
    if len(text) > 2 and text[0].isascii() and text[0].isalpha() and text[1:3] == ":/":
        text = text[2:]
    parts = []
    for part in text.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return parts[2:] if is_share and len(parts) > 2 else parts


def agree(one, other, same_name):
    if not one or not other or not same_name(one[-1], other[-1]):
        return False
    folders, others = one[:-1], other[:-1]
    count = min(len(folders), len(others))
    return folders[len(folders) - count :] == others[len(others) - count :]


def fold(text):
    folded = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", folded).strip()


def names(name):
    for ending in DOUBLE:
        if name.endswith(f".{ending}") and len(name) > len(ending) + 1:
            return {name, name[: -len(ending) - 1]}
    path = PurePosixPath(name)
    return {name, path.stem} if path.suffix[1:] in ENDINGS else {name}


def find(text, paths):
    """Return the places in ``paths`` that ``text`` may mean, and by which step."""
    wanted = parts_of(text)
    known = [parts_of(path) for path in paths]
    folded = [fold(part) for part in wanted]
    steps = {
        "whole": lambda p: p == wanted != [],
        "exact": lambda p: agree(p, wanted, lambda a, b: a == b),
        "fallback": lambda p: agree(
            [fold(part) for part in p], folded, lambda a, b: names(a) & names(b)
        ),
    }
    for name, fits in steps.items():
        found = [place for place, parts in enumerate(known) if fits(parts)]
        if found:
            return found, name
    return [], "none"
