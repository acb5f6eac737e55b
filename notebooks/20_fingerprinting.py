# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Fingerprinting: T1 and T2 in one scan
#
# Magnetic resonance fingerprinting (Ma 2013) plays a train of pulses whose flip angle never rests. Every tissue answers
# with an evolution of its own, its fingerprint; a dictionary of simulated ones tells which T1 and T2 it belongs to.

# %%
# %matplotlib inline
import time

import matplotlib.pyplot as plt
import numpy as np

import spinray
from spinray import viz
from spinray.mri import mrf, tissues

plt.rcParams["figure.dpi"] = 90

# %% [markdown]
# ## A train of pulses
#
# Smooth lobes after Jiang 2015: an inversion, then 400 pulses, each followed by a readout and a spoiler that dephases
# the voxel by a whole turn (FISP). All times are in seconds, all angles in radians.

# %%
flip_angles, tr = mrf.jiang2015(400)
seq = mrf.Sequence.fisp(flip_angles, tr, te=0.003, inversion_time=0.02)
print(seq)

names = ("white matter", "grey matter", "csf")
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
axes[0].plot(np.rad2deg(seq.flip_angles), color="0.3")
axes[0].set(xlabel="pulse", ylabel="flip angle [°]")
for name in names:
    t1, t2 = tissues.relaxation(name)
    axes[1].plot(mrf.epg(seq, t1, t2).real, label=f"{name}: {1e3 * t1:.0f}, {1e3 * t2:.0f} ms")
axes[1].set(xlabel="echo", ylabel="signal / $M_0$")
axes[1].legend(title="T1, T2", fontsize=8)
# %% [markdown]
# All pulses share one axis, so these signals are real, and the simulation follows real states: half the memory and less
# than half the work. Derivatives come out of the same pass. They say where in the train a parameter shows:

# %%
t1, t2 = tissues.relaxation("white matter")
signal, jacobian = mrf.epg(seq, t1, t2, derivatives=("t1", "t2"))
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for row, name, value in zip(jacobian, ("T1", "T2"), (t1, t2), strict=True):
    ax.plot(value * row.real, label=f"d signal / d ln {name}")
ax.set(xlabel="echo")
ax.legend(fontsize=8)
# %% [markdown]
# ## A dictionary
#
# Every pair of a grid, those with T2 > T1 left out. With `rank`, each block of signals is projected on the first
# principal directions while it is still in the cache: the full table never exists.

# %%
axes_of_grid = {"t1": np.geomspace(0.1, 5.0, 220), "t2": np.geomspace(0.01, 2.5, 220)}
start = time.perf_counter()
D = mrf.Dictionary.simulate(seq, **axes_of_grid, rank=12)
print(f"{D.n_atoms:,} atoms in {time.perf_counter() - start:.2f} s; lost energy {1 - D.energy:.1e}")

few = mrf.Dictionary.simulate(seq, t1=axes_of_grid["t1"][::8], t2=axes_of_grid["t2"][::8])
values = np.linalg.svd(few.signals, compute_uv=False)
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.semilogy(np.arange(1, 41), values[:40] / values[0], ".-")
ax.axvline(12, color="C3", lw=1)
ax.set(xlabel="singular value", ylabel="relative size", title="fingerprints lie near a plane of few dimensions")
# %% [markdown]
# ## A scan
#
# A brain made of tissues, and two scans of it: one with noise alone, and one that takes a 24th of k-space for every
# image, another one each time, as spirals do. What is missing folds into the images, different in each; to a
# fingerprint, that is noise.

# %%
brain = spinray.phantoms.brain(shape=(128, 128))
series = mrf.scan(brain, seq)
noisy = mrf.add_noise(series, snr=20, seed=1)
folded = mrf.undersample(noisy, acceleration=24, seed=2)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, images, title in zip(
    axes, (series, noisy, folded), ("echo 100", "with noise", "a 24th of k-space"), strict=True
):
    viz.show(abs(images[..., 100]), ax=ax, title=title, colorbar=False)

# %% [markdown]
# ## Matching
#
# The atom with the largest $|\langle a, y\rangle|$. The angle between fingerprints is a metric, so whole groups of
# atoms can be ruled out unseen by the triangle inequality, and the answer is the same as if all had been compared.

# %%
start = time.perf_counter()
maps = {"noise": D.match(noisy, mask=brain.mask), "noise, a 24th": D.match(folded, mask=brain.mask)}
print(f"{brain.mask.sum():,} voxels twice in {time.perf_counter() - start:.2f} s")
for name, m in maps.items():
    print(f"{name}: {m.scored:.1%} of the atoms were compared")

ms = [1e3 * brain.t1 * brain.mask, *(1e3 * m.t1 for m in maps.values())]
viz.compare(ms, ["T1", *maps], window=(1000, 2000), error=300, unit="ms")
ms = [1e3 * brain.t2 * brain.mask, *(1e3 * m.t2 for m in maps.values())]
viz.compare(ms, ["T2", *maps], window=(75, 150), error=40, unit="ms")
# %% [markdown]
# Brute force, for comparison, on a few of the voxels: one product with all atoms.

# %%
coefficients = (noisy[brain.mask] @ D.basis).astype(np.complex64)
some = coefficients[: len(coefficients) // 8]
unit = D.signals / np.linalg.norm(D.signals, axis=1, keepdims=True)
start = time.perf_counter()
scores = (some.real @ unit.T) ** 2 + (some.imag @ unit.T) ** 2
brute = scores.argmax(axis=1)
all_at_once = 8 * (time.perf_counter() - start)
start = time.perf_counter()
ours = D.match(coefficients)
spent = time.perf_counter() - start
print(
    f"brute force {all_at_once:.2f} s, here {spent:.3f} s; same atom: {np.mean(brute == ours.index[: len(some)]):.2%}"
)

# %% [markdown]
# ## A better train
#
# How well can T1 and T2 be known at all? The Cramér-Rao bound answers from the derivatives, and its gradient by every
# flip angle takes one sweep back through the simulation. Minimised is the sum of the squares of all bounds, each
# relative to what it is at first and with a weight; here of a train of 200 pulses and two tissues. Behind an inversion
# T1 is known well from the start: with equal weights T2 would gain a third, and T1 pay for it. So T1 weighs more.

# %%
short = mrf.Sequence.fisp(mrf.jiang2015(200)[0], 0.012, te=0.003, inversion_time=0.02)
at = {name: tissues.relaxation(name) for name in ("white matter", "grey matter")}
start = time.perf_counter()
better = mrf.optimise_flip_angles(short, list(at.values()), weights=[[16, 1]] * 2, bounds=np.deg2rad([5, 70]))
print(f"{time.perf_counter() - start:.1f} s")
for name, times in at.items():
    before, after = (100 * mrf.crlb(train, *times, sigma=0.01) / times for train in (short, better))
    print(f"{name}: T1 to {before[0]:.1f} -> {after[0]:.1f} %, T2 to {before[1]:.1f} -> {after[1]:.1f} %")

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for train, label in ((short, "first"), (better, "optimised")):
    ax.plot(np.rad2deg(train.flip_angles), label=label)
ax.set(xlabel="pulse", ylabel="flip angle [°]")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
