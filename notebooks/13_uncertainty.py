# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # How sure is a network?
#
# A network gives an answer to everything. An answer can be wrong for two reasons: the measurement is noisy, which no
# network can help, or it is unlike all that the network was trained on. Here a network reads T1 and T2 off magnetic
# resonance fingerprints (Cohen 2018) and says how far it may be off for either reason.

# %%
# %matplotlib inline
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator
from scipy.special import erf

from spinray import nn, phantoms, training
from spinray.mri import mrf, tissues
from spinray.nn import uncertainty

plt.rcParams["figure.dpi"] = 90
SHORT = "SPINRAY_SHORT" in os.environ  # minutes of training become seconds: for the tests

# %% [markdown]
# ## Fingerprints
#
# A FISP train of 100 pulses behind an inversion (Jiang 2015). Tissues are drawn with T1 from 0.2 to 4 s and T2 from 20
# to 500 ms; each signal gets noise of a strength of its own, and comes scaled to one size, since proton density is not
# known. The answers are logarithms: an error of 0.1 is one of 10 %.

# %%
PULSES = 100
seq = mrf.Sequence.fisp(*mrf.jiang2015(PULSES), te=0.003, inversion_time=0.02)
LEAST, MOST = np.array([0.2, 0.02]), np.array([4.0, 0.5])
CENTRE = np.sqrt(LEAST * MOST)


def inputs_of(signals: np.ndarray) -> torch.Tensor:
    """Return signals as networks see them, of root mean square 1."""
    return torch.from_numpy((signals / np.sqrt((signals**2).mean(-1, keepdims=True))).astype(np.float32))


