"""Open image files for the first time in a separate process that may crash.

Image libraries are written in C: a damaged or hostile file can end the process that
opens it, or keep it busy for hours. :class:`FirstLook` opens files in a separate
process (``server.py``) with limits on time and memory (``worker.py``, ``limits.py``).
The two processes exchange JSON followed by bytes over pipes (``messages.py``).
"""

from segmix_core.slides.first_look.look import FirstLook, ImageHeader, Look
from segmix_core.slides.first_look.pool import FirstLookPool
from segmix_core.slides.first_look.remembering import RememberingLook

__all__ = ["FirstLook", "FirstLookPool", "ImageHeader", "Look", "RememberingLook"]
