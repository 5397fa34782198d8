//! The box of a tensor copy in tile mode (PTX ISA 5.5.3 and 9.7.9.25.5.2; the limits are those of the
//! driver's `cuTensorMapEncodeTiled`).
//!
//! Dimension 0 is the contiguous one. A box is a list of rows of its inner dimension, packed without gaps
//! in the order of the dimensions, then swizzled in chunks of 16 bytes. What lies outside the tensor is
//! filled when loading (zeros, on every edge, with negative starts and entirely outside: H200 measurement)
//! and left out when storing (relied on by public kernels; not measured here).

use std::fmt;

use super::swizzle::Swizzle;

/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 5;

/// What a tensor map says, as far as the geometry needs it. Arrays beyond the rank are unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileMap {
    /// Dimensions in use, 1 to 5.
    pub rank: usize,
    /// The size of each dimension, in elements.
    pub dims: [u64; MAX_RANK],
    /// The distance in bytes between neighbours in dimensions 1 and up; entry 0 belongs to dimension 1.
    pub strides: [u64; MAX_RANK - 1],
    /// The size of the box, in elements.
    pub box_dims: [u32; MAX_RANK],
    /// Bytes of an element: 1, 2, 4 or 8.
    pub element_bytes: u32,
    /// How chunks are permuted in shared memory.
    pub swizzle: Swizzle,
}

/// Why a map or a copy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TmaError {
    /// The rank is not 1 to 5.
    Rank(usize),
    /// An element has another size than 1, 2, 4 or 8 bytes.
    ElementBytes(u32),
    /// A dimension is 0 or above `2^32`.
    Dimension(u64),
    /// A stride is not a multiple of 16 below `2^40`.
    Stride(u64),
    /// A box dimension is not 1 to 256.
    Box(u32),
    /// The inner dimension of the box, in bytes, is not a multiple of 16, or exceeds the row of the swizzle.
    InnerBytes(u32),
    /// With a swizzle, the inner dimension of the box is narrower than its row: not measured.
    NarrowRow(u32),
    /// The shared address is not a multiple of 128.
    SharedAddress(u32),
    /// There are more or fewer coordinates than dimensions.
    Coordinates(usize),
    /// A store begins at a negative coordinate.
    NegativeStore(i32),
}

impl fmt::Display for TmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank(x) => write!(f, "tensor rank {x} is not 1 to 5"),
            Self::ElementBytes(x) => write!(f, "elements of {x} bytes"),
            Self::Dimension(x) => write!(f, "tensor dimension {x} is not 1 to 2^32"),
            Self::Stride(x) => write!(f, "tensor stride {x} is no multiple of 16 below 2^40"),
            Self::Box(x) => write!(f, "box dimension {x} is not 1 to 256"),
            Self::InnerBytes(x) => write!(f, "a box row of {x} bytes"),
            Self::NarrowRow(x) => write!(f, "a box row of {x} bytes, narrower than its swizzle"),
            Self::SharedAddress(x) => write!(f, "shared address {x:#x} is no multiple of 128"),
            Self::Coordinates(x) => write!(f, "{x} coordinates do not fit the rank"),
            Self::NegativeStore(x) => write!(f, "a store begins at coordinate {x}"),
        }
    }
}

impl std::error::Error for TmaError {}

/// One row of a box: `before` bytes outside the tensor, `bytes` inside, `after` outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxRow {
    /// Where the row begins in the packed box, before the swizzle.
    pub packed: u32,
    /// Where the part inside the tensor begins, in bytes from its base; 0 if nothing is inside.
    pub global: u64,
    /// Bytes in front of the part inside: filled by a load, skipped by a store.
    pub before: u32,
    /// Bytes inside the tensor.
    pub bytes: u32,
    /// Bytes behind the part inside.
    pub after: u32,
}

impl BoxRow {
    /// The pieces of the row in shared memory, each within one chunk of 16 bytes: (address after the
    /// swizzle, offset in the tensor or nothing for fill, bytes). `shared` is the address of the box.
    pub fn pieces(
        self,
        shared: u32,
        swizzle: Swizzle,
    ) -> impl Iterator<Item = (u32, Option<u64>, u32)> {
        let end = self.before + self.bytes + self.after;
        let (first_inside, first_after) = (self.before, self.before + self.bytes);
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == end {
                return None;
            }
            let start = at;
            let linear = shared + self.packed + start;
            at = end.min(start + 16 - linear % 16);
            let inside = (first_inside..first_after).contains(&start);
            if start < first_inside {
                at = at.min(first_inside);
            } else if inside {
                at = at.min(first_after);
            }
            let global = inside.then(|| self.global + u64::from(start - first_inside));
            Some((swizzle.apply(linear), global, at - start))
        })
    }
}