def recipe(seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 500 noisy fingerprints, and logarithms of T1 and T2."""
    random = np.random.default_rng([seed, index])
    times = LEAST * (MOST / LEAST) ** random.random((500, 2))
    times[:, 1] = np.minimum(times[:, 1], times[:, 0])
    clean = mrf.epg(seq, times[:, 0], times[:, 1]).real
    noise = random.standard_normal(clean.shape) / np.exp(random.uniform(np.log(10), np.log(200), (500, 1)))
    return inputs_of(clean + noise), torch.from_numpy(np.log(times / CENTRE).astype(np.float32))


samples = training.Simulated(recipe, n=20 if SHORT else 400, seed=1)
validation, test = (training.Simulated(recipe, n=1 if SHORT else 20, seed=seed, fresh=False) for seed in (2, 3))
# %% [markdown]
# ## Networks that know of noise
#
# The network gives four numbers, $\ln T_1$, $\ln T_2$ and the logarithms of their variances. Trained for the likelihood
# of a normal distribution (Nix 1994), it learns how much noise leaves open. What training left open shows where
# networks differ: five of them from different beginnings, a deep ensemble (Lakshminarayanan 2017), or one with dropout
# that stays on, Monte Carlo dropout (Gal 2016).


# %%
def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the negative logarithm of the likelihood."""
    return torch.nn.functional.gaussian_nll_loss(output[:, :2], target, output[:, 2:].exp())


def trained(seed: int, dropout: float) -> torch.nn.Module:
    """Return a network trained from its own beginning."""
    torch.manual_seed(seed)
    network = nn.MLP(PULSES, 4, hidden=(128, 128), dropout=dropout)
    config = training.Config(
        epochs=1 if SHORT else 5, learning_rate=3e-3, schedule="one_cycle", clip_norm=1.0, seed=seed
    )
    history = training.fit(network, samples, loss, config, progress=False)
    print(f"dropout {dropout}, seed {seed}: {history}")
    return network.eval()


members = [trained(seed, dropout=0.0) for seed in range(5)]
dropping = trained(0, dropout=0.1)

# %% [markdown]
# Both variances add up: the mean of what the networks say about noise, and the variance between their answers.


# %%
def with_variance(output: torch.Tensor) -> torch.Tensor:
    """Return the answer and its variance, no longer as a logarithm."""
    return torch.cat([output[:, :2], output[:, 2:].exp()], 1)


def asked(method: str, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the answer, its standard deviation by noise, and that between networks, each of shape (n, 2)."""
    if method == "ensemble":
        mean, std = uncertainty.ensemble(members, x, transform=with_variance)
    else:
        mean, std = uncertainty.mc_dropout(dropping, x, n=30, transform=with_variance)
    return mean[:, :2].numpy(), mean[:, 2:].sqrt().numpy(), std[:, :2].numpy()


def together(data: training.Simulated) -> tuple[torch.Tensor, np.ndarray]:
    """Return all inputs and all targets."""
    x, target = zip(*data, strict=True)
    return torch.cat(x), torch.cat(target).numpy()


METHODS = ("ensemble", "dropout")
x, truth = together(test)
answers = {method: asked(method, x) for method in METHODS}
for method, (mean, noise, spread) in answers.items():
    error = np.sqrt(np.mean((mean - truth) ** 2, 0))
    print(
        f"{method:8s} error T1 {error[0]:.1%}, T2 {error[1]:.1%}; said of noise {np.sqrt(np.mean(noise**2)):.1%}, "
        f"between networks {np.sqrt(np.mean(spread**2)):.1%}"
    )

# %% [markdown]
# ## Is it right about noise?
#
# There is a bound: no unbiased estimate has a smaller standard deviation than Cramér and Rao allow. What the ensemble
# says of grey matter follows it, and so does its error. At low SNR the error is smaller still, since the range of the
# training tells more than the measurement does; at high SNR the ensemble is modest, and says more than it errs.


# %%
def ticked(axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


grey = tissues.relaxation("grey matter")
snrs = np.geomspace(10, 200, 9)
bound = np.array([mrf.crlb(seq, *grey, sigma=1 / snr) / grey for snr in snrs])
signal = mrf.epg(seq, *grey).real
random = np.random.default_rng(4)
said, real = [], []
for snr in snrs:
    noisy = inputs_of(signal + random.standard_normal((400, PULSES)) / snr)
    mean, noise, spread = asked("ensemble", noisy)
    said.append(np.sqrt(np.mean(noise**2 + spread**2, 0)))
    real.append(np.sqrt(np.mean((mean - np.log(grey / CENTRE)) ** 2, 0)))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for ax, name, k in zip(axes, ("T1", "T2"), (0, 1), strict=True):
    ax.loglog(snrs, 100 * bound[:, k], "k--", lw=1, label="Cramér-Rao")
    ax.loglog(snrs, 100 * np.array(said)[:, k], "o-", ms=4, label="said")
    ax.loglog(snrs, 100 * np.array(real)[:, k], "s-", ms=4, label="error")
    ax.set(title=f"{name} of grey matter", xlabel="SNR")
    ticked(ax.xaxis)
    ticked(ax.yaxis)
axes[0].set_ylabel("standard deviation [%]")
axes[0].legend()
# %% [markdown]
# ## Calibration
#
# Answers are sorted by the standard deviation they come with; in every bin, errors should be as large as that (Levi
# 2022). The spread between networks alone knows nothing of noise, and promises far too much. With the variance of noise
# it comes near. What is left is a factor, taken from validation data (Laves 2020). It mends the ensemble; dropout gives
# too much to easy signals and too little to hard ones, which no factor mends.

# %%
x_val, truth_val = together(validation)
figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
mean, noise, spread = (100 * part for part in answers["ensemble"])
uncertainty.regression_calibration(mean, spread, 100 * truth).plot(unit="%", ax=axes[0]).set_title(
    "ensemble, spread alone"
)
scale = {}
for ax, method in zip(axes[1:], METHODS, strict=True):
    mean_val, noise_val, spread_val = asked(method, x_val)
    scale[method] = uncertainty.sigma_scale(mean_val, np.hypot(noise_val, spread_val), truth_val)
    mean, noise, spread = (100 * part for part in answers[method])
    sigma = scale[method] * np.hypot(noise, spread)
    uncertainty.regression_calibration(mean, sigma, 100 * truth).plot(unit="%", ax=ax)
    ax.set_title(f"{method}, spread and noise, times {scale[method]:.2f}")
# %% [markdown]
# The other way to see it: how many errors lie within z standard deviations? Of normal ones, 68 % within one.

# %%
z = np.linspace(0, 3, 31)
figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(z, 100 * erf(z / np.sqrt(2)), "k--", lw=1, label="normal")
for method, (mean, noise, spread) in answers.items():
    ratio = np.abs(mean - truth) / (scale[method] * np.hypot(noise, spread))
    ax.plot(z, [100 * np.mean(ratio <= limit) for limit in z], label=method)
ax.set(xlabel="standard deviations", ylabel="errors within [%]")
ax.legend()
# %% [markdown]
# ## What it has never seen
#
# In training all flip angles were right. In a scanner they are not: the transmit field $B_1$ changes over the head, and
# metal distorts it. Nobody told the networks. Nor have they seen T2 beyond 0.5 s. Grey is what they know; as one
# leaves it, errors grow several times, and the spread about twice; for $B_1$ above 1 not even that. It can warn, and is
# no error bar.

# %%
REPEATS = 10 if SHORT else 200


def away(**parameters: np.ndarray) -> dict[str, np.ndarray]:
    """Return error, noise and spread at T1 and T2, one at a time, of signals of SNR 50."""
    parameters = {"t1": np.array(grey[0]), "t2": np.array(grey[1]), "b1": np.array(1.0)} | parameters
    t1, t2, b1 = np.broadcast_arrays(*parameters.values())
    clean = mrf.epg(seq, t1[:, None], t2[:, None], b1[:, None]).real
    noisy = clean + np.random.default_rng(5).standard_normal((len(t1), REPEATS, PULSES)) / 50
    target = np.log(np.stack([t1, t2], -1) / CENTRE)[:, None]
    found = {}
    for method in METHODS:
        parts = [part.reshape(len(t1), REPEATS, 2) for part in asked(method, inputs_of(noisy).flatten(0, 1))]
        parts[0] = parts[0] - target
        found[method] = [100 * np.sqrt(np.mean(part**2, (1, 2))) for part in parts]
    return found


b1 = np.linspace(0.4, 1.4, 21)
t2 = np.geomspace(0.05, 2.0, 21)
cases = {
    "$B_1$": (b1, away(b1=b1), 1.0, 1.0),
    "T2 [s], with T1 = 4 s": (t2, away(t1=np.full(21, 4.0), t2=t2), 0.05, 0.5),
}
figure, axes = plt.subplots(1, 2, figsize=(11.5, 3.6), layout="constrained")
for ax, (name, (along, found, low, high)) in zip(axes, cases.items(), strict=True):
    ax.semilogy(along, found["ensemble"][0], "k", label="error of the ensemble")
    ax.semilogy(along, found["ensemble"][1], color="C0", ls=":", label="noise, as it says")
    ax.semilogy(along, found["ensemble"][2], color="C0", label="spread of the ensemble")
    ax.semilogy(along, found["dropout"][2], color="C1", label="spread by dropout")
    ax.axvspan(low, high, color="0.85", lw=3)
    ax.set(xlabel=name, ylabel="error, standard deviation [%]")
    ticked(ax.yaxis)
axes[1].set_xscale("log")
ticked(axes[1].xaxis)
axes[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
# %% [markdown]
# ## A risk map
#
# A brain with fluid of T2 = 2 s, and a plate of metal at one side that takes away the transmit field around it. Beside
# the errors, which a patient's scan would not show: what the ensemble says of itself.

# %%
brain = phantoms.brain("shepp-logan", shape=(96, 96))
y, x = brain.grid.axes()
field = 1 - 0.6 * np.exp(-((x[None] - 75) ** 2 + (y[:, None] + 10) ** 2) / 30**2)
series = mrf.scan(brain, seq, b1=field).real
series = (series + np.random.default_rng(6).standard_normal(series.shape) / 50)[brain.mask]
mean, noise, spread = asked("ensemble", inputs_of(series))
errors = mean - np.log(np.stack([brain.t1, brain.t2], -1)[brain.mask] / CENTRE)


def picture(values: np.ndarray) -> np.ndarray:
    """Return values of voxels as an image."""
    image = np.full(brain.mask.shape, np.nan)
    image[brain.mask] = values
    return image


shown = {
    "T2 [ms]": (1e3 * CENTRE[1] * np.exp(mean[:, 1]), "gray", (0, 200)),
    "error of T2 [%]": (100 * errors[:, 1], "RdBu_r", (-60, 60)),
    "noise, as it says [%]": (100 * noise[:, 1], "magma", (0, 30)),
    "spread of the ensemble [%]": (100 * spread[:, 1], "magma", (0, 8)),
}
figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
for ax, (name, (values, cmap, (low, high))) in zip(axes, shown.items(), strict=True):
    figure.colorbar(ax.imshow(picture(values), origin="lower", cmap=cmap, vmin=low, vmax=high), ax=ax, shrink=0.8)
    ax.set(title=name)
    ax.set_axis_off()
# %% [markdown]
# Near the metal, noise and spread both warn. Fluid looks easy to the part that speaks of noise, and only the spread
# warns of it. Is the map of use? Leave out the voxels of largest risk, and see the error of those that are kept. By
# both together, where noise outweighs the spread, this is worse than chance; by the spread alone it works. The best
# order would be that of the errors themselves.

# %%
kept = np.linspace(0.3, 1, 29)
orders = {
    "at random": np.random.default_rng(7).random(len(errors)),
    "by noise and spread": np.hypot(noise, spread)[:, 1],
    "by spread": spread[:, 1],
    "by error (unknown)": np.abs(errors[:, 1]),
}
figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for (name, risk), colour in zip(orders.items(), ("0.6", "C3", "C0", "k"), strict=True):
    squares = errors[np.argsort(risk), 1] ** 2
    left = [100 * np.sqrt(squares[: int(share * len(squares))].mean()) for share in kept]
    ax.plot(100 * (1 - kept), left, "--" if colour == "k" else "-", color=colour, label=name)
ax.set(xlabel="voxels left out [%]", ylabel="rms error of T2 [%]")
ax.legend(fontsize=8)
# %% [markdown]
# Two numbers, two uses. The variance of noise, once calibrated, is an error bar for what the training covered. The
# spread says where that ends, and there nothing says how far off the answer is.
