# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Fingerprints: matching or a network?
#
# A fingerprint is matched with the signals of a dictionary, and the best one says which T1 and T2 it has (Ma 2013). A
# small network can learn to read them off at once, as DRONE does (Cohen 2018). Who is closer, who is faster, and why?

# %%
# %matplotlib inline
import copy
import os
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator

from spinray import phantoms, viz, zoo
from spinray.mri import mrf
from spinray.zoo import fingerprinting

plt.rcParams["figure.dpi"] = 90
SHORT = "SPINRAY_SHORT" in os.environ  # minutes of training become seconds: for the tests

# %% [markdown]
# ## 25 pulses
#
# A short FISP train behind an inversion. White noise has the standard deviation 1 / SNR of the magnetisation at rest.

# %%
seq = mrf.Sequence.fisp(*mrf.jiang2015(25), te=0.003, inversion_time=0.02)
LEAST, MOST = np.array([0.2, 0.02]), np.array([4.0, 0.5])  # T1 and T2 in s
random = np.random.default_rng(1)


def noisy(signals: np.ndarray, snr: float) -> np.ndarray:
    """Return signals with noise."""
    return signals + random.standard_normal(signals.shape) / snr


def ticked(*axes) -> None:
    """Label logarithmic axes with plain numbers."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")


figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for k, (t1, t2) in enumerate([(0.8, 0.08), (1.3, 0.08), (1.3, 0.15)]):
    signal = mrf.epg(seq, t1, t2).real
    ax.plot(noisy(signal, 20), ".", color=f"C{k}")
    ax.plot(signal, color=f"C{k}", label=f"{1e3 * t1:.0f}, {1e3 * t2:.0f} ms")
ax.set(xlabel="echo", ylabel="signal / $M_0$", title="SNR 20")
ax.legend(title="T1, T2", fontsize=8)
# %% [markdown]
# ## The network
#
# Two hidden layers of 300; row Q1 of the zoo. Three of four voxels that it is trained on are near a tissue of
# `spinray.mri.tissues`, the fourth is anything in the range. Signals are simulated meanwhile, with noise of every
# strength, scaled to one size, since proton density is not known. It gives the logarithms of T1 and T2, in parts of
# their ranges.

# %%
row = copy.copy(zoo.row("Q1"))
print(row.title, "|", row.source)
row.n = 20 if SHORT else row.n
torch.manual_seed(row.seed)
network = row.network().eval()
history = row.train(network, effort=0.05 if SHORT else 1.0)
print(history)
history.plot()


# %%
def read(signals: np.ndarray) -> np.ndarray:
    """Return the network's T1 and T2."""
    scaled = signals / np.sqrt((signals**2).mean(-1, keepdims=True))
    with torch.no_grad():
        return LEAST * (MOST / LEAST) ** network(torch.from_numpy(scaled.astype(np.float32))).numpy()


# %% [markdown]
# ## Its rivals
#
# Matching finds the atom that fits best and refines between atoms. There is also the posterior mean: that of all atoms,
# each with its likelihood for any proton density and the frequency of such voxels as weight. It has the smallest mean
# square error if voxels are drawn as they are here, has to be told the strength of the noise, and takes long.


# %%
def dictionary(n: int) -> mrf.Dictionary:
    """Return one of n x n atoms, less those with T2 > T1."""
    return mrf.Dictionary.simulate(seq, *(np.geomspace(low, high, n) for low, high in zip(LEAST, MOST, strict=True)))


D = dictionary(96)
print(f"{D.n_atoms:,} atoms")


def matched(signals: np.ndarray) -> np.ndarray:
    """Return T1 and T2 by matching."""
    found = D.match(signals, interpolate=True)
    return np.stack([found.t1, found.t2], -1)


def averaged(signals: np.ndarray, snr: float) -> np.ndarray:
    """Return the posterior mean of the logarithms."""
    norms = np.linalg.norm(D.signals, axis=1)
    relaxation_times = np.stack([D.parameters["t1"], D.parameters["t2"]], -1)
    prior = np.log(fingerprinting.density(relaxation_times) / norms)
    fit = 0.5 * (snr * (signals @ D.signals.T) / norms) ** 2 + prior
    weights = np.exp(fit - fit.max(1, keepdims=True))
    return np.exp(weights @ np.log(relaxation_times) / weights.sum(1, keepdims=True))


# %% [markdown]
# ## Error over noise

# %%
n = 300 if SHORT else 2000
truth = fingerprinting.draw_atoms(n, random)
clean = mrf.epg(seq, truth[:, 0], truth[:, 1]).real
snrs = np.geomspace(7, 500, 4 if SHORT else 9)
errors: dict[str, list[np.ndarray]] = {"matching": [], "network": [], "posterior mean": []}
for snr in snrs:
    signals = noisy(clean, snr)
    for name, found in zip(errors, (matched(signals), read(signals), averaged(signals, snr)), strict=True):
        errors[name].append(100 * np.sqrt(np.mean(np.log(found / truth) ** 2, 0)))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for k, (ax, name) in enumerate(zip(axes, ("T1", "T2"), strict=True)):
    for (who, found), style in zip(errors.items(), ("s-", "o-", "k--"), strict=True):
        ax.loglog(snrs, np.array(found)[:, k], style, ms=4, label=who)
    ax.set(title=name, xlabel="SNR")
    ticked(ax.xaxis, ax.yaxis)
