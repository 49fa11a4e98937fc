from importlib.metadata import version


def test_version(segmix):
    said = segmix("--version")
    assert (said.exit_code, said.stdout) == (0, f"segmix {version('napari-segmix')}\n")


def test_help_says_what_it_is_for(segmix):
    said = segmix("--help")
    assert said.exit_code == 0
    assert "Pixel masks from image-level labels" in said.stdout
    assert segmix().exit_code == 2
