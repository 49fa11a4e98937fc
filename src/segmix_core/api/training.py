"""Training from a folder, a project or a loader, in a line."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from segmix_core.api.checkpoints import FOLDER, find_checkpoint
from segmix_core.api.classifier import TrainedClassifier
from segmix_core.api.following import Follower, ProgressCallback
from segmix_core.api.loader_training import fit_loader
from segmix_core.api.project_training import fit_project
from segmix_core.errors import ConfigError, DataError, JobError
from segmix_core.files import temporary_folder
from segmix_core.intake import add_paths
from segmix_core.methods import Method, SegMixPlus
from segmix_core.models.cam_classifier import load_classifier
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.project.database import FILE_NAME
from segmix_core.project.labels_import import import_labels
from segmix_core.project.store import ProjectStore
from segmix_core.settings import (
    CamSettings,
    MachineSettings,
    PseudoMaskSettings,
    RunSettings,
)
from segmix_core.training.fit_settings import FitResult
from segmix_core.training.start import launch_fabric
from segmix_core.training.task import Listener


def train(  # noqa: PLR0913 - every one is a choice of the caller, by name
    source: ProjectStore | Path | str | Iterable[Any],
    *,
    classes: Sequence[str] | None = None,
    method: Method | None = None,
    cams: CamSettings | None = None,
    masks: PseudoMaskSettings | None = None,
    machine: MachineSettings | None = None,
    validation: Iterable[Any] | None = None,
    checkpoints: Path | str | None = None,
    progress: ProgressCallback | None = None,
    fabric: Fabric | None = None,
) -> TrainedClassifier:
    """Train a CAM classifier from image-level labels.

    Parameters
    ----------
    source
        What to learn from:

        a :class:`Project`, or the path of one: the labeled tiles of its split train;

        the path of a folder of images with a table ``labels.csv`` in it or beside its
        subfolder ``images``: one row per image, with a column ``label_<class>`` of 1, 0
        or blank per class;

        a PyTorch ``DataLoader`` or a list of (images, labels) batches, read once per
        epoch. Images: (B, 3, H, W) or (B, H, W, 3), RGB, uint8 or float in 0..1, not
        normalized by mean and deviation. Labels: (B, C), 1 present, 0 absent, -1
        unknown. Tiles are turned and colored by the training itself.
    classes
        Names of the C classes; a project has its own.
    method
        What is learned, how long, and by which network; default :class:`SegMixPlus`.
        With a loader, the size of a batch is that of the loader, and stains stay as
        they are. SegMix+ reads a loader once more than it has epochs, and keeps those
        images in memory as bytes for its second network.
    cams, masks
        How SegMix+ makes the masks that its second network learns from.
    machine
        Device, precision, and threads of the training; default: the fastest device, and
        one thread less than there are cores.
    validation
        A loader like ``source``, of images kept apart: its loss is measured after each
        epoch, and decides with ``method.keep="best"``. A project has a split val.
    checkpoints
        Folder for checkpoints. A stopped training in it is resumed; source and settings
        must be the same.
    progress
        Called with a :class:`TrainingProgress` about ten times a second at most; return
        False to end the training after that step.
    fabric
        A launched Fabric to train with, instead of ``machine``.

    Returns
    -------
    TrainedClassifier
        With the weights that predict: averaged, or of the best epoch. Stopped while a
        second network learns, it is the first.

    Raises
    ------
    DataError
        If images or labels of a loader do not fit.
    ProjectError
        If the labels of a project or folder cannot train a classifier.
    ConfigError
        If settings contradict each other, the images or the machine.
    CheckpointError
        If ``checkpoints`` has another training.
    JobError
        If the loss stops being finite, or memory does not suffice.

    Notes
    -----
    Methods: CAM (Zhou et al., CVPR 2016), SEAM (Wang et al., CVPR 2020), Puzzle-CAM (Jo
    and Yu, ICIP 2021); shuffle after CellMix (Zhang et al., arXiv 2301.11513).

    Examples
    --------
    >>> images = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
    >>> labels = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    >>> model = sx.train(
    ...     [(images, labels)],
    ...     classes=["gland", "stroma"],
    ...     method=sx.SegMix(epochs=2, width=8),
    ... )
    >>> model.step, model.completed
    (2, True)
    """
    settings = RunSettings(
        train=method or SegMixPlus(),
        cams=cams or CamSettings(),
        pseudo_masks=masks or PseudoMaskSettings(),
        machine=machine or MachineSettings(),
    )
    follower = Follower(progress)
    with (
        open_folder(checkpoints) as folder,
        computing(machine, fabric, checkpoints) as used,
    ):
        if isinstance(source, (ProjectStore, Path, str)):
            _check_no_validation(validation)
            with _opened(source, classes) as store:
                result = _fit_store(store, settings, folder, used, follower)
        else:
            result = fit_loader(
                source,
                checked_names(classes),
                settings,
                folder,
                validation=validation,
                fabric=used,
                listener=follower,
            )
        checkpoint = load_checkpoint(find_checkpoint(folder / FOLDER))
        network = load_classifier(checkpoint).to(used.device)
    return TrainedClassifier(
        network,
        checkpoint.class_names,
        step=result.step,
        completed=result.reason == "completed",
    )


def _check_no_validation(validation: Iterable[Any] | None) -> None:
    if validation is not None:
        raise ConfigError(
            "A project or folder has its own validation images.",
            "Leave validation out, and give images the split val.",
        )


def _fit_store(
    store: ProjectStore,
    settings: RunSettings,
    folder: Path,
    fabric: Fabric,
    listener: Listener,
) -> FitResult:
    trained = fit_project(store, settings, folder, fabric=fabric, listener=listener)
    if trained is None:
        raise JobError("The training was stopped before its first step.", "Try again.")
    return trained[0]


@contextmanager
def computing(
    machine: MachineSettings | None,
    fabric: Fabric | None,
    checkpoints: Path | str | None,
) -> Iterator[Fabric]:
    """Give what a training computes with.

    Threads and random numbers of the program are as before afterwards.

    Raises
    ------
    ConfigError
        If both are given, the machine cannot be had, or several processes have no
        folder for checkpoints.
    """
    if fabric is not None and machine is not None:
        raise ConfigError(
            "A Fabric has its own device and precision.",
            "Leave out either machine or fabric.",
        )
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            used = fabric or launch_fabric(machine or MachineSettings())
            if used.world_size > 1 and checkpoints is None:
                raise ConfigError(
                    "Several processes need a folder that all of them can read.",
                    "Pass checkpoints=... to train with more than one process.",
                )
            yield used
    finally:
        torch.set_num_threads(threads)


def checked_names(classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises
    ------
    ConfigError
        If there are none, two are equal, or one is not text.
    """
    names = tuple(classes or ())
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError(
            f"Not all of the classes {list(names)} have names.",
            "Pass classes=[...] with one name per label column, as text.",
        )
    if not names or isinstance(classes, str) or len(set(names)) < len(names):
        raise ConfigError(
            "The classes have no names, or two have the same.",
            "Pass classes=[...] with one name per label column.",
        )
    return names


