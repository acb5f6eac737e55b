//! Every way against brute force in double.

use super::*;
use spinray_core::philox::Stream;
use spinray_core::simd::Portable;

/// A dictionary, and signals to be matched.
#[derive(Clone)]
struct Case<T> {
    length: usize,
    /// Whether atoms and signals are complex.
    complex: (bool, bool),
    atoms: Vec<T>,
    signals: Vec<T>,
}

#[derive(Clone, Debug, PartialEq)]
struct Answer<T> {
    index: Vec<i64>,
    score: Vec<T>,
    product: Vec<T>,
    scored: f64,
}

fn cast<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::from_f64(x)).collect()
}

fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, 0);
    (0..n).map(|_| stream.normal()).collect()
}

/// Inversion recovery with an echo: a smooth surface of two parameters, T1 and T2.
fn recovery(length: usize, t1: f64, t2: f64) -> Vec<f64> {
    let times = (0..length)
        .map(|i| (0.05 + 4.0 * i as f64 / length as f64, 0.01 + 0.19 * ((i * 7) % length) as f64 / length as f64));
    times.map(|(ti, te)| (1.0 - 2.0 * (-ti / t1).exp()) * (-te / t2).exp()).collect()
}

impl<T: Real> Case<T> {
    fn signals_rows(&self) -> Rows<'_, T> {
        Rows { entries: &self.signals, length: self.length, complex: self.complex.1 }
    }

    fn atoms_rows(&self) -> Rows<'_, T> {
        Rows { entries: &self.atoms, length: self.length, complex: self.complex.0 }
    }

    /// Signals are atoms times a number, plus noise of the given size relative to them.
    fn noisy(length: usize, complex: (bool, bool), atoms: Vec<f64>, voxels: usize, noise: f64) -> Self {
        let rows = Rows { entries: &atoms, length, complex: complex.0 };
        let width = length * (1 + usize::from(complex.1));
        let mut signals = Vec::new();
        for voxel in 0..voxels {
            // Runs of alike voxels, as in an image.
            let row = rows.row((voxel / 5 * 7919) % rows.count());
            let noises = normals(width, 100 + voxel as u64);
            let (re, im) = if complex.1 { (0.6, -1.7) } else { (1.3, 0.0) };
            let scale = noise * norm(row) / (width as f64).sqrt();
            for k in 0..length {
                let (ar, ai) = if complex.0 { (row[2 * k], row[2 * k + 1]) } else { (row[k], 0.0) };
                let z = [re * ar - im * ai, re * ai + im * ar];
                let parts = 1 + usize::from(complex.1);
                signals.extend((0..parts).map(|part| z[part] + scale * noises[parts * k + part]));
            }
        }
        Self { length, complex, atoms: cast(&atoms), signals: cast(&signals) }
    }

    fn smooth(length: usize, side: usize, voxels: usize, noise: f64, signals_complex: bool) -> Self {
        let parameter = |i: usize, low: f64, high: f64| low * (high / low).powf(i as f64 / side as f64);
        let atoms = (0..side * side)
            .flat_map(|i| recovery(length, parameter(i / side, 0.2, 4.0), parameter(i % side, 0.02, 0.4)));
        Self::noisy(length, (false, signals_complex), atoms.collect(), voxels, noise)
    }

    fn random(length: usize, complex: (bool, bool), count: usize, voxels: usize) -> Self {
        let atoms = normals(length * count * (1 + usize::from(complex.0)), 5);
        Self::noisy(length, complex, atoms, voxels, 3.0)
    }

    fn matcher(&self) -> Matcher<T> {
        Matcher::new(Arc::new(self.atoms.clone()), self.length, self.complex.0, &Job::new()).unwrap()
    }

    /// The answer by `way`, or by the one the matcher chooses.
    fn answer(&self, way: Option<Way>, top_k: usize) -> Answer<T> {
        let (matcher, signals, job) = (self.matcher(), self.signals_rows(), Job::new());
        let n = signals.count() * top_k;
        let (mut index, mut score, mut product) = (vec![7; n], room(n), room(2 * n));
        let found = Found { top_k, index: &mut index, score: &mut score, product: &mut product };
        let scored = match way {
            None => matcher.find(signals, found, &job),
            Some(way) => {
                let norms = norms("signals", signals, &job).unwrap();
                matcher.find_by(way, signals, &norms, found, &job)
            }
        };
        Answer { index, score, product, scored: scored.unwrap() }
    }

    /// Holds an answer to brute force: the scores are the highest there are, of different atoms, and theirs.
    fn hold(&self, answer: &Answer<T>, top_k: usize, tolerance: f64) {
        let (atoms, signals) = (self.atoms_rows(), self.signals_rows());
        let norms: Vec<f64> = (0..atoms.count()).map(|i| norm(atoms.row(i))).collect();
        for voxel in 0..signals.count() {
            let y = signals.row(voxel);
            let size = norm(y);
            let inner_of = |i: usize| inner(atoms.row(i), self.complex.0, y, self.complex.1);
            let scores: Vec<f64> = (0..atoms.count()).map(|i| inner_of(i).0.hypot(inner_of(i).1) / norms[i]).collect();
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let mut seen = std::collections::HashSet::new();
            for (k, wanted) in sorted.iter().take(top_k).enumerate() {
                let at = voxel * top_k + k;
                let i = answer.index[at] as usize;
                assert!(seen.insert(i), "atom {i} twice in voxel {voxel}");
                assert!((scores[i] - wanted).abs() <= tolerance * size, "voxel {voxel}: {} for {wanted}", scores[i]);
                assert!((answer.score[at].to_f64() - scores[i]).abs() <= tolerance * size);
                let (re, im) = inner_of(i);
                let (a, b) = (answer.product[2 * at].to_f64(), answer.product[2 * at + 1].to_f64());
                let squared = norms[i] * norms[i];
                assert!((a - re / squared).hypot(b - im / squared) <= tolerance * size / norms[i]);
            }
        }
    }

    /// Both ways and the chosen one are brute force's; both agree to the bit where atoms are short.
    fn check(&self, tolerance: f64) {
        for top_k in [1, 3.min(self.atoms_rows().count())] {
            let chosen = self.answer(None, top_k);
            let (search, product) = (self.answer(Some(Way::Search), top_k), self.answer(Some(Way::Product), top_k));
            for answer in [&chosen, &search, &product] {
                self.hold(answer, top_k, tolerance);
            }
            if self.length <= LONG {
                assert_eq!((&search.index, &search.score), (&product.index, &product.score));
            }
        }
    }
}

