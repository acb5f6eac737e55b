"""D6: triples come back to back, rules say what they should, and the network sees nothing it must not."""

import dataclasses

import numpy as np
import pytest
import torch

from spinray import transport
from spinray.zoo._ring import Ring, Triples
from spinray.zoo._ring_rules import by_distance, by_energy, by_kinematics, right
from spinray.zoo.intercrystal import InterCrystal, features, without_physics

ELECTRON = 510.99895


@pytest.fixture(scope="module")
def triples():
    return Ring().triples(seed=3, n_lines=6000)


@pytest.fixture(scope="module")
def small():
    class Small(InterCrystal):
        n, n_held_out = 1, 1

        def config(self):
            return dataclasses.replace(super().config(), epochs=2)

    return Small()


def test_crystals_are_where_their_centres_are():
    ring = Ring()
    every = np.arange(ring.around * ring.along)
    assert np.array_equal(ring.crystal(ring.centre(every)), every)
    x, y, z = ring.centre(every).T
    assert np.hypot(x, y) == pytest.approx(ring.inner + ring.depth / 2)
    assert abs(z).max() == pytest.approx((ring.length - ring.pitch) / 2)
    # On its face, a crystal is as wide as it is long along the axis, to what makes their number whole.
    assert 2 * np.pi * ring.inner / ring.around == pytest.approx(ring.pitch, rel=2e-3)


def test_lines_meet_the_ring_at_both_ends_and_come_from_all_over_the_bore():
    ring = Ring()
    places, ways = ring.lines(20_000, np.random.default_rng(0))
    assert np.linalg.norm(ways, axis=1) == pytest.approx(1.0)
    across = (ways[:, :2] ** 2).sum(axis=1)
    half = (places[:, :2] * ways[:, :2]).sum(axis=1)
    for sign in (1, -1):
        path = (-half + sign * np.sqrt(half**2 + across * (ring.inner**2 - (places[:, :2] ** 2).sum(axis=1)))) / across
        ends = places + path[:, None] * ways
        assert np.hypot(ends[:, 0], ends[:, 1]) == pytest.approx(ring.inner)
        assert abs(ends[:, 2]).max() < ring.length / 2
    # No direction in the plane is preferred, and lines reach out to the wall of the bore.
    turn = np.histogram(np.arctan2(ways[:, 1], ways[:, 0]), bins=8)[0]
    assert ((turn - 2500) ** 2 / 2500).sum() < 24  # 7 degrees of freedom, 1e-3
    offset = abs(places[:, 0] * ways[:, 1] - places[:, 1] * ways[:, 0]) / np.sqrt(across)
    assert offset.max() > 0.95 * ring.inner


def test_triples_are_in_the_windows_and_the_same_for_a_seed(triples):
    ring = Ring()
    assert 600 < len(triples) < 1500
    assert (triples.energies > ring.threshold).all()
    assert (triples.energies[:, 0] >= triples.energies[:, 1]).all()
    sums = triples.energies.sum(axis=1)
    assert (ring.window[0] < sums).all()
    assert (sums < ring.window[1]).all()
    assert (triples.crystals[:, 0] != triples.crystals[:, 1]).all()
    again, other = ring.triples(seed=3, n_lines=6000), ring.triples(seed=4, n_lines=6000)
    for field in dataclasses.fields(Triples):
        assert np.array_equal(getattr(triples, field.name), getattr(again, field.name))
    assert not np.array_equal(triples.partner[:100], other.partner[:100])


def test_a_photon_that_scatters_into_its_partners_crystal_makes_no_third_single():
    ring = Ring()
    found = ring.triples(seed=24, n_lines=20_000)  # of which one does
    assert (np.linalg.norm(ring.centre(found.crystals) - found.partner[:, None], axis=2) > 0).all()


def test_the_single_on_the_line_is_opposite_the_partner():
    # A wide bore, and activity that only its middle holds: lines go through the middle.
    class Central(Ring):
        def lines(self, n, random):
            places, ways = super().lines(n, random)
            return 0 * places, ways

    ring = Central(resolution=1e-6, threshold=1.0, window=(505.0, 515.0))
    triples = ring.triples(seed=1, n_lines=8000)
    places = ring.centre(triples.crystals)
    on = np.where(triples.first[:, None], places[:, 0], places[:, 1])
    off = np.where(triples.first[:, None], places[:, 1], places[:, 0])

    def miss(single):
        """Distance of the middle of the scanner from the line to the partner."""
        along = single - triples.partner
        along = along / np.linalg.norm(along, axis=1, keepdims=True)
        return np.linalg.norm(np.cross(triples.partner, along), axis=1)

    # Depth is not measured: lines are off by up to half a crystal's length times their slope.
    assert np.quantile(miss(on), 0.99) < 3.5
    assert np.quantile(miss(off), 0.5) > np.quantile(miss(on), 0.9)


