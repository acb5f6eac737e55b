//! AVX-512 and AVX2 lanes of f32.

use super::Simd;
use std::arch::x86_64::*;

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub struct Avx512;

/// Eight lanes.
#[derive(Clone, Copy)]
pub struct Avx2;

macro_rules! forward {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $out {
            // SAFETY: the trait's contract gives the instruction set and the memory.
            unsafe { $body }
        })*
    };
}

impl Simd for Avx512 {
    type T = f32;
    type V = __m512;
    type I = __m512i;
    const N: usize = 16;

    forward! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        iota() -> __m512 = _mm512_setr_ps(0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.);
        load(p: *const f32) -> __m512 = _mm512_loadu_ps(p);
        store(p: *mut f32, v: __m512) -> () = _mm512_storeu_ps(p, v);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
        at_least(a: __m512, b: __m512) -> u32 = u32::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b));
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        trunc(a: __m512) -> __m512i = _mm512_cvttps_epi32(a);
        real(i: __m512i) -> __m512 = _mm512_cvtepi32_ps(i);
        load_index(p: *const i32) -> __m512i = _mm512_loadu_si512(p.cast());
        store_index(p: *mut i32, i: __m512i) -> () = _mm512_storeu_si512(p.cast(), i);
        first(i: __m512i) -> i32 = _mm512_cvtsi512_si32(i);
        offset(i: __m512i, n: i32) -> __m512i = _mm512_add_epi32(i, _mm512_set1_epi32(n));
        negate(i: __m512i) -> __m512i = _mm512_sub_epi32(_mm512_setzero_si512(), i);
        pow2(i: __m512i) -> __m512 = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(i, _mm512_set1_epi32(127))));
        table(low: __m512, high: __m512, i: __m512i) -> __m512 = _mm512_permutex2var_ps(low, i, high);
        window(p: *const f32, i: __m512i) -> __m512 = Self::table(_mm512_loadu_ps(p), _mm512_loadu_ps(p.add(16)), i);
        gather(p: *const f32, i: __m512i) -> __m512 = _mm512_i32gather_ps::<4>(i, p);
    }
}

impl Simd for Avx2 {
    type T = f32;
    type V = __m256;
    type I = __m256i;
    const N: usize = 8;

    forward! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        iota() -> __m256 = _mm256_setr_ps(0., 1., 2., 3., 4., 5., 6., 7.);
        load(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
        store(p: *mut f32, v: __m256) -> () = _mm256_storeu_ps(p, v);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        abs(a: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        at_least(a: __m256, b: __m256) -> u32 = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a, b)) as u32;
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        trunc(a: __m256) -> __m256i = _mm256_cvttps_epi32(a);
        real(i: __m256i) -> __m256 = _mm256_cvtepi32_ps(i);
        load_index(p: *const i32) -> __m256i = _mm256_loadu_si256(p.cast());
        store_index(p: *mut i32, i: __m256i) -> () = _mm256_storeu_si256(p.cast(), i);
        first(i: __m256i) -> i32 = _mm256_cvtsi256_si32(i);
        offset(i: __m256i, n: i32) -> __m256i = _mm256_add_epi32(i, _mm256_set1_epi32(n));
        negate(i: __m256i) -> __m256i = _mm256_sub_epi32(_mm256_setzero_si256(), i);
        pow2(i: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(i, _mm256_set1_epi32(127))));
        table(low: __m256, high: __m256, i: __m256i) -> __m256 = {
            let (low, high) = (_mm256_permutevar8x32_ps(low, i), _mm256_permutevar8x32_ps(high, i));
            _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(i)))
        };
        window(p: *const f32, i: __m256i) -> __m256 = Self::table(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8)), i);
        gather(p: *const f32, i: __m256i) -> __m256 = _mm256_i32gather_ps::<4>(p, i);
    }
}
