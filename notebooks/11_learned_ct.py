# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # CT from few views: a network after the reconstruction, or inside it
#
# With few views filtered back-projection leaves streaks. One network learns to take them off the image (Jin 2017); one
# learns an iteration, in which the scanner's projector stands between the layers (Adler 2018). Both learn from random
# anatomies alone. Total variation needs no training.

# %%
# %matplotlib inline
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator

import spinray
from spinray import ct, nn, phantoms, regularizers, solvers, training, viz
from spinray.errors import FileError

plt.rcParams["figure.dpi"] = 90
SHORT = "SPINRAY_SHORT" in os.environ  # minutes of training become seconds: for the tests

# %% [markdown]
# ## The scanner
#
# 20 views over half a turn, 100,000 photons in each reading, 64 x 64 pixels of 3.9 mm. Images are in units of water's
# attenuation, so that all numbers are about 1; line integrals are in mm.

# %%
N, PIXEL, WATER, I0 = 64, 3.9, 0.0206, 1e5
grid = spinray.Grid((N, N), PIXEL)
A = ct.ParallelBeam(grid, np.linspace(0, np.pi, 20, endpoint=False), n_cols=N + 16, col_spacing=PIXEL)
fbp = ct.FilteredBackprojection(A)
print(A)


def measured(image: np.ndarray, seed: int) -> np.ndarray:
    """Return line integrals with the noise of photons."""
    return ct.add_noise(np.float32(WATER) * A(image), I0, seed=seed) / np.float32(WATER)


# %% [markdown]
# ## Random anatomy
#
# Heads, each with another outline, texture, vessels and bones. What is drawn depends on a seed and a number alone, and
# it is made while the network trains.


# %%
def anatomy(seed: int, index: int) -> np.ndarray:
    """Return a phantom in units of water."""
    drawn = phantoms.textured((N, N), seed, index, family="head", spacing=PIXEL)
    return drawn.attenuation / np.float32(WATER)


