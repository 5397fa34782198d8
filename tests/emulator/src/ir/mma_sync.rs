//! `mma.sync` m16n8k32 on E4M3.

use super::Src;
use crate::semantics::tensor::mma_sync::Family;

/// Registers of the four matrices, and the family of GPUs whose rule applies.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MmaSync {
    pub family: Family,
    pub d: Vec<u32>,
    pub a: Vec<Src>,
    pub b: Vec<Src>,
    pub c: Vec<Src>,
}
