//! Which element types the memory of a Rust type can be lent as.

use crate::abi::ElementType as E;
use crate::memory::Plain;
use half::{bf16, f16};

/// A Rust type whose values in device memory are elements of a tensor.
///
/// Bytes can be lent as anything (a launch checks the alignment): they are how FP8 codes, block scales and pooled memory
/// are usually held. `u16` holds the two bytes of a bf16 or an f16, for libraries without such types.
pub trait Elements: Plain {
    /// Element types that it can be lent as.
    const AS: &'static [E];
    /// The Rust type in words, for messages.
    const NAME: &'static str;
}

macro_rules! elements {
    ($($type:ty => $($element:ident)*;)*) => { $(
        impl Elements for $type {
            const AS: &'static [E] = &[$(E::$element),*];
            const NAME: &'static str = stringify!($type);
        }
    )* };
}
elements! {
    u8 => U8 E4m3 E8m0 Bf16 F16 F32 I32 U32;
    u16 => Bf16 F16;
    bf16 => Bf16;
    f16 => F16;
    f32 => F32;
    i32 => I32;
    u32 => U32;
}

#[cfg(feature = "candle")]
elements! {
    float8::F8E4M3 => E4m3;
}

impl<T: Elements, const N: usize> Elements for [T; N] {
    const AS: &'static [E] = T::AS;
    const NAME: &'static str = T::NAME;
}

/// What owns memory that is lent.
#[cfg(any(feature = "cudarc", feature = "cust"))]
pub(crate) struct Lender {
    pub(crate) name: &'static str,
    pub(crate) ordinal: Option<i32>,
    pub(crate) read_only: bool,
}

#[cfg(any(feature = "cudarc", feature = "cust"))]
impl Lender {
    /// The memory of `count` values of `T` at an address, as a tensor that every launch holds to its bounds.
    pub(crate) fn lend<'a, T: Elements>(
        &self,
        (address, count): (u64, usize),
        element: E,
        shape: &[u64],
    ) -> crate::error::Result<crate::tensor::DeviceTensor<'a>> {
        fits::<T>(self.name, element)?;
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        let (ordinal, read_only) = (self.ordinal, self.read_only);
        let loan = crate::tensor::Loan { bytes: Some(bytes), ordinal, stream: None, read_only };
        Ok(crate::tensor::DeviceTensor::new(address, element, shape).with_loan(loan))
    }
}

/// Refuses elements that a `T` does not hold.
#[cfg(any(feature = "cudarc", feature = "cust"))]
pub(crate) fn fits<T: Elements>(owner: &'static str, asked: E) -> crate::error::Result<()> {
    if T::AS.contains(&asked) {
        return Ok(());
    }
    let allowed = T::AS.iter().map(|element| element.name()).collect::<Vec<_>>().join(" or ");
    let given = T::NAME.to_owned();
    Err(super::ForeignError::ElementType { owner, given, asked, allowed }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_fits_the_type_that_holds_it() {
        fn fits<T: Elements>() {
            assert!(!T::AS.is_empty());
            for element in T::AS {
                let (size, bytes) = (size_of::<T>() as u64, element.bytes());
                assert!(size == 1 || size == bytes, "{} as {element:?}", T::NAME);
            }
        }
        fits::<u8>();
        fits::<u16>();
        fits::<bf16>();
        fits::<f16>();
        fits::<f32>();
        fits::<i32>();
        fits::<u32>();
        assert_eq!(<[i32; 3]>::AS, [E::I32]);
    }
}