def pair(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sinogram and the truth, each with an axis of channels."""
    image = anatomy(seed, index)
    return measured(image, seed=int(np.random.default_rng([seed, index]).integers(2**32)))[None], image[None]


figure, axes = plt.subplots(1, 5, figsize=(13, 2.8), layout="constrained")
for index, ax in enumerate(axes):
    viz.show(1000 * (anatomy(1, index) - 1), window=(50, 500), ax=ax, colorbar=False)
    ax.set_axis_off()

# %% [markdown]
# ## Two networks
#
# FBPConvNet is a U-Net that adds a correction to the image of filtered back-projection: 0.5 million parameters, and it
# knows the scanner only by its streaks. The learned primal-dual network has a tenth of them; in each of its
# iterations a small network looks at the projection of the image so far beside the measurement, and another at what
# that means for the image.

# %%
torch.manual_seed(0)
networks = {
    "FBPConvNet": nn.UNet(features=16, levels=3, residual=True),
    "primal-dual": nn.LearnedPrimalDual(A, steps=5, memory=4, features=16, start=fbp),
}
for name, network in networks.items():
    print(f"{name}: {sum(p.numel() for p in network.parameters()):,} parameters")


def of_images(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image of filtered back-projection and the truth."""
    y, image = pair(seed, index)
    return fbp(y[0])[None], image


def ticked(axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


histories = {}
for name, recipe in {"FBPConvNet": of_images, "primal-dual": pair}.items():
    samples = training.Simulated(recipe, n=40, seed=1, batch_size=4)
    config = training.Config(
        seconds=1 if SHORT else 90, optimiser="adamw", learning_rate=2e-3, schedule="one_cycle", clip_norm=1.0
    )
    histories[name] = training.fit(networks[name], samples, torch.nn.functional.mse_loss, config, progress=False)
    networks[name].eval()
    print(f"{name}: {histories[name]}")

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, history in histories.items():
    losses = np.sqrt(history.epochs["loss"])
    ax.semilogy(np.linspace(0, history.seconds, len(losses) + 1)[1:], losses, label=name)
ticked(ax.yaxis)
ax.set(xlabel="seconds of training", ylabel="rms error [water = 1]")
ax.legend()
# %% [markdown]
# ## The rival
#
# Least squares with total variation, not below zero (Beck 2009). Its weight is tuned on phantoms that are not scored.


# %%
def tv(y: np.ndarray, weight: float) -> np.ndarray:
    """Return the image that total variation makes of a sinogram."""
    return solvers.fista(
        A, y, n_iter=20 if SHORT else 100, x0=fbp(y), regularizer=regularizers.TV(weight), bounds=(0, None)
    )


def rms(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the rms error in the body."""
    return float(np.sqrt(np.mean((image - truth)[truth > 0.3] ** 2)))


tuning = [pair(2, index) for index in range(1 if SHORT else 4)]
weights = np.geomspace(0.3, 30, 3 if SHORT else 9)
scores = [np.mean([rms(tv(y[0], weight), image[0]) for y, image in tuning]) for weight in weights]
best = weights[int(np.argmin(scores))]
figure, ax = plt.subplots(figsize=(4.5, 2.8), layout="constrained")
ax.semilogx(weights, 1000 * np.array(scores), "o-")
ax.axvline(best, color="0.6", ls="--", label=f"taken: {best:.2g}")
ax.set(xlabel="weight of total variation", ylabel="rms error [HU]")
ax.legend()


# %%
def reconstructions(y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the image of each method."""
    images = {"FBP": fbp(y), "FISTA-TV": tv(y, best)}
    inputs = {"FBPConvNet": images["FBP"], "primal-dual": y}
    with torch.no_grad():
        for name, given in inputs.items():
            images[name] = networks[name](torch.from_numpy(np.ascontiguousarray(given))[None, None])[0, 0].numpy()
    return images


def compare(images: dict[str, np.ndarray], truth: np.ndarray) -> None:
    """Draw images in HU, and their errors below."""
    titles = [f"{name}: {1000 * rms(image, truth):.0f} HU" for name, image in images.items()]
    hu = [1000 * (image - 1) for image in (truth, *images.values())]
    viz.compare(hu, ["truth", *titles], window=(50, 500), error=300, grid=grid, unit="HU")


# %% [markdown]
# ## New anatomies
#
# Phantoms of another seed, and rms errors in the body.

# %%
held_out = [pair(3, index) for index in range(2 if SHORT else 16)]
found = [reconstructions(y[0]) for y, _ in held_out]
errors = {
    name: [1000 * rms(images[name], image[0]) for images, (_, image) in zip(found, held_out, strict=True)]
    for name in found[0]
}
for name, values in errors.items():
    print(f"{name:11s} {np.mean(values):5.1f} HU in the mean of {len(values)}")
compare(found[0], held_out[0][1][0])
# %% [markdown]
# ## A scanner that changes
#
# All are set for 100,000 photons: the networks by what they have seen, total variation by its weight. With fewer, the
# networks hold out better than a weight that is now too small; with more, total variation catches up.

# %%
doses = np.geomspace(5e3, 2e6, 3 if SHORT else 7)
at_dose: dict[str, list[float]] = {name: [] for name in errors}
for dose in doses:
    images = [image[0] for _, image in held_out[:4]]
    scans = [ct.add_noise(np.float32(WATER) * A(image), dose, seed=5) / np.float32(WATER) for image in images]
    several = [reconstructions(y) for y in scans]
    for name, values in at_dose.items():
        values.append(1000 * np.mean([rms(one[name], image) for one, image in zip(several, images, strict=True)]))
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, values in at_dose.items():
    ax.semilogx(doses, values, "o-", ms=4, label=name)
ax.axvline(I0, color="0.6", ls="--", lw=1)
ax.set(xlabel="photons per reading", ylabel="rms error [HU]")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
# %% [markdown]
# ## A real head
#
# A clinical slice through the ventricles, its scan simulated. The networks have never seen a real image.

# %%
try:
    with np.load(spinray.data.sample("head_tilted")) as file:
        hu = file["hu"][17].astype(np.float32)
except FileError as error:
    print(error)
else:
    real = np.maximum(1 + hu[::-1].reshape(N, 8, N, 8).mean((1, 3)) / 1000, 0)
    images = reconstructions(measured(real, seed=9))
    compare(images, real)
    for name, image in images.items():
        residual = np.sqrt(np.mean((A(image) - A(real)) ** 2) / np.mean(A(real) ** 2))
        print(f"{name:11s} error {1000 * rms(image, real):.0f} HU; projections off by {residual:.2%}")

# %% [markdown]
# The networks' images look cleaner, and are further from the truth. The head rest is gone, and so is what lies beside
# the ears: no phantom had them. Total variation, which has no opinion on anatomy, keeps both. The last number shows it:
# what a network leaves out is missing in the projections too, even if the projector stands between its layers, for
# nothing in its training asked it to agree with what it had not seen. Projections can be compared without the truth.
