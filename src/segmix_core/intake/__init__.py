"""Turn the paths a user chose into sources of a project.

The rules:

- a folder: one source of tile images, its direct children in natural order. Hidden
  files and subfolders are skipped, so a ``masks`` folder is never read. Scanner
  files (.svs, .ndpi, ...) in it become slides of their own, and the files of a DICOM
  slide become one.
- an image with an edge longer than two tiles, or a scanner file: a slide.
- smaller images, chosen together: one source of tile images, as if they were a folder.

Files that cannot be used, or are already in the project, are skipped and listed. The
rest is added in one transaction. Files are first opened in a separate process, since
they may crash it: see :mod:`segmix_core.slides.first_look`.
"""

from segmix_core.intake.add import IntakeReport, add_paths
from segmix_core.intake.relocate import relocate_source

__all__ = ["IntakeReport", "add_paths", "relocate_source"]
