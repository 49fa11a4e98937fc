"""A project as arrays, for scripts and notebooks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.errors import DataError, JobError, ProjectError
from segmix_core.geometry import Box
from segmix_core.intake import IntakeReport, add_paths
from segmix_core.project.records import KEEP, Change, LabelState, TissueClass
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, find_latest, list_runs
from segmix_core.runs.results import open_mask


class Project(ProjectStore):
    """A project folder: classes, images, tiles, labels, corrections and runs.

    Everything is stored when a method returns, and :meth:`undo` takes it back. Several
    programs may have a project open, napari among them: each sees the changes of the
    others.

    Attributes
    ----------
    path
        The project folder.

    Raises
    ------
    ProjectError
        If there is no project, or it is damaged or of a newer version.

    Examples
    --------
    >>> from PIL import Image
    >>> for name in ("a.png", "b.png"):
    ...     Image.fromarray(np.full((64, 64, 3), 150, np.uint8)).save(folder / name)
    >>> with sx.Project.create(folder / "skin.segmix", ["gland", "stroma"]) as project:
    ...     _ = project.add_images([folder])
    ...     _ = project.set_labels(project.tile_ids[:1], [[1, 0]])
    >>> with sx.Project.open(folder / "skin.segmix") as project:
    ...     project.class_names, project.labels
    (('gland', 'stroma'), array([[ 1,  0],
           [-1, -1]], dtype=int8))
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1..C, in the order of the label columns."""
        return tuple(entry.name for entry in self.classes())

    @property
    def tile_ids(self) -> npt.NDArray[np.int64]:
        """Ids of the tiles (N,), which :meth:`set_labels` takes."""
        return self.tiles().ids.copy()

    @property
    def labels(self) -> npt.NDArray[np.int8]:
        """Labels of the tiles (N, C): 1 present, 0 absent, -1 unknown; a copy."""
        return self.tiles().labels.copy()

    def add_images(
        self,
        paths: Path | str | Sequence[Path | str],
        *,
        tile_px: int | None = None,
        stride_px: int | None = None,
        mpp: float | None = None,
    ) -> IntakeReport:
        """Add slides, images and folders of tile images.

        Parameters
        ----------
        paths
            Files and folders, or one of them. Images with an edge of more than two
            tiles become slides.
        tile_px, stride_px
            Edge of a slide's tiles and their distance in pixels; 256 and one tile by
            default. Tile images are never cut.
        mpp
            Micrometers per pixel to work at; by default a slide's own, or 0.5 if it is
            finer than 0.4.

        Returns
        -------
        IntakeReport
            What was added (``sources``), what was not and why (``left_out``), and what
            to know about it (``notes``).

        Raises
        ------
        ProjectError, SlideError
            If nothing can be added, or an option is out of range.
        """
        paths = [paths] if isinstance(paths, (str, Path)) else paths
        return add_paths(self, paths, tile_px=tile_px, stride_px=stride_px, mpp=mpp)

    def set_labels(
        self,
        tile_ids: npt.ArrayLike,
        states: npt.ArrayLike,
        classes: Sequence[TissueClass] | Sequence[str] | None = None,
        seen: npt.NDArray[np.int8] | None = None,
    ) -> Change | None:
        """Set labels of tiles.

        Parameters
        ----------
        tile_ids
            (n,), all different.
        states
            (n, C): 1 present, 0 absent, -1 unknown, -2 to leave what is stored.
        classes
            Names of the columns, in any order, others are left as they are; or the
            classes as :meth:`classes` returned them. None: all, in their order.
        seen
            (n, C) labels as the caller knows them; setting one tile is faster then.

        Returns
        -------
        Change or None
            None if every tile had these labels already.

        Raises
        ------
        DataError
            If shapes or values do not fit.
        ProjectError
            If a tile or a class is not in the project.
        """
        ids, wanted = np.asarray(tile_ids), np.asarray(states)
        width = len(self.class_names if classes is None else classes)
        if ids.ndim != 1 or wanted.shape != (len(ids), width):
            raise DataError(
                f"Labels of {ids.size} tiles and {width} classes have the shape "
                f"{(ids.size, width)}, not {wanted.shape}.",
                "Pass one row per tile with one column per class.",
            )
        if not np.isin(wanted, (KEEP, *LabelState)).all():
            raise DataError(
                "A label is not 1, 0, -1 or -2.",
                "Use 1 for present, 0 for absent, -1 for unknown and -2 to leave it.",
            )
        if len(np.unique(ids)) < len(ids):
            raise DataError("A tile is named twice.", "Pass each tile once.")
        ids, wanted = ids.astype(np.int64), wanted.astype(np.int8)
        known = [entry for entry in classes or () if isinstance(entry, TissueClass)]
        if classes is None or len(known) == width:
            return super().set_labels(ids, wanted, known or None, seen)
        every = self.classes()
        columns = self._columns([str(entry) for entry in classes], every)
        spread = np.full((len(ids), len(every)), KEEP, np.int8)
        spread[:, columns] = wanted
        return super().set_labels(ids, spread, every)

    def _columns(
        self, names: Sequence[str], classes: Sequence[TissueClass]
    ) -> list[int]:
        """Return the label column of each class name."""
        columns = {entry.name: column for column, entry in enumerate(classes)}
        for name in names:
            if name not in columns:
                raise ProjectError(
                    f"{self.path.name} has no class '{name}'.",
                    f"Its classes are {', '.join(columns)}.",
                )
        if len(set(names)) < len(names):
            raise DataError("A class is named twice.", "Pass each class once.")
        return [columns[name] for name in names]

    def runs(self) -> tuple[RunFolder, ...]:
        """Return the runs, oldest first; :func:`load_model` takes their paths."""
        return list_runs(self.runs_path)

    def corrected_mask(self, image_id: int) -> npt.NDArray[np.uint8]:
        """Return what people have drawn in an image.

        Returns
        -------
        array
            (H, W) uint8 on the image's working grid: 0 background, 1..C, 255 ignore,
            254 where nobody has drawn.

        Raises
        ------
        ProjectError
            If there is no such image.
        """
        height, width = self.image(image_id).working_shape
        return self.corrections(image_id, Box(0, 0, height, width))

    def pseudo_mask(
        self, image_id: int, run: RunFolder | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return the pseudo mask of an image.

        Parameters
        ----------
        image_id
            The image.
        run
            Of the stage "pseudo-masks" or "predict"; None: the newest completed one of
            pseudo masks.

        Returns
        -------
        array
            (H, W) uint8 on the image's working grid: 0 background, 1..C, 255 where the
            class is doubtful or no tile lies.

        Raises
        ------
        ProjectError
            If there is no such image.
        JobError
            If the run has no mask of it, or there is no run.
        """
        found = run or find_latest(self.runs_path, "pseudo-masks")
        if found is None:
            raise JobError(
                f"{self.path.name} has no pseudo masks.",
                "Run 'segmix pseudo-masks' first.",
            )
        image = self.image(image_id)
        mask = open_mask(found.path, image_id, image.working_shape)
        if mask is None:
            raise JobError(
                f"{found.name} has no mask of {image.path.name}.",
                "Choose another run, or make the masks again.",
            )
        return np.asarray(mask[:])
