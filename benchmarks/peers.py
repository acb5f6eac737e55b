"""The peers, each set up the way its users would at their best, and each in spinray's conventions.

A `Contender` holds data and objects ready; `call` is what is timed, `fetch` turns the outcome of the last call into
spinray's orientation and units for the accuracy column. Orientation, measured against closed forms:

=============  ======================================================================================
ASTRA          image rows run against y; angles, columns and units are ours
RTK            axis of rotation is its y: our (x, y, z) is its (x, -z, y); angles in degrees, same sense
scikit-image   image rows run against y, axis at pixel n // 2 (ours at (n - 1) / 2); angles in degrees
imops          as scikit-image; only n bins for n pixels, axis at bin n // 2
midas gridrec  image (x, y) of the next power of two, axis at (n/2 - 1, n/2 - 1 - round(shift)), bin d/2 - shift
mbirjax        volume (-y, x, z)
=============  ======================================================================================
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from workloads import Workload


@dataclass
class Contender:
    """One way of doing the work: `call` is timed, `before` (untimed) readies it, `fetch` gives the last outcome."""

    call: Callable[[], object]
    fetch: Callable[[], np.ndarray]
    before: Callable[[], object] = lambda: None
    # centre of the first pixel of a reconstruction (y, x) where the peer's grid is not ours
    origin: tuple[float, ...] | None = None
    # what the peer says its kernel alone took, where it says so
    seconds: Callable[[], float] | None = None


def installed(module: str) -> bool:
    """Whether `module` can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def remembered(work: Callable[[], Any]) -> tuple[Callable[[], object], list[Any]]:
    """`work` as a call that keeps its outcome in a list of one."""
    kept: list[Any] = [None]

    def call() -> None:
        kept[0] = work()

    return call, kept


def astra(workload: Workload, task: str, threads: int, image: np.ndarray, projections: np.ndarray) -> Contender:
    """ASTRA's CPU projector: algorithm and data objects made once, only the run is timed."""
    import astra as toolbox

    volume = toolbox.create_vol_geom(*workload.shape)
    if np.isinf(workload.sod):
        scan = toolbox.create_proj_geom("parallel", workload.pitch, workload.detector[0], workload.angles)
        projector = toolbox.create_projector("linear", scan, volume)
    else:
        axis_to_detector = workload.sdd - workload.sod
        scan = toolbox.create_proj_geom(
            "fanflat", workload.pitch, workload.detector[0], workload.angles, workload.sod, axis_to_detector
        )
        projector = toolbox.create_projector("line_fanflat", scan, volume)
    forward = task == "forward"
    volume_id = toolbox.data2d.create("-vol", volume, np.ascontiguousarray(image[::-1]) if forward else 0)
    sinogram_id = toolbox.data2d.create("-sino", scan, 0 if forward else projections)
    settings = toolbox.astra_dict("FP" if forward else "BP")
    settings["ProjectorId"] = projector
    settings["ProjectionDataId"] = sinogram_id
    settings["VolumeDataId" if forward else "ReconstructionDataId"] = volume_id
    algorithm = toolbox.algorithm.create(settings)

    def fetch() -> np.ndarray:
        return toolbox.data2d.get(sinogram_id) if forward else toolbox.data2d.get(volume_id)[::-1]

    return Contender(lambda: toolbox.algorithm.run(algorithm), fetch)


def rtk(workload: Workload, task: str, threads: int, image: np.ndarray, projections: np.ndarray) -> Contender:
    """RTK's CPU filters: Joseph forward and back projection, FDK; images and geometry made once."""
    import itk
    from itk import RTK

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
    kind = itk.Image[itk.F, 3]

    def centred(array: np.ndarray, spacing: tuple[float, ...]) -> Any:
        out = itk.image_from_array(np.ascontiguousarray(array))
        out.SetSpacing(spacing)
        out.SetOrigin([-(n - 1) / 2 * s for n, s in zip(reversed(array.shape), spacing, strict=True)])
        return out

    pitch = (workload.pitch, workload.pitch, 1.0)
    geometry = RTK.ThreeDCircularProjectionGeometry.New()
    for angle in np.rad2deg(workload.angles):
        geometry.AddProjection(workload.sod, workload.sdd, float(angle))

    def volume(values: np.ndarray) -> Any:
        return centred(values.transpose(1, 0, 2)[::-1], (1.0, 1.0, 1.0))

    def empty() -> Any:
        return volume(np.zeros(workload.shape, np.float32))

    if task == "forward":
        work = RTK.JosephForwardProjectionImageFilter[kind, kind].New()
        work.SetInput(0, centred(np.zeros_like(projections), pitch))
        work.SetInput(1, volume(image))
        work.SetInPlace(False)
    elif task == "back":
        work = RTK.JosephBackProjectionImageFilter[kind, kind].New()
        work.SetInput(0, empty())
        work.SetInput(1, centred(projections, pitch))
        work.SetInPlace(False)
    else:
        work = RTK.FDKConeBeamReconstructionFilter[kind].New()
        work.SetInput(1, centred(projections, pitch))
    work.SetGeometry(geometry)

    def before() -> None:
        # the back-projections of FDK add into the volume they are given
        if task == "fbp":
            work.SetInput(0, empty())
        work.Modified()

    def fetch() -> np.ndarray:
        out = itk.array_from_image(work.GetOutput())
        return out if task == "forward" else out[::-1].transpose(1, 0, 2)

    return Contender(work.Update, fetch, before)


