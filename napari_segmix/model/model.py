"""What is open, selected and running in a viewer, as one thing."""

from napari_segmix.model.changes import Changes
from napari_segmix.model.labeling import LabelingState
from napari_segmix.model.masks import MasksState
from napari_segmix.model.notices import Notices
from napari_segmix.model.project import ProjectState
from napari_segmix.model.rescue import RescueState
from napari_segmix.model.runs import RunsState
from napari_segmix.model.tissue import TissueState


class Model:
    """Read by layers and pages, changed by actions.

    Attributes
    ----------
    changes
        Emits what is different now, once an action.
    notices
        Sentences, and what is being worked on.
    project, labeling, runs, masks, tissue, rescue
        The parts.
    """

    def __init__(self) -> None:
        self.changes = Changes()
        self.notices = Notices(self.changes)
        self.project = ProjectState(self.changes)
        self.labeling = LabelingState(self.changes)
        self.runs = RunsState(self.changes, self.project)
        self.masks = MasksState(self.changes, self.runs)
        self.tissue = TissueState(self.changes)
        self.rescue = RescueState(self.changes)
