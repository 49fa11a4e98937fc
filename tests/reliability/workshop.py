"""Valid files of every kind, and a small project that has been through all stages."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.pipeline import run_stage
from segmix_core.project.records import Review
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest
from segmix_core.runs.child import EXIT_COMPLETED, run_child
from segmix_core.runs.inputs import find_inputs
from segmix_core.settings import RunSettings
from segmix_core.stage_registry import STAGES

CLASSES = ("light", "dark")
SETTINGS: dict[str, Any] = {
    "train.method": "segmix",
    "train.epochs": 1,
    "train.batch_size": 4,
    "train.width": 8,
    "cams.scales": [1.0],
    "cams.flips": False,
    "pseudo_masks.min_object_px": 0,
    "segmenter.encoder": "tu-mobilenetv3_small_050",
    "segmenter.epochs": 1,
    "segmenter.batch_size": 4,
    "predict.window_px": 64,
    "predict.overlap_px": 8,
    "machine.device": "cpu",
    "machine.threads": 1,
    "machine.precision": "float32",
}
_TILES, _EDGE = 6, 32
_Pixels = npt.NDArray[np.uint8]


def draw(height: int, width: int, seed: int = 0) -> _Pixels:
    """Return pink noise with dark spots, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal((200, 120, 170), 12, (height, width, 3))
    pixels[height // 4 : height // 2, : width // 2] -= 60
    return pixels.clip(0, 255).astype(np.uint8)


def make_images(folder: Path) -> dict[str, list[Path]]:
    """Write valid images; return them by kind: "tiff", "svs", "png", "jpeg"."""
    folder.mkdir()
    return {
        "tiff": list(_tiffs(folder)),
        "svs": [_svs(folder / "slide.svs"), _svs(folder / "flat.svs", levels=1)],
        "png": list(_pillow(folder, "png")),
        "jpeg": list(_pillow(folder, "jpeg")),
    }


def _tiffs(folder: Path) -> list[Path]:
    pixels = draw(160, 200)
    gray, deep = pixels[..., 0], pixels.astype(np.uint16) * 256
    tiles = {"tile": (64, 64), "photometric": "rgb"}
    mpp = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    variants: dict[str, tuple[npt.NDArray[Any], dict[str, Any]]] = {
        "plain": (pixels, {"photometric": "rgb"}),
        "tiled": (pixels, {**tiles, **mpp, "compression": "zlib"}),
        "jpeg": (pixels, {**tiles, "compression": "jpeg"}),
        "lzw": (pixels, {**tiles, "compression": "lzw", "predictor": True}),
        "big": (pixels, {**tiles, "bigtiff": True}),
        "gray": (gray, {"photometric": "minisblack"}),
        "deep": (deep, {"photometric": "rgb"}),
        "ome": (
            np.moveaxis(pixels, 2, 0),
            {
                "photometric": "rgb",
                "planarconfig": "separate",
                "ome": True,
                "metadata": {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
            },
        ),
        "palette": (
            gray // 16,
            {"photometric": "palette", "colormap": _colors()},
        ),
    }
    paths = []
    for name, (values, options) in variants.items():
        path = folder / f"{name}.{'ome.tif' if name == 'ome' else 'tif'}"
        tifffile.imwrite(path, values, **options)
        paths.append(path)
    return [*paths, _pyramid(folder / "pyramid.ome.tif")]


def _colors() -> npt.NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)


def _pyramid(path: Path) -> Path:
    pixels = draw(256, 256)
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(pixels, subifds=1, metadata={"axes": "YXS"}, **options)
        tiff.write(pixels[::2, ::2], subfiletype=1, **options)
    return path


def _svs(path: Path, levels: int = 2) -> Path:
    text = (
        "Aperio Image Library v11.2.1\r\n512x384 [0,0 512x384] (128x128) "
        "JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990|Date = 12/29/09|ScanScope ID = CPAPERIO"
    )
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg"}
    pixels = draw(384, 512)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, description=text, metadata=None, **options)
        strip = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
        tiff.write(pixels[::4, ::4], description="Aperio thumbnail", **strip)
        for level in range(1, levels):
            step = 2**level
            tiff.write(
                pixels[::step, ::step], description=text, metadata=None, **options
            )
        tiff.write(
            pixels[:64, :64], description="Aperio label 64x64", subfiletype=1, **strip
        )
    return path


