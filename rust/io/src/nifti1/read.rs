//! Reading: header, checks, then exactly the voxels the header promises, no byte less or more.

use super::header::{HEADER, Layout};
use crate::{Entries, Image, Voxel};
use flate2::bufread::MultiGzDecoder;
use nifti::{DataElement, Endianness, NiftiType};
use num_complex::Complex;
use spinray_core::{Error, Job, Result};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Read between two looks at the wish to stop.
const CHUNK: u64 = 8 << 20;
/// Deflate packs at most 258 bytes into two bits.
const MOST_PER_COMPRESSED_BYTE: u64 = 1032;

/// Reads the image in `path`: .nii or .hdr (or the .img beside it), gzipped or not, whatever the name says.
///
/// Scaled images (scl_slope, scl_inter) become floating point: float32 for integers of 8 and 16 bits and
/// for float32, float64 for the wider ones, computed in double. All others keep their type.
pub fn read(path: &Path, job: &Job) -> Result<Image> {
    let header_path = match swap_extension(path, "img", "hdr") {
        Some(header) if header.exists() => header,
        Some(header) => {
            let problem = format!("its header {} is missing; keep the two files together", header.display());
            return Err(file_error(path, problem));
        }
        None => path.to_owned(),
    };
    let mut stream = Stream::open(&header_path)?;
    let layout = parse(&mut stream).map_err(|problem| in_file(problem, &header_path))?;
    if layout.same_file {
        return voxels(stream, layout, HEADER as u64, job).map_err(|problem| in_file(problem, &header_path));
    }
    let image_path = beside(&header_path)?;
    voxels(Stream::open(&image_path)?, layout, 0, job).map_err(|problem| in_file(problem, &image_path))
}

/// Reads an image from the content of a .nii or .nii.gz file.
pub fn decode(content: &[u8], job: &Job) -> Result<Image> {
    let mut stream = Stream::over(Cursor::new(content), content.len() as u64, content.starts_with(&GZIP));
    let read = |stream: &mut Stream| -> std::result::Result<Image, Problem> {
        let layout = parse(stream)?;
        if !layout.same_file {
            return Err("it is only the header of a pair; its voxels are in an .img file".to_owned().into());
        }
        voxels(std::mem::take(stream), layout, HEADER as u64, job)
    };
    read(&mut stream).map_err(|problem| in_file(problem, Path::new("the NIfTI content")))
}

/// What went wrong, before the name of the file is known.
enum Problem {
    /// The file is unusable.
    Text(String),
    /// The caller asked to stop.
    Stopped(Error),
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

fn in_file(problem: Problem, path: &Path) -> Error {
    match problem {
        Problem::Text(text) => file_error(path, text),
        Problem::Stopped(error) => error,
    }
}

fn file_error(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::File(format!("{}: {problem}", path.display()))
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The decompressed bytes of a file, and what is known about their number.
#[derive(Default)]
struct Stream<'a> {
    reader: Option<Box<dyn Read + 'a>>,
    /// No more than this many bytes will come.
    most: u64,
    gzipped: bool,
}

impl<'a> Stream<'a> {
    fn open(path: &Path) -> Result<Self> {
        let cannot = |error: std::io::Error| file_error(path, format!("cannot be read: {error}"));
        let kind = std::fs::metadata(path).map_err(cannot)?;
        if !kind.is_file() {
            return Err(file_error(path, "is not a file; expected a .nii, .nii.gz or .hdr file"));
        }
        let mut file = File::open(path).map_err(cannot)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file).take(2).read_to_end(&mut start).map_err(cannot)?;
        file.seek(SeekFrom::Start(0)).map_err(cannot)?;
        Ok(Self::over(file, kind.len(), start == GZIP))
    }

    fn over(content: impl Read + 'a, bytes: u64, gzipped: bool) -> Self {
        if !gzipped {
            return Self { reader: Some(Box::new(content)), most: bytes, gzipped };
        }
        let reader = MultiGzDecoder::new(BufReader::with_capacity(1 << 17, content));
        Self { reader: Some(Box::new(reader)), most: bytes.saturating_mul(MOST_PER_COMPRESSED_BYTE), gzipped }
    }

    /// Up to `wanted` bytes; fewer if the file ends before.
    fn take(&mut self, wanted: u64, job: &Job) -> std::result::Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        // Of an uncompressed file we know that the bytes exist; of a compressed one we see as they come.
        let room = if self.gzipped { wanted.min(CHUNK) } else { wanted };
        bytes
            .try_reserve_exact(usize::try_from(room).unwrap_or(usize::MAX))
            .map_err(|_| format!("its {wanted} bytes of voxels do not fit into memory"))?;
        let Some(reader) = self.reader.as_mut() else { return Ok(bytes) };
        while (bytes.len() as u64) < wanted {
            job.check().map_err(Problem::Stopped)?;
            let piece = CHUNK.min(wanted - bytes.len() as u64);
            if reader.take(piece).read_to_end(&mut bytes).map_err(unreadable)? == 0 {
                break;
            }
        }
        Ok(bytes)
    }
}

fn unreadable(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "its compressed data are truncated".into(),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => format!("its compressed data are damaged ({error})"),
        ErrorKind::OutOfMemory => "it does not fit into memory".into(),
        _ => format!("cannot be read: {error}"),
    }
}

fn parse(stream: &mut Stream) -> std::result::Result<Layout, Problem> {
    let bytes = stream.take(HEADER as u64, &Job::new())?;
    let header: [u8; HEADER] = bytes
        .try_into()
        .map_err(|short: Vec<u8>| format!("it is too short for a NIfTI-1 header: {} bytes of {HEADER}", short.len()))?;
    Ok(Layout::parse(&header)?)
}

