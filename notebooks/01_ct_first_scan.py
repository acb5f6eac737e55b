# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A first CT scan
#
# A real slice is scanned with too few photons and too few views, and reconstructed: first by filtered back-projection,
# then by total variation. At the end the scan itself is wrong, its detector stands off by two columns, and a gradient
# through projector and reconstruction finds out.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

import spinray
from spinray import ct, regularizers, solvers, viz

plt.rcParams["figure.dpi"] = 90

# %% [markdown]
# ## The object
#
# `read_dicom` gives a `Volume`: an array in Hounsfield units, and its place in the world. DICOM stores slices from top
# to bottom; `to_aligned` puts them in the order of every scanner model here, rows growing with +y and columns with +x.

# %%
volume = spinray.io.read_dicom(spinray.data.sample("ct_small"))
spacing = volume.grid.spacing[1:]
hu = volume.grid.to_aligned(volume.data)[0]
grid = spinray.Grid(hu.shape, spacing)
mu = ct.hu_to_attenuation(hu, clip=True)
print(volume)
print(grid)


# %%
def placed(mu):
    """The image in HU, with its place: figures then know the patient's left and right."""
    return spinray.Volume(ct.attenuation_to_hu(mu), grid.affine)


WINDOW = (40, 700)
viz.show(placed(mu), window=WINDOW, unit="HU", title="CT_small.dcm")
# %% [markdown]
# ## The scan
#
# A fan beam as in a clinical scanner: an arc of columns, and a source on a circle. A scan is a linear operator: `A(x)`
# are the line integrals of the image `x`, `A.adjoint(y)` is the exact adjoint.

# %%
angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
column = spacing[1] * 949 / 541  # a pixel on the rotation axis, magnified onto the detector
A = ct.FanBeam(grid, angles, n_cols=192, col_spacing=column, sod=541, sdd=949, detector="curved")
A.plot_geometry()
# %% [markdown]
# The detector counts photons. With few of them, the line integrals $-\log(N / N_0)$ are noisy.

# %%
low_dose = ct.add_noise(A(mu), i0=5e3, seed=1)
few = A[::8]  # every eighth view, nothing is copied
few_views = ct.add_noise(few(mu), i0=1e5, seed=2)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
viz.show_sinogram(low_dose, A, title="360 views, 5 000 photons", ax=axes[0])
viz.show_sinogram(few_views, few, title="45 views, 100 000 photons", ax=axes[1])
# %% [markdown]
# ## Filtered back-projection
#
# One line, some milliseconds. A window on the ramp filter trades noise for sharpness.

# %%
images = {name: ct.fbp(A, low_dose, filter=name) for name in ("ram-lak", "cosine", "hann")}
viz.compare([placed(mu), *map(placed, images.values())], ["truth", *images], window=WINDOW, error=150, unit="HU")

# %% [markdown]
# With 45 views, what is missing shows as streaks, whatever the filter.
#
# ## Total variation
#
# Images of tissue are nearly constant inside organs. FISTA minimises $\frac12\|Ax-y\|^2 + w\,\mathrm{TV}(x)$ over
# images that are not negative. A weight can be read off the noise: $w$ should hold out against the noise that the
# adjoint brings into a pixel, whose standard deviation is that of the data times the length of a column of $A$.


# %%
def tv_weight(A, y, photons):
    noise = np.sqrt(np.mean(np.exp(y)) / photons)  # of the line integrals
    squares = 0.7 * spacing[1] * np.median(A.adjoint(np.ones_like(y)))  # |column of A|^2, about
    return float(noise * np.sqrt(squares))


def reconstruct(A, y, photons):
    start = ct.fbp(A, y, filter="hann")
    tv = regularizers.TV(1.25 * tv_weight(A, y, photons))
    return {
        "FBP (Hann)": start,
        "SIRT": solvers.sirt(A, y, n_iter=80, bounds=(0, None)),
        "FISTA-TV": solvers.fista(A, y, n_iter=80, x0=start, regularizer=tv, bounds=(0, None)),
    }


for A_scan, y, photons in ((A, low_dose, 5e3), (few, few_views, 1e5)):
    images = reconstruct(A_scan, y, photons)
    viz.compare([placed(mu), *map(placed, images.values())], ["truth", *images], window=WINDOW, error=150, unit="HU")

# %% [markdown]
# These numbers flatter a little: the same model made the data and reconstructs them. The demo (`python -m
# spinray.demo`) scans an object of three times finer pixels instead.
#
# ## A gradient to the rotation axis
#
# Now the detector stands two columns off, and nobody knows. The operators work on torch tensors and are differentiable
# in image and data. (Gradients with respect to the geometry itself are not there yet; moving the *data* by a real
# number of columns, through the shift theorem, does as well here.)

# %%
import math

import torch

wrong = ct.FanBeam(
    grid, angles, n_cols=192, col_spacing=column, sod=541, sdd=949, detector="curved", col_offset=2 * column
)
y = torch.from_numpy(ct.add_noise(wrong(mu), i0=1e5, seed=3))


def moved(y, shift):
    """A sinogram moved by `shift` columns, padded so that nothing comes in again at the other side."""
    n = y.shape[-1]
    turns = torch.fft.rfftfreq(2 * n) * shift
    return torch.fft.irfft(torch.fft.rfft(y, 2 * n) * torch.exp(-2j * math.pi * turns), 2 * n)[..., :n]


def unexplained(shift):
    """Reconstruct the moved data, project the image, and see what of the data it does not explain."""
    data = moved(y, shift)
    x = ct.fbp(A, data, filter="hann")
    return ((A(x) - data) ** 2).sum() / (y**2).sum()


# %% [markdown]
# The image is unknown: it is reconstructed anew for every shift. Only with the right one do the views agree with each
# other, and the loss has its minimum there.

# %%
shift = torch.zeros((), requires_grad=True)
optimiser = torch.optim.LBFGS([shift], lr=0.5, max_iter=12)
path = []


def closure():
    optimiser.zero_grad()
    loss = unexplained(shift) * 1e3
    loss.backward()
    path.append((shift.item(), loss.item() / 1e3))
    return loss


optimiser.step(closure)
print(f"found a shift of {shift.item():.3f} columns")

# %%
trials = torch.linspace(-1, 5, 13)
with torch.no_grad():
    losses = [unexplained(trial).item() for trial in trials]
before, after = (ct.fbp(A, data.numpy(), filter="hann") for data in (y, moved(y, shift.detach())))

figure, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
axes[0].semilogy(trials, losses, color="#9aa4b0", label="loss")
axes[0].semilogy(*zip(*path, strict=True), "o-", color="#c8452f", ms=4, label="descent")
axes[0].set(xlabel="shift [columns]", ylabel="unexplained share of the data")
axes[0].legend(frameon=False)
viz.show(placed(before), window=WINDOW, title="before", unit="HU", ax=axes[1])
viz.show(placed(after), window=WINDOW, title=f"moved by {shift.item():.2f} columns", unit="HU", ax=axes[2])
