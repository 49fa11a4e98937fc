"""From paths the user chose to sources of a project.

What becomes what:

- a folder: one source of tile images, its direct children in natural order. Hidden
  files and subfolders are not read, so a ``masks`` folder beside never is. Scanner
  files (.svs, .ndpi, ...) in it become slides of their own, and the files of a DICOM
  slide become one.
- an image with an edge of more than two tiles, or a scanner file: a slide.
- smaller images, chosen together: one source of tile images, as if they were a folder.

What cannot be used, or is in the project already, is left out and named. The rest is
added in one transaction. Files are opened by a process that may crash:
:mod:`segmix_core.slides.first_look`.
"""

from segmix_core.intake.add import IntakeReport, add_paths
from segmix_core.intake.relocate import relocate_source

__all__ = ["IntakeReport", "add_paths", "relocate_source"]
