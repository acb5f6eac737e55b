# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Networks: build, train, save, load, compile, explain
#
# A network of `spinray.nn` is an ordinary `torch.nn.Module` whose forward pass runs in Rust on LibTorch. Everything one
# does with a module works: this notebook walks through it with a small U-Net that takes noise off random phantoms.

# %%
# %matplotlib inline
import copy
import os
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import spinray
from spinray import nn, phantoms, training

plt.rcParams["figure.dpi"] = 90
SHORT = "SPINRAY_SHORT" in os.environ  # a minute's training becomes seconds: for the tests

# %% [markdown]
# ## Build

# %%
torch.manual_seed(0)
network = nn.UNet(1, 1, features=16, levels=3, residual=True)
print(spinray.show_config())
print(f"{sum(p.numel() for p in network.parameters()):,} parameters; spec {network.spec}")
# %% [markdown]
# Weights live in Python and are the twin's: the same network in plain PyTorch, which is what `backend="torch"` runs,
# what `torch.compile` sees, and what the tests hold the Rust network to.

# %%
twin = nn.reference.UNet(**network.spec)
twin.load_state_dict(network.state_dict())
x = torch.randn(2, 1, 64, 64)
with torch.no_grad():
    print(f"largest difference {(network.eval()(x) - twin.eval()(x)).abs().max():.1e}")
# %% [markdown]
# ## Train
#
# Samples are random phantoms with anatomy-like texture, made while the network trains; the sample of an index is always
# the same. The network learns to tell noise from texture.

# %%
I0 = 2e4  # photons of a reading


def recipe(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a low-dose FBP image and the truth, in units of water."""
    family = ("thorax", "abdomen", "head")[index % 3]
    truth = phantoms.textured((64, 64), seed, index, family=family).attenuation[None] / 0.0206
    A = spinray.ct.ParallelBeam(spinray.Grid((64, 64), 6.0), np.linspace(0, np.pi, 96, endpoint=False), 92, 6.0)
    noise = int(np.random.default_rng([seed, index]).integers(2**32))
    y = spinray.ct.add_noise(A(0.0206 * truth), I0, seed=noise)
    return spinray.ct.fbp(A, y) / np.float32(0.0206), truth.astype(np.float32)


samples = training.Simulated(recipe, n=64 if SHORT else 512, seed=1, batch_size=4)
held_out = training.Simulated(recipe, n=16 if SHORT else 64, seed=2, batch_size=8, fresh=False)
config = training.Config(epochs=2 if SHORT else 12, optimiser="adamw", learning_rate=1e-2, schedule="one_cycle")
history = training.fit(network, samples, torch.nn.functional.mse_loss, config, validation=held_out, progress=False)
print(history)
history.plot()
# %%
image, truth = recipe(2, 1)
network.eval()
with torch.no_grad():
    cleaned = network(torch.from_numpy(image)[None])[0]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, (name, shown) in zip(axes, {"low dose": image, "network": cleaned, "truth": truth}.items(), strict=True):
    ax.imshow(shown[0], cmap="gray", vmin=0.6, vmax=1.4)
    ax.set(title=f"{name}: rms error {float(np.sqrt(np.mean((np.asarray(shown) - truth) ** 2))):.3f}")
    ax.set_axis_off()
# %% [markdown]
# ## Save, load, copy
#
# A state dict is a file of plain tensors; the spec says which network it belongs to. A checkpoint of another
# architecture is refused with the first entry that differs.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "unet.pt"
    torch.save({"spec": network.spec, "weights": network.state_dict()}, file)
    saved = torch.load(file, weights_only=True)
again = nn.UNet(**saved["spec"])
print(again.load_state_dict(saved["weights"]))
try:
    nn.UNet(1, 1, features=8, levels=3).load_state_dict(saved["weights"])
except ValueError as error:
    print(error)
double = copy.deepcopy(network).double()
print(double(torch.from_numpy(image)[None].double()).dtype)
# %% [markdown]
# ## Speed
#
# Large networks are as fast as LibTorch's convolutions, in Python and in Rust alike; small ones are slowed by the
# Python between the layers, which is not there in Rust. `torch.compile` takes the twin and fuses its layers: worth it
# where a network runs for long.


# %%
def milliseconds(call, repeats: int) -> float:
    """Return the time of the fastest call."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        with torch.no_grad():
            call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


small, x = nn.UNet(1, 1, features=8, levels=2).eval(), torch.randn(1, 1, 16, 16)
in_torch = nn.UNet(1, 1, features=8, levels=2, backend="torch").eval()
print(f"Rust {milliseconds(lambda: small(x), 100):.2f} ms, PyTorch {milliseconds(lambda: in_torch(x), 100):.2f} ms")
if not SHORT:
    compiled = torch.compile(small)
    print(f"compiled {milliseconds(lambda: compiled(x), 100):.2f} ms")
    print(f"largest difference {float((compiled(x) - small(x)).detach().abs().max()):.1e}")
# %% [markdown]
# ## Explain
#
# Integrated gradients: what each pixel adds to an output pixel, here one in the middle of the image. Contributions far
# from it show how far the network looks.

# %%
try:
    map_ = nn.explain.integrated_gradients(network, torch.from_numpy(image)[None], (0, 32, 32), n_steps=16)
except ImportError as error:
    print(error)
else:
    reach = float(map_.abs().max())
    figure, ax = plt.subplots(figsize=(3.6, 3.2), layout="constrained")
    drawn = ax.imshow(map_[0, 0], cmap="RdBu_r", vmin=-reach, vmax=reach)
    figure.colorbar(drawn, label="contribution to pixel (32, 32)")
