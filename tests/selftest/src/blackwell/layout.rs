//! Where operands, sums and registers lie, and what the descriptors say.

use super::{dot, whole_numbers};
use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Standing};
use crate::probe::{A, B, M, Probe, ROW, STEP, Tensor, swizzled};
use expert_gemm::Result;
use expert_gemm_kernels::abi::Arch;
use expert_gemm_kernels::abi::tensor_probe::{
    COLUMNS, SHARED_BYTES, VIEW_16_COLUMNS, VIEW_32_COLUMNS, VIEW_SHARED,
};
use expert_gemm_tests::rng::Rng;

/// All of them.
pub const FACTS: [Fact; 5] = [
    Fact {
        id: "box-swizzle",
        claim: "a tensor copy lays rows of 128 bytes down with the 128-byte swizzle: address bits 4-6 are XORed with bits 7-9",
        relied_on: "host/src/plan, kernels-gpu/src/ptx/tma.rs `load_2d`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: box_swizzle,
    },
    Fact {
        id: "load-32-columns",
        claim: "register 4 g + i of thread t of `tcgen05.ld.16x256b.x4` is lane t / 4 + 8 (i / 2) and column 8 g + 2 (t % 4) + i % 2",
        relied_on: "kernels-gpu/src/ptx/tcgen05.rs `load_32_columns`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| loads(bench, 32, VIEW_32_COLUMNS),
    },
    Fact {
        id: "load-16-columns",
        claim: "the same of `tcgen05.ld.16x256b.x2`",
        relied_on: "kernels-gpu/src/ptx/tcgen05.rs `load_16_columns`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| loads(bench, 16, VIEW_16_COLUMNS),
    },
    Fact {
        id: "operand-descriptor",
        claim: "operands are K-major rows of 128 bytes, 128-byte swizzled, 1024 bytes from 8 rows to the next; a step of K is 32 bytes further on; row i of A and row j of B meet in lane i, column j",
        relied_on: "kernels-gpu/src/tile/umma.rs `operand`, `K_STEP`; kernels-gpu/src/ptx/tcgen05.rs `Scaled`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: operand_descriptor,
    },
    Fact {
        id: "instruction-n",
        claim: "N / 8 stands in bits 17-22 of the instruction descriptor, M = 128 in bits 27-28; every multiple of 16 up to 192 writes N columns and no more, and what they held does not count",
        relied_on: "kernels-gpu/src/tile/umma.rs `instruction`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: instruction_n,
    },
];

/// The first row and the rows of the box, and where it goes.
const FIRST: u32 = 3;
const BOX_ROWS: usize = 64;
const TARGET: u32 = 8192;

fn box_swizzle(bench: &Bench) -> Result<Evidence> {
    let mut probe = Probe::new(1);
    let rng = &mut Rng::stream(1, 2);
    let rows: Vec<u8> =
        (0..(BOX_ROWS + 8) * ROW / 8).flat_map(|_| rng.bits().to_le_bytes()).collect();
    probe.view = VIEW_SHARED;
    probe.copy_box(TARGET, FIRST, (BOX_ROWS * ROW) as u32);
    probe.rows = Some((rows.clone(), BOX_ROWS as u64));
    let mut got = probe.run(bench)?;
    got.truncate(SHARED_BYTES as usize / 4);
    let with = |place: &dyn Fn(usize) -> usize| {
        let mut shared = probe.shared.clone();
        for at in 0..BOX_ROWS * ROW {
            shared[TARGET as usize + place(at)] = rows[FIRST as usize * ROW + at];
        }
        let words = shared.as_chunks().0.iter();
        words.map(|&bytes| u32::from_le_bytes(bytes)).collect::<Vec<_>>()
    };
    let place = Box::new(|at: usize| format!("shared memory, byte {}", at * 4));
    Ok(Evidence::new(got, with(&swizzled), place)
        .or("no swizzle", with(&|at| at))
        .or("the 64-byte swizzle", with(&|at| at ^ ((at >> 7 & 3) << 4)))
        .or("XOR with bits 8-10", with(&|at| at ^ ((at >> 8 & 7) << 4))))
}

/// What the epilogue's loads of so many columns at once leave in registers.
fn loads(bench: &Bench, columns: usize, view: u32) -> Result<Evidence> {
    let mut probe = Probe::new(2);
    probe.view = view;
    let (image, half) = (probe.image(), columns / 2);
    let registers = move |at: usize| {
        // Warps, groups of columns, threads, halves of the lanes, registers.
        let (register, at) = (at % half, at / half);
        let (upper, at) = (at % 2, at / 2);
        let (thread, at) = (at % 32, at / 32);
        let groups = COLUMNS as usize / columns;
        (at / groups, at % groups, thread, upper, register)
    };
    let with = |place: &dyn Fn(usize, usize) -> (usize, usize)| {
        let words = 0..image.0.len();
        words
            .map(|at| {
                let (warp, group, thread, upper, register) = registers(at);
                let (lane, column) = place(thread, register);
                image.at(warp * 32 + upper * 16 + lane, group * columns + column)
            })
            .collect::<Vec<_>>()
    };
    let place = Box::new(move |at: usize| {
        let (warp, group, thread, upper, register) = registers(at);
        let lanes = if upper == 0 { "lower" } else { "upper" };
        let first = group * columns;
        format!(
            "warp {warp}, thread {thread}, register {register} of the {lanes} lanes, columns from {first}"
        )
    });
    Ok(Evidence::new(
        probe.run(bench)?,
        with(&|t, r| (t / 4 + 8 * (r % 4 / 2), 8 * (r / 4) + 2 * (t % 4) + r % 2)),
        place,
    )
    .or(
        "pairs of lanes before pairs of columns",
        with(&|t, r| (t / 4 + 8 * (r % 2), 8 * (r / 4) + 2 * (t % 4) + r % 4 / 2)),
    )
    .or(
        "four neighbouring columns, as of 16x128b",
        with(&|t, r| (t / 4 + 8 * (r % 2), 8 * (r / 4) + 4 * (r % 4 / 2) + t % 4)),
    ))
}