axes[0].set_ylabel("rms of ln(estimate / truth) [%]")
axes[0].legend()
for snr, *rest in list(zip(snrs, *errors.values(), strict=True))[:: 3 if SHORT else 2]:
    print(f"SNR {snr:5.1f}: " + ", ".join(f"{w} {e[0]:.1f}, {e[1]:.1f}" for w, e in zip(errors, rest, strict=True)))

# %% [markdown]
# In much noise the network beats matching, and comes near the posterior mean. In little noise matching is as good as
# that, and the network stops where its training ended.
#
# ## Why
#
# A network trained for the mean square error answers with the mean of what could have been; matching answers with what
# fits best. The mean is closer, and it leans towards the tissues it was trained on: at T1 = 1 s most have a T2 of
# 50 to 100 ms. Matching does not lean, it scatters.

# %%
t2 = np.geomspace(0.025, 0.45, 12)
repeats = 20 if SHORT else 400
signals = noisy(mrf.epg(seq, np.full(12, 1.0), t2).real[:, None].repeat(repeats, 1), 20)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
for ax, (name, function), colour in zip(
    axes, {"matching": matched, "network": read}.items(), ("C0", "C1"), strict=True
):
    found = 1e3 * function(signals.reshape(-1, 25)).reshape(12, repeats, 2)[..., 1]
    low, middle, high = np.percentile(found, (10, 50, 90), axis=1)
    ax.fill_between(1e3 * t2, low, high, color=colour, alpha=0.25, label="80 % of the answers")
    ax.loglog(1e3 * t2, middle, "o-", color=colour, ms=4, label="median")
    ax.loglog(1e3 * t2, 1e3 * t2, "k--", lw=1, label="truth")
    ax.set(title=f"{name}, SNR 20, T1 = 1 s", xlabel="true T2 [ms]")
    ticked(ax.xaxis, ax.yaxis)
    ax.legend(fontsize=8)
axes[0].set_ylabel("T2 found [ms]")
# %% [markdown]
# ## Time
#
# The work of matching grows with the dictionary, though most atoms are ruled out unseen. In much noise a few hundred
# atoms do, with refinement between them, and neither is much faster. Little noise asks for a finer dictionary, and a
# third parameter makes it as many times larger as there are values of it; the network stays as it is.

# %%
signals = noisy(np.repeat(clean, 2 if SHORT else 10, 0), 20)


def microseconds(function) -> float:
    """Return the time per voxel, the least of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function(signals)
        times.append(time.perf_counter() - start)
    return 1e6 * min(times) / len(signals)


figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
sizes, times = [], []
for density in (12, 24, 48, 96) if SHORT else (12, 24, 48, 96, 192, 384):
    other = dictionary(density)
    sizes.append(other.n_atoms)
    times.append(microseconds(lambda s, other=other: other.match(s, interpolate=True)))
ax.loglog(sizes, times, "s-", ms=4, label="matching")
ax.axhline(microseconds(read), color="C1", label="network")
ax.set(xlabel="atoms", ylabel="time per voxel [µs]")
ticked(ax.yaxis)
ax.legend()
# %% [markdown]
# ## A brain
#
# SNR 40. White and grey matter are from another publication than those in training, with a shorter T1. Fluid has
# T1 = 4.2 s and T2 = 2 s, more than the network and the dictionary go up to: neither can say so.

# %%
brain = phantoms.brain("shepp-logan", shape=(64, 64) if SHORT else (160, 160))
series = noisy(mrf.scan(brain, seq).real, 40)[brain.mask]
found = {"matching": matched(series), "network": read(series)}
for k, (name, window, error) in enumerate((("T1", (1000, 2000), 600), ("T2", (100, 200), 80))):
    shown = [1e3 * (brain.t1, brain.t2)[k]]
    for values in found.values():
        shown.append(np.zeros(brain.mask.shape))
        shown[-1][brain.mask] = 1e3 * values[:, k]
    viz.compare(shown, [name, *found], window=window, error=error, unit="ms")

# %%
for tissue in ("white matter", "grey matter"):
    where = brain.labels[brain.mask] == 1 + brain.tissues.index(tissue)
    t1, t2 = (1e3 * values[brain.mask][where][0] for values in (brain.t1, brain.t2))
    print(f"{tissue}: T1 {t1:.0f}, T2 {t2:.0f} ms")
    for name, values in found.items():
        mean, std = 1e3 * values[where].mean(0), 1e3 * values[where].std(0)
        rms = np.hypot(mean - (t1, t2), std)
        print(f"  {name:8s}: T1 {mean[0]:.0f} ± {std[0]:.0f}, T2 {mean[1]:.0f} ± {std[1]:.0f} ms", end=", ")
        print(f"error of a voxel {rms[0]:.0f} and {rms[1]:.0f} ms")

# %% [markdown]
# The network's maps are quieter, and nearer to the truth in a single voxel of white or grey matter. It leans towards
# the tissues of its training, here to a longer T1, and everywhere alike: a bias that no averaging over voxels takes
# away. For the mean over a region, match.
