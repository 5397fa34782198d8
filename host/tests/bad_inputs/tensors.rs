//! Tensors that do not fit the plan, or are not where they should be.

use super::Outcome;
use super::world::{EXPERTS, K, N, ROWS, World, at, moved, shaped, typed};
use expert_gemm::{ElementType as E, Error, Fp8GroupedMmTensors};

type Spoil = fn(&mut Fp8GroupedMmTensors<'_>, &World);
type Right = fn(&Error) -> bool;
type Row = (&'static str, &'static str, Spoil, Right);

/// An address that is on the host.
fn host_address() -> u64 {
    static HOST: [u64; 2] = [0; 2];
    std::ptr::from_ref(&HOST).addr() as u64 & !15
}

const TYPES: &[Row] = &[
    (
        "a as bytes of another float",
        "`a` holds u8",
        |t, _| t.a = typed(t.a, E::U8),
        |e| matches!(e, Error::WrongElementType { tensor: "a", given: E::U8, expected: E::E4m3 }),
    ),
    (
        "a of two-byte elements",
        "`a` holds bf16",
        |t, _| t.a = typed(t.a, E::Bf16),
        |e| matches!(e, Error::WrongElementType { tensor: "a", .. }),
    ),
    (
        "b of two-byte elements",
        "`b` holds f16",
        |t, _| t.b = typed(t.b, E::F16),
        |e| matches!(e, Error::WrongElementType { tensor: "b", .. }),
    ),
    (
        "output of another type",
        "`output` holds f16",
        |t, _| t.output = typed(t.output, E::F16),
        |e| matches!(e, Error::WrongElementType { tensor: "output", expected: E::Bf16, .. }),
    ),
    (
        "scales_a of bytes",
        "`scales_a`",
        |t, _| t.scales_a = typed(t.scales_a, E::U8),
        |e| matches!(e, Error::WrongElementType { tensor: "scales_a", expected: E::F32, .. }),
    ),
    (
        "scales_b of bf16",
        "`scales_b`",
        |t, _| t.scales_b = typed(t.scales_b, E::Bf16),
        |e| matches!(e, Error::WrongElementType { tensor: "scales_b", .. }),
    ),
    (
        "problem_sizes unsigned",
        "`problem_sizes`",
        |t, _| t.problem_sizes = typed(t.problem_sizes, E::U32),
        |e| matches!(e, Error::WrongElementType { tensor: "problem_sizes", .. }),
    ),
    (
        "expert_offsets of floats",
        "`expert_offsets`",
        |t, _| t.expert_offsets = typed(t.expert_offsets, E::F32),
        |e| matches!(e, Error::WrongElementType { tensor: "expert_offsets", .. }),
    ),
    (
        "status signed",
        "`status`",
        |t, _| t.status = t.status.map(|s| typed(s, E::I32)),
        |e| matches!(e, Error::WrongElementType { tensor: "status", .. }),
    ),
];

const SHAPES: &[Row] = &[
    (
        "a flat",
        "`a` has 1 dimensions",
        |t, _| t.a = shaped(t.a, &[ROWS * K]),
        |e| matches!(e, Error::WrongRank { tensor: "a", given: 1, expected: 2, .. }),
    ),
    (
        "a of six dimensions",
        "`a` has 6",
        |t, _| t.a = shaped(t.a, &[1, 1, 1, 1, ROWS, K]),
        |e| matches!(e, Error::WrongRank { tensor: "a", given: 6, .. }),
    ),
    (
        "b without experts",
        "`b` has 2",
        |t, _| t.b = shaped(t.b, &[N, K]),
        |e| matches!(e, Error::WrongRank { tensor: "b", expected: 3, .. }),
    ),
    (
        "output scalar",
        "`output` has 0",
        |t, _| t.output = shaped(t.output, &[]),
        |e| matches!(e, Error::WrongRank { tensor: "output", given: 0, .. }),
    ),
    (
        "problem_sizes flat",
        "`problem_sizes`",
        |t, _| t.problem_sizes = shaped(t.problem_sizes, &[EXPERTS * 3]),
        |e| matches!(e, Error::WrongRank { tensor: "problem_sizes", .. }),
    ),
    (
        "scales_b flat",
        "`scales_b`",
        |t, _| t.scales_b = shaped(t.scales_b, &[EXPERTS * 6]),
        |e| matches!(e, Error::WrongRank { tensor: "scales_b", .. }),
    ),
    (
        "a with fewer rows",
        "dimension 0 of `a` is 255",
        |t, _| t.a = shaped(t.a, &[ROWS - 1, K]),
        |e| matches!(e, Error::WrongShape { tensor: "a", dim: 0, given: 255, expected: 256, .. }),
    ),
    (
        "a with another K",
        "dimension 1 of `a` is 256",
        |t, _| t.a = shaped(t.a, &[ROWS, 256]),
        |e| matches!(e, Error::WrongShape { tensor: "a", dim: 1, .. }),
    ),
    (
        "b transposed",
        "dimension 1 of `b`",
        |t, _| t.b = shaped(t.b, &[EXPERTS, K, N]),
        |e| matches!(e, Error::WrongShape { tensor: "b", dim: 1, given: K, expected: N, .. }),
    ),
    (
        "b of fewer experts",
        "dimension 0 of `b` is 3",
        |t, _| t.b = shaped(t.b, &[3, N, K]),
        |e| matches!(e, Error::WrongShape { tensor: "b", dim: 0, given: 3, .. }),
    ),
    (
        "output with more rows",
        "`output` is 300",
        |t, _| t.output = shaped(t.output, &[300, N]),
        |e| matches!(e, Error::WrongShape { tensor: "output", dim: 0, .. }),
    ),
    (
        "output with another N",
        "`output` is 128",
        |t, _| t.output = shaped(t.output, &[ROWS, 128]),
        |e| matches!(e, Error::WrongShape { tensor: "output", dim: 1, .. }),
    ),
    (
        "scales_a for each element",
        "`scales_a` is 384",
        |t, _| t.scales_a = shaped(t.scales_a, &[ROWS, K]),
        |e| matches!(e, Error::WrongShape { tensor: "scales_a", dim: 1, expected: 3, .. }),
    ),
    (
        "scales_a column-major",
        "`scales_a` is 3",
        |t, _| t.scales_a = shaped(t.scales_a, &[3, ROWS]),
        |e| matches!(e, Error::WrongShape { tensor: "scales_a", dim: 0, .. }),
    ),
    (
        "scales_b transposed",
        "`scales_b` is 3",
        |t, _| t.scales_b = shaped(t.scales_b, &[EXPERTS, 3, 2]),
        |e| matches!(e, Error::WrongShape { tensor: "scales_b", dim: 1, .. }),
    ),
    (
        "problem_sizes of pairs",
        "`problem_sizes` is 2",
        |t, _| t.problem_sizes = shaped(t.problem_sizes, &[EXPERTS, 2]),
        |e| {
            matches!(
                e,
                Error::WrongShape { tensor: "problem_sizes", dim: 1, given: 2, expected: 3, .. }
            )
        },
    ),
    (
        "problem_sizes too long",
        "`problem_sizes` is 5",
        |t, _| t.problem_sizes = shaped(t.problem_sizes, &[5, 3]),
        |e| matches!(e, Error::WrongShape { tensor: "problem_sizes", dim: 0, .. }),
    ),
    (
        "expert_offsets with the total",
        "without the total",
        |t, _| t.expert_offsets = shaped(t.expert_offsets, &[EXPERTS + 1]),
        |e| matches!(e, Error::OffsetsWithTotal { tensor: "expert_offsets", given: 5, experts: 4 }),
    ),
    (
        "expert_offsets too short",
        "`expert_offsets` is 3",
        |t, _| t.expert_offsets = shaped(t.expert_offsets, &[3]),
        |e| matches!(e, Error::WrongShape { tensor: "expert_offsets", given: 3, expected: 4, .. }),
    ),
    (
        "status of two words",
        "`status` is 2",
        |t, _| t.status = t.status.map(|s| shaped(s, &[2])),
        |e| matches!(e, Error::WrongShape { tensor: "status", given: 2, expected: 1, .. }),
    ),
    (
        "a with a row pitch",
        "dimension 0 of `a` has a stride of 512",
        |t, _| t.a = t.a.with_strides(&[512, 1]),
        |e| matches!(e, Error::NotContiguous { tensor: "a", dim: 0, given: 512, expected: K }),
    ),
    (
        "b as a transposed view",
        "dimension 2 of `b`",
        |t, _| t.b = t.b.with_strides(&[N * K, 1, N]),
        |e| matches!(e, Error::NotContiguous { tensor: "b", dim: 2, .. }),
    ),
    (
        "output broadcast",
        "`output` has a stride of 0",
        |t, _| t.output = t.output.with_strides(&[0, 1]),
        |e| matches!(e, Error::NotContiguous { tensor: "output", given: 0, .. }),
    ),
    (
        "scales_a column-major strides",
        "`scales_a`",
        |t, _| t.scales_a = t.scales_a.with_strides(&[1, ROWS]),
        |e| {
            matches!(
                e,
                Error::NotContiguous { tensor: "scales_a", dim: 1, given: ROWS, expected: 1 }
            )
        },
    ),
    (
        "strides for another rank",
        "`a` has 3 strides",
        |t, _| t.a = t.a.with_strides(&[1, K, 1]),
        |e| matches!(e, Error::WrongStrides { tensor: "a", given: 3, expected: 2 }),
    ),
];

const ADDRESSES: &[Row] = &[
    (
        "a at 0",
        "`a` has the address 0",
        |t, _| t.a = moved(t.a, 0),
        |e| matches!(e, Error::NullPointer { tensor: "a", .. }),
    ),
    (
        "output at 0",
        "`output` has the address 0",
        |t, _| t.output = moved(t.output, 0),
        |e| matches!(e, Error::NullPointer { tensor: "output", .. }),
    ),
    (
        "status at 0",
        "`status` has the address 0",
        |t, _| t.status = t.status.map(|s| moved(s, 0)),
        |e| matches!(e, Error::NullPointer { tensor: "status", bytes: 4 }),
    ),
    (
        "a off by 8",
        "`a` is at",
        |t, _| t.a = moved(t.a, t.a.address() + 8),
        |e| matches!(e, Error::Misaligned { tensor: "a", alignment: 16, .. }),
    ),
    (
        "b off by 1",
        "`b` is at",
        |t, _| t.b = moved(t.b, t.b.address() + 1),
        |e| matches!(e, Error::Misaligned { tensor: "b", alignment: 16, .. }),
    ),
    (
        "output off by 2",
        "`output` is at",
        |t, _| t.output = moved(t.output, t.output.address() + 2),
        |e| matches!(e, Error::Misaligned { tensor: "output", alignment: 16, .. }),
    ),
    (
        "scales_a off by 2",
        "`scales_a` is at",
        |t, _| t.scales_a = moved(t.scales_a, t.scales_a.address() + 2),
        |e| matches!(e, Error::Misaligned { tensor: "scales_a", alignment: 4, .. }),
    ),
    (
        "expert_offsets off by 1",
        "`expert_offsets` is at",
        |t, _| t.expert_offsets = moved(t.expert_offsets, t.expert_offsets.address() + 1),
        |e| matches!(e, Error::Misaligned { tensor: "expert_offsets", alignment: 4, .. }),
    ),
    (
        "a at the end of the address space",
        "`a` would reach past",
        |t, _| t.a = moved(t.a, u64::MAX - 15),
        |e| matches!(e, Error::AddressOverflow { tensor: "a", .. }),
    ),
    (
        "a on the host",
        "`a` at 0x",
        |t, _| t.a = moved(t.a, host_address()),
        |e| matches!(e, Error::NotDeviceMemory { tensor: "a", .. }),
    ),
    (
        "expert_offsets on the host",
        "`expert_offsets` at 0x",
        |t, _| t.expert_offsets = moved(t.expert_offsets, host_address()),
        |e| matches!(e, Error::NotDeviceMemory { tensor: "expert_offsets", .. }),
    ),
    (
        "b freed",
        "`b` at 0x",
        |t, w| {
            let freed = w.device.alloc(EXPERTS * N * K).expect("alloc").address();
            t.b = moved(t.b, freed);
        },
        |e| matches!(e, Error::NotDeviceMemory { tensor: "b", .. }),
    ),
    (
        "output past its allocation",
        "`output` at 0x",
        |t, _| t.output = moved(t.output, t.output.address() + ROWS * N * 2),
        |e| matches!(e, Error::NotDeviceMemory { tensor: "output", .. }),
    ),
    (
        "a on another device",
        "`a` is in the memory of device 1",
        |t, w| t.a = moved(t.a, w.driver.alloc_on(1, ROWS * K)),
        |e| matches!(e, Error::WrongDevice { tensor: "a", given: 1, expected: 0 }),
    ),
    (
        "output on another device",
        "`output` is in the memory of device 7",
        |t, w| t.output = moved(t.output, w.driver.alloc_on(7, ROWS * N * 2)),
        |e| matches!(e, Error::WrongDevice { tensor: "output", given: 7, .. }),
    ),
    (
        "a one row short",
        "`a` needs",
        |t, w| t.a = moved(t.a, w.driver.alloc_on(0, (ROWS - 1) * K)),
        |e| {
            matches!(
                e,
                Error::BufferTooShort {
                    tensor: "a",
                    needed_bytes: 98_304,
                    available_bytes: 97_920
                }
            )
        },
    ),
    (
        "b begins late",
        "`b` needs",
        |t, _| t.b = moved(t.b, t.b.address() + 16),
        |e| matches!(e, Error::BufferTooShort { tensor: "b", .. }),
    ),
    (
        "output one byte short",
        "`output` needs",
        |t, w| t.output = moved(t.output, w.driver.alloc_on(0, ROWS * N * 2 - 1)),
        |e| matches!(e, Error::BufferTooShort { tensor: "output", .. }),
    ),
    (
        "scales_b one element short",
        "`scales_b` needs",
        |t, w| t.scales_b = moved(t.scales_b, w.driver.alloc_on(0, EXPERTS * 6 * 4 - 4)),
        |e| matches!(e, Error::BufferTooShort { tensor: "scales_b", .. }),
    ),
    (
        "problem_sizes short",
        "`problem_sizes` needs",
        |t, w| t.problem_sizes = moved(t.problem_sizes, w.driver.alloc_on(0, 12)),
        |e| matches!(e, Error::BufferTooShort { tensor: "problem_sizes", available_bytes: 12, .. }),
    ),
    (
        "status short",
        "`status` needs",
        |t, w| t.status = t.status.map(|s| moved(s, w.driver.alloc_on(0, 3))),
        |e| {
            matches!(
                e,
                Error::BufferTooShort { tensor: "status", needed_bytes: 4, available_bytes: 3 }
            )
        },
    ),
    (
        "output over a",
        "`output` shares 98304 bytes with `a`",
        |t, _| t.output = moved(t.output, t.a.address()),
        |e| matches!(e, Error::Overlap { written: "output", other: "a", .. }),
    ),
    (
        "output over the end of b",
        "`output` shares 16 bytes with `b`",
        |t, _| t.output = moved(t.output, t.b.address() + EXPERTS * N * K - 16),
        |e| matches!(e, Error::Overlap { written: "output", other: "b", bytes: 16 }),
    ),
    (
        "output over scales_a",
        "`scales_a`",
        |t, _| t.scales_a = moved(t.scales_a, t.output.address()),
        |e| matches!(e, Error::Overlap { written: "output", other: "scales_a", .. }),
    ),
    (
        "output over expert_offsets",
        "`expert_offsets`",
        |t, _| t.expert_offsets = moved(t.expert_offsets, t.output.address() + 64),
        |e| matches!(e, Error::Overlap { written: "output", other: "expert_offsets", bytes: 16 }),
    ),
    (
        "status in the output",
        "`status`",
        |t, _| t.status = Some(at(t.output.address() + 4, E::U32, &[1])),
        |e| matches!(e, Error::Overlap { written: "output", other: "status", bytes: 4 }),
    ),
    (
        "status in problem_sizes",
        "`status` shares 4 bytes with `problem_sizes`",
        |t, _| t.status = Some(at(t.problem_sizes.address(), E::U32, &[1])),
        |e| matches!(e, Error::Overlap { written: "status", other: "problem_sizes", .. }),
    ),
];

/// What is seen without asking the driver about memory.
const UNSEEN: &[Row] = &[
    (
        "shapes only: a of another K",
        "`a` is 128",
        |t, _| t.a = shaped(t.a, &[ROWS, 128]),
        |e| matches!(e, Error::WrongShape { tensor: "a", .. }),
    ),
    (
        "shapes only: output over b",
        "`b`",
        |t, _| t.output = moved(t.output, t.b.address()),
        |e| matches!(e, Error::Overlap { written: "output", other: "b", .. }),
    ),
    (
        "shapes only: scales_b off by 1",
        "`scales_b`",
        |t, _| t.scales_b = moved(t.scales_b, t.scales_b.address() + 1),
        |e| matches!(e, Error::Misaligned { tensor: "scales_b", .. }),
    ),
];

pub(crate) fn all() -> Vec<Outcome> {
    let seen =
        [TYPES, SHAPES, ADDRESSES].concat().into_iter().map(|(name, names, spoil, right)| {
            let world = World::new();
            let answer = world.launch(spoil);
            Outcome { name, answer, right, names, launches: world.driver.launches().len() }
        });
    let unseen = UNSEEN.iter().map(|&(name, names, spoil, right)| {
        let world = World::new();
        let answer = world.launch_unseen(spoil);
        Outcome { name, answer, right, names, launches: world.driver.launches().len() }
    });
    seen.chain(unseen).collect()
}
