import hashlib
import json
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from segmix_core.errors import CheckpointError
from segmix_core.models.cam_classifier import CamClassifier, load_classifier
from segmix_core.models.checkpoint import (
    ORIGIN,
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    read_origin,
    save_checkpoint,
)
from segmix_core.models.checkpoint_files import MANIFEST, remove_unnamed
from segmix_core.models.segmenter import load_segmenter

NAMES = ("tumour", "stroma")


def make_net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return net.to(memory_format=torch.channels_last)


def save(folder: Path, seed: int = 0, step: int = 7) -> nn.Module:
    net = make_net(seed)
    save_checkpoint(
        folder,
        module=net,
        arguments={"width": 4},
        kind="classifier",
        class_names=NAMES,
        step=step,
        extra={"best": 0.5},
        training={"optimizer/x": torch.arange(3.0)},
    )
    return net


def edit(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | changes), encoding="utf-8")


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    net = save(tmp_path / "deep" / "last")
    found = load_checkpoint(tmp_path / "deep" / "last", with_training=True)
    assert found.kind == "classifier"
    assert found.arguments == {"width": 4}
    assert found.class_names == NAMES
    assert found.step == 7
    assert found.extra == {"best": 0.5}
    assert found.training["optimizer/x"].tolist() == [0, 1, 2]
    other = make_net(1)
    found.load_into(other)
    for name, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_training_state_is_read_only_on_demand(tmp_path: Path) -> None:
    save(tmp_path)
    assert load_checkpoint(tmp_path).training == {}


def test_a_new_checkpoint_replaces_the_old(tmp_path: Path) -> None:
    save(tmp_path, step=1)
    save(tmp_path, seed=1, step=2)
    assert load_checkpoint(tmp_path).step == 2
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_shared_and_strided_tensors_are_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    save_checkpoint(
        tmp_path,
        module={"a": whole.t(), "b": whole[1:]},
        arguments={},
        kind="x",
        class_names=(),
        step=0,
    )
    found = load_checkpoint(tmp_path).weights
    assert torch.equal(found["a"], whole.t())
    assert torch.equal(found["b"], whole[1:])


def test_reading_while_another_writes(tmp_path: Path) -> None:
    save(tmp_path, step=0)
    stop = threading.Event()

    def write() -> None:
        step = 1
        while not stop.is_set():
            save_step(step)
            step += 1

    def save_step(step: int) -> None:
        save_checkpoint(
            tmp_path,
            module={"step": torch.tensor([step])},
            arguments={},
            kind="x",
            class_names=(),
            step=step,
        )

    save_step(0)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            found = load_checkpoint(tmp_path)
            assert found.weights["step"].item() == found.step
    finally:
        stop.set()
        writer.join()


def test_missing(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"There is no checkpoint.*Finish the training"
    ):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "nothing")


def test_other_kind(tmp_path: Path) -> None:
    save(tmp_path)
    assert has_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path, kind="classifier").step == 7
    with pytest.raises(CheckpointError, match="of a classifier, not of a segmenter"):
        load_checkpoint(tmp_path, kind="segmenter")


def test_other_classes(tmp_path: Path) -> None:
    save(tmp_path)
    assert load_checkpoint(tmp_path, class_names=list(NAMES)).step == 7
    with pytest.raises(CheckpointError, match=r"stroma, tumour.*have changed since"):
        load_checkpoint(tmp_path, class_names=NAMES[::-1])


def test_newer_version(tmp_path: Path) -> None:
    save(tmp_path)
    edit(tmp_path, version=2)
    with pytest.raises(CheckpointError, match=r"written by a newer napari-segmix"):
        load_checkpoint(tmp_path)


def test_damaged_weights(tmp_path: Path) -> None:
    save(tmp_path)
    path = next(tmp_path.glob("weights-*"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="changed or is truncated"):
        load_checkpoint(tmp_path)


def test_lost_weights(tmp_path: Path) -> None:
    save(tmp_path)
    next(tmp_path.glob("weights-*")).unlink()
    with pytest.raises(CheckpointError, match="file it names is missing"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "x"}'])
def test_damaged_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is not JSON|has no valid"):
        load_checkpoint(tmp_path)


def test_incomplete_manifest(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"version": 1}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="no valid kind"):
        load_checkpoint(tmp_path)


