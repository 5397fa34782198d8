//! Tensors of the MXFP8 quantiser that do not fit the plan, or are not where they should be.

use super::Outcome;
use super::mx_world::{COLUMNS, EXPERTS, K, ROWS, SCALE_ROWS, World};
use super::world::{at, moved, shaped, typed};
use expert_gemm::{ElementType as E, Error, Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors};

type Spoil = fn(&mut Mxfp8GroupedQuantTensors<'_>, &World<Mxfp8GroupedQuant>);
type Right = fn(&Error) -> bool;
type Row = (&'static str, &'static str, Spoil, Right);

/// Types, shapes and strides.
const SHAPES: &[Row] = &[
    (
        "quantiser: input of another type",
        "`input` holds",
        |t, _| t.input = typed(t.input, E::F16),
        |e| matches!(e, Error::WrongElementType { tensor: "input", given: E::F16, .. }),
    ),
    (
        "quantiser: input of f32",
        "`input` holds",
        |t, _| t.input = typed(t.input, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "input", given: E::F32, .. }),
    ),
    (
        "quantiser: input already quantised",
        "`input` holds",
        |t, _| t.input = typed(t.input, E::E4m3),
        |e| matches!(e, Error::WrongElementType { tensor: "input", given: E::E4m3, .. }),
    ),
    (
        "quantiser: quant_output of bf16",
        "`quant_output` holds",
        |t, _| t.quant_output = typed(t.quant_output, E::Bf16),
        |e| matches!(e, Error::WrongElementType { tensor: "quant_output", given: E::Bf16, .. }),
    ),
    (
        "quantiser: quant_output as bytes",
        "`quant_output` holds",
        |t, _| t.quant_output = typed(t.quant_output, E::U8),
        |e| matches!(e, Error::WrongElementType { tensor: "quant_output", given: E::U8, .. }),
    ),
    (
        "quantiser: scale_factor of f32",
        "`scale_factor` holds",
        |t, _| t.scale_factor = typed(t.scale_factor, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "scale_factor", given: E::F32, .. }),
    ),
    (
        "quantiser: scale_factor of e4m3",
        "`scale_factor` holds",
        |t, _| t.scale_factor = typed(t.scale_factor, E::E4m3),
        |e| matches!(e, Error::WrongElementType { tensor: "scale_factor", given: E::E4m3, .. }),
    ),
    (
        "quantiser: scale_factor of words",
        "`scale_factor` holds",
        |t, _| t.scale_factor = typed(t.scale_factor, E::I32),
        |e| matches!(e, Error::WrongElementType { tensor: "scale_factor", given: E::I32, .. }),
    ),
    (
        "quantiser: problem_sizes unsigned",
        "`problem_sizes` holds",
        |t, _| t.problem_sizes = typed(t.problem_sizes, E::U32),
        |e| matches!(e, Error::WrongElementType { tensor: "problem_sizes", given: E::U32, .. }),
    ),
    (
        "quantiser: expert_offsets of bytes",
        "`expert_offsets` holds",
        |t, _| t.expert_offsets = typed(t.expert_offsets, E::U8),
        |e| matches!(e, Error::WrongElementType { tensor: "expert_offsets", given: E::U8, .. }),
    ),
    (
        "quantiser: blockscale_offsets of f32",
        "`blockscale_offsets` holds",
        |t, _| t.blockscale_offsets = typed(t.blockscale_offsets, E::F32),
        |e| {
            matches!(e, Error::WrongElementType { tensor: "blockscale_offsets", given: E::F32, .. })
        },
    ),
    (
        "quantiser: status signed",
        "`status`",
        |t, _| t.status = t.status.map(|s| typed(s, E::I32)),
        |e| matches!(e, Error::WrongElementType { tensor: "status", .. }),
    ),
    (
        "quantiser: input flat",
        "`input`",
        |t, _| t.input = shaped(t.input, &[ROWS * K]),
        |e| matches!(e, Error::WrongRank { tensor: "input", given: 1, .. }),
    ),
    (
        "quantiser: input transposed",
        "`input`",
        |t, _| t.input = shaped(t.input, &[K, ROWS]),
        |e| matches!(e, Error::WrongShape { tensor: "input", dim: 0, given: K, .. }),
    ),
    (
        "quantiser: quant_output half",
        "`quant_output`",
        |t, _| t.quant_output = shaped(t.quant_output, &[ROWS, K / 2]),
        |e| matches!(e, Error::WrongShape { tensor: "quant_output", dim: 1, given: 192, .. }),
    ),
    (
        "quantiser: quant_output with padding",
        "`quant_output`",
        |t, _| t.quant_output = shaped(t.quant_output, &[SCALE_ROWS, K]),
        |e| {
            matches!(e, Error::WrongShape { tensor: "quant_output", dim: 0, given: SCALE_ROWS, .. })
        },
    ),
    (
        "quantiser: scale_factor without padding",
        "`scale_factor`",
        |t, _| t.scale_factor = shaped(t.scale_factor, &[ROWS, COLUMNS]),
        |e| matches!(e, Error::WrongShape { tensor: "scale_factor", dim: 0, given: ROWS, .. }),
    ),
    (
        "quantiser: scale_factor for each element",
        "`scale_factor`",
        |t, _| t.scale_factor = shaped(t.scale_factor, &[SCALE_ROWS, K]),
        |e| matches!(e, Error::WrongShape { tensor: "scale_factor", dim: 1, given: K, .. }),
    ),
    (
        "quantiser: scale_factor as atoms",
        "`scale_factor`",
        |t, _| t.scale_factor = shaped(t.scale_factor, &[5, 3, 32, 4, 4]),
        |e| matches!(e, Error::WrongRank { tensor: "scale_factor", given: 5, .. }),
    ),
    (
        "quantiser: blockscale_offsets with the total",
        "`blockscale_offsets`",
        |t, _| t.blockscale_offsets = shaped(t.blockscale_offsets, &[EXPERTS + 1]),
        |e| matches!(e, Error::OffsetsWithTotal { tensor: "blockscale_offsets", .. }),
    ),
    (
        "quantiser: expert_offsets with the total",
        "`expert_offsets`",
        |t, _| t.expert_offsets = shaped(t.expert_offsets, &[EXPERTS + 1]),
        |e| matches!(e, Error::OffsetsWithTotal { tensor: "expert_offsets", .. }),
    ),
    (
        "quantiser: problem_sizes of rows alone",
        "`problem_sizes`",
        |t, _| t.problem_sizes = shaped(t.problem_sizes, &[EXPERTS]),
        |e| matches!(e, Error::WrongRank { tensor: "problem_sizes", given: 1, .. }),
    ),
    (
        "quantiser: blockscale_offsets empty",
        "`blockscale_offsets`",
        |t, _| t.blockscale_offsets = shaped(t.blockscale_offsets, &[0]),
        |e| matches!(e, Error::WrongShape { tensor: "blockscale_offsets", given: 0, .. }),
    ),
    (
        "quantiser: input with a row pitch",
        "`input` has a stride of 512",
        |t, _| t.input = t.input.with_strides(&[512, 1]),
        |e| matches!(e, Error::NotContiguous { tensor: "input", dim: 0, given: 512, expected: K }),
    ),
    (
        "quantiser: scale_factor column-major",
        "`scale_factor`",
        |t, _| t.scale_factor = t.scale_factor.with_strides(&[1, SCALE_ROWS]),
        |e| matches!(e, Error::NotContiguous { tensor: "scale_factor", dim: 1, .. }),
    ),
];

