//! Tensors of the MXFP8 product that do not fit the plan, or are not where they should be.

use super::Outcome;
use super::mx_world::{COLUMNS, EXPERTS, K, N, ROWS, SCALE_ROWS, World};
use super::world::{at, moved, shaped, typed};
use expert_gemm::{ElementType as E, Error, Mxfp8GroupedMm, Mxfp8GroupedMmTensors};

type Spoil = fn(&mut Mxfp8GroupedMmTensors<'_>, &World<Mxfp8GroupedMm>);
type Right = fn(&Error) -> bool;
type Row = (&'static str, &'static str, Spoil, Right);

/// Types, shapes and strides.
const SHAPES: &[Row] = &[
    (
        "product: a not quantised",
        "`a` holds",
        |t, _| t.a = typed(t.a, E::Bf16),
        |e| matches!(e, Error::WrongElementType { tensor: "a", given: E::Bf16, .. }),
    ),
    (
        "product: a as bytes",
        "`a` holds",
        |t, _| t.a = typed(t.a, E::U8),
        |e| matches!(e, Error::WrongElementType { tensor: "a", given: E::U8, .. }),
    ),
    (
        "product: b not quantised",
        "`b` holds",
        |t, _| t.b = typed(t.b, E::F16),
        |e| matches!(e, Error::WrongElementType { tensor: "b", given: E::F16, .. }),
    ),
    (
        "product: output of another type",
        "`output` holds",
        |t, _| t.output = typed(t.output, E::F16),
        |e| matches!(e, Error::WrongElementType { tensor: "output", given: E::F16, .. }),
    ),
    (
        "product: output of f32",
        "`output` holds",
        |t, _| t.output = typed(t.output, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "output", given: E::F32, .. }),
    ),
    (
        "product: sfa of f32",
        "`sfa` holds",
        |t, _| t.sfa = typed(t.sfa, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "sfa", given: E::F32, .. }),
    ),
    (
        "product: sfa of e4m3",
        "`sfa` holds",
        |t, _| t.sfa = typed(t.sfa, E::E4m3),
        |e| matches!(e, Error::WrongElementType { tensor: "sfa", given: E::E4m3, .. }),
    ),
    (
        "product: sfb of f32",
        "`sfb` holds",
        |t, _| t.sfb = typed(t.sfb, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "sfb", given: E::F32, .. }),
    ),
    (
        "product: sfb of bf16",
        "`sfb` holds",
        |t, _| t.sfb = typed(t.sfb, E::Bf16),
        |e| matches!(e, Error::WrongElementType { tensor: "sfb", given: E::Bf16, .. }),
    ),
    (
        "product: blockscale_offsets unsigned",
        "`blockscale_offsets` holds",
        |t, _| t.blockscale_offsets = typed(t.blockscale_offsets, E::U32),
        |e| {
            matches!(e, Error::WrongElementType { tensor: "blockscale_offsets", given: E::U32, .. })
        },
    ),
    (
        "product: expert_offsets of f32",
        "`expert_offsets` holds",
        |t, _| t.expert_offsets = typed(t.expert_offsets, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "expert_offsets", given: E::F32, .. }),
    ),
    (
        "product: problem_sizes of bytes",
        "`problem_sizes` holds",
        |t, _| t.problem_sizes = typed(t.problem_sizes, E::U8),
        |e| matches!(e, Error::WrongElementType { tensor: "problem_sizes", given: E::U8, .. }),
    ),
    (
        "product: status of f32",
        "`status`",
        |t, _| t.status = t.status.map(|s| typed(s, E::F32)),
        |e| matches!(e, Error::WrongElementType { tensor: "status", .. }),
    ),
    (
        "product: sfa without padding",
        "`sfa`",
        |t, _| t.sfa = shaped(t.sfa, &[ROWS, COLUMNS]),
        |e| {
            matches!(
                e,
                Error::WrongShape { tensor: "sfa", dim: 0, given: ROWS, expected: SCALE_ROWS, .. }
            )
        },
    ),
    (
        "product: sfa for each 128",
        "`sfa`",
        |t, _| t.sfa = shaped(t.sfa, &[SCALE_ROWS, K / 128]),
        |e| {
            matches!(
                e,
                Error::WrongShape { tensor: "sfa", dim: 1, given: 3, expected: COLUMNS, .. }
            )
        },
    ),
    (
        "product: sfa transposed",
        "`sfa`",
        |t, _| t.sfa = shaped(t.sfa, &[COLUMNS, SCALE_ROWS]),
        |e| matches!(e, Error::WrongShape { tensor: "sfa", dim: 0, given: COLUMNS, .. }),
    ),
    (
        "product: sfa flat",
        "`sfa`",
        |t, _| t.sfa = shaped(t.sfa, &[SCALE_ROWS * COLUMNS]),
        |e| matches!(e, Error::WrongRank { tensor: "sfa", given: 1, expected: 2, .. }),
    ),
    (
        "product: sfb transposed",
        "`sfb`",
        |t, _| t.sfb = shaped(t.sfb, &[EXPERTS, COLUMNS, N]),
        |e| matches!(e, Error::WrongShape { tensor: "sfb", dim: 1, .. }),
    ),
    (
        "product: sfb of blocks",
        "`sfb`",
        |t, _| t.sfb = shaped(t.sfb, &[EXPERTS, N / 128, K / 128]),
        |e| matches!(e, Error::WrongShape { tensor: "sfb", dim: 1, given: 2, .. }),
    ),
    (
        "product: sfb of two dimensions",
        "`sfb`",
        |t, _| t.sfb = shaped(t.sfb, &[EXPERTS * N, COLUMNS]),
        |e| matches!(e, Error::WrongRank { tensor: "sfb", given: 2, expected: 3, .. }),
    ),
    (
        "product: blockscale_offsets with the total",
        "`blockscale_offsets`",
        |t, _| t.blockscale_offsets = shaped(t.blockscale_offsets, &[EXPERTS + 1]),
        |e| {
            matches!(
                e,
                Error::OffsetsWithTotal { tensor: "blockscale_offsets", given: 5, experts: 4 }
            )
        },
    ),
    (
        "product: expert_offsets with the total",
        "`expert_offsets`",
        |t, _| t.expert_offsets = shaped(t.expert_offsets, &[EXPERTS + 1]),
        |e| matches!(e, Error::OffsetsWithTotal { tensor: "expert_offsets", .. }),
    ),
    (
        "product: blockscale_offsets too short",
        "`blockscale_offsets`",
        |t, _| t.blockscale_offsets = shaped(t.blockscale_offsets, &[EXPERTS - 1]),
        |e| matches!(e, Error::WrongShape { tensor: "blockscale_offsets", given: 3, .. }),
    ),
    (
        "product: blockscale_offsets of two dimensions",
        "`blockscale_offsets`",
        |t, _| t.blockscale_offsets = shaped(t.blockscale_offsets, &[EXPERTS, 1]),
        |e| matches!(e, Error::WrongRank { tensor: "blockscale_offsets", .. }),
    ),
    (
        "product: a of another K",
        "`a`",
        |t, _| t.a = shaped(t.a, &[ROWS, 256]),
        |e| matches!(e, Error::WrongShape { tensor: "a", dim: 1, given: 256, .. }),
    ),
    (
        "product: b transposed",
        "`b`",
        |t, _| t.b = shaped(t.b, &[EXPERTS, K, N]),
        |e| matches!(e, Error::WrongShape { tensor: "b", dim: 1, .. }),
    ),
    (
        "product: output of other rows",
        "`output`",
        |t, _| t.output = shaped(t.output, &[N, ROWS * 2]),
        |e| matches!(e, Error::WrongShape { tensor: "output", .. }),
    ),
    (
        "product: sfa with a row pitch",
        "`sfa` has a stride of 16",
        |t, _| t.sfa = t.sfa.with_strides(&[16, 1]),
        |e| {
            matches!(
                e,
                Error::NotContiguous { tensor: "sfa", dim: 0, given: 16, expected: COLUMNS }
            )
        },
    ),
    (
        "product: sfb as a transposed view",
        "`sfb`",
        |t, _| t.sfb = t.sfb.with_strides(&[N * COLUMNS, 1, N]),
        |e| matches!(e, Error::NotContiguous { tensor: "sfb", dim: 2, .. }),
    ),
];

