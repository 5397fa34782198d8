//! How scale factors come to tensor memory, and where a product looks for them.

use super::{ONE, power};
use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Standing};
use crate::probe::{A, ATOMS, B, M, MAX_N, Probe, ROW, SCALES_A, SCALES_B, Tensor};
use expert_gemm::Result;
use expert_gemm_kernels::abi::Arch;
use expert_gemm_kernels::abi::tensor_probe::COLUMNS;
use expert_gemm_kernels::tile::umma;
use expert_gemm_tests::rng::Rng;

/// All of them.
pub const FACTS: [Fact; 5] = [
    Fact {
        id: "scale-copy",
        claim: "`tcgen05.cp.32x128b.warpx4` brings word c of 16-byte row r to column c of lanes r, r + 32, r + 64 and r + 96; 8 rows are 128 bytes",
        relied_on: "kernels-gpu/src/tile/umma.rs `scales`, `COLUMNS_PER_ATOM`; docs/scale_layout.md",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: copies,
    },
    Fact {
        id: "scale-place",
        claim: "the scale of row i, of A as of B, is read from lane i % 32 of column i / 32",
        relied_on: "kernels-gpu/src/tile/umma.rs `ROWS_PER_SCALE_COLUMN`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| places(bench, &[0], 192),
    },
    Fact {
        id: "scale-byte",
        claim: "bits 4-5 of the instruction descriptor choose the byte of B's scales, bits 29-30 that of A's; bit 23 makes them powers of two",
        relied_on: "kernels-gpu/src/tile/umma.rs `scale_bytes`, `instruction`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: bytes,
    },
    Fact {
        id: "scale-shift",
        claim: "the scales of B may begin at column 2 of an atom, for its rows from 64 on",
        relied_on: "kernels-gpu/src/tile/umma.rs `SCALE_ROWS_STEP`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| places(bench, &[2], 128),
    },
    Fact {
        id: "scale-odd-shift",
        claim: "the scales of B may begin at an odd column, for rows from 32 or 96 on",
        relied_on: "nothing; tiles of 224 tokens would",
        standing: Standing::Open,
        families: &[Arch::Sm100f],
        ask: |bench| places(bench, &[1, 3], 96),
    },
];

fn copies(bench: &Bench) -> Result<Evidence> {
    let mut probe = Probe::new(11);
    // Atoms at both ends of what shared memory holds, to multiples of 4 columns: no kernel copies elsewhere.
    let atoms = [(0, ATOMS + 7 * 512), (36, ATOMS), (508, 1024)];
    for (column, source) in atoms {
        probe.copy(column, source);
    }
    let with = |row_of: &dyn Fn(usize, usize) -> Option<(usize, usize)>| {
        let mut tensor = probe.image();
        for (first, source) in atoms {
            for lane in 0..M {
                for column in 0..4 {
                    if let Some((row, word)) = row_of(lane, column) {
                        let at = source as usize + row * 16 + word * 4;
                        let bytes = probe.shared[at..].first_chunk().copied().unwrap_or_default();
                        tensor.set(lane, first as usize + column, u32::from_le_bytes(bytes));
                    }
                }
            }
        }
        tensor.0
    };
    let claim = with(&|lane, column| Some((lane % 32, column)));
    Ok(Evidence::new(probe.run(bench)?, claim, Box::new(Tensor::place))
        .or("only the first 32 lanes", with(&|lane, c| (lane < 32).then_some((lane, c))))
        .or(
            "words one after the other: word 32 c + r to column c of lane r",
            with(&|lane, column| {
                let word = column * 32 + lane % 32;
                Some((word / 4, word % 4))
            }),
        )
        .or(
            "quarter q of the lanes from rows 8 q",
            with(&|lane, c| Some(((lane / 32 * 8 + lane) % 32, c))),
        ))
}