/// The voxels of a stream of which `consumed` bytes are already read.
fn voxels(mut stream: Stream, layout: Layout, consumed: u64, job: &Job) -> std::result::Result<Image, Problem> {
    let (wanted, claimed) = (layout.bytes as u64, format!("its header promises {:?} voxels", layout.shape));
    let end = layout.offset + wanted;
    if end > stream.most || (!stream.gzipped && end < stream.most) {
        let size = if stream.gzipped { "can hold at most" } else { "holds" };
        let problem = format!("{claimed} ending at byte {end}, but the file {size} {} bytes", stream.most);
        return Err(format!("{problem}; it is truncated or its header is damaged").into());
    }
    let skipped = layout.offset - consumed;
    if stream.skip(skipped, job)? != skipped {
        return Err("it ends before its voxels begin; it is truncated".to_owned().into());
    }
    let bytes = stream.take(wanted, job)?;
    if bytes.len() as u64 != wanted {
        return Err(format!("{claimed} in {wanted} bytes, but only {} are there; it is truncated", bytes.len()).into());
    }
    // Looking for the end also verifies the checksum of the last gzip member.
    if !stream.take(1, job)?.is_empty() {
        return Err(format!("{claimed} in {wanted} bytes, but more follow; the header is damaged").into());
    }
    let endianness = layout.header.endianness;
    let entries = entries(bytes, layout.kind, endianness, layout.scaling).map_err(|error| error.to_string())?;
    Ok(Image { shape: layout.shape, entries, affine: layout.affine })
}

impl Stream<'_> {
    /// Passes over `wanted` bytes (header extensions) and says how many there were.
    fn skip(&mut self, wanted: u64, job: &Job) -> std::result::Result<u64, Problem> {
        let mut skipped = 0;
        while skipped < wanted {
            let piece = self.take(CHUNK.min(wanted - skipped), job)?.len() as u64;
            if piece == 0 {
                break;
            }
            skipped += piece;
        }
        Ok(skipped)
    }
}

fn entries(bytes: Vec<u8>, kind: NiftiType, order: Endianness, scaling: Option<(f64, f64)>) -> nifti::Result<Entries> {
    use NiftiType::*;
    macro_rules! decoded {
        ($type:ty, scaled to $float:ty) => {{
            let stored = <$type>::from_raw_vec(bytes, order)?;
            match scaling {
                None => <$type>::wrap(stored),
                Some((slope, intercept)) => {
                    <$float>::wrap(stored.into_iter().map(|x| (x as f64 * slope + intercept) as $float).collect())
                }
            }
        }};
        // The standard scales both parts. The pairs are decoded here because the crate reverses the
        // bytes of a complex number of foreign byte order as a whole, which swaps its parts.
        (complex of $type:ty) => {{
            let (slope, intercept) = scaling.unwrap_or((1.0, 0.0));
            let part = |x: $type| if scaling.is_some() { (f64::from(x) * slope + intercept) as $type } else { x };
            let parts = <$type>::from_raw_vec(bytes, order)?;
            let pairs = parts.chunks_exact(2).map(|pair| Complex::new(part(pair[0]), part(pair[1])));
            Complex::<$type>::wrap(pairs.collect())
        }};
    }
    Ok(match kind {
        Uint8 => decoded!(u8, scaled to f32),
        Int8 => decoded!(i8, scaled to f32),
        Uint16 => decoded!(u16, scaled to f32),
        Int16 => decoded!(i16, scaled to f32),
        Uint32 => decoded!(u32, scaled to f64),
        Int32 => decoded!(i32, scaled to f64),
        Uint64 => decoded!(u64, scaled to f64),
        Int64 => decoded!(i64, scaled to f64),
        Float32 => decoded!(f32, scaled to f32),
        Float64 => decoded!(f64, scaled to f64),
        Complex64 => decoded!(complex of f32),
        Complex128 => decoded!(complex of f64),
        Rgb24 | Rgba32 | Float128 | Complex256 => return Err(nifti::NiftiError::UnsupportedDataType(kind)),
    })
}

/// `a.img.gz` as `a.hdr.gz`, if it ends on `from` (either case, gzipped or not).
fn swap_extension(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (stem, gz) = match name.len().checked_sub(3).filter(|&end| name.is_char_boundary(end)) {
        Some(end) if name[end..].eq_ignore_ascii_case(".gz") => name.split_at(end),
        _ => (name, ""),
    };
    let (stem, extension) = stem.rsplit_once('.')?;
    if !extension.eq_ignore_ascii_case(from) {
        return None;
    }
    let upper = extension.chars().all(|c| c.is_ascii_uppercase());
    let extension = if upper { to.to_ascii_uppercase() } else { to.to_owned() };
    Some(path.with_file_name(format!("{stem}.{extension}{gz}")))
}

/// The file of voxels that belongs to a header file.
fn beside(header: &Path) -> Result<PathBuf> {
    let image = swap_extension(header, "hdr", "img")
        .ok_or_else(|| file_error(header, "it is only the header of a pair, so its name should end on .hdr"))?;
    let mut gzipped = OsString::from(&image);
    gzipped.push(".gz");
    let plain = image.to_str().and_then(|name| name.strip_suffix(".gz")).map(PathBuf::from);
    [Some(image.clone()), Some(PathBuf::from(gzipped)), plain]
        .into_iter()
        .flatten()
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| file_error(header, format!("its voxels are missing: there is no {}", image.display())))
}
