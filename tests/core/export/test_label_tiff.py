import errno
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openslide
import pytest
import tifffile

from segmix_core.errors import JobError, ProjectError
from segmix_core.export.label_info import LabelImageInfo, check_xml, xml_text
from segmix_core.export.label_tiff import (
    level_shapes,
    needs_bigtiff,
    read_label_tiff_classes,
    row_bands,
    sidecar_path,
    write_label_tiff,
)
from segmix_core.geometry import Box
from segmix_core.project.records import TissueClass

NAMES = {0: "background", 1: "tumour <&>", 2: "Drüse", 255: "ignored"}


def _shuffled_boxes(labels, band_px=448, box_px=500, seed=0):
    """Bands that do not fit the file's tiles, boxes in any order inside a band."""
    rng = np.random.default_rng(seed)
    height, width = labels.shape
    for y in range(0, height, band_px):
        for x in rng.permutation(range(0, width, box_px)):
            box = Box(y, int(x), min(band_px, height - y), min(box_px, width - x))
            yield box, labels[box.slices]


def _write(path, labels, info, **options):
    boxes = _shuffled_boxes(labels)
    return write_label_tiff(path, boxes, shape=labels.shape, info=info, **options)


def test_ome_layout_in_tifffile(tmp_path, label_map, info):
    path = tmp_path / "ä [1].ome.tif"
    _write(path, label_map, info)
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        page = tiff.pages.first
        assert tiff.is_ome
        assert not tiff.is_bigtiff
        assert series.axes == "YX"
        assert [level.shape for level in series.levels] == level_shapes(label_map.shape)
        for level, content in enumerate(series.levels):
            expected = label_map[:: 2**level, :: 2**level]
            np.testing.assert_array_equal(content.asarray(), expected)
        assert page.tile == (512, 512)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert page.colormap is None
        xml = tiff.ome_metadata
    for part in ('PhysicalSizeX="0.5"', 'PhysicalSizeYUnit="µm"', 'Name="class index"'):
        assert part in xml
    assert 'Name="slide é.svs"' in xml
    assert read_label_tiff_classes(path) == NAMES


def test_ome_layout_opens_in_openslide_with_one_level(tmp_path, label_map, info):
    path = tmp_path / "mask.ome.tif"
    _write(path, label_map, info)
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count == 1
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)


def test_generic_layout_in_openslide(tmp_path, label_map, info):
    path = tmp_path / "mask.tif"
    _write(path, label_map, info, layout="generic")
    with openslide.OpenSlide(path) as slide:
        shapes = [(height, width) for width, height in slide.level_dimensions]
        assert shapes == level_shapes(label_map.shape)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
        for level, (height, width) in enumerate(shapes):
            region = np.asarray(slide.read_region((0, 0), level, (width, height)))
            expected = label_map[:: 2**level, :: 2**level]
            np.testing.assert_array_equal(region[..., 0], expected)
    assert read_label_tiff_classes(path) == NAMES


def test_generic_layout_in_tifffile(tmp_path, label_map, info):
    path = tmp_path / "mask.tif"
    _write(path, label_map, info, layout="generic")
    with tifffile.TiffFile(path) as tiff:
        assert not tiff.is_ome
        assert [page.subfiletype for page in tiff.pages] == [0, 1, 1]
        assert tiff.pages[1].resolution == pytest.approx((10_000, 10_000))
        np.testing.assert_array_equal(tiff.asarray(), label_map)


@pytest.mark.parametrize("layout", ["ome", "generic"])
def test_without_mpp_no_size_is_claimed(tmp_path, label_map, info, layout):
    path = tmp_path / ("mask.ome.tif" if layout == "ome" else "mask.tif")
    _write(path, label_map, LabelImageInfo(info.classes), layout=layout)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.resolutionunit != tifffile.RESUNIT.CENTIMETER
        assert "PhysicalSize" not in tiff.pages.first.description
    with openslide.OpenSlide(path) as slide:
        assert "openslide.mpp-x" not in slide.properties


def test_sidecar_says_classes_source_and_place(tmp_path, label_map, info):
    sidecar = _write(tmp_path / "a.b.ome.tif", label_map, info)
    assert (
        sidecar == tmp_path / "a.b.classes.json" == sidecar_path(tmp_path / "a.b.tif")
    )
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {
        "version": 1,
        "source": "slide é.svs",
        "mpp": 0.5,
        "mpp_y": 0.5,
        "mpp_x": 0.5,
        "downsample": 2.0,
        "origin": {"y": 4, "x": 6, "unit": "level-0 pixel"},
        "bounds": None,
        "classes": {
            "0": {"name": "background", "color": "#000000"},
            "1": {"name": "tumour <&>", "color": "#ff0000"},
            "2": {"name": "Drüse", "color": "#00ff80"},
            "255": {"name": "ignored", "color": "#808080"},
        },
    }


def test_uncovered_pixels_are_ignored(tmp_path, info):
    path = tmp_path / "mask.tif"
    boxes = [(Box(600, 10, 20, 20), np.full((20, 20), 1, np.uint8))]
    write_label_tiff(path, boxes, shape=(1300, 40), info=info, layout="generic")
    expected = np.full((1300, 40), 255, np.uint8)
    expected[600:620, 10:30] = 1
    np.testing.assert_array_equal(tifffile.imread(path), expected)


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (513, 3), (5, 1025)])
def test_small_and_odd_shapes(tmp_path, info, shape):
    labels = np.random.default_rng(1).integers(0, 3, shape, dtype=np.uint8)
    path = tmp_path / "mask.ome.tif"
    write_label_tiff(path, row_bands(labels), shape=shape, info=info)
    with tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == level_shapes(shape)
        np.testing.assert_array_equal(levels[0].asarray(), labels)
        np.testing.assert_array_equal(
            levels[-1].asarray(),
            labels[:: 2 ** (len(levels) - 1), :: 2 ** (len(levels) - 1)],
        )


