//! Where photons come from: a place and a direction from one of the shapes of beam, an energy from a spectrum.
//!
//! Every photon starts with weight 1, or, where the source is sampled from other probabilities than its own, with a
//! weight of 1 on average: tallies are per photon that the source emits, into its cone or field, not into all directions. A source draws from its history's numbers only, in the order energy, place, direction, and
//! nothing for what is certain: a mono-energetic pencil draws nothing.

mod alias;
mod beam;
mod bowtie;
mod field;
mod spectrum;
mod volume;

pub use beam::{Pencil, Point, Profile};
pub use bowtie::Bowtie;
pub use field::Field;
pub use spectrum::Spectrum;
pub use volume::Volume;

use crate::geometry::Bounds;
use crate::random::{Numbers, Uniform};
use spinray_core::{Error, Result};

/// A photon as it leaves the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Particle {
    /// World, mm (x, y, z).
    pub position: [f64; 3],
    /// Unit vector.
    pub direction: [f64; 3],
    /// keV
    pub energy: f32,
    /// How many photons it stands for.
    pub weight: f32,
}

/// Places and directions. Of several beams each is as likely as any other.
#[derive(Clone, Debug)]
pub enum Emission {
    /// Parallel photons.
    Pencils(Vec<Pencil>),
    /// From a point into a cone.
    Point(Point),
    /// From a point onto a detector.
    Fields(Vec<Field>),
    /// The same through a filter.
    Filtered(Vec<Field>, Bowtie),
    /// From voxels into all directions.
    Volume(Volume),
}

/// A source of photons.
#[derive(Clone, Debug)]
pub struct Source {
    emission: Emission,
    spectrum: Spectrum,
    /// Part of the photons that get through a filter, and the largest probability to do so.
    filtered: (f64, f64),
    /// Photons that one through a filter stands for, for one that its energy does.
    photons: f32,
}

/// Photons tried by [`Source::reaches`].
const TRIALS: u64 = 4096;
/// A filter must let through one photon in so many.
const OPAQUE: f64 = 1e-6;

impl Source {
    /// At least one beam.
    pub fn new(emission: Emission, spectrum: Spectrum) -> Result<Self> {
        let beams = match &emission {
            Emission::Pencils(beams) => beams.len(),
            Emission::Fields(beams) | Emission::Filtered(beams, _) => beams.len(),
            Emission::Point(_) | Emission::Volume(_) => 1,
        };
        if beams == 0 {
            return Err(Error::invalid("view", "expected at least one view"));
        }
        let filtered = match &emission {
            Emission::Filtered(fields, bowtie) => {
                let most = spectrum.ends().map(|energy| bowtie.most(energy)).fold(0.0, f64::max);
                // Between its energies a spectrum may have an edge of the filter, below which more gets through.
                (through(&fields[0], bowtie, spectrum.entries()), (1.05 * most).min(1.0))
            }
            _ => (1.0, 1.0),
        };
        if filtered.0 <= OPAQUE {
            let problem = format!("expected a filter that lets photons through, got {} of them", filtered.0);
            return Err(Error::invalid("bowtie", problem));
        }
        Ok(Self { emission, spectrum, filtered, photons: 1.0 })
    }

    /// The same source, of which some energies and some voxels of a volume are drawn more often, by factors.
    pub fn biased(mut self, energies: Option<&[f64]>, voxels: Option<&[f32]>) -> Result<Self> {
        if let Some(factors) = energies {
            self.spectrum = self.spectrum.biased(factors)?;
        }
        if let Some(factors) = voxels {
            let Emission::Volume(volume) = self.emission else {
                return Err(Error::invalid("activity", "expected a volume of activity as the source of these voxels"));
            };
            self.emission = Emission::Volume(volume.biased(factors)?);
        }
        if let Emission::Filtered(fields, bowtie) = &self.emission {
            self.photons = (through(&fields[0], bowtie, self.spectrum.drawn()) / self.filtered.0) as f32;
        }
        Ok(self)
    }

