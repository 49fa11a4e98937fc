import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.curriculum.level import ShuffleScope
from segmix_core.curriculum.shuffle import shuffle_batch
from segmix_core.errors import ConfigError, DataError
from tests.reference import shuffle as reference


def make_batch(count, rows, cols, patch, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, rows * patch, cols * patch)
    images = torch.randint(0, 256, shape, generator=generator).to(dtype)
    labels = torch.randint(-1, 2, (count, 3), generator=generator).float()
    return images, labels, generator


SCOPES = [(True, 2), (True, 3), (True, 10), (True, 0)]
SCOPES += [(False, 1), (False, 2), (False, 3), (False, 0)]


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(1, 9),
    rows=st.integers(1, 4),
    cols=st.integers(1, 4),
    patch=st.integers(1, 4),
    scope=st.sampled_from(SCOPES),
    ratio=st.floats(0, 1),
    exact=st.booleans(),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
)
def test_shuffle_equals_patch_by_patch_and_can_be_undone(
    count, rows, cols, patch, scope, ratio, exact, dtype
):
    images, labels, generator = make_batch(count, rows, cols, patch, dtype)
    in_place, group_size = scope
    shuffled = shuffle_batch(
        images,
        labels,
        patch_size=patch,
        ratio=ratio,
        group_size=group_size,
        in_place=in_place,
        exact=exact,
        generator=generator,
    )
    sources, positions = (part.numpy() for part in shuffled.origins)
    expected = reference.gather_patches(images.numpy(), sources, positions)
    assert shuffled.images.dtype == dtype
    torch.testing.assert_close(shuffled.images, torch.from_numpy(expected))
    soft = reference.mix_labels(labels.numpy(), sources)
    torch.testing.assert_close(shuffled.labels, torch.from_numpy(soft))
    # Every patch of a group is used once, and only by its own group.
    size = min(group_size or count, count)
    tiles, patches = np.arange(count)[:, None], rows * cols
    numbers = (sources * patches + positions).reshape(count, patches)
    assert (np.sort(numbers, axis=None) == np.arange(count * patches)).all()
    inside = sources.reshape(count, patches) // size == tiles // size
    assert inside[: count // size * size].all()
    # Tiles left over keep everything.
    rest = (tiles * patches + np.arange(patches))[count // size * size :]
    assert (numbers[count // size * size :] == rest).all()
    if in_place:
        assert (positions.reshape(count, patches) == np.arange(patches)).all()
    if group_size == 1:
        assert torch.equal(shuffled.labels, labels)


@pytest.mark.parametrize("group_size", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("ratio", "moved"), [(0.0, 0), (0.13, 2), (0.3, 5), (0.5, 8), (1.0, 16)]
)
def test_patches_that_take_part_leave_their_place(group_size, ratio, moved):
    images, labels, generator = make_batch(6, 4, 4, 2)
    sources, positions = shuffle_batch(
        images,
        labels,
        patch_size=2,
        ratio=ratio,
        group_size=group_size,
        in_place=False,
        generator=generator,
    ).origins
    away = (positions != torch.arange(16).view(4, 4)).flatten(1)
    assert away.sum(1).tolist() == [moved] * 6
    foreign = (sources != torch.arange(6)[:, None, None]).flatten(1)
    assert foreign.sum(1).tolist() == [moved * (group_size != 1)] * 6
    # Groups share the positions that take part; each tile fills them in its own way.
    size = group_size or 6
    for start in range(0, 6, size):
        assert (away[start : start + size] == away[start]).all()
    if ratio == 1:
        assert (positions[0] != positions[1]).any()


def test_a_uniform_permutation_of_positions_leaves_one_patch_a_tile():
    images, labels, generator = make_batch(64, 8, 8, 1)
    positions = shuffle_batch(
        images,
        labels,
        patch_size=1,
        ratio=1,
        group_size=1,
        in_place=False,
        exact=False,
        generator=generator,
    ).origins.positions
    stayed = (positions == torch.arange(64).view(8, 8)).flatten(1).sum(1)
    # A permutation has one fixed point on average, whatever its length.
    assert stayed.float().mean().item() == pytest.approx(1, abs=0.4)


def test_a_tile_needs_two_positions_to_be_shuffled_in_itself():
    images, labels, generator = make_batch(3, 4, 4, 1)
    moved = [
        shuffle_batch(
            images[:, :, :edge, :edge],
            labels,
            patch_size=1,
            ratio=0.01,
            group_size=1,
            in_place=False,
            generator=generator,
        ).origins.positions.flatten(1)
        for edge in (4, 1)
    ]
    assert (moved[0] != torch.arange(16)).sum(1).tolist() == [2] * 3
    assert (moved[1] == 0).all()


def test_in_place_or_not_the_labels_are_those_of_the_same_tiles():
    images, labels, _ = make_batch(6, 4, 4, 1)
    first, second = (
        shuffle_batch(
            images,
            labels,
            patch_size=1,
            ratio=0.5,
            group_size=3,
            in_place=in_place,
            generator=torch.Generator().manual_seed(1),
        )
        for in_place in (True, False)
    )
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.images, second.images)


@pytest.mark.parametrize("group_size", [2, 3, 6])
@pytest.mark.parametrize(
    ("ratio", "moved"), [(0.0, 0), (0.01, 1), (0.3, 5), (0.5, 8), (1.0, 16)]
)
def test_exact_moves_the_rounded_share_of_positions_in_every_tile(
    group_size, ratio, moved
):
    images, labels, generator = make_batch(6, 4, 4, 2)
    shuffled = shuffle_batch(
        images,
        labels,
        patch_size=2,
        ratio=ratio,
        group_size=group_size,
        generator=generator,
    )
    foreign = shuffled.origins.sources != torch.arange(6)[:, None, None]
    assert foreign.flatten(1).sum(1).tolist() == [moved] * 6
    # Positions are shared inside a group.
    for start in range(0, 6, group_size):
        group = foreign[start : start + group_size]
        assert (group == group[0]).all()


def test_groups_draw_their_own_positions():
    images, labels, generator = make_batch(8, 8, 8, 1)
    shuffled = shuffle_batch(
        images, labels, patch_size=1, ratio=0.5, generator=generator
    )
    foreign = shuffled.origins.sources != torch.arange(8)[:, None, None]
    assert (foreign[0] != foreign[2]).any()


@pytest.mark.parametrize("group_size", [2, 4, 8])
def test_uniform_mode_leaves_one_patch_in_group_size(group_size):
    images, labels, generator = make_batch(64, 16, 16, 1)
    shuffled = shuffle_batch(
        images,
        labels,
        patch_size=1,
        ratio=0.5,
        group_size=group_size,
        exact=False,
        generator=generator,
    )
    foreign = (
        (shuffled.origins.sources != torch.arange(64)[:, None, None]).float().mean()
    )
    # method: CellMix's nominal ratio, times 1 - 1/g
    assert foreign.item() == pytest.approx(0.5 * (1 - 1 / group_size), abs=0.02)


def test_tiles_left_over_stay_as_they_are():
    images, labels, generator = make_batch(5, 2, 2, 2)
    shuffled = shuffle_batch(images, labels, patch_size=2, ratio=1, generator=generator)
    assert torch.equal(shuffled.images[4], images[4])
    assert torch.equal(shuffled.labels[4], labels[4])
    assert not torch.equal(shuffled.images[0], images[0])


def test_labels_follow_the_area_and_presence_follows_any_patch():
    images = torch.zeros(2, 1, 4, 4)
    labels = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
    shuffled = shuffle_batch(images, labels, patch_size=2, ratio=0.25)
    assert shuffled.labels.tolist() == [[0.75, 0, -1], [0.25, 0, -1]]
    assert shuffled.present.tolist() == [[True, False, True], [True, False, True]]


def test_labels_of_a_group_keep_their_sum():
    images, _, generator = make_batch(12, 4, 4, 1)
    labels = (torch.rand(12, 5, generator=generator) < 0.5).float()
    mixed = shuffle_batch(
        images, labels, patch_size=1, ratio=0.7, group_size=3, generator=generator
    ).labels
    assert (mixed >= 0).all()
    assert (mixed <= 1).all()
    sums = [part.view(4, 3, 5).sum(1) for part in (mixed, labels)]
    torch.testing.assert_close(*sums)


def test_the_same_generator_gives_the_same_shuffle():
    images, labels, _ = make_batch(4, 4, 4, 2)
    first, again, other = (
        shuffle_batch(
            images,
            labels,
            patch_size=2,
            ratio=0.5,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.origins.sources, again.origins.sources)
    assert not torch.equal(first.origins.sources, other.origins.sources)


@pytest.mark.parametrize("group_size", [2, 3])
@pytest.mark.parametrize(
    "lay_out",
    [
        lambda images: images.contiguous(memory_format=torch.channels_last),
        lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
        lambda images: images.repeat_interleave(2, dim=3)[..., ::2],
        lambda images: images[:1].expand_as(images),
    ],
    ids=["channels last", "transposed", "strided", "expanded"],
)
def test_images_in_any_layout_of_memory(lay_out, group_size):
    images, labels, generator = make_batch(5, 2, 3, 4)
    images = lay_out(images)
    shuffled = shuffle_batch(
        images,
        labels,
        patch_size=4,
        ratio=0.5,
        group_size=group_size,
        generator=generator,
    )
    expected = reference.gather_patches(
        images.numpy(), *(part.numpy() for part in shuffled.origins)
    )
    torch.testing.assert_close(shuffled.images, torch.from_numpy(expected))


def test_channels_that_come_last_stay_last():
    images, labels, _ = make_batch(4, 2, 2, 4)
    last = images.contiguous(memory_format=torch.channels_last)
    shuffled = shuffle_batch(last, labels, patch_size=4, ratio=0.5).images
    assert shuffled.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("patch", [3, 5, 16])
def test_a_patch_size_that_does_not_divide_the_tile(patch):
    with pytest.raises(DataError, match="do not divide images of 8 x 12"):
        shuffle_batch(
            torch.zeros(2, 3, 8, 12), torch.zeros(2, 1), patch_size=patch, ratio=0.5
        )


def test_shapes_that_do_not_fit():
    with pytest.raises(DataError, match=r"\(3, 1\) do not belong together"):
        shuffle_batch(
            torch.zeros(2, 3, 8, 8), torch.zeros(3, 1), patch_size=4, ratio=0.5
        )


@pytest.mark.parametrize(("group_size", "in_place"), [(1, True), (-1, False)])
def test_groups_in_which_nothing_could_move(group_size, in_place):
    with pytest.raises(ValueError, match=f"at least 2, .* not {group_size}"):
        ShuffleScope(group_size, in_place)


@pytest.mark.parametrize(
    "wrong",
    [{"ratio": 1.5}, {"group_size": -1}, {"group_size": 1}, {"least_share": 2}],
)
def test_options_that_are_out_of_range(wrong):
    options = {"patch_size": 4, "ratio": 0.5} | wrong
    with pytest.raises(ConfigError, match="cannot be shuffled this way: "):
        shuffle_batch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 1), **options)


def test_arrays_are_shuffled_like_tensors():
    images, labels, generator = make_batch(4, 8, 8, 2)
    state = generator.get_state()
    mixed = [
        shuffle_batch(
            pixels,
            states,
            patch_size=4,
            ratio=0.5,
            generator=torch.Generator().set_state(state),
        )
        for pixels, states in ((images, labels), (images.numpy(), labels.tolist()))
    ]
    assert torch.equal(mixed[0].images, mixed[1].images)
    torch.testing.assert_close(mixed[0].labels, mixed[1].labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_shuffle_on_the_gpu_equals_the_cpu():
    images, labels, _ = make_batch(6, 4, 4, 4)
    for group_size, in_place in ((2, True), (3, True), (3, False), (1, False)):
        here, there = (
            shuffle_batch(
                images.to(device),
                labels.to(device),
                patch_size=4,
                ratio=0.5,
                group_size=group_size,
                in_place=in_place,
                generator=torch.Generator().manual_seed(0),
            )
            for device in ("cpu", "cuda")
        )
        assert torch.equal(here.images, there.images.cpu())
        assert torch.equal(here.labels, there.labels.cpu())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"label_rule": "areas"}, r"'areas' is not a rule for labels \(area, certain"),
        ({"patch_size": 4.0}, r"patch size is 4\.0"),
        ({"generator": 0}, "generator is a int"),
    ],
)
def test_options_of_other_kinds_are_refused(options, problem):
    images, labels = torch.zeros(2, 3, 8, 8), torch.eye(2)
    with pytest.raises(ConfigError, match=problem):
        shuffle_batch(images, labels, **{"patch_size": 4, "ratio": 0.5, **options})


@pytest.mark.parametrize(
    ("images", "labels", "problem"),
    [
        (torch.zeros(0, 3, 8, 8), torch.zeros(0, 2), "There are no images"),
        (torch.zeros(1, 3, 8, 8), [["gland", "fat"]], "not arrays of numbers"),
        (None, [[1, 0]], "not arrays of numbers"),
    ],
)
def test_what_is_no_batch_is_refused(images, labels, problem):
    with pytest.raises(DataError, match=problem):
        shuffle_batch(images, labels, patch_size=4, ratio=0.5)
