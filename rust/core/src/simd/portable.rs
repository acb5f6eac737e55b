//! Eight lanes in plain Rust: the compiler turns them into what the target guarantees.

use super::{Real, Simd};
use std::marker::PhantomData;

const N: usize = 8;

/// Lanes that need no instruction set.
#[derive(Clone, Copy)]
pub struct Portable<T>(PhantomData<T>);

macro_rules! lanes {
    (|$k:ident| $e:expr) => {{
        let mut out = [Default::default(); N];
        let mut $k = 0;
        while $k < N {
            out[$k] = $e;
            $k += 1;
        }
        out
    }};
}

macro_rules! portable {
    ($t:ty) => {
        impl Simd for Portable<$t> {
            type T = $t;
            type V = [$t; N];
            type I = [i32; N];
            const N: usize = N;

            #[inline(always)]
            unsafe fn splat(x: $t) -> Self::V {
                [x; N]
            }
            #[inline(always)]
            unsafe fn iota() -> Self::V {
                lanes!(|k| <$t>::from_f64(k as f64))
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self::V {
                // SAFETY: the caller owns p[0..N].
                unsafe { p.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(p: *mut $t, v: Self::V) {
                // SAFETY: the caller owns p[0..N].
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                lanes!(|k| a[k] + b[k])
            }
            #[inline(always)]
            unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
                lanes!(|k| a[k] - b[k])
            }
            #[inline(always)]
            unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
                lanes!(|k| a[k] * b[k])
            }
            #[inline(always)]
            unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
                lanes!(|k| a[k] / b[k])
            }
            #[inline(always)]
            unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                lanes!(|k| a[k] * b[k] + c[k])
            }
            #[inline(always)]
            unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
                lanes!(|k| if a[k] > b[k] { a[k] } else { b[k] })
            }
            #[inline(always)]
            unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
                lanes!(|k| if a[k] < b[k] { a[k] } else { b[k] })
            }
            #[inline(always)]
            unsafe fn abs(a: Self::V) -> Self::V {
                lanes!(|k| a[k].abs())
            }
            #[inline(always)]
            unsafe fn at_least(a: Self::V, b: Self::V) -> u32 {
                (0..N).fold(0, |bits, k| bits | u32::from(a[k] >= b[k]) << k)
            }
            #[inline(always)]
            unsafe fn sqrt(a: Self::V) -> Self::V {
                lanes!(|k| a[k].sqrt())
            }
            #[inline(always)]
            unsafe fn trunc(a: Self::V) -> Self::I {
                // SAFETY: positions are finite and far below 2^31 (kernels clip their ranges first).
                lanes!(|k| unsafe { a[k].to_int_unchecked::<i32>() })
            }
            #[inline(always)]
            unsafe fn real(i: Self::I) -> Self::V {
                lanes!(|k| i[k] as $t)
            }
            #[inline(always)]
            unsafe fn load_index(p: *const i32) -> Self::I {
                // SAFETY: the caller owns p[0..N].
                unsafe { p.cast::<Self::I>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store_index(p: *mut i32, i: Self::I) {
                // SAFETY: the caller owns p[0..N].
                unsafe { p.cast::<Self::I>().write_unaligned(i) }
            }
            #[inline(always)]
            unsafe fn first(i: Self::I) -> i32 {
                i[0]
            }
            #[inline(always)]
            unsafe fn offset(i: Self::I, n: i32) -> Self::I {
                lanes!(|k| i[k] + n)
            }
            #[inline(always)]
            unsafe fn negate(i: Self::I) -> Self::I {
                lanes!(|k| -i[k])
            }
            #[inline(always)]
            unsafe fn pow2(i: Self::I) -> Self::V {
                lanes!(|k| f32::from_bits(((i[k] + 127) as u32) << 23) as $t)
            }
            #[inline(always)]
            unsafe fn table(low: Self::V, high: Self::V, i: Self::I) -> Self::V {
                let both = [low, high];
                // SAFETY: the caller's indices are below 2N.
                unsafe { Self::gather(both.as_ptr().cast(), i) }
            }
            #[inline(always)]
            unsafe fn window(p: *const $t, i: Self::I) -> Self::V {
                // SAFETY: as `gather`.
                unsafe { Self::gather(p, i) }
            }
            #[inline(always)]
            unsafe fn gather(p: *const $t, i: Self::I) -> Self::V {
                // SAFETY: the caller owns p[i] for every lane.
                lanes!(|k| unsafe { *p.offset(i[k] as isize) })
            }
        }
    };
}

portable!(f32);
portable!(f64);