    /// The next photon.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> Particle {
        let (mut energy, mut weight) = self.spectrum.sample(random);
        let (position, direction) = match &self.emission {
            Emission::Pencils(beams) => one_of(beams, random).sample(random),
            Emission::Point(point) => point.sample(random),
            Emission::Fields(fields) => one_of(fields, random).sample(random),
            Emission::Filtered(fields, bowtie) => {
                let field = one_of(fields, random);
                loop {
                    let ray = field.ray(random);
                    let chance = bowtie.transmission(f64::from(energy), ray.azimuth, ray.cosine());
                    if random.uniform() * self.filtered.1 <= chance {
                        weight *= self.photons;
                        break field.along(ray);
                    }
                    (energy, weight) = self.spectrum.sample(random);
                }
            }
            Emission::Volume(volume) => {
                let (position, direction, photons) = volume.sample(random);
                weight *= photons;
                (position, direction)
            }
        };
        Particle { position, direction, energy, weight }
    }

    /// The least and the most photons that one drawn stands for.
    pub fn photons(&self) -> [f32; 2] {
        let [energies, places] = match &self.emission {
            Emission::Volume(volume) => [self.spectrum.photons(), volume.photons()],
            _ => [self.spectrum.photons(), [self.photons; 2]],
        };
        [energies[0] * places[0], energies[1] * places[1]]
    }

    /// Its energies.
    pub fn spectrum(&self) -> &Spectrum {
        &self.spectrum
    }

    /// The largest energy it emits, keV.
    pub fn max_energy(&self) -> f64 {
        self.spectrum.max_energy()
    }

    /// Mean energy in keV.
    pub fn mean_energy(&self) -> f64 {
        self.spectrum.mean_energy()
    }

    /// Solid angle in sr that its photons fill; 0 for parallel photons, 4 pi for volumes.
    pub fn solid_angle(&self) -> f64 {
        match &self.emission {
            Emission::Pencils(_) => 0.0,
            Emission::Point(point) => point.solid_angle(),
            Emission::Fields(fields) | Emission::Filtered(fields, _) => {
                fields.iter().map(Field::solid_angle).sum::<f64>() / fields.len() as f64
            }
            Emission::Volume(_) => 4.0 * std::f64::consts::PI,
        }
    }

    /// Part of the photons sent into the solid angle that get through a filter, if there is one.
    pub fn transmission(&self) -> f64 {
        self.filtered.0
    }

    /// Whether any photon of some thousand reaches a box.
    pub fn reaches(&self, bounds: &Bounds) -> bool {
        (0..TRIALS).any(|history| {
            let photon = self.sample(&mut Numbers::new(0, history, 0));
            bounds.span(photon.position, photon.direction).is_some()
        })
    }
}

/// Mean transmission of a filter over a field (every view sees the same) and energies with their weights.
fn through(field: &Field, bowtie: &Bowtie, energies: impl Iterator<Item = (f64, f64)>) -> f64 {
    let paths: Vec<_> = field.rays().map(|(ray, solid)| (bowtie.path(ray.azimuth, ray.cosine()), solid)).collect();
    let (mut sum, mut all) = (0.0, 0.0);
    for (energy, weight) in energies {
        let attenuation = bowtie.attenuation(energy);
        for (path, solid) in &paths {
            sum += solid * weight * (-attenuation * path).exp();
            all += solid * weight;
        }
    }
    sum / all
}

/// One of several; draws nothing where there is no choice.
#[inline]
fn one_of<'a, T, U: Uniform>(all: &'a [T], random: &mut U) -> &'a T {
    match all {
        [one] => one,
        _ => &all[((random.uniform() * all.len() as f64) as usize).min(all.len() - 1)],
    }
}

/// Uniform in all directions with a cosine to z of at least `least`.
#[inline]
fn cap<U: Uniform>(least: f64, random: &mut U) -> [f64; 3] {
    // One minus the cosine: narrow cones lose no digits.
    let versine = (1.0 - least) * random.uniform();
    let sine = (versine * (2.0 - versine)).sqrt();
    let (s, c) = (std::f64::consts::TAU * random.uniform()).sin_cos();
    [sine * c, sine * s, 1.0 - versine]
}

/// A vector given along three axes.
#[inline]
fn along(axes: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| v[0] * axes[0][k] + v[1] * axes[1][k] + v[2] * axes[2][k])
}

