//! One kernel text, several instruction sets.
//!
//! A kernel is a type with `run::<S: Simd>()`, written once over the few operations below; [`dispatch`]
//! picks the widest set the processor has (AVX-512, AVX2+FMA, or portable lanes that every target
//! compiles) and enters the kernel inside a function compiled for it. Everything a kernel calls in its
//! inner loop must be `#[inline(always)]`, or it falls out of that function and loses the instruction set.
//!
//! The operation that carries the projectors is [`Simd::window`]: lanes that look up neighbouring
//! entries of a row need no gather, only two loads and a permute in registers.
//!
//! `SPINRAY_SIMD=avx512|avx2|portable` lowers the choice (never raises it above what the machine has).

use std::sync::OnceLock;

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use portable::Portable;

/// f32 or f64.
pub trait Real:
    Copy
    + Send
    + Sync
    + Default
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::iter::Sum
    + 'static
{
    /// Rounded from double.
    fn from_f64(x: f64) -> Self;
    /// Widened to double.
    fn to_f64(self) -> f64;
    /// Runs `kernel` with the widest lanes of this type the processor has.
    fn dispatch<K: Kernel<Self>>(kernel: K) -> K::Output;
}

/// A piece of work written over any lanes of `T`.
pub trait Kernel<T: Real> {
    /// What it returns.
    type Output;
    /// The work; mark the implementation `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor has `S`'s instruction set; [`dispatch`] sees to that.
    unsafe fn run<S: Simd<T = T>>(self) -> Self::Output;
}

/// Lanes of one instruction set.
///
/// # Safety
/// Every function requires the instruction set of `Self`; loads and look-ups read exactly the entries named.
#[allow(clippy::missing_safety_doc)] // stated once, above
pub trait Simd: Copy + 'static {
    /// Type of a lane.
    type T: Real;
    /// `N` reals.
    type V: Copy;
    /// `N` 32-bit integers.
    type I: Copy;
    /// Number of lanes.
    const N: usize;

    /// The same value in every lane.
    unsafe fn splat(x: Self::T) -> Self::V;
    /// 0, 1, 2, ...
    unsafe fn iota() -> Self::V;
    /// `p[0..N]`.
    unsafe fn load(p: *const Self::T) -> Self::V;
    /// Writes `p[0..N]`.
    unsafe fn store(p: *mut Self::T, v: Self::V);
    /// a + b
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// a - b
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// a b
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a / b
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c (fused where the set has it)
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of the two.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of the two.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// |a|
    unsafe fn abs(a: Self::V) -> Self::V;
    /// Bit k: whether a >= b in lane k.
    unsafe fn at_least(a: Self::V, b: Self::V) -> u32;
    /// Square root.
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// The integer part, rounded towards zero.
    unsafe fn trunc(a: Self::V) -> Self::I;
    /// Integers as reals.
    unsafe fn real(i: Self::I) -> Self::V;
    /// `p[0..N]`.
    unsafe fn load_index(p: *const i32) -> Self::I;
    /// Writes `p[0..N]`.
    unsafe fn store_index(p: *mut i32, i: Self::I);
    /// Lane 0.
    unsafe fn first(i: Self::I) -> i32;
    /// i + n
    unsafe fn offset(i: Self::I, n: i32) -> Self::I;
    /// -i
    unsafe fn negate(i: Self::I) -> Self::I;
    /// 2^i for |i| <= 126.
    unsafe fn pow2(i: Self::I) -> Self::V;
    /// Entry i of `low` followed by `high`, for lanes with 0 <= i < 2N.
    unsafe fn table(low: Self::V, high: Self::V, i: Self::I) -> Self::V;
    /// `p[i]` for lanes with 0 <= i < 2N; reads the whole of `p[0..2N]`.
    unsafe fn window(p: *const Self::T, i: Self::I) -> Self::V;
    /// `p[i]` for any i.
    unsafe fn gather(p: *const Self::T, i: Self::I) -> Self::V;
}

/// The instruction sets told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the target guarantees (SSE2, NEON).
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
}

impl Level {
    /// The name `SPINRAY_SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

fn detected() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx2 && avx512 {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Portable
}

/// The set in use in this process.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let asked = std::env::var("SPINRAY_SIMD").unwrap_or_default();
        let ceiling = [Level::Portable, Level::Avx2, Level::Avx512].into_iter().find(|l| l.name() == asked);
        ceiling.map_or(detected(), |ceiling| ceiling.min(detected()))
    })
}

