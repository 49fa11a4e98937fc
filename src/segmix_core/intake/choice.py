"""Sort chosen files and folders into slides, tile images and unusable files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError, SegmixError, SlideError
from segmix_core.files import printable
from segmix_core.geometry import mean_mpp
from segmix_core.intake.known_images import KnownImages
from segmix_core.intake.left_out import LeftOut, count_files, name_some
from segmix_core.intake.options import (
    DEFAULT_TILE_PX,
    IntakeOptions,
    LookedAt,
    PlannedSource,
    find_downsample,
)
from segmix_core.intake.pixel_size import choose_mpp
from segmix_core.project.records import Fingerprint
from segmix_core.slides.dicom import DICOM_SUFFIXES
from segmix_core.slides.first_look import ImageHeader, Look
from segmix_core.slides.image_folder import (
    SCANNER_SUFFIXES,
    folders_with_images,
    list_images,
    no_images_error,
)


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Tile images that form one source."""

    path: Path
    images: tuple[LookedAt, ...]


class Choice:
    """Inspects the chosen paths one after the other.

    Attributes
    ----------
    parts
        Content of each source, in order.
    left_out
        Unusable files, with the reasons.
    notes
        Sentences for the user.
    """

    def __init__(self, look: Look, options: IntakeOptions, known: KnownImages) -> None:
        self.parts: list[PlannedSource | TileGroup] = []
        self.left_out: list[LeftOut] = []
        self.notes: list[str] = []
        self._look = look
        self._options = options
        self._known = known

    def take(self, paths: Sequence[Path]) -> None:
        """Inspect files and folders; small images among the files form one source."""
        folders = [path for path in paths if path.is_dir()]
        files = [path for path in paths if path not in folders]
        small = []
        slides: dict[Path, LookedAt] = {}
        for image in self._headers(files):
            if is_slide(image.header, self._options.tile_px):
                slides[image.header.path] = image
            else:
                small.append(image)
        for path in paths:
            if path in slides:
                self._take_slide(slides[path])
            elif path in folders:
                self._take_folder(path)
        if small:
            folder = small[0].header.path.parent
            self.parts.append(TileGroup(folder, tuple(small)))

    def _take_folder(self, folder: Path) -> None:
        try:
            found, inner = list_images(folder), folders_with_images(folder)
            if not found.slides and not found.tiles:
                raise no_images_error(folder, found.strangers)
        except SlideError as error:
            self.left_out.append(LeftOut(folder, error))
            return
        except OSError as error:
            self._leave_out_unreadable(folder, error)
            return
        if found.strangers:
            self.notes.append(_strangers_note(folder, found.strangers))
        if inner:
            self.notes.append(_inner_note(folder, inner))
        for image in self._headers(found.slides):
            self._take_slide(image)
        tiles = tuple(self._headers(found.tiles))
        if tiles:
            self.parts.append(TileGroup(folder, tiles))

    def _take_slide(self, image: LookedAt) -> None:
        # Imported late: folders of tiles do not need the tissue detection it loads.
        from segmix_core.intake.slide_plan import plan_slide

        try:
            self.parts.append(plan_slide(self._look, image, self._options))
        except SegmixError as error:
            self.left_out.append(LeftOut(image.header.path, error))

    def _headers(self, paths: Sequence[Path]) -> list[LookedAt]:
        """Return the usable new images; record the others as left out."""
        named = []
        for path in paths:
            try:
                _check_file_name(path)
                named.append(path)
            except SlideError as error:
                self.left_out.append(LeftOut(path, error))
        found = []
        for path, header in zip(named, self._look.headers(named), strict=True):
            if isinstance(header, SlideError):
                self.left_out.append(LeftOut(path, header))
                continue
            try:
                # Checked one by one: an image that cannot be resampled, since its pixel
                # size is unknown, must not stop the rest of its folder.
                mpp = mean_mpp(choose_mpp(header, self._options))
                find_downsample(path, mpp, self._options.mpp)
                image = LookedAt(header, Fingerprint.of(path))
            except ProjectError as error:
                self.left_out.append(LeftOut(path, error))
                continue
            except OSError as error:
                self._leave_out_unreadable(path, error)
                continue
            if self._known.take(path, image.fingerprint, self.left_out):
                found.append(image)
        return found

    def _leave_out_unreadable(self, path: Path, error: OSError) -> None:
        message = f"{path.name} cannot be read: {reason_of(error)}."
        hint = "Check its permissions and that its disk is connected."
        self.left_out.append(LeftOut(path, SlideError(message, hint)))


def is_slide(header: ImageHeader, tile_px: int | None) -> bool:
    """Whether an image becomes a slide; ``tile_px`` as for ``IntakeOptions``."""
    edge = tile_px or DEFAULT_TILE_PX
    is_scanned = header.path.suffix.lower() in SCANNER_SUFFIXES | DICOM_SUFFIXES
    return is_scanned or max(header.height, header.width) > 2 * edge


def _strangers_note(folder: Path, strangers: Sequence[Path]) -> str:
    verb = "was skipped" if len(strangers) == 1 else "were skipped"
    return (
        f"{printable(folder.name)}: {count_files(strangers)} {verb} because "
        f"their file type is not read from folders: {name_some(strangers)}. "
        "Add these files one by one, or save them as PNG or TIFF."
    )


def _inner_note(folder: Path, inner: Sequence[Path]) -> str:
    what = "folder" if len(inner) == 1 else "folders"
    return (
        f"{printable(folder.name)}: the images in its {what} {name_some(inner)} were "
        "not added. Choose them as well if you want them."
    )


def _check_file_name(path: Path) -> None:
    """Raise if the name of an image would cause errors later.

    Raises
    ------
    SlideError
        If the path is not valid UTF-8, which the database cannot store, or the name has
        control characters, which label tables cannot contain.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise _bad_name(path, "is not valid UTF-8") from None
    if any(category(character) == "Cc" for character in path.name):
        raise _bad_name(path, "has control characters, such as a line break")


def _bad_name(path: Path, what: str) -> SlideError:
    return SlideError(
        f"The path of {printable(path.name)} {what}.", "Rename the file or folder."
    )