def test_bigtiff_only_for_files_that_may_pass_4_gib():
    assert not needs_bigtiff((50_000, 50_000))
    assert needs_bigtiff((60_000, 60_000))


@pytest.mark.parametrize(
    ("name", "layout"),
    [("a.tif", "ome"), ("a.ome.tif", "generic"), ("a.png", "generic")],
)
def test_suffix_must_fit_the_layout(tmp_path, info, name, layout):
    with pytest.raises(ValueError, match=r"needs a name like .*\.tif"):
        write_label_tiff(tmp_path / name, [], shape=(4, 4), info=info, layout=layout)


def test_empty_shape_is_refused(tmp_path, info):
    with pytest.raises(ValueError, match="at least 1 x 1"):
        write_label_tiff(tmp_path / "a.ome.tif", [], shape=(0, 4), info=info)


def test_mpp_must_be_positive():
    with pytest.raises(ValueError, match="mpp must be positive"):
        LabelImageInfo((), mpp_y=0.0, mpp_x=1.0)


def _assert_untouched(folder: Path, before: dict[str, bytes]) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.fixture
def earlier_export(tmp_path, label_map, info):
    folder = tmp_path / "exports"
    path = folder / "mask.ome.tif"
    _write(path, label_map, info)
    return path, {entry.name: entry.read_bytes() for entry in folder.iterdir()}


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EIO, "slide gone")])
def test_failure_of_the_source_leaves_the_earlier_file(earlier_export, info, error):
    path, before = earlier_export

    def boxes():
        yield Box(0, 0, 600, 600), np.zeros((600, 600), np.uint8)
        raise error

    with pytest.raises(type(error)) as raised:
        write_label_tiff(path, boxes(), shape=(1283, 1751), info=info)
    assert raised.value is error
    _assert_untouched(path.parent, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_full_disk_is_told_and_leaves_the_earlier_file(earlier_export, info):
    import resource

    path, before = earlier_export
    noise = np.random.default_rng(2).integers(0, 255, (2048, 2048), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(JobError, match="Free some space"):
            write_label_tiff(path, row_bands(noise), shape=noise.shape, info=info)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _assert_untouched(path.parent, before)


def test_unwritable_place_is_told(tmp_path, info):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(JobError, match="folder can be written"):
        write_label_tiff(tmp_path / "file" / "a.ome.tif", [], shape=(4, 4), info=info)


def test_classes_of_a_foreign_file(tmp_path):
    for name, options in {
        "plain.tif": {"metadata": None},
        "ome.ome.tif": {"ome": True},
        "json.tif": {"description": '{"other": 1}', "metadata": None},
        "xml.tif": {"description": "<broken", "metadata": None},
        "bomb.tif": {
            "description": f'<!DOCTYPE a [<!ENTITY b "c">]><a>{"&b;" * 9}</a>',
            "metadata": None,
        },
    }.items():
        tifffile.imwrite(tmp_path / name, np.zeros((4, 4), np.uint8), **options)
        with pytest.raises(ProjectError, match="has no class names"):
            read_label_tiff_classes(tmp_path / name)
    (tmp_path / "text.tif").write_text("no tiff")
    for name in ("text.tif", "missing.tif"):
        with pytest.raises(ProjectError, match="cannot be read"):
            read_label_tiff_classes(tmp_path / name)


def test_deflate_works_without_imagecodecs(tmp_path):
    code = """
import sys
from pathlib import Path
sys.modules["imagecodecs"] = None
import numpy as np, tifffile
from segmix_core.export.label_info import LabelImageInfo
from segmix_core.export.label_tiff import row_bands, write_label_tiff
labels = np.tile(np.arange(7, dtype=np.uint8), (700, 100))
path = Path(sys.argv[1]) / "a.ome.tif"
write_label_tiff(path, row_bands(labels), shape=labels.shape, info=LabelImageInfo(()))
assert (tifffile.imread(path) == labels).all()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


@pytest.mark.parametrize(
    "name",
    [
        "a\x00\x1b[31m",
        "\udcff\ud83d",
        "a\ufffe\uffff",
        "a\tb\r\nc",
        "<&>\"']]>",
        "",
    ],
)
def test_any_name_is_valid_xml(tmp_path, label_map, name):
    path = tmp_path / "a.ome.tif"
    classes = (TissueClass(1, name or "x", "#ff0000"),)
    _write(path, label_map, LabelImageInfo(classes, 0.5, 0.25, source=name))
    with tifffile.TiffFile(path) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
    (image,) = root.iterfind("{*}Image")
    found = image.get("Name")
    assert found.isprintable()
    assert found
    assert read_label_tiff_classes(path)[1] == xml_text(name or "x")
    content = json.loads(sidecar_path(path).read_text("utf-8"))
    assert content["source"] == name


def test_a_description_that_is_no_xml_is_a_mistake():
    with pytest.raises(ValueError, match="OME-XML is not valid"):
        check_xml("<OME>\x01</OME>")


def test_pixel_sizes_are_of_both_axes_or_of_none():
    with pytest.raises(ValueError, match="must both be set"):
        LabelImageInfo((), mpp_y=1.0)
    with pytest.raises(ValueError, match="mpp must be positive"):
        LabelImageInfo((), mpp_y=float("inf"), mpp_x=1.0)
