//! Hostile and damaged files: an error or the right image, never a panic and never a wrong array.

use super::{decode, read, write};
use crate::{Affine, Entries, Image, Voxel};
use flate2::{Compression, write::GzEncoder};
use num_complex::Complex;
use proptest::prelude::*;
use spinray_core::{Error, Job};
use std::io::Write;
use std::path::PathBuf;

const AFFINE: Affine = [[2.0, 0.0, 0.0, -5.0], [0.0, 3.0, 0.0, 7.0], [0.0, 0.0, 4.0, 9.0], [0.0, 0.0, 0.0, 1.0]];

/// A folder of this test that is removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spinray-io-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A .nii file written field by field at the offsets of the standard, in either byte order.
#[derive(Debug, Clone)]
struct File {
    header: [u8; 352],
    voxels: Vec<u8>,
    big_endian: bool,
}

impl File {
    fn new(dim: &[i16], datatype: i16, bits: i16, voxels: Vec<u8>, big_endian: bool) -> Self {
        let mut file = Self { header: [0; 352], voxels, big_endian };
        file.put(0, 348i32.to_le_bytes());
        file.put(40, (dim.len() as i16).to_le_bytes());
        (0..7).for_each(|k| file.put(42 + 2 * k, dim.get(k).copied().unwrap_or(1).to_le_bytes()));
        file.put(70, datatype.to_le_bytes());
        file.put(72, bits.to_le_bytes());
        (0..8).for_each(|k| file.put(76 + 4 * k, 1f32.to_le_bytes()));
        file.put(108, 352f32.to_le_bytes());
        file.put(254, 1i16.to_le_bytes());
        for (k, x) in AFFINE[..3].iter().flatten().enumerate() {
            file.put(280 + 4 * k, (*x as f32).to_le_bytes());
        }
        file.header[344..348].copy_from_slice(b"n+1\0");
        file
    }