/// Addresses, memory and overlap.
const ADDRESSES: &[Row] = &[
    (
        "quantiser: input off by 2",
        "`input` is at",
        |t, _| t.input = moved(t.input, t.input.address() + 2),
        |e| matches!(e, Error::Misaligned { tensor: "input", alignment: 16, .. }),
    ),
    (
        "quantiser: quant_output off by 4",
        "`quant_output` is at",
        |t, _| t.quant_output = moved(t.quant_output, t.quant_output.address() + 4),
        |e| matches!(e, Error::Misaligned { tensor: "quant_output", alignment: 16, .. }),
    ),
    (
        "quantiser: scale_factor off by 8",
        "`scale_factor` is at",
        |t, _| t.scale_factor = moved(t.scale_factor, t.scale_factor.address() + 8),
        |e| matches!(e, Error::Misaligned { tensor: "scale_factor", alignment: 16, .. }),
    ),
    (
        "quantiser: problem_sizes off by 1",
        "`problem_sizes` is at",
        |t, _| t.problem_sizes = moved(t.problem_sizes, t.problem_sizes.address() + 1),
        |e| matches!(e, Error::Misaligned { tensor: "problem_sizes", alignment: 4, .. }),
    ),
    (
        "quantiser: input at 0",
        "`input` has the address 0",
        |t, _| t.input = moved(t.input, 0),
        |e| matches!(e, Error::NullPointer { tensor: "input", .. }),
    ),
    (
        "quantiser: quant_output at 0",
        "`quant_output` has the address 0",
        |t, _| t.quant_output = moved(t.quant_output, 0),
        |e| matches!(e, Error::NullPointer { tensor: "quant_output", .. }),
    ),
    (
        "quantiser: scale_factor at 0",
        "`scale_factor` has the address 0",
        |t, _| t.scale_factor = moved(t.scale_factor, 0),
        |e| matches!(e, Error::NullPointer { tensor: "scale_factor", .. }),
    ),
    (
        "quantiser: scale_factor of the rows alone",
        "`scale_factor` needs",
        |t, w| t.scale_factor = moved(t.scale_factor, w.own(ROWS * COLUMNS)),
        |e| {
            matches!(
                e,
                Error::BufferTooShort {
                    tensor: "scale_factor",
                    needed_bytes: 7680,
                    available_bytes: 3072
                }
            )
        },
    ),
    (
        "quantiser: scale_factor begins late",
        "`scale_factor` needs",
        |t, _| t.scale_factor = moved(t.scale_factor, t.scale_factor.address() + 512),
        |e| {
            matches!(e, Error::BufferTooShort { tensor: "scale_factor", available_bytes: 7168, .. })
        },
    ),
    (
        "quantiser: quant_output one row short",
        "`quant_output` needs",
        |t, w| t.quant_output = moved(t.quant_output, w.own((ROWS - 1) * K)),
        |e| matches!(e, Error::BufferTooShort { tensor: "quant_output", .. }),
    ),
    (
        "quantiser: input of bytes",
        "`input` needs",
        |t, w| t.input = moved(t.input, w.own(ROWS * K)),
        |e| {
            matches!(
                e,
                Error::BufferTooShort {
                    tensor: "input",
                    needed_bytes: 196_608,
                    available_bytes: 98_304
                }
            )
        },
    ),
    (
        "quantiser: scale_factor on another device",
        "memory of device 5",
        |t, w| t.scale_factor = moved(t.scale_factor, w.elsewhere(SCALE_ROWS * COLUMNS)),
        |e| matches!(e, Error::WrongDevice { tensor: "scale_factor", given: 5, .. }),
    ),
    (
        "quantiser: quant_output freed",
        "`quant_output` at 0x",
        |t, w| t.quant_output = moved(t.quant_output, w.freed()),
        |e| matches!(e, Error::NotDeviceMemory { tensor: "quant_output", .. }),
    ),
    (
        "quantiser: input at the end of the address space",
        "`input` would reach past",
        |t, _| t.input = moved(t.input, u64::MAX - 15),
        |e| matches!(e, Error::AddressOverflow { tensor: "input", .. }),
    ),
    (
        "quantiser: quant_output in place",
        "with `input`",
        |t, _| t.quant_output = moved(t.quant_output, t.input.address()),
        |e| matches!(e, Error::Overlap { written: "quant_output", other: "input", bytes: 98_304 }),
    ),
    (
        "quantiser: scale_factor over input",
        "with `input`",
        |t, _| t.scale_factor = moved(t.scale_factor, t.input.address()),
        |e| matches!(e, Error::Overlap { written: "scale_factor", other: "input", .. }),
    ),
    (
        "quantiser: scale_factor over quant_output",
        "shares 7680 bytes",
        |t, _| t.scale_factor = moved(t.scale_factor, t.quant_output.address()),
        |e| matches!(e, Error::Overlap { written: "quant_output", other: "scale_factor", .. }),
    ),
    (
        "quantiser: quant_output over expert_offsets",
        "with `expert_offsets`",
        |t, _| t.expert_offsets = moved(t.expert_offsets, t.quant_output.address()),
        |e| matches!(e, Error::Overlap { written: "quant_output", other: "expert_offsets", .. }),
    ),
    (
        "quantiser: scale_factor over blockscale_offsets",
        "with `blockscale_offsets`",
        |t, _| t.blockscale_offsets = moved(t.blockscale_offsets, t.scale_factor.address() + 64),
        |e| {
            matches!(e, Error::Overlap { written: "scale_factor", other: "blockscale_offsets", .. })
        },
    ),
    (
        "quantiser: status in scale_factor",
        "`status`",
        |t, _| t.status = Some(at(t.scale_factor.address(), E::U32, &[1])),
        |e| matches!(e, Error::Overlap { written: "scale_factor", other: "status", bytes: 4 }),
    ),
    (
        "quantiser: status in blockscale_offsets",
        "with `blockscale_offsets`",
        |t, _| t.status = Some(at(t.blockscale_offsets.address(), E::U32, &[1])),
        |e| matches!(e, Error::Overlap { written: "status", other: "blockscale_offsets", .. }),
    ),
];

pub(crate) fn all() -> Vec<Outcome> {
    let rows = [SHAPES, ADDRESSES].concat().into_iter();
    rows.map(|(name, names, spoil, right)| {
        let world = World::quantiser();
        let answer = world.launch(spoil);
        Outcome { name, answer, right, names, launches: world.driver.launches().len() }
    })
    .collect()
}
