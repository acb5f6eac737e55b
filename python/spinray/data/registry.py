"""What sample files there are, where they come from, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SAMPLES", "Sample"]

_GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Sample:
    """One real file.

    Attributes
    ----------
    name : str
        What `spinray.data.sample` calls it.
    file : str
        Its path below the data folder.
    sha256 : str
        Checksum of its content.
    description : str
        What it shows.
    source : str
        Where it was published.
    licence : str
        Under which it may be used.
    url : str or None
        Where it can be downloaded byte for byte; None if it was repacked from its source.
    shipped_in : str or None
        Its place in an installed Python package, whose installer has verified it already.
    """

    name: str
    file: str
    sha256: str
    description: str
    source: str
    licence: str
    url: str | None = None
    shipped_in: str | None = None


def _github(repository: str, path: str) -> dict[str, str]:
    """Return the source and address of a file in a public repository; the checksum guards against its changing."""
    return {"source": f"{repository}: {path}", "url": f"{_GITHUB}/{repository}/HEAD/{path}"}


_STROKE = "real 3 T brain, chronic stroke on the left, brain extracted; uint8 (140, 160, 124), 1 mm; NIfTI"
_MNI = (
    "MNI notice: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological "
    "Institute, McGill University; use, copying, change and distribution allowed if this notice is kept; no warranty"
)
_HTC = (
    "REAL RAW fan-beam X-ray sinogram of an acrylic disc with holes, 30 degrees (Helsinki Tomography Challenge 2022); "
    "(61, 560), log-converted; MATLAB, for spinray.io.read_sinogram"
)
_HTC_LICENCE = "CC BY 4.0 (University of Helsinki); repository Apache-2.0"

_ALL = (
    Sample(
        "ct_small",
        "ct/CT_small.dcm",
        "3dd31e5cc835b3f2cdd46c9da1982f59251e78518fefa8163d914631c66437d6",
        "real CT slice of the abdomen, GE HiSpeed, 120 kV; (128, 128), 0.66 mm, 5 mm thick; DICOM",
        "pydicom wheel: pydicom/data/test_files/CT_small.dcm",
        "MIT (pydicom)",
        shipped_in="pydicom/data/test_files/CT_small.dcm",
    ),
    *(
        Sample(
            f"abdomen_{k}",
            f"ct/abdomen_0{k}.dcm",
            sha256,
            "real abdominal CT at the liver, GE, 120 kV; one of 3 slices (512, 512), 0.81 mm, 1 mm apart; DICOM",
            **_github("QIICR/dcmqi", f"data/segmentations/ct-3slice/0{k}.dcm"),
            licence="BSD-3-Clause",
        )
        for k, sha256 in (
            (1, "1acf66963383736a6df4c5fa03e4e1d19b8fb1b46b216bfae8ce44b5536e8056"),
            (2, "cd47fecaa47edfa7513d328651120a3e06d17ab46faab0d82483f1c90db1a0ab"),
            (3, "1a1985591067cf41e00ba0a6fc8f2f1f72df340c845d4e02214ea38af9dce4d1"),
        )
    ),
    Sample(
        "neck",
        "ct/neck_dicompyler.dcm",
        "6eb080ed6a1f4c850706418582a0b40e6d10dc831c7f3e3fc7d7b0bdd404e542",
        "real CT slice of neck and shoulders, 130 kV, couch and arm in view; (512, 512), 1.07 mm; DICOM",
        **_github("dicompyler/dicompyler-core", "tests/testdata/example_data/ct.0.dcm"),
        licence="BSD-3-Clause",
    ),
    Sample(
        "head_tilted",
        "ct/head_ge_tilted.npz",
        "fa1f2817c385b276b9f8f7a081e2db561589786758bebfea02af3513f25e2d4b",
        "real head CT, GE HiSpeed Dual, 120 kV, gantry tilt 18.5 degrees, uneven slices; HU (28, 512, 512), 0.49 mm",
        "neurolabusc/dcm_qa_ct: In/GE/01..28.dcm (given by Aliza Medical Imaging), repacked",
        "BSD-2-Clause",
    ),
    Sample(
        "tooth_volume",
        "ct/tooth_volume.npz",
        "33a0a1008816479f2c0d41b6cf23730bc91e923fcb04bc444447a9107dbf9b01",
        "real CT of a tooth; uint16 (161, 94, 103), spacing 1; npz",
        "CIBC-Internal/Seg3DData: test/small_volumes/tooth.raw, repacked",
        "MIT",
    ),
    Sample(
        "tooth_sinogram",
        "ct/tooth_sinogram.h5",
        "ab1d9bd073b7fb1beae4defa991c2a2626605c5cf1f4be0d0203656bc47b6489",
        "REAL RAW parallel-beam X-ray scan of a tooth with flats and darks, rotation axis at column 295.5; "
        "(181, 2, 640); HDF5, for spinray.io.read_sinogram",
        **_github("tomopy/tomopy", "source/tomopy/data/tooth.h5"),
        licence="BSD-3-Clause style (UChicago Argonne)",
    ),
    Sample(
        "htc2022_ta",
        "ct/htc2022_ta_limited.mat",
        "bd9d984b184dac8099b96a2e680fbf7d838e33e49f1e31c44d711a5c530154c9",
        _HTC,
        **_github("robert-abc/HTC2022-Sparse-DIP", "example/input/ta_category7.mat"),
        licence=_HTC_LICENCE,
    ),
    Sample(
        "htc2022_tb",
        "ct/htc2022_tb_limited.mat",
        "478650e0a1b2136a8185ff0fdb4d0133ef2801e86edc06cc3805708b32afb46f",
        _HTC,
        **_github("robert-abc/HTC2022-Sparse-DIP", "example/input/tb_category7.mat"),
        licence=_HTC_LICENCE,
    ),
    *(
        Sample(
            f"stroke_{contrast.lower()}",
            f"mri/stroke_{contrast.lower()}.nii.gz",
            sha256,
            f"{contrast}: {_STROKE}",
            **_github("neurolabusc/VolumeRenderingData", f"stroke/{contrast}.nii.gz"),
            licence="MIT",
        )
        for contrast, sha256 in (
            ("T1", "8e28e653578a2cd21d15064da5b089db16a205887c76baed8a65d01e8f2ab79e"),
            ("T2", "7cc2d618998228998fb1a9abf3ccfa8ed844aa99d84c9c6bf26b763a44406c89"),
            ("FLAIR", "a50cf2bbc22875644fa7f49b3a7d58f0287427a6e37faed9d420ce3495346666"),
        )
    ),
    Sample(
        "head_t1",
        "mri/head_t1_seg3d.nii.gz",
        "56ac78228a4744aff9e3124977e4f35a3813a8ccd8719449321b8d1ef3b7e03a",
        "real T1-like head with skull and scalp; uint8 (160, 232, 160), 1.0 x 0.9 x 0.9 mm; NIfTI",
        **_github("neurolabusc/VolumeRenderingData", "seg3D/MR.nii.gz"),
        licence="MIT",
    ),
    *(
        Sample(
            f"mni152_{kind}",
            f"mri/mni152_{kind}.nii.gz",
            sha256,
            f"{what}, MNI ICBM152 2009a, average of 152 people; uint8 (189, 233, 197), 1 mm; NIfTI",
            "nilearn wheel 0.14.1: nilearn/datasets/data",
            _MNI,
            shipped_in=f"nilearn/datasets/data/mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz",
        )
        for kind, what, sha256 in (
            ("t1", "T1 template", "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"),
            ("gm", "grey matter probability", "97a5ca69bd24db37a9cb7b32525e1733a209af904129bf1cd36da06d24243bed"),
            ("wm", "white matter probability", "382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db"),
        )
    ),
    Sample(
        "brain_tissue_maps",
        "mri/brain_tissue_maps.npz",
        "adedadd1313f705b2368110b1ffa4bc347a977318ed721fa9106a563d0b6bd11",
        "slice of BrainWeb's classes, simulated: proton density, T1 and T2 in ms; float32 (216, 180), 1 mm; npz",
        "cncastillo/KomaMRI.jl: examples/2.phantoms/brain.h5, repacked",
        "MIT",
    ),
)

#: Every sample by its name.
SAMPLES: dict[str, Sample] = {entry.name: entry for entry in _ALL}
