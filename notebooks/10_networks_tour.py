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
import os

import matplotlib.pyplot as plt
import torch

import spinray
from spinray import nn

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
print(f"largest difference {float((network.eval()(x) - twin.eval()(x)).abs().max()):.1e}")
# %% [markdown]
# ## Train
#
# Samples are random phantoms with anatomy-like texture, made while the network trains; the sample of an index is always
# the same. The network learns to tell noise from texture.
