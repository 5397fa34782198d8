//! Contract of the kernels of the lessons (`docs/lessons`): each computes `es_fp8_blockwise_scaled_grouped_mm` to bf16, and
//! none is shipped.

use super::{Arch, ElementType, Fp8BlockParams, Op, Shares, Variant, WeightOrder};

/// Rows, columns and reduction of the largest tile of the lessons, and width of a column block.
pub const TILE: u32 = 128;
/// Rows of the tiles of lessons 2, 3 and 4.
pub const HALF_TILE: u32 = 64;

/// The one parameter of every lesson, passed by value. Pointers are device addresses.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct LessonParams {
    /// The operands as the shipped kernel takes them. `status` is ignored.
    pub gemm: Fp8BlockParams,
    /// Activations `[rows, k]` e4m3, 16-byte aligned: for the lessons that know no tensor maps.
    pub a: u64,
    /// Weights `[experts, n, k]` e4m3, 16-byte aligned.
    pub b: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<LessonParams>() == size_of::<Fp8BlockParams>() + 16);
    assert!(offset_of!(LessonParams, gemm) == 0);
};

/// Floats between rows of the shared tiles of lesson 2: a K block, and four that spread rows over banks.
pub const FLOAT_PITCH: u32 = TILE + 4;

/// What the lessons differ in.
const fn lesson(
    symbol: &'static str,
    rows: u32,
    threads: u32,
    ctas_per_sm: u32,
    stages: u32,
    smem_bytes: u32,
) -> Variant {
    Variant {
        symbol,
        module: "lessons_sm90",
        op: Op::Fp8BlockwiseGroupedMm,
        arch: Arch::Sm90a,
        input: ElementType::E4m3,
        output: ElementType::Bf16,
        more_rows_than: 0,
        up_to_rows: u32::MAX,
        rows_beside: 0,
        tile: [rows, TILE, TILE],
        box_rows: super::fp8_block::WHOLE_BOX_ROWS,
        weight_order: WeightOrder::Rows,
        output_box: [0; 2],
        stages,
        cluster: 1,
        shares: Shares::Tokens,
        threads,
        ctas_per_sm,
        registers: 65_536 / (threads * ctas_per_sm) / 8 * 8,
        smem_bytes,
        param_bytes: size_of::<LessonParams>() as u32,
    }
}

/// Bytes of a slot of 64 rows and of one of 128 rows of activations, with 128 rows of weights: a K block of each.
const SMALL_SLOT: u32 = (HALF_TILE + TILE) * TILE;
const SLOT: u32 = 2 * TILE * TILE;
/// Stages of lesson 4, and of the lessons after it.
pub const STAGES_4: u32 = 4;
/// Stages of lessons 5, 6 and 7.
pub const STAGES: u32 = 6;
/// Bytes of the ring of scales, in chunks of 4 K blocks; lesson 5 leaves it unused.
const SCALE_RING: u32 = super::fp8_block::SCALE_STAGES * (TILE + 1) * 16;
/// Bytes of the barriers: full and free of each slot and of each chunk of scales.
const BARRIERS: u32 = 2 * 8 * (STAGES + super::fp8_block::SCALE_STAGES);

/// The kernels of the lessons, in their order.
pub const LESSONS: &[Variant] = &[
    lesson("lesson_1_naive", 1, 128, 8, 1, 0),
    lesson("lesson_2_shared_tile", HALF_TILE, 256, 2, 1, (HALF_TILE + TILE) * FLOAT_PITCH * 4),
    lesson("lesson_3_wgmma", HALF_TILE, 128, 3, 1, SMALL_SLOT),
    lesson("lesson_4_tma", HALF_TILE, 128, 2, STAGES_4, STAGES_4 * (SMALL_SLOT + 8)),
    lesson("lesson_5_producer", TILE, 384, 1, STAGES, STAGES * SLOT + SCALE_RING + BARRIERS),
    lesson("lesson_6_promotion", TILE, 384, 1, STAGES, STAGES * SLOT + SCALE_RING + BARRIERS),
    lesson("lesson_7_swapped", TILE, 384, 1, STAGES, STAGES * SLOT + SCALE_RING + BARRIERS),
];