def test_a_manifest_cannot_point_elsewhere(tmp_path: Path) -> None:
    save(tmp_path)
    edit(tmp_path, files={"weights": {"name": "../secret", "sha256": "", "bytes": 0}})
    with pytest.raises(CheckpointError, match=r"no valid files\.weights"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, r"0\.weight is missing .* \(4, 3, 3, 3\)"),
        ({"2.weight": torch.zeros(1)}, r"is \(1,\) in the file and missing"),
        ({"1.bias": torch.zeros(9)}, r"1\.bias is \(9,\) in the file and \(4,\)"),
    ],
)
def test_weights_of_another_network(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    weights = {**make_net().state_dict(), **change}
    kept = {name: t for name, t in weights.items() if t is not None}
    other = Checkpoint("classifier", {}, NAMES, 0, {}, kept)
    with pytest.raises(CheckpointError, match=message):
        other.load_into(make_net())


@pytest.mark.parametrize(
    "change",
    [
        {"version": True},
        {"kind": 3},
        {"arguments": []},
        {"arguments": {"width": [1]}},
        {"class_names": "stroma"},
        {"class_names": [1]},
        {"class_names": ["a"] * 255},
        {"step": -1},
        {"extra": None},
        {"files": {"other": {}}},
        {"files": {"weights": {"name": "a.safetensors", "bytes": 1, "sha256": "0"}}},
    ],
)
def test_a_manifest_with_a_wrong_field(
    tmp_path: Path, change: dict[str, object]
) -> None:
    save(tmp_path)
    path = tmp_path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(
        CheckpointError, match=r"damaged: checkpoint\.json has no valid"
    ):
        load_checkpoint(tmp_path)
    names = set(tmp_path.iterdir())
    remove_unnamed(tmp_path)
    assert set(tmp_path.iterdir()) == names


def test_a_manifest_without_weights(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {}}))
    with pytest.raises(CheckpointError, match="has no weights"):
        load_checkpoint(tmp_path)


def test_an_origin_of_another_kind(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / MANIFEST
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"extra": {ORIGIN: [1]}}))
    with pytest.raises(CheckpointError, match="has an invalid initial_weights"):
        read_origin(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "last"
    save(folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(CheckpointError, match="it is a symbolic link"):
        load_checkpoint(tmp_path / "link")
    names = set(folder.iterdir())
    with pytest.raises(CheckpointError, match="it is a symbolic link"):
        save(tmp_path / "link")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.safetensors").touch()
    (tmp_path / "second").symlink_to(tmp_path / "other")
    remove_unnamed(tmp_path / "second")
    assert (tmp_path / "other" / "mine.safetensors").exists()
    assert set(folder.iterdir()) == names
    (file,) = folder.glob("weights-*")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff" * 8,
        (1 << 40).to_bytes(8, "little") + b"{}",
        (5000).to_bytes(8, "little") + b"[" * 5000,
        (2).to_bytes(8, "little") + b"[]",
        (40).to_bytes(8, "little") + b'{"a":{"dtype":"F64","shape":[9],"data_of',
        (54).to_bytes(8, "little")
        + b'{"a":{"dtype":"XX","shape":[1],"data_offsets":[0,4]}}  1234',
    ],
)
def test_a_file_without_tensors(tmp_path: Path, header: bytes) -> None:
    save(tmp_path)
    path = tmp_path / MANIFEST
    content = json.loads(path.read_text())
    entry = content["files"]["weights"]
    entry |= {"bytes": len(header), "sha256": hashlib.sha256(header).hexdigest()}
    (tmp_path / entry["name"]).write_bytes(header)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="holds no tensors"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"num_classes": 0}, {"num_classes": "3"}, {"num_classes": 2, "width": -1}],
)
def test_arguments_of_no_network(tmp_path: Path, arguments: dict[str, object]) -> None:
    found = Checkpoint("classifier", arguments, ("a",), 0, {}, {})
    with pytest.raises(CheckpointError, match=r"cannot build|another network"):
        load_classifier(found)


def test_a_checkpoint_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = CamClassifier(num_classes=1, width=4)
    arguments = network.arguments | {"weights": "download"}
    found = Checkpoint("classifier", arguments, ("a",), 0, {}, network.state_dict())
    assert load_classifier(found).num_classes == 1
    foreign = {"num_classes": 1, "encoder": "tu-hf-hub:someone/something"}
    with pytest.raises(CheckpointError, match="is not a valid encoder"):
        load_segmenter(Checkpoint("segmenter", foreign, ("a",), 0, {}, {}))


def test_scores_may_be_unknown(tmp_path: Path) -> None:
    save_checkpoint(
        tmp_path,
        module={"a": torch.ones(1)},
        arguments={},
        kind="x",
        class_names=(),
        step=0,
        extra={"best": float("-inf"), "loss": float("nan")},
    )
    assert load_checkpoint(tmp_path).extra["best"] == float("-inf")
