//! How the two CTAs of a pair share a product: M = 256, 128 rows of A in each.

use super::order::Rounds;
use super::scales::ones;
use super::{dot, power, whole_numbers};
use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Place, Standing};
use crate::probe::{A, ATOMS, B, M, MAX_N, Probe, ROW, SCALES_A, SCALES_B, STEP, Tensor};
use expert_gemm::Result;
use expert_gemm_kernels::abi::Arch;
use expert_gemm_kernels::abi::tensor_probe::COLUMNS;

const fn fact(
    id: &'static str,
    claim: &'static str,
    relied_on: &'static str,
    ask: fn(&Bench) -> Result<Evidence>,
) -> Fact {
    Fact { id, claim, relied_on, standing: Standing::Assumed, families: &[Arch::Sm100f], ask }
}

const SCALED: &str = "kernels-gpu/src/ptx/tcgen05.rs `Scaled`, over a pair";

/// All of them.
pub const FACTS: [Fact; 6] = [
    fact(
        "pair-operands",
        "of A and of the sums each CTA has 128 rows, the even one the first; of B each has half of the rows, the even one the first; one descriptor and one column hold in both",
        SCALED,
        operands,
    ),
    fact(
        "pair-instruction-n",
        "M = 256 stands in bits 27-28 of the instruction descriptor; every multiple of 16 up to 256 is an N, and writes N columns in both CTAs",
        "kernels-gpu/src/tile/umma.rs `instruction`; kernels-gpu/src/tile/token_tiles.rs `STEP`",
        instruction_n,
    ),
    fact(
        "pair-scale-copy",
        "a copy of scales reads in each CTA its own shared memory, and writes its own tensor memory",
        "kernels-gpu/src/ptx/tcgen05.rs `copy_32x128b`",
        copies,
    ),
    fact(
        "pair-scale-place",
        "each CTA has the scales of its 128 rows of A, and of all rows of B",
        SCALED,
        |bench| scales(bench, true),
    ),
    Fact {
        id: "pair-scale-home",
        claim: "the scales of B that a CTA's sums are computed with are those in its own tensor memory",
        relied_on: "nothing; both CTAs hold the same",
        standing: Standing::Open,
        families: &[Arch::Sm100f],
        ask: |bench| scales(bench, false),
    },
    fact(
        "pair-copy-before-product",
        "a copy of scales is done in both CTAs before a product that the same thread issues after it, without a wait",
        "kernels-gpu/src/gemm/mxfp8_gemm_sm100_pair/multiply.rs",
        order,
    ),
];

/// Names a place in the tensor memory of both CTAs.
fn place() -> Place {
    let words = M * COLUMNS as usize;
    Box::new(move |at| format!("CTA {}, {}", at / words, Tensor::place(at % words)))
}

/// What both CTAs leave, each by its rank.
fn both(of: impl Fn(usize) -> Vec<u32>) -> Vec<u32> {
    [of(0), of(1)].concat()
}

/// A row of an operand, by CTA and row.
type Rows = [Vec<[u8; ROW]>; 2];

/// Tiles of both CTAs with whole numbers for operands, and their rows of A and of B.
fn whole(seed: u64) -> ([Probe; 2], Rows, Rows) {
    let tile = |seed| {
        let mut probe = Probe::new(seed);
        let [a, b] = whole_numbers(seed);
        probe.operand(A, &a);
        probe.operand(B, &b);
        probe.equal_scales(127);
        (probe, a, b)
    };
    let ((even, a0, b0), (odd, a1, b1)) = (tile(seed), tile(seed + 1));
    ([even, odd], [a0, a1], [b0, b1])
}

fn operands(bench: &Bench) -> Result<Evidence> {
    const N: usize = 96;
    let ([mut even, odd], a, b) = whole(41);
    for step in 0..4 {
        even.multiply(step * N as u32, N, step, false);
    }
    even.over_a_pair();
    let images = [even.image(), odd.image()];
    // The CTA whose A a CTA multiplies; the CTA and the place there of a row of B.
    let with = |of_a: fn(usize) -> usize, of_b: fn(usize, usize) -> [usize; 2]| {
        both(|cta| {
            let mut tensor = images[cta].clone();
            for step in 0..4 {
                let slice = |row: &[u8; ROW]| row.as_chunks::<STEP>().0[step];
                tensor.sums((step * N) as u32, N, |i, j| {
                    let [home, row] = of_b(cta, j);
                    dot(&slice(&a[of_a(cta)][i]), &slice(&b[home][row]))
                });
            }
            tensor.0
        })
    };
    let claim = with(|cta| cta, |_, j| [j / (N / 2), j % (N / 2)]);
    Ok(Evidence::new(even.run_beside(&odd, bench)?, claim, place())
        .or(
            "the even CTA has the second half of B",
            with(|cta| cta, |_, j| [1 - j / (N / 2), j % (N / 2)]),
        )
        .or("rows of B lie in the CTAs in turn", with(|cta| cta, |_, j| [j % 2, j / 2]))
        .or("each CTA multiplies by all rows of its own B", with(|cta| cta, |cta, j| [cta, j]))
        .or("all rows of B are the even CTA's", with(|cta| cta, |_, j| [0, j]))
        .or(
            "the even CTA has the second half of A",
            with(|cta| 1 - cta, |_, j| [j / (N / 2), j % (N / 2)]),
        ))
}