/// Addresses, memory and overlap.
const ADDRESSES: &[Row] = &[
    (
        "product: sfa off by 8",
        "`sfa` is at",
        |t, _| t.sfa = moved(t.sfa, t.sfa.address() + 8),
        |e| matches!(e, Error::Misaligned { tensor: "sfa", alignment: 16, .. }),
    ),
    (
        "product: sfb off by 4",
        "`sfb` is at",
        |t, _| t.sfb = moved(t.sfb, t.sfb.address() + 4),
        |e| matches!(e, Error::Misaligned { tensor: "sfb", alignment: 16, .. }),
    ),
    (
        "product: a off by 1",
        "`a` is at",
        |t, _| t.a = moved(t.a, t.a.address() + 1),
        |e| matches!(e, Error::Misaligned { tensor: "a", alignment: 16, .. }),
    ),
    (
        "product: b off by 8",
        "`b` is at",
        |t, _| t.b = moved(t.b, t.b.address() + 8),
        |e| matches!(e, Error::Misaligned { tensor: "b", alignment: 16, .. }),
    ),
    (
        "product: output off by 8",
        "`output` is at",
        |t, _| t.output = moved(t.output, t.output.address() + 8),
        |e| matches!(e, Error::Misaligned { tensor: "output", alignment: 16, .. }),
    ),
    (
        "product: blockscale_offsets off by 2",
        "`blockscale_offsets` is at",
        |t, _| {
            t.blockscale_offsets = moved(t.blockscale_offsets, t.blockscale_offsets.address() + 2);
        },
        |e| matches!(e, Error::Misaligned { tensor: "blockscale_offsets", alignment: 4, .. }),
    ),
    (
        "product: sfa at 0",
        "`sfa` has the address 0",
        |t, _| t.sfa = moved(t.sfa, 0),
        |e| matches!(e, Error::NullPointer { tensor: "sfa", .. }),
    ),
    (
        "product: sfb at 0",
        "`sfb` has the address 0",
        |t, _| t.sfb = moved(t.sfb, 0),
        |e| matches!(e, Error::NullPointer { tensor: "sfb", .. }),
    ),
    (
        "product: blockscale_offsets at 0",
        "`blockscale_offsets` has the address 0",
        |t, _| t.blockscale_offsets = moved(t.blockscale_offsets, 0),
        |e| matches!(e, Error::NullPointer { tensor: "blockscale_offsets", .. }),
    ),
    (
        "product: sfa one atom short",
        "`sfa` needs",
        |t, w| t.sfa = moved(t.sfa, w.own(SCALE_ROWS * COLUMNS - 512)),
        |e| {
            matches!(
                e,
                Error::BufferTooShort { tensor: "sfa", needed_bytes: 7680, available_bytes: 7168 }
            )
        },
    ),
    (
        "product: sfa of the rows alone",
        "`sfa` needs",
        |t, w| t.sfa = moved(t.sfa, w.own(ROWS * COLUMNS)),
        |e| matches!(e, Error::BufferTooShort { tensor: "sfa", available_bytes: 3072, .. }),
    ),
    (
        "product: sfb one byte short",
        "`sfb` needs",
        |t, w| t.sfb = moved(t.sfb, w.own(EXPERTS * N * COLUMNS - 1)),
        |e| matches!(e, Error::BufferTooShort { tensor: "sfb", .. }),
    ),
    (
        "product: blockscale_offsets short",
        "`blockscale_offsets` needs",
        |t, w| t.blockscale_offsets = moved(t.blockscale_offsets, w.own(12)),
        |e| {
            matches!(
                e,
                Error::BufferTooShort {
                    tensor: "blockscale_offsets",
                    needed_bytes: 16,
                    available_bytes: 12
                }
            )
        },
    ),
    (
        "product: sfb on another device",
        "memory of device 5",
        |t, w| t.sfb = moved(t.sfb, w.elsewhere(EXPERTS * N * COLUMNS)),
        |e| matches!(e, Error::WrongDevice { tensor: "sfb", given: 5, expected: 0 }),
    ),
    (
        "product: sfa freed",
        "`sfa` at 0x",
        |t, w| t.sfa = moved(t.sfa, w.freed()),
        |e| matches!(e, Error::NotDeviceMemory { tensor: "sfa", .. }),
    ),
    (
        "product: sfa at the end of the address space",
        "`sfa` would reach past",
        |t, _| t.sfa = moved(t.sfa, u64::MAX - 15),
        |e| matches!(e, Error::AddressOverflow { tensor: "sfa", .. }),
    ),
    (
        "product: output over sfa",
        "with `sfa`",
        |t, _| t.sfa = moved(t.sfa, t.output.address() + 512),
        |e| matches!(e, Error::Overlap { written: "output", other: "sfa", bytes: 7680 }),
    ),
    (
        "product: output over sfb",
        "with `sfb`",
        |t, _| t.sfb = moved(t.sfb, t.output.address()),
        |e| matches!(e, Error::Overlap { written: "output", other: "sfb", .. }),
    ),
    (
        "product: output over a",
        "with `a`",
        |t, _| t.a = moved(t.a, t.output.address()),
        |e| matches!(e, Error::Overlap { written: "output", other: "a", .. }),
    ),
    (
        "product: output over blockscale_offsets",
        "with `blockscale_offsets`",
        |t, _| t.blockscale_offsets = moved(t.blockscale_offsets, t.output.address()),
        |e| {
            matches!(
                e,
                Error::Overlap { written: "output", other: "blockscale_offsets", bytes: 16 }
            )
        },
    ),
    (
        "product: status in sfa",
        "with `sfa`",
        |t, _| t.status = Some(at(t.sfa.address(), E::U32, &[1])),
        |e| matches!(e, Error::Overlap { written: "status", other: "sfa", bytes: 4 }),
    ),
    (
        "product: status in blockscale_offsets",
        "with `blockscale_offsets`",
        |t, _| t.status = Some(at(t.blockscale_offsets.address() + 12, E::U32, &[1])),
        |e| matches!(e, Error::Overlap { written: "status", other: "blockscale_offsets", .. }),
    ),
];

pub(crate) fn all() -> Vec<Outcome> {
    let rows = [SHAPES, ADDRESSES].concat().into_iter();
    rows.map(|(name, names, spoil, right)| {
        let world = World::product();
        let answer = world.launch(spoil);
        Outcome { name, answer, right, names, launches: world.driver.launches().len() }
    })
    .collect()
}