impl TileMap {
    /// Checks the limits of the driver, and that nothing unmeasured is asked for.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), TmaError> {
        if !(1..=MAX_RANK).contains(&self.rank) {
            return Err(TmaError::Rank(self.rank));
        }
        if !matches!(self.element_bytes, 1 | 2 | 4 | 8) {
            return Err(TmaError::ElementBytes(self.element_bytes));
        }
        let in_use = &self.dims[..self.rank];
        if let Some(&dim) = in_use.iter().find(|dim| !(1..=1 << 32).contains(*dim)) {
            return Err(TmaError::Dimension(dim));
        }
        let mut strides = self.strides[..self.rank - 1].iter();
        if let Some(&s) = strides.find(|s| !s.is_multiple_of(16) || **s >= 1 << 40) {
            return Err(TmaError::Stride(s));
        }
        let mut boxes = self.box_dims[..self.rank].iter();
        if let Some(&size) = boxes.find(|size| !(1..=256).contains(*size)) {
            return Err(TmaError::Box(size));
        }
        let inner = self.inner_bytes();
        if !inner.is_multiple_of(16) {
            return Err(TmaError::InnerBytes(inner));
        }
        match self.swizzle {
            Swizzle::None => Ok(()),
            swizzle if inner > swizzle.span() => Err(TmaError::InnerBytes(inner)),
            swizzle if inner < swizzle.span() => Err(TmaError::NarrowRow(inner)),
            _ => Ok(()),
        }
    }

    /// Bytes of one row of the box.
    pub const fn inner_bytes(&self) -> u32 {
        self.box_dims[0] * self.element_bytes
    }

    /// Bytes of the box. A load completes this many on its barrier, fill included (H200 measurement).
    pub fn box_bytes(&self) -> u32 {
        self.box_dims[1..self.rank].iter().product::<u32>() * self.inner_bytes()
    }

    /// The rows of the box at `start`, in the order in which they lie in shared memory. The map must have
    /// passed [`check`](Self::check).
    ///
    /// # Errors
    /// If there are not as many coordinates as dimensions.
    pub fn rows(&self, start: &[i32]) -> Result<impl Iterator<Item = BoxRow> + use<>, TmaError> {
        if start.len() != self.rank {
            return Err(TmaError::Coordinates(start.len()));
        }
        let map = *self;
        let mut first = [0; MAX_RANK];
        first[..self.rank].copy_from_slice(start);
        let rows = self.box_dims[1..self.rank].iter().product();
        Ok((0..rows).map(move |row| map.row(&first, row)))
    }

    /// As [`rows`](Self::rows) for a store: what is outside the tensor is not written.
    ///
    /// # Errors
    /// If there are not as many coordinates as dimensions, or one is negative (PTX ISA 9.7.9.25.5.2).
    pub fn store_rows(
        &self,
        start: &[i32],
    ) -> Result<impl Iterator<Item = BoxRow> + use<>, TmaError> {
        match start.iter().find(|&&x| x < 0) {
            Some(&x) => Err(TmaError::NegativeStore(x)),
            None => self.rows(start),
        }
    }

    fn row(&self, start: &[i32; MAX_RANK], row: u32) -> BoxRow {
        let width = u64::from(self.element_bytes);
        let mut outside = false;
        let mut global = 0;
        let mut rest = row;
        let outer = start.iter().zip(&self.box_dims).zip(&self.dims).take(self.rank).skip(1);
        for (((&start, &size), &dim), &stride) in outer.zip(&self.strides) {
            let x = i64::from(start) + i64::from(rest % size);
            rest /= size;
            match u64::try_from(x) {
                Ok(x) if x < dim => global += x * stride,
                _ => outside = true,
            }
        }
        // The part of the inner dimension that exists, in elements.
        let first = i64::from(start[0]);
        let end = first + i64::from(self.box_dims[0]);
        let inside_first = first.max(0);
        let inside_end = end.min(self.dims[0] as i64);
        let packed = row * self.inner_bytes();
        if outside || inside_first >= inside_end {
            return BoxRow { packed, global: 0, before: self.inner_bytes(), bytes: 0, after: 0 };
        }
        let bytes = |elements: i64| elements as u32 * self.element_bytes;
        BoxRow {
            packed,
            global: global + inside_first as u64 * width,
            before: bytes(inside_first - first),
            bytes: bytes(inside_end - inside_first),
            after: bytes(end - inside_end),
        }
    }
}

/// Checks the shared address of a tensor copy (PTX ISA 9.7.9.25.5.2).
///
/// # Errors
/// If it is not a multiple of 128.
pub const fn check_shared_address(address: u32) -> Result<(), TmaError> {
    if address.is_multiple_of(128) { Ok(()) } else { Err(TmaError::SharedAddress(address)) }
}

#[cfg(test)]
mod tests;
