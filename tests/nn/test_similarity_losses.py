"""SSIM, MS-SSIM and local correlation: scikit-image's and hand-written definitions, gradients, bad input."""

import sys

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity

from spinray.errors import DtypeError, InputError
from spinray.nn.losses import LocalNCCLoss, MSSSIMLoss, SSIMLoss

ALL = [SSIMLoss(1.0), MSSSIMLoss(1.0, scales=2), LocalNCCLoss(1.0)]


def textured(*shape, seed=0):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    noisy = image + 0.3 * image.std() * rng.standard_normal(shape)
    low, high = min(image.min(), noisy.min()), max(image.max(), noisy.max())
    return (image - low) / (high - low), (noisy - low) / (high - low)


def batch(image):
    return torch.from_numpy(image)[None, None]


def ssim(a, b, data_range=1.0, sigma=1.5):
    """Of windows 2 int(3.5 sigma + 1/2) + 1 wide."""
    options = {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False}
    return structural_similarity(a, b, data_range=data_range, **options)


@pytest.mark.parametrize("shape", [(40, 33), (15, 17, 16)])
def test_ssim_is_scikit_images(shape):
    a, b = textured(*shape)
    assert SSIMLoss(1.0)(batch(a), batch(b)).item() == pytest.approx(1 - ssim(a, b), abs=5e-6)
    wide = SSIMLoss(4.0, window=7, sigma=0.9)(batch(a), batch(b)).item()
    assert wide == pytest.approx(1 - ssim(a, b, 4.0, 0.9), abs=5e-6)
    assert abs(wide - (1 - ssim(a, b, 1.0, 0.9))) > 0.01


def test_ssim_scales_with_the_data_range():
    a, b = textured(32, 32)
    expected = SSIMLoss(1.0)(batch(a), batch(b)).item()
    assert SSIMLoss(4096.0)(batch(4096 * a), batch(4096 * b)).item() == pytest.approx(expected, abs=5e-6)


def test_ssim_averages_batch_and_channels():
    pairs = [textured(24, 24, seed=seed) for seed in range(4)]
    a = torch.stack([batch(a)[0, 0] for a, _ in pairs]).reshape(2, 2, 24, 24)
    b = torch.stack([batch(b)[0, 0] for _, b in pairs]).reshape(2, 2, 24, 24)
    expected = np.mean([1 - ssim(*pair) for pair in pairs])
    assert SSIMLoss(1.0)(a, b).item() == pytest.approx(expected, abs=5e-6)


def test_the_gradient_of_ssim_is_that_of_scikit_images():
    a, b = textured(16, 16)
    x = batch(a).requires_grad_()
    SSIMLoss(1.0)(x, batch(b)).backward()
    for place in [(0, 0), (5, 9), (8, 8)]:
        step = np.zeros_like(a)
        step[place] = 1e-4
        numeric = (ssim(a - step, b) - ssim(a + step, b)) / 2e-4
        assert x.grad[0, 0][place].item() == pytest.approx(numeric, rel=2e-3, abs=1e-7)
    assert x.grad.dtype == torch.float64


