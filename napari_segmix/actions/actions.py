"""All that a person can do in a viewer, as one thing."""

from dataclasses import dataclass

from napari_segmix.actions.classes import ClassActions
from napari_segmix.actions.correction import CorrectionActions
from napari_segmix.actions.history import HistoryActions
from napari_segmix.actions.labels import LabelActions
from napari_segmix.actions.masks import MaskActions
from napari_segmix.actions.pictures import PictureActions
from napari_segmix.actions.projects import ProjectActions
from napari_segmix.actions.rescue import RescueActions
from napari_segmix.actions.runs import RunActions
from napari_segmix.actions.sources import SourceActions
from napari_segmix.actions.tissue import TissueActions
from napari_segmix.executor import Executor


@dataclass(frozen=True, slots=True)
class Actions:
    """What pages call.

    Attributes
    ----------
    projects
        Create, open and close projects.
    sources
        Show and add slides and folders, import labels.
    classes, labels, history
        Classes, tile labels, undo and redo.
    runs, pictures
        Launch, follow and stop runs; show what they draw.
    masks, correction
        Look through masks; paint on them.
    tissue
        See and correct where a slide has tissue.
    rescue
        Check, repair and restore projects.
    executor
        Threads for what a page reads itself.
    """

    projects: ProjectActions
    sources: SourceActions
    classes: ClassActions
    labels: LabelActions
    history: HistoryActions
    runs: RunActions
    pictures: PictureActions
    masks: MaskActions
    correction: CorrectionActions
    tissue: TissueActions
    rescue: RescueActions
    executor: Executor
