"""Errors that a user can act on.

Programming mistakes raise ``ValueError`` or ``TypeError``; everything here is for
the person at the screen and says what is wrong and what to do.
"""


class SegmixError(Exception):
    """An error the user can fix: what is wrong, and what to do.

    Parameters
    ----------
    message
        What is wrong, in terms of the user's own file, tile or class: one sentence.
    hint
        What to do about it: one sentence.

    Attributes
    ----------
    reason
        The cause in a few words, for messages that list several files.

    Examples
    --------
    >>> try:
    ...     sx.Project.open(folder / "skin.segmix")
    ... except sx.SegmixError as error:
    ...     print(error.hint)
    Choose a project folder, or create a new project.
    """

    def __init__(self, message: str, hint: str) -> None:
        self.message = message
        self.hint = hint
        self.reason = message.rstrip(".")
        super().__init__(f"{message} {hint}")

    def __reduce__(self) -> tuple[object, ...]:
        # By default, unpickling passes the text as the only argument.
        return type(self), (self.message, self.hint), {"reason": self.reason}


class ProjectError(SegmixError):
    """The project, its labels or a file to import into it.

    Examples
    --------
    >>> try:
    ...     sx.Project.create(folder / "skin.segmix", ["gland", "gland"])
    ... except sx.ProjectError as error:
    ...     print(error.message)
    The class names 'gland' and 'gland' are too similar.
    """


class SlideError(SegmixError):
    """An image that cannot be used as a slide or tile.

    Examples
    --------
    >>> _ = (folder / "slide.tif").write_text("no image")
    >>> with sx.Project.create(folder / "skin.segmix", ["gland"]) as project:
    ...     try:
    ...         project.add_images([folder / "slide.tif"])
    ...     except sx.SlideError as error:
    ...         print(error.message)
    slide.tif is not a slide or image that SegMix can read.
    """


class DataError(SegmixError):
    """Images, labels or masks, given as arrays, that cannot be used.

    Examples
    --------
    >>> images = np.zeros((2, 3, 8, 8), np.uint8)
    >>> try:
    ...     sx.shuffle_batch(images, [[1, 0], [0, 1]], patch_size=3, ratio=0.5)
    ... except sx.DataError as error:
    ...     print(error.message)
    Patches of 3 pixels do not divide images of 8 x 8.
    """


class ConfigError(SegmixError):
    """Settings that contradict each other or the data.

    Examples
    --------
    >>> images = np.zeros((2, 3, 8, 8), np.uint8)
    >>> try:
    ...     sx.shuffle_batch(images, [[1, 0], [0, 1]], patch_size=4, ratio=2)
    ... except sx.ConfigError as error:
    ...     print(error.message)
    Images cannot be shuffled this way: shuffle_ratio must be in 0..1, not 2.
    """


class CheckpointError(SegmixError):
    """Weights that cannot be loaded.

    Examples
    --------
    >>> try:
    ...     sx.load_model(folder)
    ... except sx.CheckpointError as error:
    ...     print(error.hint)
    Choose a run folder, or a folder that a model was saved in.
    """


class JobError(SegmixError):
    """A run that cannot be found, started or continued.

    Examples
    --------
    >>> with sx.Project.create(folder / "skin.segmix", ["gland"]) as project:
    ...     try:
    ...         project.pseudo_mask(image_id=1)
    ...     except sx.JobError as error:
    ...         print(error.message)
    skin.segmix has no pseudo masks.
    """
