//! The kernels of the lessons in `docs/lessons`: the FP8 blockwise grouped GEMM, from naive to the shipped kernel, one idea a
//! file. They are built as a module of their own, which the host crate does not hold.
//!
//! `D[m, n] = bf16(sum over kb of sa[m, kb] * sb[n / 128, kb] * (sum over k in kb of a[m, k] * b[n, k]))`
//!
//! The operands are those of [`crate::abi::LessonParams`]. Until the last lesson a grid has a CTA for each tile that there may be;
//! the host knows only bounds, so some find no tile and leave.

pub(crate) mod lesson_1;
pub(crate) mod lesson_2;
pub(crate) mod lesson_3;
pub(crate) mod lesson_4;
pub(crate) mod lesson_5;
pub(crate) mod lesson_6;
pub(crate) mod lesson_7;
mod math;
mod shared;
mod tile;

use crate::abi::{LessonParams, Problem, lesson::TILE};
use crate::ptx::tma::MapAddress;
use crate::tile::schedule::GroupTables;
use crate::tile::token_boxes::TokenMaps;
use core::mem::offset_of;

/// The kernel's parameter in registers, with the addresses of its tensor maps.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    tokens: TokenMaps,
    weights: MapAddress,
    a: u64,
    b: u64,
    scales_a: u64,
    scales_b: u64,
    output: u64,
    n: u32,
    k: u32,
    k_blocks: u32,
    tables: GroupTables,
}

impl Args {
    /// `base` is the generic address of `p` in parameter space.
    #[inline(always)]
    pub(crate) fn new(p: &LessonParams, base: u64) -> Self {
        let LessonParams { gemm, a, b } = p;
        Self {
            tokens: TokenMaps(base + offset_of!(LessonParams, gemm.tokens) as u64),
            weights: MapAddress(base + offset_of!(LessonParams, gemm.weights) as u64),
            a: *a,
            b: *b,
            scales_a: gemm.scales_a,
            scales_b: gemm.scales_b,
            output: gemm.output,
            n: gemm.n,
            k: gemm.k,
            k_blocks: gemm.k / TILE,
            tables: GroupTables {
                problem_sizes: gemm.problem_sizes,
                expert_offsets: gemm.expert_offsets,
                experts: gemm.experts,
                problem: Problem { rows: gemm.rows, n: gemm.n, k: gemm.k },
            },
        }
    }
}
