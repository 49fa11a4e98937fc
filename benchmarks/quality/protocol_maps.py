"""Maps of whole images, with what a protocol lets a method know of them."""

import numpy as np
import numpy.typing as npt

from benchmarks.quality.maps import MapsOfName, MapsOfPixels, whole_images
from benchmarks.quality.protocol import Protocol
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.shared_maps import reassign_absent
from segmix_core.project.records import LabelState


def protocol_maps(
    protocol: Protocol, model: CamClassifier, maps: MapsOfPixels
) -> MapsOfName:
    """Return a function that asks for the maps of an image of the folder.

    Parameters
    ----------
    protocol
        Whose folder, and whose known labels.
    model
        Decides in which colors images are seen, and whether classes that an image is
        known not to show give what they have to the others.
    maps
        What is asked about pixels.
    """
    found = whole_images(protocol.folder, maps, normalized_stain=model.normalized_stain)
    if not model.shared_foreground:
        return found

    def among_present(name: str) -> npt.NDArray[np.float32]:
        possible = np.array(protocol.known_labels(name)) != LabelState.ABSENT
        return reassign_absent(found(name), possible)

    return among_present