    /// Places a number given as little-endian bytes.
    fn put<const N: usize>(&mut self, at: usize, mut bytes: [u8; N]) {
        if self.big_endian {
            bytes.reverse();
        }
        self.header[at..at + N].copy_from_slice(&bytes);
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.voxels].concat()
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 2 x 3 x 4 voxels of int16 from -5 on.
fn small() -> File {
    File::new(&[4, 3, 2], 4, 16, (-5i16..19).flat_map(i16::to_le_bytes).collect(), false)
}

fn opened(bytes: &[u8]) -> spinray_core::Result<Image> {
    decode(bytes, &Job::new())
}

fn refusal(bytes: &[u8]) -> String {
    match opened(bytes) {
        Err(Error::File(message)) => message,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn bytes_of(entries: &Entries) -> usize {
    entries.len()
        * match entries {
            Entries::U8(_) | Entries::I8(_) => 1,
            Entries::U16(_) | Entries::I16(_) => 2,
            Entries::U32(_) | Entries::I32(_) | Entries::F32(_) => 4,
            Entries::U64(_) | Entries::I64(_) | Entries::F64(_) | Entries::C64(_) => 8,
            Entries::C128(_) => 16,
        }
}

fn size_of_code(datatype: i16) -> usize {
    match datatype {
        2 | 256 => 1,
        4 | 512 => 2,
        8 | 16 | 768 => 4,
        1792 => 16,
        _ => 8,
    }
}

#[test]
fn the_small_file_reads_as_written() {
    let image = Image { shape: vec![2, 3, 4], entries: Entries::I16((-5..19).collect()), affine: AFFINE };
    assert_eq!(opened(&small().bytes()).unwrap(), image);
    assert_eq!(opened(&gzipped(&small().bytes())).unwrap(), image);
    // Parallel compressors write several gzip members.
    let bytes = small().bytes();
    let (first, second) = bytes.split_at(370);
    assert_eq!(opened(&[gzipped(first), gzipped(second)].concat()).unwrap(), image);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small().bytes();
    (0..bytes.len()).for_each(|n| drop(refusal(&bytes[..n])));
    let bytes = gzipped(&bytes);
    (0..bytes.len()).for_each(|n| drop(refusal(&bytes[..n])));
}

#[test]
fn surplus_bytes_are_refused() {
    let bytes = [small().bytes(), vec![0]].concat();
    assert!(refusal(&bytes).contains("header is damaged"));
    assert!(refusal(&gzipped(&bytes)).contains("header is damaged"));
}

#[test]
fn a_flipped_bit_in_a_gzip_file_is_refused_or_harmless() {
    let (bytes, original) = (gzipped(&small().bytes()), opened(&small().bytes()).unwrap());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Time stamp and operating system of the gzip header are no part of the content.
        if let Ok(image) = opened(&damaged) {
            assert_eq!(image, original, "bit {bit}");
        }
    }
}

#[test]
fn a_flipped_bit_in_the_header_never_changes_the_stored_voxels() {
    let (bytes, original) = (small().bytes(), opened(&small().bytes()).unwrap());
    for bit in 0..352 * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(image) = opened(&damaged) else { continue };
        // A time axis of length one may appear or not; voxels and their order stay.
        assert_eq!(image.shape[image.shape.len() - 3..], original.shape, "bit {bit}");
        let scaled = (112..120).contains(&(bit / 8));
        assert!(scaled || image.entries == original.entries, "bit {bit}");
        assert!(image.affine.iter().flatten().all(|x| x.is_finite()));
    }
}

#[test]
fn a_header_that_lies_about_the_size_allocates_nothing() {
    let huge = [32767i16; 4];
    for (datatype, bits) in [(2, 8), (64, 64), (1792, 128)] {
        let file = File::new(&huge, datatype, bits, vec![0; 1000], false);
        let message = refusal(&file.bytes());
        assert!(message.contains("damaged"), "{message}");
        let message = refusal(&gzipped(&file.bytes()));
        assert!(message.contains("damaged"), "{message}");
    }
}

#[test]
fn other_formats_are_named() {
    let mut analyze = small();
    analyze.header[344..348].fill(0);
    assert!(refusal(&analyze.bytes()).contains("ANALYZE"));
    let mut second = small();
    second.put(0, 540i32.to_le_bytes());
    assert!(refusal(&second.bytes()).contains("NIfTI-2"));
    assert!(refusal(&[b'x'; 5000]).contains("not a NIfTI-1 file"));
    let colour = File::new(&[2, 2], 128, 24, vec![0; 12], false);
    assert!(refusal(&colour.bytes()).contains("RGB"));
}

#[test]
fn both_byte_orders_give_the_same_voxels_for_every_type() {
    fn check<T: Voxel + PartialEq + std::fmt::Debug, const N: usize>(
        code: i16,
        values: [T; 4],
        bytes: fn(T) -> [u8; N],
    ) {
        let little: Vec<u8> = values.into_iter().flat_map(bytes).collect();
        // The parts of a complex number are swapped each on its own.
        let word = if code == 32 || code == 1792 { N / 2 } else { N };
        let big: Vec<u8> = little.chunks(word).flat_map(|part| part.iter().rev().copied()).collect();
        for (voxels, big_endian) in [(little, false), (big, true)] {
            let file = File::new(&[2, 2], code, 8 * N as i16, voxels, big_endian);
            assert_eq!(opened(&file.bytes()).unwrap().entries, T::wrap(values.to_vec()));
        }
    }
    check(2, [0, 1, 200, 255], u8::to_le_bytes);
    check(256, [-128, -1, 1, 127], i8::to_le_bytes);
    check(512, [0, 1, 258, u16::MAX], u16::to_le_bytes);
    check(4, [i16::MIN, -2, 258, i16::MAX], i16::to_le_bytes);
    check(768, [0, 1, 258, u32::MAX], u32::to_le_bytes);
    check(8, [i32::MIN, -2, 258, i32::MAX], i32::to_le_bytes);
    check(1280, [0, 1, 258, u64::MAX], u64::to_le_bytes);
    check(1024, [i64::MIN, -2, 258, i64::MAX], i64::to_le_bytes);
    check(16, [0.1, -2.0, f32::MIN_POSITIVE, f32::MAX], f32::to_le_bytes);
    check(64, [0.1, -2.0, f64::MIN_POSITIVE, f64::MAX], f64::to_le_bytes);
    let complex: [Complex<f64>; 4] =
        [Complex::new(1.0, 2.0), Complex::new(-0.5, 0.0), Complex::new(0.0, 3.0), Complex::new(7.0, -7.0)];
    check::<_, 16>(1792, complex, |z| [z.re.to_le_bytes(), z.im.to_le_bytes()].concat().try_into().unwrap());
    let complex = complex.map(|z| Complex::new(z.re as f32, z.im as f32));
    check::<_, 8>(32, complex, |z| [z.re.to_le_bytes(), z.im.to_le_bytes()].concat().try_into().unwrap());
}

#[test]
fn slope_and_intercept_make_floating_point() {
    let scaled = |slope: f32, intercept: f32| {
        let mut file = small();
        file.put(112, slope.to_le_bytes());
        file.put(116, intercept.to_le_bytes());
        opened(&file.bytes()).map(|image| image.entries)
    };
    let stored = Entries::I16((-5..19).collect());
    for (slope, intercept) in [(0.0, 7.0), (f32::NAN, 7.0), (1.0, 0.0)] {
        assert_eq!(scaled(slope, intercept).unwrap(), stored);
    }
    let expected = (-5..19).map(|x| (f64::from(x) * 0.5 - 3.0) as f32).collect();
    assert_eq!(scaled(0.5, -3.0).unwrap(), Entries::F32(expected));
    assert!(matches!(scaled(2.0, f32::NAN), Err(Error::File(message)) if message.contains("scl_inter")));

    let values = [i32::MAX, i32::MAX - 1];
    let mut wide = File::new(&[2, 1], 8, 32, values.iter().flat_map(|x| x.to_le_bytes()).collect(), false);
    wide.put(112, 1f32.to_le_bytes());
    wide.put(116, 1f32.to_le_bytes());
    // Neighbouring integers that float32 could not tell apart.
    assert_eq!(opened(&wide.bytes()).unwrap().entries, Entries::F64(vec![2147483648.0, 2147483647.0]));
}

#[test]
fn a_pair_of_files_is_one_image_from_either_name() {
    let folder = Folder::new("pair");
    let mut file = small();
    file.header[344..348].copy_from_slice(b"ni1\0");
    file.put(108, 0f32.to_le_bytes());
    let expected = opened(&small().bytes()).unwrap();
    let job = Job::new();
    for (header, voxels) in
        [("a.hdr", "a.img"), ("b.1.HDR", "b.1.IMG"), ("c.hdr.gz", "c.img.gz"), ("d.hdr", "d.img.gz")]
    {
        let put = |name: &str, bytes: &[u8]| {
            let bytes = if name.ends_with(".gz") { gzipped(bytes) } else { bytes.to_vec() };
            std::fs::write(folder.0.join(name), bytes).unwrap();
        };
        put(header, &file.header[..348]);
        assert!(matches!(read(&folder.0.join(header), &job), Err(Error::File(m)) if m.contains("missing")));
        put(voxels, &file.voxels);
        assert_eq!(read(&folder.0.join(header), &job).unwrap(), expected);
        if header != "d.hdr" {
            assert_eq!(read(&folder.0.join(voxels), &job).unwrap(), expected);
        }
        put(voxels, &file.voxels[1..]);
        assert!(matches!(read(&folder.0.join(header), &job), Err(Error::File(_))));
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new("whole");
    let path = folder.0.join("scan.01.nii");
    let job = Job::new();
    write(&path, &[2, 2], &[1u8, 2, 3, 4], &AFFINE, &job).unwrap();
    let before = std::fs::read(&path).unwrap();
    let stopped = Job::new();
    stopped.cancel();
    assert!(matches!(write(&path, &[2, 2], &[5u8, 6, 7, 8], &AFFINE, &stopped), Err(Error::Cancelled)));
    assert!(matches!(read(&path, &stopped), Err(Error::Cancelled)));
    let singular = [[0.0; 4], AFFINE[1], AFFINE[2], AFFINE[3]];
    for (shape, affine) in [(&[2, 2][..], &singular), (&[3, 2], &AFFINE), (&[4], &AFFINE), (&[70000, 1], &AFFINE)] {
        let outcome = write(&path, shape, &[5u8, 6, 7, 8], affine, &job);
        assert!(matches!(outcome, Err(Error::Invalid { .. })), "{outcome:?}");
    }
    assert!(matches!(write(&folder.0.join("a.txt"), &[2, 2], &[0u8; 4], &AFFINE, &job), Err(Error::Invalid { .. })));
    let nowhere = folder.0.join("no/such/folder/a.nii");
    assert!(matches!(write(&nowhere, &[2, 2], &[0u8; 4], &AFFINE, &job), Err(Error::File(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(folder.files(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Every field is random within a header that says it is NIfTI-1, so that the checks behind are reached.
    #[test]
    fn random_headers_are_refused_or_consistent(
        random in proptest::collection::vec(any::<u8>(), 352),
        dim in proptest::collection::vec(prop_oneof![8 => 1i16..5, 1 => any::<i16>()], 1..7),
        datatype in prop_oneof![proptest::sample::select(vec![2i16, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792]), any::<i16>()],
        keep in proptest::collection::vec(proptest::bool::weighted(0.75), 5),
        voxels in 0usize..600,
        fitting: bool,
        big_endian: bool,
    ) {
        // Half of the files hold what their header promises, so that they get past the comparison of sizes.
        let promised = dim.iter().try_fold(size_of_code(datatype), |n, &d| n.checked_mul(usize::try_from(d).ok()?));
        let voxels = promised.filter(|&n| fitting && n <= 1 << 16).unwrap_or(voxels);
        let mut file = File::new(&dim, datatype, 0, vec![7; voxels], big_endian);
        let fields = [4..40, 76..108, 108..120, 120..252, 252..344];
        for (field, _) in fields.into_iter().zip(&keep).filter(|(_, keep)| !**keep) {
            file.header[field.clone()].copy_from_slice(&random[field]);
        }
        for bytes in [file.bytes(), gzipped(&file.bytes())] {
            if let Ok(image) = opened(&bytes) {
                prop_assert_eq!(image.shape.iter().product::<usize>(), image.entries.len());
                prop_assert!((2..=4).contains(&image.shape.len()));
                prop_assert!(bytes_of(&image.entries) <= 8 * voxels);
                prop_assert!(image.affine.iter().flatten().all(|x| x.is_finite()));
            }
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1000), gzip: bool) {
        let bytes = if gzip { [&[0x1f, 0x8b, 8, 0][..], &bytes].concat() } else { bytes };
        prop_assert!(matches!(opened(&bytes), Err(Error::File(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_written_is_read(
        shape in proptest::collection::vec(1usize..6, 2..5),
        suffix in proptest::sample::select(vec![".nii", ".nii.gz"]),
        seed: u32,
    ) {
        let folder = Folder::new(&format!("trip-{seed}"));
        let path = folder.0.join(format!("sub.01{suffix}"));
        let n: usize = shape.iter().product();
        let job = Job::new();
        fn check<T: Voxel>(path: &std::path::Path, shape: &[usize], entries: Vec<T>, job: &Job) {
            write(path, shape, &entries, &AFFINE, job).unwrap();
            let expected = Image { shape: shape.to_vec(), entries: T::wrap(entries), affine: AFFINE };
            assert_eq!(read(path, job).unwrap(), expected);
        }
        let random = |i: usize| (i as u32).wrapping_mul(2654435761).wrapping_add(seed);
        check(&path, &shape, (0..n).map(|i| random(i) as u8).collect(), &job);
        check(&path, &shape, (0..n).map(|i| random(i) as i16).collect(), &job);
        check(&path, &shape, (0..n).map(|i| random(i) as f32).collect(), &job);
        check(&path, &shape, (0..n).map(|i| f64::from(random(i)).sqrt()).collect(), &job);
        check(&path, &shape, (0..n).map(|i| Complex::new(random(i) as f32, -1.0)).collect(), &job);
        // Nothing but the file itself remains, under exactly the name that was asked for.
        prop_assert_eq!(folder.files(), 1);
    }
}
