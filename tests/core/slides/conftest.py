import numpy as np
import pytest
import tifffile


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (300, 420, 3), dtype=np.uint8)


@pytest.fixture
def write_pyramid(tmp_path, rgb):
    """Write ``rgb`` with two halved levels, as separate pages or as SubIFDs."""

    def write(name="pyramid.tif", *, subifds=False, image=rgb, **options):
        path = tmp_path / name
        options = {"compression": "deflate", "tile": (64, 64), **options}
        with tifffile.TiffWriter(path, ome=subifds) as tiff:
            metadata = options.pop("metadata", None)
            if subifds:
                options["subifds"] = 2
            tiff.write(image, photometric="rgb", metadata=metadata, **options)
            options.pop("subifds", None)
            for step in (2, 4):
                tiff.write(
                    image[::step, ::step],
                    photometric="rgb",
                    subfiletype=1,
                    metadata=None,
                    **options,
                )
        return path

    return write


@pytest.fixture
def write_aperio(tmp_path, rgb):
    """Write a file that OpenSlide takes for a scanner's."""

    def write(name="slide.svs", text="|AppMag = 40|MPP = 0.2500", **options):
        path = tmp_path / name
        with tifffile.TiffWriter(path) as tiff:
            for step in (1, 2):
                tiff.write(
                    rgb[::step, ::step],
                    tile=(64, 64),
                    compression="jpeg",
                    photometric="rgb",
                    description=f"Aperio Image Library v11 \r\n{text}",
                    metadata=None,
                    software=False,
                    **options,
                )
        return path

    return write