const SINGLE: f64 = 1e-6;
const DOUBLE: f64 = 1e-14;

#[test]
fn smooth_dictionaries_of_any_length_are_matched_and_pruned() {
    for (length, noise) in [(8, 0.0), (12, 0.02), (40, 0.1), (41, 0.02), (230, 0.0), (100, 1.0)] {
        Case::<f32>::smooth(length, 40, 60, noise, true).check(SINGLE);
        Case::<f64>::smooth(length, 40, 20, noise, length % 2 == 0).check(DOUBLE);
        let scored = Case::<f32>::smooth(length, 70, 60, noise, true).answer(None, 1).scored;
        assert!(scored < if noise < 0.5 { 0.06 } else { 0.3 }, "{scored} of the atoms scored at {length}, {noise}");
    }
}

#[test]
fn random_dictionaries_of_every_kind_are_matched_by_the_product() {
    for complex in [(false, false), (false, true), (true, false), (true, true)] {
        for (length, count) in [(3, 500), (12, 4000), (30, 70), (150, 1200)] {
            Case::<f32>::random(length, complex, count, 37).check(SINGLE);
            Case::<f64>::random(length, complex, count, 9).check(DOUBLE);
        }
        assert_eq!(Case::<f32>::random(12, complex, 4000, 37).answer(None, 1).scored, 1.0);
        assert_eq!(Case::<f32>::random(150, complex, 1200, 37).answer(None, 1).scored, 1.0);
    }
}

#[test]
fn few_atoms_will_do() {
    for count in [1, 2, 15, 16, 17, 65] {
        for length in [1, 5, 60] {
            Case::<f32>::random(length, (true, true), count, 21).check(SINGLE);
        }
    }
}

#[test]
fn rank_deficient_dictionaries_are_matched() {
    for length in [12, 90] {
        let (a, b) = (normals(length, 1), normals(length, 2));
        let weights = normals(2 * 900, 3);
        let atoms =
            weights.chunks(2).flat_map(|w| a.iter().zip(&b).map(|(a, b)| w[0] * a + w[1] * b).collect::<Vec<_>>());
        Case::<f32>::noisy(length, (false, true), atoms.collect(), 40, 0.3).check(SINGLE);
    }
}

#[test]
fn among_equal_atoms_the_lowest_wins_wherever_they_lie() {
    for length in [12, 100] {
        let mut case = Case::<f32>::smooth(length, 20, 50, 0.05, true);
        let count = case.atoms.len() / length;
        // Three copies, shuffled: atom i of the original at 7 i, and 400 and 800 further on (modulo 1200).
        let original = case.clone();
        let home = |i: usize| (7 * i) % (3 * count);
        case.atoms = vec![0.0; 3 * original.atoms.len()];
        for i in 0..3 * count {
            let from = (i % count) * length;
            case.atoms[home(i) * length..][..length].copy_from_slice(&original.atoms[from..from + length]);
        }
        for way in [Way::Search, Way::Product] {
            let answer = case.answer(Some(way), 3);
            let single = original.answer(Some(way), 1);
            for (three, one) in answer.index.chunks(3).zip(&single.index) {
                let mut copies = [0, 1, 2].map(|copy| home(*one as usize + copy * count) as i64);
                copies.sort_unstable();
                assert_eq!(three, copies);
            }
        }
    }
}