fn finite(argument: &'static str, p: &[f64; 3]) -> Result<()> {
    if p.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(Error::invalid(argument, format!("expected finite numbers, got {p:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Photons of the first histories.
    pub fn photons(source: &Source, n: u64) -> impl Iterator<Item = Particle> + '_ {
        (0..n).map(|history| source.sample(&mut Numbers::new(11, history, 0)))
    }

    /// Sum of (count - expected)^2 / expected over classes of the probabilities given.
    pub fn chi_square(counts: &[f64], probabilities: &[f64]) -> f64 {
        let n: f64 = counts.iter().sum();
        counts.iter().zip(probabilities).map(|(c, p)| (c - n * p).powi(2) / (n * p)).sum()
    }

    pub fn mono() -> Spectrum {
        Spectrum::new(&[60.0], &[1.0], 0.0).unwrap()
    }

    /// A source of random words that counts.
    struct Counting(Numbers, usize);

    impl Uniform for Counting {
        fn bits(&mut self) -> u32 {
            self.1 += 1;
            self.0.bits()
        }
    }

    #[test]
    fn a_mono_pencil_draws_nothing() {
        let pencil = Pencil::new([1.0, 2.0, 3.0], [0.0, 0.0, 2.0], [0.0; 2], Profile::Square).unwrap();
        let source = Source::new(Emission::Pencils(vec![pencil]), mono()).unwrap();
        let mut numbers = Counting(Numbers::new(0, 0, 0), 0);
        let photon = source.sample(&mut numbers);
        assert_eq!(numbers.1, 0);
        let (position, direction) = ([1.0, 2.0, 3.0], [0.0, 0.0, 1.0]);
        assert_eq!(photon, Particle { position, direction, energy: 60.0, weight: 1.0 });
    }

    #[test]
    fn a_photon_depends_on_its_history_only() {
        let source = Source::new(Emission::Point(Point::new([0.0; 3], None).unwrap()), mono()).unwrap();
        let all: Vec<_> = photons(&source, 10).collect();
        assert_eq!(source.sample(&mut Numbers::new(11, 7, 0)), all[7]);
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_source_that_misses_says_so() {
        let bounds = Bounds::new([-1.0; 3], [1.0; 3]).unwrap();
        let at = |x: f64| {
            let pencil = Pencil::new([x, 0.0, -5.0], [0.0, 0.0, 1.0], [0.0; 2], Profile::Square).unwrap();
            Source::new(Emission::Pencils(vec![pencil]), mono()).unwrap().reaches(&bounds)
        };
        assert!(at(0.5) && !at(1.5));
    }

    #[test]
    fn energies_behind_a_filter_may_be_drawn_more_often_as_well() {
        use crate::matter::Material;
        let axes = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]];
        let field = Field::new([0.0; 3], axes, 1000.0, [-400.0, 400.0], [-5.0, 5.0], true).unwrap();
        let aluminium = Material::new("Al", 2.7, vec![(13, 1.0)]).unwrap();
        let bowtie = Bowtie::new(aluminium, vec![-0.4, 0.0, 0.4], vec![25.0, 2.0, 25.0]).unwrap();
        let spectrum = Spectrum::new(&[30.0, 40.0, 100.0], &[0.0, 3.0, 1.0], 0.0).unwrap();
        let nature = Source::new(Emission::Filtered(vec![field], bowtie), spectrum).unwrap();
        let biased = nature.clone().biased(Some(&[1.0, 1.0, 9.0]), None).unwrap();
        let n = 200_000;
        // Photons of the lower line in all, and in a part of the fan.
        let counts = |source: &Source| {
            let (mut all, mut low, mut part) = (0.0, 0.0, 0.0);
            for photon in photons(source, n) {
                let weight = f64::from(photon.weight) / n as f64;
                all += weight;
                low += if photon.energy < 50.0 { weight } else { 0.0 };
                part += if photon.direction[0] > 0.2 { weight } else { 0.0 };
            }
            [all, low, part]
        };
        let (a, b) = (counts(&nature), counts(&biased));
        assert!((a[0] - 1.0).abs() < 1e-9 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.01), "{a:?} {b:?}");
        assert!(nature.biased(None, Some(&[1.0])).is_err(), "a field has no voxels");
    }

    #[test]
    fn a_filter_thins_and_hardens_the_beam_as_beer_says() {
        use crate::matter::Material;
        let axes = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]];
        let field = Field::new([0.0; 3], axes, 1000.0, [-400.0, 400.0], [-5.0, 5.0], true).unwrap();
        let aluminium = Material::new("Al", 2.7, vec![(13, 1.0)]).unwrap();
        let bowtie = Bowtie::new(aluminium, vec![-0.4, 0.0, 0.4], vec![25.0, 2.0, 25.0]).unwrap();
        let (lines, weights) = ([40.0, 100.0], [3.0, 1.0]);
        let spectrum = Spectrum::new(&lines, &weights, 0.0).unwrap();
        let source = Source::new(Emission::Filtered(vec![field], bowtie.clone()), spectrum).unwrap();
        // Expected photons in 16 parts of the fan for each line, by many thin rays.
        let mut expected = vec![0.0; 32];
        for i in 0..1600 {
            let angle = -0.4 + 0.8 * (f64::from(i) + 0.5) / 1600.0;
            for k in 0..2 {
                expected[16 * k + i as usize / 100] += weights[k] * bowtie.transmission(lines[k], angle, 1.0);
            }
        }
        let sum: f64 = expected.iter().sum();
        assert!((source.transmission() / (sum / 6400.0) - 1.0).abs() < 1e-3, "{}", source.transmission());
        let mut counts = vec![0.0; 32];
        for photon in photons(&source, 200_000) {
            let part = (16.0 * (photon.direction[0].atan2(photon.direction[1]) + 0.4) / 0.8).clamp(0.0, 15.0) as usize;
            counts[part + if photon.energy > 50.0 { 16 } else { 0 }] += 1.0;
            assert_eq!(photon.weight, 1.0);
        }
        let probabilities: Vec<_> = expected.iter().map(|e| e / sum).collect();
        let chi = chi_square(&counts, &probabilities);
        assert!(chi < 65.0, "31 degrees of freedom: {chi}");
    }
}
