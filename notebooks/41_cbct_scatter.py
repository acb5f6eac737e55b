# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Scatter in a cone-beam scan of a head
#
# A flat panel sees photons that go straight through the patient, and others that were scattered in it. They cost
# contrast and bend grey values into a cup. Here scatter is simulated, added to a scan, and taken away again.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

import spinray
from spinray import ct, phantoms, transport

plt.rcParams["figure.dpi"] = 90

# %% [markdown]
# ## A head and a tube
#
# The head is made of ellipsoids: scalp, a skull with sinuses, brain with ventricles and lesions, eyes, ears. Its CT
# numbers become 24 tissues.

# %%
grid = spinray.Grid((76, 76, 76), 3.0)
hu = ct.attenuation_to_hu(phantoms.head().voxelise(grid))
head = transport.VoxelPhantom.from_hu(spinray.Volume(hu, grid.affine))
tube = transport.Spectrum.tube(110, {"Al": 6.0})
angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
A = ct.ConeBeam(grid, angles, detector_shape=(96, 112), detector_spacing=4.0, sod=1000, sdd=1500)
print(A)
print(tube)

# %% [markdown]
# ## One view
#
# By forced detection every collision sends to each pixel what is expected to arrive there, so that some ten thousand
# photons make an image of scatter on large pixels. Primary photons go to the one pixel they aim at, and their image is
# rough; there is a better way to get it.

# %%
view = 20
panel = transport.Detector(A, view, shape=(24, 28), estimator="forced")
beam = transport.ConeBeam(A, tube, view)
image = transport.simulate(head, beam, 40_000, [panel], seed=1)["detector"]
image.plot()
print(f"{image.uncertainty():.1%} standard error of scatter")
parts = {name: getattr(image, name).mean.sum() for name in ("compton", "rayleigh", "multiple")}
for name, part in parts.items():
    print(f"{name:9s} {part / image.scatter.mean.sum():.0%} of scatter")

# %% [markdown]
# ## All views
#
# Scatter is smooth: 24 views of 16 x 16 pixels, interpolated, make all of it. Primary photons are traced through the
# head, energy by energy. Both are parts of the open beam.

# %%
scatter = ct.scatter(A, head, tube, 24 * 10_000, seed=1)
primary = ct.transmission(A, head, tube)
print(scatter)

ratio = scatter.sinogram / primary
figure, axes = plt.subplots(1, 4, figsize=(15, 3), layout="constrained")
pictures = {
    "primary, -log": -np.log(primary[view]),
    "scatter [% of open beam]": 100 * scatter.sinogram[view],
    "scatter / primary": ratio[view],
}
for ax, (title, picture) in zip(axes, pictures.items(), strict=False):
    figure.colorbar(ax.imshow(picture, origin="lower"), ax=ax)
    ax.set(title=title, xlabel="column", ylabel="row")
row = 48
for values, label in ((primary, "primary"), (scatter.sinogram, "scatter")):
    axes[3].semilogy(100 * values[view, row], label=label)
axes[3].set(title=f"row {row}", xlabel="column", ylabel="% of open beam")
axes[3].legend()
print(f"scatter / primary behind the head: {np.median(ratio[primary < 0.1]):.2f}, at most {ratio.max():.1f}")

# %% [markdown]
# ## What it does to the image
#
# Both scans have the same noise of 100,000 photons per pixel, and the same correction of beam hardening.

# %%
i0 = 1e5
clean = ct.scan(A, head, tube, i0=i0, seed=7)
measured = ct.scan(A, head, tube, scatter, i0=i0, seed=7)


def image_of(y):
    """CT numbers of line integrals."""
    return 1000 * (ct.fbp(A, ct.correct_beam_hardening(y, tube), "hann") - 1)


without, with_scatter = image_of(clean), image_of(measured)

# %% [markdown]
# ## Correction
#
# Nobody knows the head beforehand. But its image, bent as it is, is good enough to simulate its scatter; subtract that,
# reconstruct, and simulate again.

# %%
corrected = image_of(ct.correct_scatter(A, measured, tube, 24 * 4000, seed=99))

# %%
cut = 38
extent = (-114, 114, -114, 114)
figure, axes = plt.subplots(2, 3, figsize=(11, 7), layout="constrained")
for (top, bottom), (title, volume) in zip(
    axes.T, {"no scatter": without, "scatter": with_scatter, "corrected": corrected}.items(), strict=True
):
    shown = top.imshow(volume[cut], origin="lower", extent=extent, cmap="gray", vmin=-200, vmax=200)
    top.set(title=title)
    error = np.where(hu[cut] > -500, volume[cut] - without[cut], np.nan)
    missed = bottom.imshow(error, origin="lower", extent=extent, cmap="RdBu_r", vmin=-150, vmax=150)
figure.colorbar(shown, ax=axes[0], label="HU")
figure.colorbar(missed, ax=axes[1], label="HU more than without scatter")

# %% [markdown]
# The middle loses most: there the beam was weakest, and scatter most of it.

# %%
brain = np.abs(hu - 35) < 15
z, y, x = np.meshgrid(*grid.axes(), indexing="ij")
slab = brain & (np.abs(z) < 30)
rings = np.arange(0, 70, 10)
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for label, volume in {"no scatter": without, "scatter": with_scatter, "corrected": corrected}.items():
    radius = np.hypot(x, y)
    means = [volume[slab & (radius >= r) & (radius < r + 10)].mean() for r in rings[:-1]]
    ax.plot(rings[:-1] + 5, means, "o-", label=label)
ax.set(xlabel="distance from the axis [mm]", ylabel="mean CT number of brain [HU]")
ax.legend()

inside = hu > -500
off = {
    name: np.sqrt(np.mean((volume - without)[inside] ** 2))
    for name, volume in (("scatter", with_scatter), ("corrected", corrected))
}
print(f"rms error in the head: {off['scatter']:.0f} HU with scatter, {off['corrected']:.0f} HU corrected")
