# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   spinray_data: [ct/tooth_sinogram.h5]
# ---

# %% [markdown]
# # A real tooth, from counts to image
#
# Raw data of a synchrotron beamline: what the detector counted, with flat and dark fields beside it. From there to an
# image in four steps. Then the image is put to a test that needs no truth: it has to predict views it has not seen.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

import spinray
from spinray import ct, regularizers, solvers, viz

plt.rcParams["figure.dpi"] = 90

raw = spinray.io.read_sinogram(spinray.data.sample("tooth_sinogram"))
raw

# %% [markdown]
# ## Flat and dark fields
#
# The beam is uneven and every pixel counts differently. A flat field is taken without the tooth, a dark field without
# the beam: $p = -\log\frac{N - D}{F - D}$.

# %%
p = ct.normalise(raw.data, raw.flats, raw.darks)
row = 0  # the detector's upper row; there are two

figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
viz.show_sinogram(raw.data, row=row, title="counts", ax=axes[0])
axes[1].plot(raw.flats[:, row].mean(0), label="flat", color="#e0a030", lw=0.8)
axes[1].plot(raw.data[0, row], label="first view", color="#2a6fb0", lw=0.8)
axes[1].plot(raw.darks[:, row].mean(0), label="dark", color="#5b6470", lw=0.8)
axes[1].set(xlabel="column", ylabel="counts")
axes[1].legend(frameon=False)
viz.show_sinogram(p, row=row, title="line integrals", ax=axes[2])
# %% [markdown]
# ## The rotation axis
#
# It does not fall on the middle of the detector, as the sinogram's lean shows. A view and its opposite are mirror
# images about the axis; that is enough to find it.

# %%
y = np.ascontiguousarray(p[:, row])
n = y.shape[1]
centre = ct.find_rotation_centre(y, raw.angles)
print(f"axis at column {centre:.2f} of {n}; the middle is {(n - 1) / 2}")

# %% [markdown]
# ## The image
#
# Lengths are in pixels, so attenuation is per pixel. Only the middle of the field of view holds anything.

# %%
grid = spinray.Grid((360, 360))
A = ct.ParallelBeam(grid, raw.angles, n, col_offset=(n - 1) / 2 - centre)
straight = ct.ParallelBeam(grid, raw.angles, n)

fbp = ct.fbp(A, y, filter="hann")
WINDOW = (0.0042, 0.0095)
viz.compare(
    [ct.fbp(straight, y, filter="hann"), fbp],
    ["axis taken in the middle", f"axis at column {centre:.2f}"],
    reference=None,
    window=WINDOW,
    grid=grid,
    unit="1/pixel",
)
# %% [markdown]
# Enamel is bright, dentine grey, and cracks run through both.
#
# ## Is the axis right?
#
# A second opinion: for trial positions, reconstruct, project the image again and see how much of the data it explains.
# Views agree with each other only about the right axis.

# %%
trials = centre + np.linspace(-3, 3, 13)
wide = spinray.Grid((400, 400))
unexplained = []
for trial in trials:
    about = ct.ParallelBeam(wide, raw.angles, n, col_offset=(n - 1) / 2 - trial)
    inside = np.abs(about.columns) < 200  # where the tooth is
    difference = about(ct.fbp(about, y, filter="hann")) - y
    unexplained.append(np.sum(difference[:, inside] ** 2) / np.sum(y**2))

ax = plt.subplots(figsize=(5, 3.2), layout="constrained")[1]
ax.plot(trials, unexplained, "o-", color="#2a6fb0", ms=4)
ax.axvline(centre, color="#c8452f", ls="--", label="find_rotation_centre")
ax.set(xlabel="column of the axis", ylabel="unexplained share of the data")
ax.legend(frameon=False, loc="upper right", fontsize=8)
# %% [markdown]
# ## Fewer views
#
# No one knows the true tooth. But an image can be asked for views that it was not made of: every fourth view is
# reconstructed, and the other three quarters are compared with the measurement.

# %%
kept = np.arange(len(y)) % 4 == 0
few, rest = A[kept], A[~kept]
start = ct.fbp(few, y[kept], filter="hann")
images = {
    "FBP": start,
    "SIRT": solvers.sirt(few, y[kept], n_iter=120, bounds=(0, None)),
    "FISTA-TV": solvers.fista(few, y[kept], n_iter=100, x0=start, regularizer=regularizers.TV(0.08), bounds=(0, None)),
}
for name, image in images.items():
    error = np.linalg.norm(rest(image) - y[~kept]) / np.linalg.norm(y[~kept])
    print(f"{name:9} misses {100 * error:.2f} % of the views it has not seen")

# %%
viz.compare(
    [fbp, *images.values()],
    [f"FBP, {len(y)} views", *(f"{name}, {kept.sum()} views" for name in images)],
    reference=None,
    window=WINDOW,
    grid=grid,
    unit="1/pixel",
    zoom=(-110, 140, -165, 125),
)