def _pillow(folder: Path, ending: str) -> list[Path]:
    image = Image.fromarray(draw(70, 90))
    exif = Image.Exif()
    exif[274] = 6
    variants = {
        "png": {
            "rgb": (image, {}),
            "gray": (image.convert("L"), {"transparency": 7}),
            "indexed": (image.quantize(16), {}),
            "rgba": (image.convert("RGBA"), {}),
            "deep": (Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16)), {}),
        },
        "jpeg": {
            "rgb": (image, {"exif": exif}),
            "gray": (image.convert("L"), {}),
            "cmyk": (image.convert("CMYK"), {}),
            "progressive": (image, {"progressive": True}),
        },
    }[ending]
    paths = []
    for name, (pixels, options) in variants.items():
        path = folder / f"{name}.{ending}"
        pixels.save(path, **options)
        paths.append(path)
    return paths


def make_mask(kind: str) -> bytes:
    """Return a mask of class indices that fits the tiles, as "png" or "tif"."""
    pixels = np.random.default_rng(0).integers(0, 3, (_EDGE, _EDGE)).astype(np.uint8)
    file = io.BytesIO()
    if kind == "png":
        Image.fromarray(pixels).save(file, "png")
    else:
        Image.fromarray(pixels).save(file, "tiff", tiffinfo=ImageFileDirectory_v2())
    return file.getvalue()


def make_tables() -> dict[str, bytes]:
    """Return valid tables of labels by file name."""
    names = [f"tile{number}.png" for number in range(_TILES)]
    labels = ["filename,is_light,is_dark,split,group"]
    labels += [f"{name},1,,train,g{i}" for i, name in enumerate(names)]
    listed = ["file_name,labels", *(f"{name},light;dark" for name in names)]
    windows = ["filename,x,y,size,is_light,is_dark"]
    windows += [f"{name},{x},0,16,0,1" for name in names for x in (0, 16)]
    lines = [f'{{"file_name": "{name}", "labels": ["light"]}}' for name in names]
    texts = {
        "labels.csv": labels,
        "listed.csv": listed,
        "windows.csv": windows,
        "labels.jsonl": lines,
    }
    return {name: ("\n".join(text) + "\n").encode() for name, text in texts.items()}


def make_project(folder: Path) -> Path:
    """Make a project with labels, corrections and a run of every stage."""
    tiles = folder / "tiles"
    tiles.mkdir(parents=True)
    for number in range(_TILES):
        pixels = draw(_EDGE, _EDGE, number) // (1 + number % 2)
        Image.fromarray(pixels).save(tiles / f"tile{number}.png")
    path = folder / "p.segmix"
    with ProjectStore.create(path, CLASSES) as store:
        add_paths(store, [tiles])
        ids = store.tiles().ids
        store.set_labels(ids, np.eye(2, dtype=np.int8)[np.arange(_TILES) % 2])
        store.set_reviews(ids[:2], Review.ACCEPTED)
        store.correct_mask(1, Box(2, 3, 9, 9), np.full((9, 9), 2, np.uint8))
        store.rename_class(1, "bright")
        store.rename_class(1, "light")
        store.undo("masks")
        store.redo("masks")
    for stage in STAGES:
        run = request_run(path, stage)
        if run_child(run, run_stage) != EXIT_COMPLETED:
            raise RuntimeError(f"{stage} failed: {run.log_tail()}")
    return path


def request_run(project: Path, stage: str) -> RunFolder:
    """Make the folder of a run that reads the newest ones it can."""
    runs = project / "runs"
    config = RunSettings().replace(SETTINGS).model_dump(mode="json")
    request = RunRequest(stage, project, config, find_inputs(runs, stage), {})
    return RunFolder.create(runs, request)


def copy_with_log(project: Path, folder: Path) -> Path:
    """Copy a project and let a process that dies leave its write-ahead log behind."""
    copy = folder / project.name
    shutil.copytree(project, copy)
    code = (
        "import os, sys, numpy as np\nfrom pathlib import Path\n"
        "from segmix_core.project.store import ProjectStore\n"
        "store = ProjectStore.open(Path(sys.argv[1]))\nids = store.tiles().ids\n"
        "for state in (0, 1, 0):\n"
        "    store.set_labels(ids, np.full((len(ids), 2), state, np.int8))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, copy], check=True, env=dict(os.environ))
    return copy