fn instruction_n(bench: &Bench) -> Result<Evidence> {
    /// Columns of the second sum of a tile, which is at most 128 wide.
    const SECOND: u32 = 256;
    let ([even, odd], a, b) = whole(43);
    let images = [even.image(), odd.image()];
    let (mut got, mut want) = (Vec::new(), Vec::new());
    let mut others: [Vec<u32>; 2] = Default::default();
    // Two widths in a tile, 272 together.
    let widths: Vec<[usize; 2]> = (1..=8).map(|n| [272 - n * 16, n * 16]).collect();
    for widths in &widths {
        let mut even = even.clone();
        for (d, &n) in [0, SECOND].into_iter().zip(widths) {
            even.multiply(d, n, 0, false);
        }
        even.over_a_pair();
        got.extend(even.run_beside(&odd, bench)?);
        // As many columns as this makes of N, all from rows that the halves of N have.
        let with = |columns: &dyn Fn(usize) -> usize| {
            both(|cta| {
                let mut tensor = images[cta].clone();
                for (d, &n) in [0, SECOND].into_iter().zip(widths) {
                    let n = columns(n);
                    let half = n / 2;
                    tensor
                        .sums(d, n, |i, j| dot(&a[cta][i][..STEP], &b[j / half][j % half][..STEP]));
                }
                tensor.0
            })
        };
        want.extend(with(&|n| n));
        others[0].extend(with(&|n| n.next_multiple_of(32)));
        others[1].extend(with(&|n| n / 32 * 32));
    }
    let words = 2 * M * COLUMNS as usize;
    let inside = place();
    let place = Box::new(move |at: usize| {
        let [first, second] = widths[at / words];
        format!(
            "N = {first} from column 0 and {second} from column {SECOND}, {}",
            inside(at % words)
        )
    });
    let [completed, cut] = others;
    Ok(Evidence::new(got, want, place)
        .or("N is completed to a multiple of 32", completed)
        .or("N is cut to a multiple of 32", cut))
}

fn copies(bench: &Bench) -> Result<Evidence> {
    let (mut even, odd) = (Probe::new(45), Probe::new(46));
    let atoms = [(0, ATOMS + 7 * 512), (36, ATOMS), (508, 1024)];
    for (column, source) in atoms {
        even.copy(column, source);
    }
    let probes = [&even, &odd];
    // The CTA whose shared memory a CTA's tensor memory is filled from.
    let with = |from: fn(usize) -> Option<usize>| {
        both(|cta| {
            let mut tensor = probes[cta].image();
            let Some(from) = from(cta) else { return tensor.0 };
            for (first, source) in atoms {
                for lane in 0..M {
                    for word in 0..4 {
                        let at = source as usize + lane % 32 * 16 + word * 4;
                        let bytes = probes[from].shared[at..].first_chunk().copied();
                        let bytes = bytes.unwrap_or_default();
                        tensor.set(lane, first as usize + word, u32::from_le_bytes(bytes));
                    }
                }
            }
            tensor.0
        })
    };
    Ok(Evidence::new(even.run_beside(&odd, bench)?, with(Some), place())
        .or("both are filled from the even CTA", with(|_| Some(0)))
        .or("each is filled from the other", with(|cta| Some(1 - cta)))
        .or("only the even CTA is filled", with(|cta| (cta == 0).then_some(0))))
}

/// A product of ones, with the same scales of B in both CTAs or with others.
fn scales(bench: &Bench, same: bool) -> Result<Evidence> {
    const N: usize = MAX_N;
    let (mut even, mut odd) = (ones(47), ones(48));
    if same {
        for lane in 0..M {
            let columns = |at: usize| (at * COLUMNS as usize) + SCALES_B as usize;
            let (from, to) = (columns(lane), columns(lane));
            odd.tensor[to..to + N / 32].copy_from_slice(&even.tensor[from..from + N / 32]);
        }
    }
    even.multiply(0, N, 0, false);
    even.over_a_pair();
    let images = [even.image(), odd.image()];
    let scale = |cta: usize, first: u32, row: usize| {
        images[cta].at(row % 32, first as usize + row / 32) as u8
    };
    // The CTA that a scale of A comes from; the CTA and the row of a scale of B.
    let with = |of_a: fn(usize) -> usize, of_b: fn(usize, usize) -> [usize; 2]| {
        both(|cta| {
            let mut tensor = images[cta].clone();
            tensor.sums(0, N, |i, j| {
                let [home, row] = of_b(cta, j);
                power(scale(of_a(cta), SCALES_A, i), scale(home, SCALES_B, row))
            });
            tensor.0
        })
    };
    let claim = with(|cta| cta, |cta, j| [cta, j]);
    let evidence = Evidence::new(even.run_beside(&odd, bench)?, claim, place())
        .or("each half of B begins anew", with(|cta| cta, |cta, j| [cta, j % (N / 2)]));
    Ok(if same {
        evidence.or("the scales of A are the even CTA's", with(|_| 0, |cta, j| [cta, j]))
    } else {
        evidence
            .or("those of the even CTA", with(|cta| cta, |_, j| [0, j]))
            .or("those of the CTA that has the rows of B", with(|cta| cta, |_, j| [j / (N / 2), j]))
            .or(
                "those of the CTA that has the rows of B, each half anew",
                with(|cta| cta, |_, j| [j / (N / 2), j % (N / 2)]),
            )
    })
}

fn order(bench: &Bench) -> Result<Evidence> {
    let (mut even, odd) = (Rounds::new(49, false), Rounds::new(50, false));
    even.probe.over_a_pair();
    let with = |of: fn(&Rounds) -> Vec<u32>| [of(&even), of(&odd)].concat();
    let got = even.probe.run_beside(&odd.probe, bench)?;
    Ok(Evidence::new(got, with(Rounds::in_order), place())
        .or("products do not see their copy", with(Rounds::too_early)))
}