@contextmanager
def open_folder(checkpoints: Path | str | None) -> Iterator[Path]:
    """Give the folder for checkpoints, or one that is removed afterwards."""
    if checkpoints is not None:
        yield Path(checkpoints)
        return
    with temporary_folder() as folder:
        yield folder


@contextmanager
def _opened(
    source: ProjectStore | Path | str, classes: Sequence[str] | None
) -> Iterator[ProjectStore]:
    """Give the project that is meant, or that a folder becomes."""
    is_project = isinstance(source, ProjectStore) or (Path(source) / FILE_NAME).exists()
    if is_project and classes is not None:
        raise ConfigError("A project has its own classes.", "Leave classes out.")
    if isinstance(source, ProjectStore):
        yield source
    elif is_project:
        with ProjectStore.open(source) as store:
            yield store
    else:
        names = checked_names(classes)
        with (
            temporary_folder() as place,
            _read_folder(Path(source), place, names) as store,
        ):
            yield store


def _read_folder(folder: Path, place: Path, classes: Sequence[str]) -> ProjectStore:
    """Return a project, in ``place``, of a folder of labeled images."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder.", "Pass a folder of images, or a project."
        )
    store = ProjectStore.create(place / "images.segmix", classes)
    try:
        inner = folder / "images"
        add_paths(store, [inner if inner.is_dir() else folder])
        import_labels(store, folder)
    except BaseException:
        store.close()
        raise
    return store
