//! What a file holds: voxels in C order with the type they are stored in, and where they lie in the world.

use ndarray::{ArrayView, IxDyn};
use num_complex::Complex;

/// Maps the indices (i, j, k, 1) along (x, y, z) to millimetres in the RAS+ world frame; rows first.
pub type Affine = [[f64; 4]; 4];

/// An image of 2 to 4 dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// (y, x), (z, y, x) or (t, z, y, x).
    pub shape: Vec<usize>,
    /// The voxels, last axis fastest.
    pub entries: Entries,
    /// World position of every voxel centre.
    pub affine: Affine,
}

/// A number type that image files can hold.
pub trait Voxel: nifti::DataElement {
    /// These voxels, their type remembered by the variant.
    fn wrap(entries: Vec<Self>) -> Entries;
    /// Writes `array`, indexed (x, y, ...), with the `nifti` crate.
    fn write(array: ArrayView<Self, IxDyn>, options: &nifti::writer::WriterOptions) -> nifti::Result<()>;
}

macro_rules! voxel_types {
    ($($variant:ident($type:ty)),* $(,)?) => {
        /// The voxels of an image, in the type of the file (scaled images: in floating point).
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)] // a variant's name is its type
        pub enum Entries {
            $($variant(Vec<$type>),)*
        }

        impl Entries {
            /// Number of voxels.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(entries) => entries.len(),)* }
            }

            /// Whether there is no voxel.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        $(impl Voxel for $type {
            fn wrap(entries: Vec<Self>) -> Entries {
                Entries::$variant(entries)
            }
            fn write(array: ArrayView<Self, IxDyn>, options: &nifti::writer::WriterOptions) -> nifti::Result<()> {
                options.write_nifti(&array)
            }
        })*
    };
}

voxel_types!(
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    C64(Complex<f32>),
    C128(Complex<f64>),
);
