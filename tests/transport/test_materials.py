"""Materials: attenuation as published, compositions, formulas, mixtures and CT numbers."""

import copy
import csv
import math
import pickle
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from published import ATTENUATION
from spinray import transport
from spinray.errors import DtypeError, InputError
from spinray.transport import Material, hounsfield_to_materials, material_names
from spinray.transport.materials import KINDS

# Energy absorption of water in cm2/g (Hubbell & Seltzer 1995).
ABSORPTION = {20: 0.5503, 30: 0.1557, 60: 0.03190, 100: 0.02546, 500: 0.03299, 1000: 0.03103, 3000: 0.02281}


@pytest.mark.parametrize(("name", "table"), ATTENUATION.items())
def test_attenuation_is_the_published_one(name, table):
    material = Material(name)
    energies = np.array(list(table))
    expected = np.array(list(table.values())) * material.density / 10
    np.testing.assert_allclose(material.attenuation(energies), expected, rtol=3e-3)


@pytest.mark.parametrize(
    ("name", "energy", "half_value"),
    # mm, from NIST's tables: ln 2 / mu.
    [("water", 60, 33.67), ("water", 662, 80.9), ("lead", 140, 0.255), ("lead", 511, 3.92), ("aluminium", 30, 2.276)],
)
def test_half_value_layers(name, energy, half_value):
    assert math.log(2) / Material(name).attenuation(energy) == pytest.approx(half_value, rel=0.01)


def test_energy_absorption_of_water_is_the_published_one():
    found = Material("water").mass_attenuation(np.array(list(ABSORPTION)), "energy_absorption")
    np.testing.assert_allclose(found, list(ABSORPTION.values()), rtol=3e-3)


def test_an_edge_is_a_jump_at_its_energy_and_nowhere_else():
    iodine = Material("iodine")
    edge = iodine.edges[-1]
    assert edge == pytest.approx(33.1694, abs=1e-5)
    below, above = iodine.mass_attenuation([33.169, 33.170], "photo")
    assert below == pytest.approx(5.81, rel=2e-3)
    assert above == pytest.approx(35.08, rel=2e-3)
    near = iodine.attenuation(edge * (1 + np.array([-1e-3, -1e-9, 0.0, 1e-3])))
    assert near[0] == pytest.approx(near[1], rel=5e-3)
    assert near[2] == pytest.approx(near[3], rel=5e-3)


def test_processes_sum_to_the_total_and_energy_is_not_made():
    energies = np.geomspace(1, 3000, 200)
    for name in ("water", "lead", "CsI"):
        of = {kind: Material(name).attenuation(energies, kind) for kind in KINDS}
        np.testing.assert_allclose(of["total"], of["photo"] + of["compton"] + of["rayleigh"] + of["pair"], rtol=1e-12)
        assert np.all(of["energy_absorption"] <= of["energy_transfer"])
        assert np.all(of["energy_transfer"] < of["total"])
        assert not np.any(of["pair"][energies < 1021.99])
        assert np.all(of["pair"][energies > 1022.0] > 0)


def test_fluorescence_leaves_less_energy_above_the_edge_of_iodine():
    # Most photons above 33 keV leave a K vacancy, nine of ten of which send a photon of 28 to 33 keV away.
    kept = [
        Material("iodine").attenuation(e, "energy_transfer") / Material("iodine").attenuation(e, "photo")
        for e in (33, 34)
    ]
    assert kept[0] > 0.98
    assert 0.3 < kept[1] < 0.4


# Against xraylib itself.


@pytest.mark.parametrize("symbol", ["H", "C", "O", "Ca", "Cu", "I", "W", "Pb", "U"])
def test_elements_are_those_of_xraylib(symbol):
    xraylib = pytest.importorskip("xraylib", reason="xraylib, the source of the tables, is not installed")
    z = xraylib.SymbolToAtomicNumber(symbol)
    material = Material(symbol)
    energies = np.geomspace(1, 800, 666)
    # Its splines swing across edges, and have kinks at whole keV below 5.
    clear = np.all(np.abs(energies[:, None] / np.append(material.edges, 0.5) - 1) > 5e-3, axis=1)
    high = clear & (energies > 5.2)
    for kind, table in [("photo", xraylib.CS_Photo), ("compton", xraylib.CS_Compt), ("rayleigh", xraylib.CS_Rayl)]:
        expected = np.array([table(z, energy) for energy in energies])
        found = material.mass_attenuation(energies, kind)
        np.testing.assert_allclose(found[high], expected[high], rtol=2e-3)
        np.testing.assert_allclose(found[clear], expected[clear], rtol=0.03)


# What a material is.