def ideal_triples(ring, n):
    """Triples that obey Compton's formula exactly."""
    random = np.random.default_rng(0)
    partner = ring.centre(random.integers(0, ring.around * ring.along, n))
    on = random.integers(0, ring.around * ring.along, n)
    row, column = np.divmod(on, ring.around)
    off = np.clip(row + random.integers(-40, 41, n), 0, ring.along - 1) * ring.around
    off += (column + random.integers(10, 60, n)) % ring.around
    arriving, leaving = ring.centre(on) - partner, ring.centre(off) - ring.centre(on)
    cosine = (arriving * leaving).sum(axis=1) / np.linalg.norm(arriving, axis=1) / np.linalg.norm(leaving, axis=1)
    after = transport.compton_energy(ELECTRON, np.clip(cosine, -1, 1))
    first = ELECTRON - after > after
    energies = np.sort(np.stack([ELECTRON - after, after], axis=1))[:, ::-1]
    crystals = np.where(first[:, None], np.stack([on, off], axis=1), np.stack([off, on], axis=1))
    return Triples(partner, crystals, energies, first)


def test_kinematics_is_right_where_energies_and_places_are_exact():
    ring = Ring(pitch=0.25)
    ideal = ideal_triples(ring, 3000)
    for mixture in (0.0, 0.5, 1.0):
        assert right(by_kinematics(ring, ideal, mixture), ideal) > 97
    swapped = dataclasses.replace(ideal, first=~ideal.first)
    assert right(by_kinematics(ring, ideal, 0.5), swapped) < 3


def test_the_energy_rule_finds_what_depends_on_energy_alone():
    random = np.random.default_rng(1)
    larger = random.uniform(255.5, 511, 4000)
    label = (larger > 300) & (larger < 420)
    made = Triples(np.zeros((4000, 3)), np.zeros((4000, 2), int), np.stack([larger, 511 - larger], 1), label)
    known, asked = made[::2], made[1::2]
    assert right(by_energy(known, 64), asked) > 97
    assert right(by_energy(known, 1), asked) == pytest.approx(100 * max(label[1::2].mean(), 1 - label[1::2].mean()))


def test_rules_together_are_one_near_and_the_other_far():
    ring = Ring(pitch=0.25)
    ideal = ideal_triples(ring, 500)

    def never(triples):
        return np.zeros(len(triples), bool)

    assert not by_distance(ring, ideal, never, 0.5, 8.0)(ideal)[
        np.linalg.norm(np.diff(ring.centre(ideal.crystals), axis=1)[:, 0], axis=1) <= 8.0
    ].any()
    everywhere = by_distance(ring, ideal, never, 0.5, 0.0)(ideal)
    assert np.array_equal(everywhere, by_kinematics(ring, ideal, 0.5)(ideal))


def test_features_do_not_know_where_in_the_ring_they_are(triples):
    ring = Ring()
    seen = features(ring, triples)
    assert seen.shape == (len(triples), 6)
    assert abs(seen.mean(axis=0)).max() < 1
    turn = 17
    row, column = np.divmod(triples.crystals, ring.around)
    angle = 2 * np.pi * turn / ring.around
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = dataclasses.replace(
        triples, crystals=row * ring.around + (column + turn) % ring.around, partner=triples.partner @ turned.T
    )
    assert features(ring, moved) == pytest.approx(seen, abs=1e-5)
    # The other order: the way between the singles turns round.
    other = dataclasses.replace(triples, crystals=triples.crystals[:, ::-1])
    assert features(ring, other)[:, 0] == pytest.approx(-seen[:, 0], abs=1e-5)
    assert features(ring, other)[:, 1:4] == pytest.approx(seen[:, 1:4], abs=1e-5)


def test_triples_without_physics_keep_their_steps_and_nothing_else(triples):
    ring = Ring()
    blind = without_physics(ring, triples, np.random.default_rng(0))
    assert (blind.energies == 255.5).all()
    assert abs(blind.first.mean() - 0.5) < 0.07
    on, true_on = (np.where(t.first, *t.crystals.T) for t in (blind, triples))
    off, true_off = (np.where(t.first, *t.crystals.T[::-1]) for t in (blind, triples))
    assert np.array_equal(on, true_on)

    def steps(a, b):
        rows, columns = abs(a // ring.around - b // ring.around), abs(a % ring.around - b % ring.around)
        return rows, np.minimum(columns, ring.around - columns)

    for found, expected in zip(steps(on, off), steps(true_on, true_off), strict=True):
        assert np.array_equal(found, expected)
    # To either side, as often.
    side = np.sign((off % ring.around - on % ring.around + ring.around // 2) % ring.around - ring.around // 2)
    assert abs(side[side != 0].mean()) < 0.12


def test_the_row_trains_and_reports(small):
    inputs, labels = small.recipe(small.seed, 0)
    assert inputs.shape[1:] == (6,)
    assert labels.shape == (len(inputs), 1)
    assert all(torch.equal(a, b) for a, b in zip(small.data(), (inputs, labels), strict=True))
    torch.manual_seed(0)
    network = small.network()
    assert sum(p.numel() for p in network.parameters()) == 6 * 32 + 32 + 32 * 32 + 32 + 32 + 1
    before = float(small.loss(network(inputs), labels).detach())
    small.train(network)
    assert float(small.loss(network(inputs), labels).detach()) < before
    report = small.examine(network)
    assert {"network", "Compton kinematics", "energy rule", "both rules"} < set(report.scores)
    assert 45 < report.scores["no physics"] < 60
    assert len(report.sweeps) == 3
