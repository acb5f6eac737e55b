# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Photon Monte Carlo: dose, with its uncertainty
#
# Photons are followed one by one: each flies an exponential distance, is absorbed, or scatters and flies on. What they
# leave is dose. A million of them take about a second, and every result says how far it may be off.

# %%
# %matplotlib inline
import time

import matplotlib.pyplot as plt
import numpy as np

import spinray
from spinray import transport

plt.rcParams["figure.dpi"] = 90

# %% [markdown]
# ## Materials
#
# Cross sections come with the package. Below 30 keV or so water absorbs, above it scatters; lead absorbs throughout,
# with steps where photons can ionise another shell.

# %%
energies = np.geomspace(5, 1000, 400)
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, name in zip(axes, ("water", "lead"), strict=True):
    material = transport.Material(name)
    for kind in ("total", "photo", "compton", "rayleigh"):
        mu = np.array([material.attenuation(energy, kind) for energy in energies])
        ax.loglog(energies, mu / material.density, label=kind)
    ax.set(xlabel="keV", title=name, ylim=(1e-5, 1e2))
axes[0].set(ylabel="attenuation / density [1/mm per g/cm³]")
axes[1].legend(fontsize=8)

# %% [markdown]
# ## A pencil in a cube of water
#
# 60 keV photons enter the middle of a face of a cube of 300 mm. `energy` is what a voxel gets per photon, `std_error`
# and its like come from the spread between single photons: no batches, no guess.

