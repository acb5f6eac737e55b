"""The table of tissues: the published numbers, in seconds, with their sources."""

import copy
import pickle

import pytest

from spinray.errors import DtypeError, InputError
from spinray.mri import tissues

# Typed from the papers, apart from the table: T1 and T2 in ms.
PUBLISHED = {
    ("white matter", 1.5): (884, 72),
    ("white matter", 3.0): (1084, 69),
    ("grey matter", 1.5): (1124, 95),
    ("grey matter", 3.0): (1820, 99),
    ("muscle", 3.0): (1412, 50),
    ("blood", 1.5): (1441, 290),
    ("fat", 3.0): (371, 133),
    ("cartilage", 1.5): (1060, 42.1),
    ("kidney cortex", 3.0): (1142, 76),
    ("kidney medulla", 3.0): (1545, 81),
    ("liver", 3.0): (809, 34),
    ("spleen", 3.0): (1328, 61),
    ("pancreas", 3.0): (725, 43),
    ("paravertebral muscle", 3.0): (898, 29),
    ("bone marrow", 3.0): (586, 49),
    ("prostate", 3.0): (1597, 74),
}


@pytest.mark.parametrize(("key", "times"), PUBLISHED.items())
def test_the_values_are_the_published_ones_in_seconds(key, times):
    assert tissues.relaxation(*key) == pytest.approx([t / 1000 for t in times], rel=1e-12)


def test_every_tissue_is_physical_and_sourced():
    for name, tissue in tissues.TISSUES.items():
        assert tissue.name == name
        assert tuple(tissue.at) == tissues.FIELDS
        assert "20" in tissue.source  # a year
        for at in tissue.at.values():
            assert 0.02 < at.t2 < at.t1 < 5
            assert at.t2_star is None or at.t2_star < at.t2
        assert tissue.at[1.5].t1 <= tissue.at[3.0].t1  # T1 grows with the field
        assert tissue.proton_density is None or 0 < tissue.proton_density <= 1
    assert tissues.tissue("wm").at[3.0].t2_star == pytest.approx(0.0532)


def test_names_are_forgiving():
    grey = tissues.TISSUES["grey matter"]
    for name in ("grey matter", "Gray_Matter", "GM", " gray  matter "):
        assert tissues.tissue(name) is grey
    assert tissues.relaxation("csf") == tissues.relaxation("cerebrospinal fluid", 3)


def test_the_table_cannot_be_changed_but_copied():
    white = tissues.tissue("wm")
    with pytest.raises(TypeError):
        tissues.TISSUES["wm"] = white
    with pytest.raises(TypeError):
        white.at[3.0] = white.at[1.5]
    assert pickle.loads(pickle.dumps(white)) == white == copy.deepcopy(white)


def test_what_is_not_in_the_table_is_named():
    with pytest.raises(InputError, match=r"no tissue 'brain'.*white matter, grey matter"):
        tissues.relaxation("brain")
    with pytest.raises(InputError, match=r"field: expected one of 1.5, 3.0 T, got 7.0"):
        tissues.relaxation("liver", 7.0)
    with pytest.raises(DtypeError, match="name"):
        tissues.relaxation(3.0)
    with pytest.raises(DtypeError, match="field"):
        tissues.relaxation("liver", "3T")
