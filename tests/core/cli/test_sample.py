import tifffile


def test_slide_and_mask_are_written_once(tmp_path, answer):
    code, said = answer("sample", tmp_path / "a", "--size", 512)
    assert (code, said["classes"]) == (0, ["gland", "stroma", "lymphoid"])
    assert tifffile.imread(said["slide"]).shape == (512, 512, 3)
    assert tifffile.imread(said["mask"]).shape == (512, 512)
    code, said = answer("sample", tmp_path / "a", "--size", 512)
    assert (code, said["error"]) == (2, "ProjectError")
    assert "already exists" in said["message"]


def test_another_seed_is_another_slide(tmp_path, answer):
    for seed in (0, 1):
        assert (
            answer("sample", tmp_path / str(seed), "--size", 512, "--seed", seed)[0]
            == 0
        )
    first, other = (tifffile.imread(tmp_path / s / "sample.tif") for s in "01")
    assert (first != other).any()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, answer):
    (tmp_path / "file").write_bytes(b"")
    code, said = answer("sample", tmp_path / "file" / "x")
    assert (code, said["error"]) == (2, "ProjectError")
