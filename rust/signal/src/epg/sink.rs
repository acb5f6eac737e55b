//! Where echoes go: to rows of a table, or straight onto a basis while they are in the cache.

use spinray_core::simd::{Real, Simd};
use spinray_core::{Error, Result};

/// Basis vectors taken together, so that their sums stay in registers.
const TOGETHER: usize = 4;

/// Orthonormal vectors to project signals on: coefficient r is Σ_e conj(V[e, r]) signal[e].
#[derive(Clone, Debug)]
pub struct Basis<T> {
    rank: usize,
    components: usize,
    /// [group of vectors][echo][vector][component]
    packed: Vec<T>,
}

impl<T: Real> Basis<T> {
    /// From a table (echoes, rank), of 1 (real) or 2 (complex, interleaved) components.
    pub fn new(table: &[T], echoes: usize, rank: usize, components: usize) -> Result<Self> {
        if rank == 0 || table.len() != echoes * rank * components {
            return Err(Error::invalid("basis", format!("expected {echoes} rows of {rank} >= 1 entries")));
        }
        let groups = rank.div_ceil(TOGETHER);
        let mut packed = vec![T::default(); groups * echoes * TOGETHER * components];
        for e in 0..echoes {
            for r in 0..rank {
                for c in 0..components {
                    let to = ((r / TOGETHER * echoes + e) * TOGETHER + r % TOGETHER) * components + c;
                    packed[to] = table[(e * rank + r) * components + c];
                }
            }
        }
        Ok(Self { rank, components, packed })
    }
}

/// A table of results, one row per atom.
pub struct Output<'a, T> {
    rows: &'a mut [T],
    /// Entries of `rows` per number: 2 for complex ones.
    complex: bool,
    basis: Option<&'a Basis<T>>,
    /// Squared norm of each signal, with a basis.
    energy: &'a mut [T],
}

impl<'a, T: Real> Output<'a, T> {
    /// Rows of sets times echoes (real, or complex if asked).
    pub fn signals(rows: &'a mut [T], complex: bool) -> Self {
        Self { rows, complex, basis: None, energy: &mut [] }
    }

    /// Rows of coefficients in `basis`, and the squared norm of every signal.
    pub fn coefficients(rows: &'a mut [T], basis: &'a Basis<T>, energy: &'a mut [T]) -> Self {
        Self { rows, complex: basis.components == 2, basis: Some(basis), energy }
    }

    /// Number of coefficients.
    pub fn rank(&self) -> Option<usize> {
        self.basis.map(|b| b.rank)
    }

    /// Cuts the table into pieces of `size` rows of `n`: first row and piece.
    pub fn tasks(self, n: usize, echoes: usize, size: usize) -> Result<Vec<(usize, Self)>> {
        let Self { rows, complex, basis, energy } = self;
        let width = basis.map_or(echoes, |b| b.rank) * (1 + usize::from(complex));
        if rows.len() != n * width || (basis.is_some() && energy.len() != n) {
            return Err(Error::invalid("out", format!("expected room for {n} rows of {width}")));
        }
        let mut energies = energy.chunks_mut(size);
        // A sequence without echoes has empty rows.
        let pieces = if width == 0 { vec![] } else { rows.chunks_mut(width * size).collect() };
        let piece = |(k, rows)| (k * size, Self { rows, complex, basis, energy: energies.next().unwrap_or_default() });
        Ok(pieces.into_iter().enumerate().map(piece).collect())
    }

    /// Takes the echoes (echo, set, component, lane) of `count` atoms to the rows from `first` on.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    pub unsafe fn write<S: Simd<T = T>, const C: usize>(
        &mut self,
        data: &[T],
        (first, count): (usize, usize),
        sets: usize,
        echoes: usize,
    ) {
        // SAFETY: by contract.
        unsafe {
            match self.basis {
                Some(basis) => self.project::<S, C>(basis, data, (first, count), echoes),
                None => {
                    for set in 0..sets {
                        self.transpose::<S, C>(data, (first, count), (set, sets), echoes);
                    }
                }
            }
        }
    }

    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn transpose<S: Simd<T = T>, const C: usize>(
        &mut self,
        data: &[T],
        (first, count): (usize, usize),
        (set, sets): (usize, usize),
        echoes: usize,
    ) {
        let parts = 1 + usize::from(self.complex);
        let (stride, width) = (sets * C * S::N, sets * echoes * parts);
        // SAFETY: by contract; look-ups past the last echo are held back.
        unsafe {
            let lanes = S::mul(S::iota(), S::splat(T::from_f64(stride as f64)));
            for e in (0..echoes).step_by(S::N) {
                let n = S::N.min(echoes - e);
                let last = S::splat(T::from_f64(((n - 1) * stride) as f64));
                let at = S::trunc(S::min(lanes, last));
                for lane in 0..count {
                    let from = data.as_ptr().add(e * stride + set * C * S::N + lane);
                    let mut tile = [[T::default(); 16]; C];
                    for (c, tile) in tile.iter_mut().enumerate() {
                        S::store(tile.as_mut_ptr(), S::gather(from.add(c * S::N), at));
                    }
                    let row = &mut self.rows[(first + lane) * width + (set * echoes + e) * parts..][..n * parts];
                    if parts == 1 {
                        row.copy_from_slice(&tile[0][..n]);
                    } else {
                        for (k, pair) in row.chunks_exact_mut(2).enumerate() {
                            pair[0] = tile[0][k];
                            pair[1] = if C == 2 { tile[C - 1][k] } else { T::default() };
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn project<S: Simd<T = T>, const C: usize>(
        &mut self,
        basis: &Basis<T>,
        data: &[T],
        (first, count): (usize, usize),
        echoes: usize,
    ) {
        // SAFETY: by contract.
        unsafe {
            let zero = S::splat(T::default());
            let mut lanes = [T::default(); 16];
            let mut energy = zero;
            for f in data.chunks_exact(S::N) {
                let f = S::load(f.as_ptr());
                energy = S::fma(f, f, energy);
            }
            S::store(lanes.as_mut_ptr(), energy);
            self.energy[first..first + count].copy_from_slice(&lanes[..count]);
            let width = basis.rank * C;
            for (group, vectors) in basis.packed.chunks_exact(echoes * TOGETHER * C).enumerate() {
                let mut sums = [[zero; C]; TOGETHER];
                for (f, v) in data.chunks_exact(C * S::N).zip(vectors.chunks_exact(TOGETHER * C)) {
                    let re = S::load(f.as_ptr());
                    let im = S::load(f.as_ptr().add((C - 1) * S::N));
                    for (sum, v) in sums.iter_mut().zip(v.chunks_exact(C)) {
                        let a = S::splat(v[0]);
                        sum[0] = S::fma(a, re, sum[0]);
                        if C == 2 {
                            let b = S::splat(v[C - 1]);
                            sum[0] = S::fma(b, im, sum[0]);
                            sum[C - 1] = S::sub(S::fma(a, im, sum[C - 1]), S::mul(b, re));
                        }
                    }
                }
                for (k, sum) in sums.into_iter().enumerate().take(basis.rank - group * TOGETHER) {
                    for (c, sum) in sum.into_iter().enumerate() {
                        S::store(lanes.as_mut_ptr(), sum);
                        for (lane, &value) in lanes.iter().enumerate().take(count) {
                            self.rows[(first + lane) * width + (group * TOGETHER + k) * C + c] = value;
                        }
                    }
                }
            }
        }
    }
}
