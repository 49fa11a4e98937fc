"""Whole small trainings with each kind of backbone and weights."""

import hashlib

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from segmix_core.errors import ConfigError
from segmix_core.models.backbone import SmallBackbone
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.runs import RunState
from segmix_core.runs.results import load_tiles, open_cams, open_mask

SHORT = {"train.epochs": 2}


def last(run):
    return load_checkpoint(run.checkpoints_path / "last", with_training=True)


def grid_of(workshop, run):
    """Cells of the maps that the weights of a run make, and their stride."""
    cams = workshop.run("cams", inputs={"train": run.path})
    masks = workshop.run("pseudo-masks", inputs={"cams": cams.path})
    assert (open_mask(masks.path, 1)[:] != 255).any()
    return open_cams(cams.path).shape[-2:], int(load_tiles(cams.path)["stride"])


@pytest.fixture
def file(tmp_path):
    """Save a network's weights as its publisher would."""

    def save(network):
        path = tmp_path / "published.safetensors"
        save_file({n: t.contiguous() for n, t in network.state_dict().items()}, path)
        return path

    return save


def test_a_convolutional_network_of_stride_sixteen(folder):
    changes = SHORT | {"train.backbone": "resnet18", "train.stride": 16}
    run = folder.run("train", changes=changes)
    assert last(run).extra["initial_weights"] == {"source": "scratch"}
    assert grid_of(folder, run) == ((4, 4), 16)


@pytest.mark.parametrize("freeze", [False, True])
def test_a_transformer_with_the_weights_of_a_file(folder, file, freeze):
    torch.manual_seed(3)
    path = file(timm.create_model("test_vit", num_classes=5))
    changes = SHORT | {
        "train.backbone": "test_vit",
        "train.weights": str(path),
        "train.freeze": freeze,
    }
    run = folder.run("train", changes=changes)
    found, published = last(run), load_file(path)
    assert found.extra["initial_weights"] == {
        "source": "file",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "license": "apache-2.0",
    }
    name = "blocks.0.attn.qkv.weight"
    same = torch.equal(found.weights[f"backbone.network.{name}"], published[name])
    assert same == freeze
    moments = [n for n in found.training if n.startswith("optimizer/backbone.")]
    assert bool(moments) != freeze
    if freeze:
        # Weights before averaging: frozen ones would be the same again.
        again = [n for n in found.training if n.startswith("weights/backbone.")]
        assert again == []
    assert grid_of(folder, run) == ((4, 4), 16)


def test_the_small_backbone_with_the_weights_of_a_file_frozen(folder, file):
    path = file(SmallBackbone(8))
    changes = SHORT | {"train.weights": str(path), "train.freeze": True}
    weights = last(folder.run("train", changes=changes)).weights
    for name, tensor in load_file(path).items():
        torch.testing.assert_close(weights[f"backbone.{name}"], tensor)


@pytest.mark.parametrize("method", ["segmix-plus", "puzzle-cam"])
def test_patches_of_fourteen_pixels(wide_folder, method):
    changes = SHORT | {
        "train.backbone": "eva02_tiny_patch14_224",
        "train.method": method,
        "train.batch_size": 4,
    }
    run = wide_folder.run("train", changes=changes)
    assert grid_of(wide_folder, run) == ((8, 8), 14)


@pytest.mark.parametrize("method", ["segmix", "puzzle-cam"])
def test_tiles_that_patches_do_not_divide_are_named_with_those_they_would(
    folder, method
):
    changes = {"train.backbone": "eva02_tiny_patch14_224", "train.method": method}
    with pytest.raises(ConfigError, match="such as 112 pixels"):
        folder.attempt("train", changes=changes)


def test_methods_without_patches_take_any_tile(folder):
    changes = {"train.backbone": "eva02_tiny_patch14_224", "train.method": "seam"}
    run = folder.run("train", changes=SHORT | changes)
    assert grid_of(folder, run) == ((5, 5), 14)


@pytest.mark.parametrize("freeze", [False, True])
def test_a_run_goes_on_without_the_file_it_began_with(folder, file, freeze):
    path = file(timm.create_model("test_vit", num_classes=0))
    changes = {
        "train.epochs": 2,
        "train.backbone": "test_vit",
        "train.weights": str(path),
        "train.freeze": freeze,
    }
    whole = last(folder.run("train", changes=changes))
    broken = folder.stop("train", after=2, changes=changes).folder
    path.unlink()
    folder.resume(broken)
    assert broken.state() is RunState.COMPLETED
    found = last(broken)
    assert found.extra["initial_weights"] == whole.extra["initial_weights"]
    for name, tensor in (whole.weights | whole.training).items():
        assert torch.equal((found.weights | found.training)[name], tensor), name


def test_a_file_that_is_not_there_ends_the_run_with_a_sentence(folder):
    changes = {"train.weights": "/nowhere/x.safetensors"}
    with pytest.raises(ConfigError, match=r"/nowhere/x\.safetensors cannot be read \("):
        folder.attempt("train", changes=changes)