/// Chooses what a product takes of a row, for a step: the rows of an operand, the row, the step.
type Take<'a> = &'a dyn Fn(&[[u8; ROW]], usize, usize) -> Vec<u8>;

/// Rows of B in this question.
const N: usize = 64;

fn operand_descriptor(bench: &Bench) -> Result<Evidence> {
    let mut probe = Probe::new(3);
    let [a, b] = whole_numbers(3);
    probe.operand(A, &a);
    probe.operand(B, &b);
    probe.equal_scales(127);
    for step in 0..4 {
        probe.multiply(step * N as u32, N, step, false);
    }
    let image = probe.image();
    let slice = |row: &[u8; ROW], step: usize| row[step * STEP..][..STEP].to_vec();
    let with = |lane: &dyn Fn(usize) -> usize, take: Take<'_>| {
        let mut tensor = image.clone();
        for step in 0..4 {
            let rows = |of: &[[u8; ROW]], count| (0..count).map(|r| take(of, r, step)).collect();
            let (a, b): (Vec<_>, Vec<_>) = (rows(&a, M), rows(&b, N));
            for (i, a) in a.iter().enumerate() {
                for (j, b) in b.iter().enumerate() {
                    tensor.set(lane(i), step * N + j, dot(a, b).to_bits());
                }
            }
        }
        tensor.0
    };
    let straight = |i: usize| i;
    let shared = |base: u32, place: &dyn Fn(usize) -> usize, row: usize, from: usize| {
        (0..STEP).map(|k| probe.shared[base as usize + place(row * ROW + from + k)]).collect()
    };
    let base = |of: &[[u8; ROW]]| if of.len() == M { A } else { B };
    let linear =
        |of: &[[u8; ROW]], row: usize, step: usize| shared(base(of), &|at| at, row, step * STEP);
    // The swizzle of the row's first bytes, and the step added behind it.
    let late = |of: &[[u8; ROW]], row: usize, step: usize| {
        shared(base(of), &|at| swizzled(at - step * STEP) + step * STEP, row, step * STEP)
    };
    let claim = with(&straight, &|of, row, step| slice(&of[row], step));
    Ok(Evidence::new(probe.run(bench)?, claim, Box::new(Tensor::place))
        .or("no swizzle", with(&straight, &linear))
        .or("the step is ignored", with(&straight, &|of, row, _| slice(&of[row], 0)))
        .or("the step is added behind the swizzle", with(&straight, &late))
        .or(
            "lanes of 16 rows in turn, as with M = 64",
            with(&|i| i % 64 / 16 * 32 + i / 64 * 16 + i % 16, &|of, row, step| {
                slice(&of[row], step)
            }),
        ))
}

/// Each accumulator has these columns.
const SUM: u32 = 192;

fn instruction_n(bench: &Bench) -> Result<Evidence> {
    let [a, b] = whole_numbers(4);
    // Two widths in a tile.
    let mut widths = (1..=12).map(|n| n * 16).collect::<Vec<usize>>();
    widths.rotate_left(3);
    let (mut got, mut want) = (Vec::new(), Vec::new());
    let mut others: [Vec<u32>; 3] = Default::default();
    for pair in widths.chunks(2) {
        let mut probe = Probe::new(pair[0] as u64);
        probe.operand(A, &a);
        probe.operand(B, &b);
        probe.equal_scales(127);
        for (d, &n) in [0, SUM].into_iter().zip(pair) {
            probe.multiply(d, n, 0, false);
        }
        got.extend(probe.run(bench)?);
        let with = |columns: &dyn Fn(usize) -> usize| {
            let mut tensor = probe.image();
            for (d, &n) in [0, SUM].into_iter().zip(pair) {
                let columns = columns(n).min(SUM as usize);
                tensor.sums(d, columns, |i, j| dot(&a[i][..STEP], &b[j][..STEP]));
            }
            tensor.0
        };
        want.extend(with(&|n| n));
        others[0].extend(with(&|n| n.next_multiple_of(32)));
        others[1].extend(with(&|n| n.next_multiple_of(64)));
        others[2].extend(with(&|n| n / 32 * 32));
    }
    let place = Box::new(move |at: usize| {
        let (tile, at) = (at / (M * COLUMNS as usize), at % (M * COLUMNS as usize));
        let n = &widths[tile * 2..][..2];
        format!("N = {} from column 0 and {} from column {SUM}, {}", n[0], n[1], Tensor::place(at))
    });
    let [by_32, by_64, down] = others;
    Ok(Evidence::new(got, want, place)
        .or("N is completed to a multiple of 32", by_32)
        .or("N is completed to a multiple of 64", by_64)
        .or("N is cut to a multiple of 32", down))
}