#[test]
fn atoms_of_any_size_are_matched_by_direction() {
    let mut case = Case::<f32>::smooth(12, 30, 40, 0.02, true);
    let plain = case.answer(None, 2);
    case.atoms.chunks_mut(12).enumerate().for_each(|(i, row)| {
        row.iter_mut().for_each(|x| *x *= 2f32.powi((i % 200) as i32 - 100));
    });
    let scaled = case.answer(None, 2);
    assert_eq!((plain.index, plain.score), (scaled.index, scaled.score));
}

#[test]
fn voxels_without_signal_have_no_atom() {
    for length in [12, 100] {
        let mut case = Case::<f32>::smooth(length, 20, 40, 0.05, true);
        let full = case.answer(None, 2);
        let width = 2 * length;
        for voxel in (0..40).filter(|voxel| voxel % 3 == 0) {
            case.signals[voxel * width..][..width].fill(0.0);
        }
        for way in [None, Some(Way::Product)] {
            let answer = case.answer(way, 2);
            for (at, &index) in answer.index.iter().enumerate() {
                if at / 2 % 3 == 0 {
                    assert_eq!(
                        (index, answer.score[at], &answer.product[2 * at..2 * at + 2]),
                        (-1, 0.0, &[0.0; 2][..])
                    );
                } else {
                    assert_eq!(index, full.index[at]);
                }
            }
        }
        case.signals.fill(0.0);
        assert!(case.answer(None, 1).index.iter().all(|&i| i == -1));
    }
}

#[test]
fn complex_atoms_without_imaginary_part_are_real() {
    let real = Case::<f32>::smooth(12, 20, 40, 0.05, true);
    let mut complex = real.clone();
    complex.complex.0 = true;
    complex.atoms = real.atoms.iter().flat_map(|&x| [x, 0.0]).collect();
    assert_eq!(real.answer(None, 2), complex.answer(None, 2));
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    for case in [Case::<f32>::smooth(12, 90, 700, 0.03, true), Case::smooth(64, 40, 700, 0.03, true)] {
        for way in [None, Some(Way::Product)] {
            let [one, four] = [1, 4].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.answer(way, 3))
            });
            assert_eq!(one, four);
        }
    }
}

#[test]
fn portable_lanes_find_the_same() {
    for case in [Case::<f32>::smooth(12, 40, 60, 0.05, true), Case::smooth(80, 30, 30, 0.05, true)] {
        let (matcher, signals) = (case.matcher(), case.signals_rows());
        let norms = norms("signals", signals, &Job::new()).unwrap();
        let n = norms.len();
        let mut answer = Answer { index: vec![0; n], score: room(n), product: room(2 * n), scored: 0.0 };
        let Answer { index, score, product, .. } = &mut answer;
        let piece = Piece {
            matcher: &matcher,
            signals,
            norms: &norms,
            found: Found { top_k: 1, index, score, product },
            limit: u64::MAX,
            job: &Job::new(),
        };
        // SAFETY: portable lanes need no instruction set.
        let visits = unsafe { piece.run::<Portable<f32>>() };
        assert!(visits.atoms > 0);
        case.hold(&answer, 1, SINGLE);
    }
}

#[test]
fn bad_input_is_named() {
    let job = Job::new();
    let message = |atoms: Vec<f32>| match Matcher::new(Arc::new(atoms), 4, false, &job) {
        Err(error) => error.to_string(),
        Ok(_) => String::new(),
    };
    assert!(message(vec![]).contains("atoms: 0 given"));
    assert!(message([[1.0; 4], [0.0; 4]].concat()).contains("atom 1 is zero"));
    assert!(message([[1.0; 4], [f32::NAN; 4]].concat()).contains("row 1 holds NaN"));
    let matcher = Matcher::new(Arc::new(vec![1.0f32; 8]), 4, false, &job).unwrap();
    let find = |signals: &[f32], length: usize, top_k: usize| {
        let n = signals.len() / length;
        let found = Found { top_k, index: &mut vec![0; 2 * n], score: &mut room(2 * n), product: &mut room(4 * n) };
        matcher.find(Rows { entries: signals, length, complex: false }, found, &job).unwrap_err().to_string()
    };
    assert!(find(&[1.0; 8], 4, 3).contains("top_k: 3 given; 1 to 2"));
    assert!(find(&[1.0; 8], 4, 0).contains("top_k"));
    assert!(find(&[1.0; 6], 3, 2).contains("signals: 3 numbers each; the dictionary's atoms have 4"));
    assert!(find(&[f32::INFINITY; 4], 4, 2).contains("signals: row 0 holds NaN"));
}

#[test]
fn a_cancelled_match_stops() {
    let case = Case::<f32>::random(12, (false, true), 3000, 300);
    let (matcher, job) = (case.matcher(), Job::new());
    job.cancel();
    let found = Found { top_k: 1, index: &mut vec![0; 300], score: &mut room(300), product: &mut room(600) };
    assert!(matches!(matcher.find(case.signals_rows(), found, &job), Err(Error::Cancelled)));
    assert!(matches!(Matcher::new(Arc::new(case.atoms), 12, false, &job), Err(Error::Cancelled)));
}