/// A product of ones is the power of two that its scales are together.
pub(super) fn ones(seed: u64) -> Probe {
    let mut probe = Probe::new(seed);
    let mut row = [0; ROW];
    for first in row.iter_mut().step_by(32) {
        *first = ONE;
    }
    probe.operand(A, &vec![row; M]);
    probe.operand(B, &vec![row; MAX_N]);
    let rng = &mut Rng::stream(seed, 3);
    let mut scales =
        |rows: usize| (0..rows).map(|_| [(); 4].map(|()| rng.between(100, 154) as u8)).collect();
    let (a, b): (Vec<_>, Vec<_>) = (scales(M), scales(MAX_N));
    probe.scales(SCALES_A, &a);
    probe.scales(SCALES_B, &b);
    probe
}

/// Products whose scales of B begin so many columns further on; each from columns of its own on.
fn places(bench: &Bench, shifts: &[u32], n: usize) -> Result<Evidence> {
    let mut probe = ones(12);
    for (d, &shift) in (0..).step_by(n).zip(shifts) {
        probe.multiply(d, n, 0, false).scales_b = SCALES_B + shift;
    }
    let image = probe.image();
    // Lane and column of the scale of a row, from a first column on.
    let with = |place: &dyn Fn(usize) -> (usize, usize), shift_of: &dyn Fn(u32) -> u32| {
        let scale = |first: u32, row: usize| {
            let (lane, column) = place(row);
            image.at(lane, first as usize + column) as u8
        };
        let mut tensor = image.clone();
        for (d, &shift) in (0..).step_by(n).zip(shifts) {
            let first = SCALES_B + shift_of(shift);
            tensor.sums(d, n, |i, j| power(scale(SCALES_A, i), scale(first, j)));
        }
        tensor.0
    };
    let claimed = |row: usize| (row % 32, row / 32);
    let claim = with(&claimed, &|shift| shift);
    let evidence = Evidence::new(probe.run(bench)?, claim, Box::new(Tensor::place))
        .or(
            "four rows in a lane: lane i / 4, column i % 4",
            with(&|row| (row % 128 / 4, row / 128 * 4 + row % 4), &|shift| shift),
        )
        .or("a lane for each row: lane i, column 0", with(&|row| (row % 128, row / 128), &|s| s));
    // Without a shift, ignoring it changes nothing.
    Ok(match shifts {
        [0] => evidence,
        _ => evidence
            .or("the shift is ignored", with(&claimed, &|_| 0))
            .or("half the shift", with(&claimed, &|shift| shift / 2)),
    })
}

fn bytes(bench: &Bench) -> Result<Evidence> {
    const N: usize = 16;
    let mut probe = ones(13);
    let ids: [[u32; 2]; 16] = core::array::from_fn(|id| [id as u32 / 4, id as u32 % 4]);
    for (d, &[of_a, of_b]) in (0..).step_by(N).zip(&ids) {
        // `scale_bytes` sets both at once; the parts of it are bits 29-30 and 4-5.
        let bits = umma::scale_bytes(of_a) & 3 << 29 | umma::scale_bytes(of_b) & 3 << 4;
        probe.multiply(d, N, 0, false).instruction |= bits;
    }
    let image = probe.image();
    let with = |choose: &dyn Fn([u32; 2]) -> [u32; 2]| {
        let scale = |first: u32, row: usize, id: u32| {
            (image.at(row % 32, first as usize + row / 32) >> (8 * id)) as u8
        };
        let mut tensor = image.clone();
        for (d, &ids) in (0..).step_by(N).zip(&ids) {
            let [of_a, of_b] = choose(ids);
            tensor.sums(d, N, |i, j| power(scale(SCALES_A, i, of_a), scale(SCALES_B, j, of_b)));
        }
        tensor.0
    };
    let place = Box::new(|at: usize| {
        let column = at % COLUMNS as usize;
        let [a, b] = [column / N / 4, column / N % 4];
        format!("byte {a} of A and {b} of B, {}", Tensor::place(at))
    });
    Ok(Evidence::new(probe.run(bench)?, with(&|ids| ids), place)
        .or("bits 4-5 are of A, bits 29-30 of B", with(&|[a, b]| [b, a]))
        .or("bytes are counted from the other end", with(&|ids| ids.map(|id| 3 - id)))
        .or("always byte 0", with(&|_| [0; 2])))
}
