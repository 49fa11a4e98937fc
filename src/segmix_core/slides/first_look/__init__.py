"""Opening image files for the first time, in a process that may crash.

Image libraries are written in C: a damaged or hostile file can end the process that
opens it, or keep it busy for hours. :class:`FirstLook` opens it in a process of its
own (``server.py``) and keeps that within limits of time and memory (``worker.py``,
``limits.py``). Both speak JSON, with bytes behind it, over pipes (``messages.py``).
"""

from segmix_core.slides.first_look.look import FirstLook, ImageHeader, Look
from segmix_core.slides.first_look.pool import FirstLookPool
from segmix_core.slides.first_look.remembering import RememberingLook

__all__ = ["FirstLook", "FirstLookPool", "ImageHeader", "Look", "RememberingLook"]
