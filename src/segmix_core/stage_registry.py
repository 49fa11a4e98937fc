"""Every stage once: its name, title, inputs, function, and what outdates its runs.

It stands below the run folders and the plugin, which load no torch: a stage's function
is named here, and loaded where it runs.
"""

from dataclasses import dataclass

_IMAGES = frozenset({"file"})
_LABELS = frozenset({"labels", "source", "split", "tissue"}) | _IMAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of the work, which is also one command.

    Attributes
    ----------
    name
        What the command line and run folders call it.
    title
        What it does, verb first, for people.
    function
        "module:function" in :mod:`segmix_core.stages`.
    inputs
        Stages whose runs it can read; of several the first one found is taken.
    outdated_by
        Kinds of change (:data:`segmix_core.project.records.ChangeKind`) in a project
        that make it worth running again.
    trains
        Whether it trains a network, and so has losses to plot.
    makes_masks
        Whether it makes pseudo masks: where their smallest regions are given in µm²,
        a change of the pixel size ("mpp") outdates it, too.
    settings
        Sections of the settings that it reads (fields of
        :class:`segmix_core.settings.RunSettings`).
    masks_title
        What the masks it leaves in its run are called; empty if it leaves none.
    """

    name: str
    title: str
    function: str
    inputs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("machine",)
    outdated_by: frozenset[str] = frozenset()
    trains: bool = False
    makes_masks: bool = False
    masks_title: str = ""


_IN_ORDER = (
    Stage(
        name="train",
        title="Train classifier",
        function="train_classifier:train_classifier",
        settings=("train", "cams", "pseudo_masks", "machine"),
        outdated_by=_LABELS,
        trains=True,
        # SegMix+ trains its second network on masks that it makes.
        makes_masks=True,
    ),
    Stage(
        name="cams",
        title="Compute CAMs",
        function="cams:compute_cams",
        settings=("cams", "machine"),
        inputs=("train",),
        outdated_by=_LABELS,
    ),
    Stage(
        name="pseudo-masks",
        title="Make pseudo masks",
        function="pseudo_masks:make_pseudo_masks",
        settings=("pseudo_masks", "machine"),
        inputs=("cams",),
        # Strokes are made to correct masks, not to make them anew: that what SegMix+
        # learns from, or background fitted on val, would change with them marks no run.
        outdated_by=_LABELS,
        makes_masks=True,
        masks_title="Pseudo masks",
    ),
    Stage(
        name="train-segmenter",
        title="Train segmenter",
        function="train_segmenter:train_segmenter",
        settings=("segmenter", "machine"),
        inputs=("pseudo-masks",),
        outdated_by=_LABELS | {"mask"},
        trains=True,
    ),
    Stage(
        name="predict",
        title="Predict slides",
        function="predict:predict_slides",
        settings=("predict", "machine"),
        inputs=("train-segmenter",),
        # Windows without tissue are skipped.
        outdated_by=_IMAGES | {"tissue"},
        masks_title="Prediction",
    ),
    Stage(
        name="export",
        title="Export masks",
        function="export:export_masks",
        inputs=("predict", "pseudo-masks"),
    ),
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in _IN_ORDER}
"""All stages by name, in the order of the work: each reads runs of those before it."""
TRAINING_STAGES = frozenset(stage.name for stage in _IN_ORDER if stage.trains)
MASK_TITLES: dict[str, str] = {
    stage.name: stage.masks_title for stage in _IN_ORDER if stage.masks_title
}
"""What masks are called, by the stage that left them in its run."""