def test_a_formula_is_its_atoms_by_weight():
    apatite = Material.from_formula("Ca10(PO4)6(OH)2", density=3.16)
    atoms = {"Ca": 10 * 40.078, "P": 6 * 30.974, "O": 26 * 15.999, "H": 2 * 1.008}
    total = sum(atoms.values())
    assert apatite.composition == pytest.approx({symbol: mass / total for symbol, mass in atoms.items()}, rel=1e-6)
    assert list(apatite.composition) == ["H", "O", "P", "Ca"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("H2O", "HOH"), ("C2H4", "(CH2)2"), ("CH3NH3PbI3", "CNH6PbI3"), ("Cd0.9Zn0.1Te", "Cd9ZnTe10"), ("Co", "Co1")],
)
def test_ways_to_write_a_formula(one, other):
    first, second = Material.from_formula(one, 2.0), Material.from_formula(other, 2.0)
    assert first.composition == pytest.approx(second.composition, rel=1e-12)


def test_a_mixture_attenuates_as_its_parts_by_weight():
    mixed = Material.mixture({"water": 0.9, "NaCl": 0.1}, density=1.07)
    parts = 0.9 * Material("water").mass_attenuation(50) + 0.1 * Material("NaCl").mass_attenuation(50)
    assert mixed.mass_attenuation(50) == pytest.approx(parts, rel=1e-12)
    assert mixed.attenuation(50) == pytest.approx(parts * 1.07 / 10, rel=1e-12)
    assert Material.mixture({"water": 9, "NaCl": 1}, density=1.07) == mixed
    assert Material.mixture({Material("water"): 1}).density == 1.0


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(["H", "O", "Ca", "I", "Pb"]), st.floats(0.01, 100), min_size=1))
def test_fractions_sum_to_one_and_survive_pickling(parts):
    material = Material.from_composition(parts, density=1.5)
    assert math.fsum(material.composition.values()) == pytest.approx(1, rel=1e-12)
    assert pickle.loads(pickle.dumps(material)) == material


def test_materials_are_values():
    water = Material("water")
    assert water == Material("Liquid Water") == Material.from_formula("H2O", 1.0) != Material("ice")
    assert len({water, Material("water"), Material("PMMA")}) == 2
    assert copy.deepcopy(water) == pickle.loads(pickle.dumps(water)) == water
    assert pickle.loads(pickle.dumps(water)).name == "water"
    assert water != "water"
    with pytest.raises(AttributeError, match="immutable"):
        water.density = 2.0
    with pytest.raises(TypeError):
        water.composition["H"] = 1.0
    assert repr(Material("Cu")) == "Material('copper', density=8.96 g/cm3, Cu 1)"
    assert Material("lung").with_density(0.26).attenuation(60) == pytest.approx(
        0.26 / 1.05 * Material("lung").attenuation(60), rel=1e-12
    )


def test_every_named_material_is_sourced_unique_and_usable():
    rows = list(csv.DictReader(resources.files(transport).joinpath("materials.csv").read_text("utf-8").splitlines()))
    assert [row["name"] for row in rows] == list(material_names())
    called = set()
    for row in rows:
        assert row["source"]
        material = Material(row["name"])
        assert material.density == float(row["density"])
        assert 0 < material.attenuation(60.0) < 50
        for name in [row["name"], *filter(None, map(str.strip, row["aliases"].split("|")))]:
            assert Material(name) == material
            assert name not in called
            called.add(name)


COMMON = """
water, air, PMMA, polyethylene, aluminium, copper, lead, tungsten, steel, titanium, I, Gd, soft tissue, cortical bone,
muscle, adipose tissue, lung, brain, blood, skin, breast, CsI, NaI, CdTe, CdZnTe, GOS, LSO, LYSO, BGO, Si, Ge, Se
"""


def test_the_materials_of_the_field_have_names():
    for name in COMMON.split(","):
        assert Material(name.strip()).density > 0


def test_energies_of_any_shape():
    water = Material("water")
    assert isinstance(water.attenuation(60), float)
    assert isinstance(water.attenuation(np.float32(60)), float)
    assert water.attenuation([[30, 60]]).shape == (1, 2)
    assert water.attenuation([30, 60]).dtype == np.float64
    np.testing.assert_array_equal(water.attenuation(np.array([30.0, 0, 60.0])[::2]), water.attenuation([30, 60]))


# Bad input.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("watr", "name: .*'watr'.*Close: 'water'"),
        ("bone cortical", "cortical bone"),
        ("C5H8O2", "Material.from_formula"),
        ("", "name: "),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_close(name, message):
    with pytest.raises(InputError, match=message):
        Material(name)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("Xx2", "no element 'Xx' at position 0"),
        ("H2o", "'o' at position 2"),
        ("(H2O", "bracket"),
        ("H2O)", r"'\)' at position 3"),
        ("2H", "number 2 at position 0"),
        ("H0", "number 0"),
        ("()", "position 1"),
        ("", "no element"),
        ("Ca CO3", "' ' at position 2"),
        ("Es", "no element 'Es'"),
    ],
)
def test_a_bad_formula_is_refused_where_it_goes_wrong(formula, message):
    with pytest.raises(InputError, match=f"formula: .*{message}"):
        Material.from_formula(formula, density=1.0)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="HOCaZn0123.()[] -", max_size=12))
