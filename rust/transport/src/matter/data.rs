//! The table of the elements, as tools/photon_data.py has written it (its head describes the format).

use super::curve::{Broken, Even};
use super::element::{Element, Inner, Shell, Transition};
use crate::{E_MAX, E_MIN};
use std::sync::LazyLock;

static BYTES: &[u8] = include_bytes!("../data/photons.bin");

/// Largest atomic number of the table.
pub const LARGEST_Z: u8 = 98;
/// Momentum transfers of the table in 1/Angstrom.
pub const TRANSFERS: (f64, f64) = (1e-3, 250.0);

const RATIOS: usize = 33;

/// All that is in the file.
pub struct Table {
    /// Momenta of the Compton profiles in atomic units.
    pub momenta: Vec<f64>,
    /// By atomic number, from hydrogen on.
    pub elements: Vec<Element>,
}

/// The table, read on first use.
pub static TABLE: LazyLock<Table> = LazyLock::new(|| read(BYTES));

/// A place in the file. The file is part of the program, so that a flaw in it is a bug.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn word(&mut self) -> [u8; 4] {
        let (head, rest) = self.0.split_first_chunk::<4>().expect("photons.bin ends too early");
        self.0 = rest;
        *head
    }

    fn count(&mut self) -> usize {
        u32::from_le_bytes(self.word()) as usize
    }

    fn real(&mut self) -> f32 {
        f32::from_le_bytes(self.word())
    }

    fn reals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.real()).collect()
    }

    fn many<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let n = self.count();
        (0..n).map(|_| read(self)).collect()
    }
}

fn read(bytes: &[u8]) -> Table {
    let mut file = Cursor(bytes);
    assert_eq!((file.word(), file.count()), (*b"SRPH", 1), "photons.bin is of another format");
    let sizes = [file.count(), file.count(), file.count()];
    let momenta = doubles(&file.reals(sizes[2]));
    let elements = (1..=LARGEST_Z).map(|z| element(&mut file, z, sizes)).collect();
    assert!(file.0.is_empty(), "photons.bin has a rest");
    Table { momenta, elements }
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn element(file: &mut Cursor<'_>, z: u8, [energies, transfers, momenta]: [usize; 3]) -> Element {
    let weight = f64::from(file.real());
    let points = file.count();
    let photo = Broken::new(&file.reals(points), &file.reals(points));
    let mut even = |n: usize, (first, last): (f64, f64)| Even::new(first, last, &file.reals(n));
    let (compton, rayleigh, transfer) =
        (even(energies, (E_MIN, E_MAX)), even(energies, (E_MIN, E_MAX)), even(energies, (E_MIN, E_MAX)));
    let (form, incoherent) = (even(transfers, TRANSFERS), even(transfers, TRANSFERS));
    let shells = file.many(|file| Shell {
        code: file.count() as u8,
        electrons: f64::from(file.real()),
        binding: f64::from(file.real()),
        profile: doubles(&file.reals(momenta)),
    });
    let inner = file.many(|file| inner(file, &shells));
    Element::new(z, weight, [compton, rayleigh, transfer, form, incoherent], photo, shells, inner)
}

fn inner(file: &mut Cursor<'_>, shells: &[Shell]) -> Inner {
    let code = file.count() as u8;
    let binding = shells.iter().find(|shell| shell.code == code).expect("photons.bin names a shell it lacks").binding;
    let ratio = Even::new(binding, E_MAX, &file.reals(RATIOS));
    let transitions = file.many(|file| Transition {
        probability: f64::from(file.real()),
        energy: f64::from(file.real()),
        vacant: [file.count() as u8, file.count() as u8],
    });
    Inner { code, binding, ratio, transitions, radiated: 0.0 }
}