/// Asks for the cache line that `place` begins in, to be near when it is written or read soon.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint about memory that is borrowed; part of what every x86-64 has.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Runs `kernel` with the widest lanes of `T` the processor has.
pub fn dispatch<T: Real, K: Kernel<T>>(kernel: K) -> K::Output {
    T::dispatch(kernel)
}

#[cfg(target_arch = "x86_64")]
mod enter {
    use super::{Kernel, Real, Simd};

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2")]
    pub unsafe fn avx512<T: Real, S: Simd<T = T>, K: Kernel<T>>(kernel: K) -> K::Output {
        // SAFETY: the caller has checked the instruction set.
        unsafe { kernel.run::<S>() }
    }

    #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
    pub unsafe fn avx2<T: Real, S: Simd<T = T>, K: Kernel<T>>(kernel: K) -> K::Output {
        // SAFETY: the caller has checked the instruction set.
        unsafe { kernel.run::<S>() }
    }
}

macro_rules! real {
    ($t:ty, $avx512:ty, $avx2:ty) => {
        impl Real for $t {
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn dispatch<K: Kernel<Self>>(kernel: K) -> K::Output {
                // SAFETY: `level` never exceeds what the processor has.
                match level() {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => unsafe { enter::avx512::<$t, $avx512, K>(kernel) },
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => unsafe { enter::avx2::<$t, $avx2, K>(kernel) },
                    _ => unsafe { kernel.run::<Portable<$t>>() },
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
real!(f32, x86::Avx512, x86::Avx2);
#[cfg(not(target_arch = "x86_64"))]
real!(f32, (), ());
// Double precision is for gradient checks and references: portable lanes, compiled for each set.
real!(f64, Portable<f64>, Portable<f64>);

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything;
    impl<T: Real> Kernel<T> for Everything {
        type Output = ();
        #[inline(always)]
        unsafe fn run<S: Simd<T = T>>(self) {
            let table: Vec<T> = (0..4 * S::N).map(|k| T::from_f64((k * k) as f64)).collect();
            let at = |k: usize| table[k].to_f64();
            // SAFETY: `dispatch` chose S; the table is long enough for every look-up.
            unsafe {
                let lanes = |v: S::V| {
                    let mut out = vec![T::default(); S::N];
                    S::store(out.as_mut_ptr(), v);
                    out.iter().map(|x| x.to_f64()).collect::<Vec<_>>()
                };
                let t = S::fma(S::iota(), S::splat(T::from_f64(1.75)), S::splat(T::from_f64(0.5)));
                let i = S::trunc(t);
                let (near, far) =
                    (lanes(S::window(table.as_ptr(), i)), lanes(S::gather(table.as_ptr(), S::offset(i, 3))));
                let fraction = lanes(S::sub(t, S::real(i)));
                for k in 0..S::N {
                    let x = 1.75 * k as f64 + 0.5;
                    assert_eq!((near[k], far[k]), (at(x as usize), at(x as usize + 3)));
                    assert_eq!(fraction[k], x.fract());
                }
                let two = S::splat(T::from_f64(2.0));
                assert_eq!(lanes(S::max(S::sub(two, S::iota()), S::splat(T::default())))[..4], [2.0, 1.0, 0.0, 0.0]);
                assert_eq!(lanes(S::abs(S::sub(S::iota(), two)))[..4], [2.0, 1.0, 0.0, 1.0]);
                assert_eq!(S::at_least(S::iota(), two), (1 << S::N) - 1 - 0b11);
                assert_eq!(lanes(S::sqrt(S::mul(S::iota(), S::iota())))[..4], [0.0, 1.0, 2.0, 3.0]);
                assert_eq!(lanes(S::div(S::min(S::iota(), two), two))[..4], [0.0, 0.5, 1.0, 1.0]);
                assert_eq!(lanes(S::add(S::mul(two, two), S::load(table.as_ptr())))[2], 8.0);
            }
        }
    }

    #[test]
    fn lanes_agree_with_scalars_at_every_level() {
        dispatch::<f32, _>(Everything);
        dispatch::<f64, _>(Everything);
        // SAFETY: portable lanes run anywhere, AVX2 is checked.
        unsafe {
            Everything.run::<Portable<f32>>();
            #[cfg(target_arch = "x86_64")]
            if detected() >= Level::Avx2 {
                enter::avx2::<f32, x86::Avx2, _>(Everything);
            }
        }
    }
}