def skimage(workload: Workload, task: str, threads: int, image: np.ndarray, projections: np.ndarray) -> Contender:
    """scikit-image's iradon on all 729 bins, ramp filter, linear interpolation."""
    from skimage.transform import iradon

    size, angles, sinogram = workload.shape[0], np.rad2deg(workload.angles), np.ascontiguousarray(projections.T)
    call, kept = remembered(lambda: iradon(sinogram, theta=angles, output_size=size, filter_name="ramp", circle=False))
    return Contender(call, lambda: kept[0][::-1], origin=(1.0 - size // 2, -float(size // 2)))


def imops(workload: Workload, task: str, threads: int, image: np.ndarray, projections: np.ndarray) -> Contender:
    """The threaded copy of iradon in imops: it takes as many bins as pixels (512) and fills the inscribed circle."""
    from imops import inverse_radon

    size, angles = workload.shape[0], np.rad2deg(workload.angles)
    bins = np.arange(size, dtype=float) - size // 2
    sinogram = np.ascontiguousarray(workload.projections(bins).T)
    call, kept = remembered(lambda: inverse_radon(sinogram, theta=angles, num_threads=threads))
    return Contender(call, lambda: kept[0][::-1], origin=(1.0 - size // 2, -float(size // 2)))


@contextlib.contextmanager
def captured_stdout() -> Iterator[list[str]]:
    """What C code prints on standard output inside the block, as a list of one text once it is left."""
    text: list[str] = []
    with tempfile.TemporaryFile() as target:
        saved = os.dup(1)
        os.dup2(target.fileno(), 1)
        try:
            yield text
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            target.seek(0)
            text.append(target.read().decode(errors="replace"))


def gridrec(workload: Workload, task: str, threads: int, image: np.ndarray, projections: np.ndarray) -> Contender:
    """midas-tomo's gridrec of a stack, arrays in and out of memory: no data file is read or written."""
    from midas_tomo import backend_lib
    from midas_tomo.config import TomoConfig

    backend_lib.load()
    stack = np.ascontiguousarray(projections)
    folder = tempfile.TemporaryDirectory()
    place = Path(folder.name)
    (place / "angles.txt").write_text("\n".join(repr(float(a)) for a in np.rad2deg(workload.angles)))
    # ramp filter; the axis of 729 columns lies at column 364 = 729/2 - 0.5
    config = TomoConfig(
        data_file=place / "unused",
        recon_file=place / "unused",
        are_sinos=True,
        det_xdim=workload.detector[0],
        det_ydim=len(stack),
        theta_file=place / "angles.txt",
        filter_nr=4,
        do_log=False,
        shift_values=(0.5, 0.5, 1.0),
    )
    parameters = config.to_param_file(place / "parameters.txt")
    size = config.recon_xdim
    printed = [""]

    def work() -> np.ndarray:
        with captured_stdout() as text:
            out = backend_lib.run_arrays(parameters, stack, (1, len(stack), size, size), threads, cwd=folder.name)
        printed[0] = text[0]
        return out

    def kernel_seconds() -> float:
        line = next(line for line in printed[0].splitlines() if line.startswith("Finished, time elapsed"))
        return float(line.split(":")[1].split()[0])

    call, kept = remembered(work)
    corner = size // 2 - 1 - workload.shape[0] // 2

    def fetch() -> np.ndarray:
        n = workload.shape[0]
        return kept[0][0, :, corner : corner + n, corner - 1 : corner - 1 + n].transpose(0, 2, 1)

    return Contender(call, fetch, origin=(-float(workload.shape[0] // 2),) * 2, seconds=kernel_seconds)


def mbirjax(workload: Workload, task: str, threads: int, image: np.ndarray, projections: np.ndarray) -> Contender:
    """FDK of mbirjax (adjoint of the filtered sinogram), compiled by the warm-up; threads = cores of the process."""
    # XLA compares the compiler's machine with this one on standard error, feature by feature
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mbirjax as package

    model = package.ConeBeamModel(
        projections.shape,
        workload.angles.astype(np.float32),
        source_detector_dist=workload.sdd,
        source_iso_dist=workload.sod,
    )
    nz, ny, nx = workload.shape
    model.set_params(
        delta_det_row=workload.pitch,
        delta_det_channel=workload.pitch,
        delta_voxel=1.0,
        recon_shape=(ny, nx, nz),
        verbose=0,
    )
    call, kept = remembered(lambda: np.asarray(model.fdk_recon(projections)))
    return Contender(call, lambda: kept[0].transpose(2, 0, 1)[:, ::-1])