def ms_ssim(a, b, weights, sigma=1.5, radius=5):
    """Wang 2003, equation 7: contrast at each scale, similarity at the last, halved by averages of 2x2."""
    product = 1.0
    for scale, weight in enumerate(weights):

        def blur(image):
            inner = ndimage.gaussian_filter(image, sigma, radius=radius)
            return inner[(slice(radius, -radius),) * inner.ndim]

        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
        contrast = (2 * (blur(a * b) - mean_a * mean_b) + 0.03**2) / (var_a + var_b + 0.03**2)
        bright = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
        last = scale == len(weights) - 1
        product *= np.mean(bright * contrast if last else contrast) ** weight
        if not last:
            a, b = (image.reshape(len(image) // 2, 2, len(image) // 2, 2).mean((1, 3)) for image in (a, b))
    return product


@pytest.mark.parametrize(("scales", "size"), [(1, 20), (3, 48), (5, 176)])
def test_ms_ssim_is_the_published_product(scales, size):
    a, b = textured(size, size)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
    expected = 1 - ms_ssim(a, b, weights / weights.sum())
    found = MSSSIMLoss(1.0, scales=scales)(batch(a), batch(b))
    assert found.item() == pytest.approx(expected, abs=5e-6)
    assert found.dtype == torch.float64


def test_ms_ssim_of_volumes_is_zero_for_equal_ones_only():
    a, b = textured(22, 24, 23)
    loss = MSSSIMLoss(1.0, scales=2)
    assert abs(loss(batch(a), batch(a)).item()) < 1e-6
    assert 0.01 < loss(batch(a), batch(b)).item() < 1


def test_ms_ssim_has_no_gradient_where_contrast_is_reversed():
    a, _ = textured(44, 44)
    x = batch(1 - a).requires_grad_()
    loss = MSSSIMLoss(1.0, scales=3)(x, batch(a))
    loss.backward()
    assert loss.item() == 1
    assert not x.grad.any()


def local_ncc(a, b, window):
    total = window**a.ndim

    def sums(image):
        return ndimage.uniform_filter(image, window, mode="constant") * total

    def spread(p, q):
        return sums(p * q) - sums(p) * sums(q) / total

    return np.mean(spread(a, b) ** 2 / (np.maximum(spread(a, a), 1e-5) * np.maximum(spread(b, b), 1e-5)))


@pytest.mark.parametrize("shape", [(30, 25), (12, 14, 13)])
def test_local_correlation_is_its_definition(shape):
    a, b = textured(*shape)
    for window in (5, 9):
        found = LocalNCCLoss(1.0, window=window)(batch(a), batch(b))
        assert found.item() == pytest.approx(1 - local_ncc(a, b, window), abs=1e-10)
        assert found.dtype == torch.float64


def test_local_correlation_does_not_see_contrast_nor_the_unit_of_the_image():
    a, b = (batch(image) for image in textured(24, 24))
    expected = LocalNCCLoss(1.0)(a, b).item()
    assert LocalNCCLoss(1.0)(a, 5 * b).item() == pytest.approx(expected, rel=1e-6)
    assert LocalNCCLoss(1e-4)(1e-4 * a, 1e-4 * b).item() == pytest.approx(expected, rel=1e-6)


def test_local_correlation_passes_gradcheck():
    a, b = textured(6, 7)
    x = batch(a).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LocalNCCLoss(1.0, window=3)(x, batch(b)), x)


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_bad_images_are_refused(loss):
    good = torch.rand(1, 1, 32, 32)
    with pytest.raises(
        InputError, match=r"target: expected the shape of input, \(1, 1, 32, 32\), got \(1, 1, 32, 31\)"
    ):
        loss(good, good[..., :31])
    with pytest.raises(InputError, match=r"input: .*got \(32, 32\)\. One image alone is image\[None, None\]"):
        loss(good[0, 0], good[0, 0])
    with pytest.raises(DtypeError, match="target: expected a torch tensor of real floating-point numbers, got dtype"):
        loss(good, good.long())
    with pytest.raises(DtypeError, match=r"input: .* got ndarray"):
        loss(good.numpy(), good)


def test_images_too_small_are_refused():
    small = torch.rand(1, 1, 10, 32)
    with pytest.raises(InputError, match="at least 11 voxels along each axis for a window"):
        SSIMLoss(1.0)(small, small)
    for scales, least in ((2, 22), (3, 44), (4, 99)):
        loss = MSSSIMLoss(1.0, scales=scales)
        with pytest.raises(InputError, match=f"at least {least} voxels along each axis for {scales} scales"):
            loss(torch.rand(1, 1, least, least - 1), torch.rand(1, 1, least, least - 1))
        loss(torch.rand(1, 1, least, least), torch.rand(1, 1, least, least))


@pytest.mark.parametrize("make", [SSIMLoss, MSSSIMLoss, LocalNCCLoss])
def test_bad_parameters_are_refused(make):
    with pytest.raises(InputError, match="data_range: expected a positive number, got 0"):
        make(0)
    with pytest.raises(InputError, match="window: expected an odd number of voxels, got 10"):
        make(1.0, window=10)
    with pytest.raises(TypeError):
        make()


def test_scales_out_of_range_are_refused():
    with pytest.raises(InputError, match="scales: expected 1 to 5, got 6"):
        MSSSIMLoss(1.0, scales=6)


def test_without_monai_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.losses", None)
    with pytest.raises(ImportError, match=r'SSIMLoss is computed by MONAI: pip install "spinray\[monai\]"'):
        SSIMLoss(1.0)