def test_any_text_is_a_formula_or_refused(text):
    try:
        material = Material.from_formula(text, density=1.0)
    except InputError as error:
        assert str(error).startswith("formula: ")
    else:
        assert math.fsum(material.composition.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Material("water", density=-1), "density: .*-1"),
        (lambda: Material("water", density=0), "density: .*positive"),
        (lambda: Material("water", density=float("nan")), "density: .*finite"),
        (lambda: Material("water", density=1000), "density: .*kg/m3"),
        (lambda: Material("water").with_density(-2), "density: .*-2"),
        (lambda: Material.mixture({"water": 1, "NaCl2": 1}), "density: .*'NaCl2'"),
        (lambda: Material.mixture({"water": -1}, density=1), r"parts\['water'\]: .*-1"),
        (lambda: Material.mixture({}, density=1), "parts: .*at least one"),
        (lambda: Material.mixture({"wter": 1}, density=1), "'wter'.*'water'"),
        (lambda: Material.from_composition({"Q": 1}, density=1), "composition: .*'Q'"),
        (lambda: Material("water").attenuation(0.5), "energy: .*1 to 3000 keV, got 0.5. MeV"),
        (lambda: Material("water").attenuation([60, 60000]), "energy: .*got 60000. eV"),
        (lambda: Material("water").attenuation(float("nan")), "energy: .*finite"),
        (lambda: Material("water").attenuation(-60), "energy: .*-60"),
        (lambda: Material("water").attenuation(60, "photoelectric"), "kind: .*'photo'"),
    ],
)
def test_bad_values_are_refused_by_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Material(82), "name: .*int"),
        (lambda: Material.from_formula(None, 1.0), "formula: .*NoneType"),
        (lambda: Material.mixture([("water", 1)]), "parts: .*list"),
        (lambda: Material("water", density="1"), "density: "),
        (lambda: Material.from_formula("H2O", 1.0, name=3), "name: .*int"),
        (lambda: hounsfield_to_materials(["air"]), "hu: "),
    ],
)
def test_bad_types_are_refused_by_name(make, message):
    with pytest.raises(DtypeError, match=message):
        make()


# CT numbers.


def test_ct_numbers_fall_into_the_published_intervals():
    hu = np.array([-3000, -1000, -951, -950, -121, -120, -83, -82, 7, 8, 18, 19, 79, 80, 1499, 1500, 5000])
    labels, density, materials = hounsfield_to_materials(hu)
    assert labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 5, 6, 6, 7, 7, 8, 22, 23, 23]
    assert labels.dtype == np.uint8
    assert density.dtype == np.float32
    assert len(materials) == 24
    # Table 6 of the paper: soft tissue at 19 to 80 HU, and the densest bone.
    assert materials[7].composition == pytest.approx(
        {"H": 0.103, "C": 0.134, "N": 0.030, "O": 0.723, "Na": 0.002, "P": 0.002, "S": 0.002, "Cl": 0.002, "K": 0.002}
    )
    assert materials[23].composition["Ca"] == pytest.approx(0.225, rel=2e-3)


def test_densities_of_ct_numbers_are_the_published_lines():
    hu = np.array([-1000, -98, 0, 14.9, 15, 22, 50, 101, 1000, 2000])
    expected = [0.00121, 1.018 - 0.0875, 1.018, 1.0313, 1.03, 1.03, 1.0615, 1.0768, 1.609, 2.201]
    np.testing.assert_allclose(hounsfield_to_materials(hu)[1], expected, atol=2e-4)
    steps = np.diff(hounsfield_to_materials(np.arange(-1000, 3000))[1])
    assert np.all(np.abs(np.delete(steps, 1100)) < 2e-3)
    assert steps[1100] == pytest.approx(1.0768 - 1.1199, abs=2e-4)
    # Water is not a tissue, and yet the tissues of 0 HU attenuate like it.
    labels, density, materials = hounsfield_to_materials([0.0])
    ratio = materials[labels[0]].with_density(float(density[0])).attenuation(70) / Material("water").attenuation(70)
    assert ratio == pytest.approx(1, abs=0.02)


def test_ct_numbers_keep_their_shape_and_bad_ones_are_refused():
    labels, density, _ = hounsfield_to_materials(np.zeros((2, 3, 4), np.int16))
    assert labels.shape == density.shape == (2, 3, 4)
    for bad, message in [([0.0, float("nan")], "hu: .*NaN"), ([1e6], "hu: .*1e.06"), ([float("inf")], "hu: ")]:
        with pytest.raises(InputError, match=message):
            hounsfield_to_materials(bad)
