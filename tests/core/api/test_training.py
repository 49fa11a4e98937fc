"""Real trainings on a tiny loader, project and folder."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import segmix_core as sx
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.training import reporter
from segmix_core.training.device import make_fabric
from tests.core.api.conftest import CLASSES, MACHINE, METHODS, draw


def weights(model):
    return model.network.state_dict()


def same(first, second):
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def train(source, method, **options):
    return sx.train(source, classes=CLASSES, method=method, machine=MACHINE, **options)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_on_a_loader(loader, name):
    seen = []
    method = METHODS[name]
    model = train(loader, method, progress=seen.append)
    assert (model.step, model.completed) == (3 * method.epochs, True)
    assert model.class_names == ("plain", "striped")
    assert seen[-1].total_steps == 3 * method.epochs
    assert all(np.isfinite(state.loss) for state in seen)
    cams = model.cams(draw(4)[0])
    assert cams.shape == (4, 2, 32, 32)
    assert cams.min() >= 0
    assert cams.max() <= 1
    # The second network of SegMix+ learns from masks.
    assert any("map" in state.values for state in seen) == (name == "segmix-plus")


def test_a_loader_and_lists_of_batches_mean_the_same():
    images, labels = draw(8)
    as_bytes = (images * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    batches = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    models = [
        train(source, METHODS["segmix"])
        for source in (
            DataLoader(dataset, batch_size=4),
            batches,
            [[as_bytes[:4], labels[:4].tolist()], (as_bytes[4:], labels[4:] * 1.0)],
        )
    ]
    assert same(models[0], models[1])
    assert same(models[0], models[2])


def test_a_seed_decides_the_result_and_not_what_ran_before(loader):
    method = sx.SegMix(epochs=1, width=8)
    torch.manual_seed(1)
    first = train(loader, method)
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert same(first, train(loader, method))
    assert not same(first, train(loader, method.model_copy(update={"seed": 1})))
    # Nor does a training change the program's own random numbers, or its threads.
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    train(loader, METHODS["cam"])
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("told_of_every_step")
@pytest.mark.parametrize(
    ("name", "after"), [("segmix", 4), ("segmix-plus", 1), ("segmix-plus", 8)]
)
def test_stopped_and_resumed_is_the_unbroken_training(loader, name, after, tmp_path):
    method = METHODS[name]
    whole = train(loader, method)
    folder = tmp_path / "training"
    broken = train(loader, method, checkpoints=folder, progress=StopAt(after))
    assert not broken.completed
    assert broken.step == after
    again = train(loader, method, checkpoints=folder)
    assert again.completed
    assert again.step == whole.step
    assert same(whole, again)
    assert same(whole, sx.load_model(folder))
    # What is done is not done again.
    assert same(whole, train(loader, method, checkpoints=folder))


@pytest.fixture
def told_of_every_step(monkeypatch):
    monkeypatch.setattr(reporter, "_METRICS_SECONDS", 0)


class StopAt:
    def __init__(self, step):
        self._step = step

    def __call__(self, state):
        return state.step < self._step


@pytest.mark.usefixtures("told_of_every_step")
def test_stopping_in_the_second_network_gives_the_first(loader):
    method = METHODS["segmix-plus"]
    stopped = train(loader, method, progress=StopAt(8))
    assert stopped.step == 8
    assert stopped.network.pooled_mean == method.pooled_mean
    assert not stopped.shared_foreground


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (sx.FixedShuffle(epochs=2, width=8, learning_rate=1e-4), "learning rate 0.002"),
        # Their networks are alike, so only the settings tell them apart.
        (sx.SegMix(epochs=2, width=8), "method fixed-shuffle, not segmix"),
        (sx.FixedShuffle(epochs=2, width=8, patch_size=8), "patch size None, not 8"),
        (sx.FixedShuffle(epochs=2, width=8, labels="certain"), "labels area, not "),
        (sx.Seam(epochs=2, width=8), "method fixed-shuffle, not seam"),
    ],
)
def test_another_training_in_the_folder_is_refused(loader, tmp_path, other, difference):
    method = sx.FixedShuffle(epochs=2, width=8)
    train(loader, method, checkpoints=tmp_path, progress=StopAt(1))
    with pytest.raises(sx.CheckpointError, match=f"has {difference}.* must not change"):
        train(loader, other, checkpoints=tmp_path)


def test_validation_decides_which_epoch_is_kept(loader, tmp_path):
    seen = []
    images, labels = draw(4, seed=5)
    model = train(
        loader,
        sx.Cam(epochs=3, width=8, keep="best"),
        validation=[(images, labels)],
        checkpoints=tmp_path,
        progress=seen.append,
    )
    losses = [s.values["val_loss"] for s in seen if "val_loss" in s.values]
    assert len(losses) == 3
    best = load_checkpoint(tmp_path / "checkpoints" / "best")
    assert best.step == 3 * (1 + int(np.argmin(losses)))
    for name, tensor in best.weights.items():
        assert torch.equal(weights(model)[name], tensor)


def test_a_fabric_of_the_caller_is_used(loader):
    fabric = make_fabric(torch.device("cpu"))
    method = METHODS["cam"]
    model = sx.train(loader, classes=CLASSES, method=method, fabric=fabric)
    assert model.completed
    with pytest.raises(sx.ConfigError, match="its own device"):
        sx.train(loader, classes=CLASSES, method=method, fabric=fabric, machine=MACHINE)
    fabric._strategy = Several(fabric._strategy)
    with pytest.raises(sx.ConfigError, match="a folder that all of them can read"):
        sx.train(loader, classes=CLASSES, method=method, fabric=fabric)
    with pytest.raises(sx.ConfigError, match="cannot be trained on by several"):
        sx.train(loader, classes=CLASSES, method=method, fabric=fabric, checkpoints="x")


class Several:
    """A strategy that says it has two processes."""

    world_size = 2

    def __init__(self, strategy):
        self._strategy = strategy

    def __getattr__(self, name):
        return getattr(self._strategy, name)


IMAGES, LABELS = draw(4)


@pytest.mark.parametrize(
    ("source", "error", "problem"),
    [
        ([], sx.DataError, "loader is empty"),
        (iter([(IMAGES, LABELS)]), sx.DataError, "read only once"),
        (3, sx.DataError, "int gives no batches"),
        (TensorDataset(torch.zeros(2)), sx.DataError, "TensorDataset gives no batches"),
        ([IMAGES], sx.DataError, "not a pair of images and labels"),
        ([(IMAGES[0], LABELS)], sx.DataError, "not RGB images"),
        ([(IMAGES, LABELS[:, :1])], sx.DataError, r"\(4, 2\), not \(4, 1\)"),
        ([(IMAGES, LABELS[:3])], sx.DataError, r"\(4, 2\), not \(3, 2\)"),
        ([(IMAGES, LABELS * 0.5)], sx.DataError, "not 1, 0 or -1"),
        ([(2 * IMAGES, LABELS)], sx.DataError, "must be in 0..1"),
        ([(IMAGES, LABELS), draw(2, edge=64)], sx.DataError, "larger than those"),
    ],
)
def test_loaders_that_do_not_fit_are_refused(source, error, problem):
    with pytest.raises(error, match=problem):
        train(source, METHODS["cam"])


class Endless:
    """A loader without a length."""

    def __iter__(self):
        return iter([(IMAGES, LABELS)])


class Short(Endless):
    def __len__(self):
        return 2


@pytest.mark.parametrize(
    ("source", "problem"),
    [(Endless(), "has no length"), (Short(), "has 1 batches, but a length of 2")],
)
def test_lengths_that_are_not_true_are_refused(source, problem):
    with pytest.raises(sx.DataError, match=problem):
        train(source, METHODS["cam"])


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (sx.Cam(batch_size=8), "batches of 8 images, but those of the loader have 4"),
        (sx.Cam(keep="best"), "needs images to measure"),
        (sx.SegMixPlus(stain_normalization=True), "stain cannot be normalized"),
        (sx.SegMix(patch_sizes=(5,)), "patch"),
    ],
)
def test_methods_that_contradict_the_loader_are_refused(loader, method, problem):
    with pytest.raises(sx.ConfigError, match=problem):
        train(loader, method)


def test_a_batch_size_that_is_the_loaders_is_no_contradiction(loader):
    assert train(loader, sx.Cam(epochs=1, width=8, batch_size=4)).completed


@pytest.mark.parametrize("classes", [None, [], "ab", ["a", "a"]])
def test_classes_need_names(loader, classes):
    with pytest.raises(sx.ConfigError, match="classes have no names"):
        sx.train(loader, classes=classes, method=METHODS["cam"])


@pytest.mark.parametrize("classes", [[0, 1], ["a", " "], ["a", None]])
def test_class_names_are_text(loader, classes):
    with pytest.raises(sx.ConfigError, match="Not all of the classes"):
        sx.train(loader, classes=classes, method=METHODS["cam"])


def test_a_class_that_no_image_has_is_named():
    images, labels = draw(4)
    labels[:, 1] = 0
    labels[:, 0] = 1
    with pytest.warns(UserWarning, match="Nothing can be learned") as found:
        train([(images, labels)], METHODS["cam"])
    texts = [str(warning.message) for warning in found]
    assert [text.partition(". ")[0] for text in texts] == [
        "No image is labeled present for striped",
        "No image is labeled absent for plain",
    ]


def test_images_without_glass_are_told_of():
    images, labels = draw(4)
    with pytest.warns(UserWarning, match="almost no background"):
        train([(images * 0.8, labels)], METHODS["segmix-plus"])


def test_smaller_images_are_continued():
    small = draw(2, edge=24)
    model = train([(IMAGES, LABELS), small], METHODS["segmix-plus"])
    assert model.cams(small[0]).shape == (2, 2, 24, 24)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "data"
    (place / "images").mkdir(parents=True)
    images, labels = draw(8)
    rows = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        pixels = (image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / "images" / f"{number}.png")
        rows.append([f"{number}.png", *label])
    with (place / "labels.csv").open("w", newline="") as file:
        header = ["filename", "label_plain", "label_striped"]
        csv.writer(file).writerows([header, *rows])
    return place


def test_a_folder_and_a_project_of_it_train_the_same(folder, tmp_path):
    method = sx.SegMix(epochs=2, width=8, batch_size=4)
    model = train(folder, method)
    assert model.completed
    assert sorted(path.name for path in folder.iterdir()) == ["images", "labels.csv"]
    with sx.Project.create(tmp_path / "a.segmix", CLASSES) as project:
        project.add_images([folder / "images"])
        labels = [[1, 0] if tile % 2 else [0, 1] for tile in project.tile_ids]
        project.set_labels(project.tile_ids, labels)
        assert same(model, sx.train(project, method=method, machine=MACHINE))
    path = str(tmp_path / "a.segmix")
    assert same(model, sx.train(path, method=method, machine=MACHINE))
    with pytest.raises(sx.ConfigError, match="its own classes"):
        train(path, method)
    with pytest.raises(sx.ConfigError, match="its own validation images"):
        sx.train(path, method=method, validation=[(IMAGES, LABELS)])


def test_folders_that_cannot_train_are_refused(folder, tmp_path):
    with pytest.raises(sx.DataError, match="is not a folder"):
        train(tmp_path / "nowhere", METHODS["cam"])
    (folder / "labels.csv").unlink()
    with pytest.raises(sx.ProjectError):
        train(folder, METHODS["cam"])
    with (
        sx.Project.create(tmp_path / "a.segmix", CLASSES) as project,
        pytest.raises(sx.ProjectError),
    ):
        sx.train(project, method=METHODS["cam"])
