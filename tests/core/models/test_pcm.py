import numpy as np
import pytest
import torch

from segmix_core.models.pcm import PixelCorrelation, spread
from tests.reference import pcm as reference


def make_tokens(count, dim=5, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, dim, count, generator=generator)
    return tokens / (tokens.norm(dim=1, keepdim=True) + 1e-5)


@pytest.mark.parametrize("max_tokens", [100, 30, 13, 3])
@pytest.mark.parametrize("has_background", [False, True])
@pytest.mark.parametrize("learns", [False, True])
def test_spread_equals_the_plain_formula_in_any_number_of_strips(
    max_tokens, has_background, learns
):
    tokens = make_tokens(36).requires_grad_(learns)
    seed = torch.rand(2, 3 + has_background, 36)
    refined = spread(seed, tokens, max_tokens=max_tokens).detach()
    for tile in range(2):
        expected = reference.spread(
            seed[tile].double().numpy(), tokens[tile].detach().double().numpy()
        )
        np.testing.assert_allclose(refined[tile], expected, atol=1e-4)


def test_strips_give_the_same_gradient():
    gradients = []
    for max_tokens in (100, 10):
        tokens = make_tokens(49).requires_grad_()
        refined = spread(
            torch.rand(2, 2, 49, generator=torch.Generator().manual_seed(1)),
            tokens,
            max_tokens=max_tokens,
        )
        refined.square().sum().backward()
        gradients.append(tokens.grad)
    torch.testing.assert_close(*gradients)


def test_strips_give_the_seed_its_gradient():
    gradients = []
    for max_tokens in (100, 10):
        seed = torch.ones(2, 2, 49, requires_grad=True)
        refined = spread(seed, make_tokens(49), max_tokens=max_tokens)
        (refined * torch.arange(49)).sum().backward()
        gradients.append(seed.grad)
    torch.testing.assert_close(*gradients)


def test_every_pixel_is_a_mean_of_the_seed():
    refined = spread(torch.full((2, 1, 36), 0.7), make_tokens(36))
    torch.testing.assert_close(
        refined, torch.full_like(refined, 0.7), atol=1e-4, rtol=0
    )


def test_pixels_of_equal_features_share_and_opposite_ones_do_not():
    tokens = torch.tensor([[[1.0, 1.0, -1.0]]])
    refined = spread(torch.tensor([[[1.0, 0.0, 0.0]]]), tokens)
    torch.testing.assert_close(
        refined, torch.tensor([[[0.5, 0.5, 0.0]]]), atol=1e-4, rtol=0
    )


def test_only_the_projections_learn():
    module = PixelCorrelation(4, 6, low_dim=3, high_dim=5)
    low = torch.rand(2, 4, 16, 16, requires_grad=True)
    high = torch.rand(2, 6, 8, 8, requires_grad=True)
    refined = module(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 64, 64), low, high)
    assert refined.shape == (2, 3, 8, 8)
    refined.square().sum().backward()
    assert low.grad is None
    assert high.grad is None
    for weight in module.parameters():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0


def test_tokens_are_unit_vectors_of_image_low_and_high():
    module = PixelCorrelation(4, 6)
    tokens = module.tokens(
        torch.rand(1, 3, 32, 48),
        torch.rand(1, 4, 8, 12),
        torch.rand(1, 6, 4, 6),
        torch.Size((4, 6)),
    )
    assert tokens.shape == (1, 192, 24)
    torch.testing.assert_close(tokens.norm(dim=1), torch.ones(1, 24), atol=1e-3, rtol=0)