# %%
n = 100
grid = spinray.Grid((n, n, n), 3.0, origin=(1.5, -148.5, -148.5))
water = transport.VoxelPhantom(grid, [transport.Material("water")], np.zeros(grid.shape, np.uint8))
beam = transport.PencilBeam(position=(0, 0, -1), direction=(0, 0, 1), energy=60.0)
start = time.perf_counter()
result = transport.simulate(water, beam, n_histories=2_000_000, seed=1, progress=False)
dose = result["dose"]
print(f"{result.n_histories:,} photons in {time.perf_counter() - start:.2f} s")
print(f"{dose.energy.sum() / 60:.2%} of the energy stays in the cube")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
with np.errstate(divide="ignore"):
    axes[0].imshow(np.log10(dose.mean[:, n // 2].T), extent=(0, 300, -150, 150), vmin=-18, vmax=-13, cmap="magma")
axes[0].set(xlabel="depth [mm]", ylabel="x [mm]", title="log10 of dose per photon [Gy]")
depth = grid.axes()[0]
profiles = {"on the axis": (slice(None), n // 2, n // 2), "30 mm beside it": (slice(None), n // 2, n // 2 + 10)}
for label, where in profiles.items():
    axes[1].errorbar(depth, dose.mean[where], 2 * dose.std_error[where], fmt=".", ms=3, lw=1, label=label)
mu = transport.Material("water").attenuation(60.0)
axes[1].semilogy(depth, dose.mean[0, n // 2, n // 2] * np.exp(-mu * (depth - depth[0])), "k:", lw=1, label="exp(-µz)")
axes[1].set(xlabel="depth [mm]", ylabel="dose per photon [Gy]", title="with two standard errors")
axes[1].legend(fontsize=8)

# %% [markdown]
# The beam itself falls exponentially; what lies beside it is scatter alone. Is the error right? Twenty runs of other
# photons should scatter about the mean as it says: their deviations, in standard errors, are a unit Gaussian.

# %%
few = [transport.simulate(water, beam, n_histories=100_000, seed=s, progress=False)["dose"] for s in range(2, 22)]
hit = (dose.relative_error < 0.03) & (dose.energy > 1e-3 * dose.energy.max())
z = np.concatenate(
    [(r.energy[hit] - dose.energy[hit]) / np.hypot(r.energy_std_error[hit], dose.energy_std_error[hit]) for r in few]
)
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.hist(z, bins=np.linspace(-4, 4, 41), density=True, color="0.8")
x = np.linspace(-4, 4, 200)
ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), "k", lw=1)
ax.set(xlabel="deviation / standard error", title=f"mean {z.mean():+.3f}, spread {z.std():.3f}, {z.size:,} deviations")

# %% [markdown]
# ## More photons
#
# Histories are numbered, and each has random numbers of its own. So two halves, run anywhere in any order, add up to
# the bits of one run; and a run that is not good enough is continued instead of repeated.

# %%
halves = [
    transport.simulate(water, beam, histories=part, seed=1, progress=False)
    for part in ((0, 800_000), (800_000, 2_000_000))
]
merged = halves[1] + halves[0]
print("same bits:", np.array_equal(merged["dose"].energy, dose.energy))

# %% [markdown]
# ## A tube's spectrum through a patient's slice
#
# A phantom made of tissues: skin, muscle, lungs, a spine, and a fan of 120 kVp from above.

# %%
names = ["air", "adipose tissue", "muscle", "lung tissue", "cortical bone", "blood"]
shape, step = (8, 60, 80), 5.0
body = spinray.Grid(shape, step)
_, y, x = np.meshgrid(*body.axes(), indexing="ij", sparse=True)
extent = (x.min() - step / 2, x.max() + step / 2, y.min() - step / 2, y.max() + step / 2)
labels = np.zeros(shape, np.uint8)


def put(tissue, where):
    labels[np.broadcast_to(where, shape)] = names.index(tissue)


put("adipose tissue", (x / 180) ** 2 + (y / 125) ** 2 < 1)
put("muscle", (x / 165) ** 2 + (y / 110) ** 2 < 1)
for side in (-1, 1):
    put("lung tissue", ((x - 80 * side) / 62) ** 2 + ((y + 5) / 85) ** 2 < 1)
put("blood", ((x - 25) / 50) ** 2 + ((y - 25) / 40) ** 2 < 1)
put("cortical bone", (x / 22) ** 2 + ((y + 80) / 22) ** 2 < 1)
materials = [transport.Material(name) for name in names]
materials[names.index("lung tissue")] = transport.Material("lung tissue", density=0.26)  # inflated
patient = transport.VoxelPhantom(body, materials, labels)
spectrum = transport.Spectrum.tube(120, {"Al": 3.0})
focus = transport.RectangularBeam((0, 600, 0), (0, 0, 0), (400, 0, 0), (0, 0, 10), spectrum)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
axes[0].plot(spectrum.energies, spectrum.weights)
axes[0].set(xlabel="keV", title=f"120 kVp, 3 mm Al: mean {spectrum.mean_energy:.1f} keV")
axes[1].imshow(labels[shape[0] // 2], extent=extent, origin="lower", cmap="tab10")
axes[1].set(title="tissues, the fan from above", xlabel="x [mm]", ylabel="y [mm]")

# %% [markdown]
# Instead of a number of photons, ask for an uncertainty: 15 % on average over the tissue of the two slices that the fan
# fills, or twenty seconds, whichever comes first.

# %%
region = labels > 0
region[:3] = region[5:] = False
until = transport.Until(uncertainty=0.15, seconds=20, region=region)
scan = transport.simulate(patient, focus, until=until, seed=1)
slice_ = scan["dose"]
print(f"{scan.n_histories:,} photons in {scan.seconds:.1f} s: {slice_.uncertainty(region=region):.1%}")

middle = shape[0] // 2
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
images = {
    "log10 of dose per photon [Gy]": np.log10(np.where(labels[middle] > 0, slice_.mean[middle], np.nan)),
    "standard error [%]": np.where(labels[middle] > 0, 100 * slice_.relative_error[middle], np.nan),
}
for ax, (title, image), limit in zip(axes, images.items(), ((-16, -13.8), (0, 40)), strict=True):
    shown = ax.imshow(image, extent=extent, origin="lower", vmin=limit[0], vmax=limit[1])
    ax.set(title=title, xlabel="x [mm]", ylabel="y [mm]")
    figure.colorbar(shown, ax=ax)

# %% [markdown]
# Fat absorbs less than muscle, bone more, and the lungs let through what the heart stops. The uncertainty grows where
# few photons arrive. Not enough? More histories of the same run, added to it:

# %%
more = transport.simulate(patient, focus, histories=(scan.n_histories, 2 * scan.n_histories), seed=1)
both = scan + more
before, after = (r["dose"].uncertainty(region=region) for r in (scan, both))
print(f"{both.n_histories:,} photons: {before:.1%} -> {after:.1%}")
