//! What one thread's copies and products may rely on.

use super::{ONE, drawn, power};
use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Standing};
use crate::probe::{A, ATOMS, B, M, Probe, ROW, SCALES_B, Tensor};
use crate::rule::Rule;
use expert_gemm::Result;
use expert_gemm_kernels::abi::{Arch, scale_atoms};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::values::Values;

/// All of them.
pub const FACTS: [Fact; 3] = [
    Fact {
        id: "copy-before-product",
        claim: "a copy of scales is done before a product that the same thread issues after it, without a wait",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100/multiply.rs",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| rounds(bench, false),
    },
    Fact {
        id: "product-before-copy",
        claim: "a copy of scales does not overwrite those of a product that the same thread has issued before it",
        relied_on: "nothing; a kernel with one set of scale columns would",
        standing: Standing::Open,
        families: &[Arch::Sm100f],
        ask: |bench| rounds(bench, true),
    },
    Fact {
        id: "product-chain",
        claim: "products of one thread into the same columns add up in the order of their issue, and a commit arrives when all are done",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100/multiply.rs",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: chain,
    },
];

/// Columns of a product, and how many there are.
const N: usize = 16;
const ROUNDS: usize = 20;
/// Behind the scales of B: a place for each round.
const FIRST: u32 = 396;

/// Rounds of a copy and a product that needs it, each with other scales: from columns of their own, or all from the same.
pub(super) struct Rounds {
    pub(super) probe: Probe,
    same: bool,
    /// By round and row of A.
    scales: Vec<Vec<u8>>,
    /// What the columns hold at first.
    before: Vec<[u8; 4]>,
}

impl Rounds {
    pub(super) fn new(seed: u64, same: bool) -> Self {
        let mut probe = Probe::new(seed);
        let mut row = [0; ROW];
        row[0] = ONE;
        probe.operand(A, &[row; M]);
        probe.operand(B, &[row; N]);
        probe.scales(SCALES_B, &[[127; 4]; N]);
        let rng = &mut Rng::stream(seed, 5);
        // Scales as well, and the same in all quarters of the lanes.
        let before: Vec<[u8; 4]> = (0..M).map(|_| [rng.between(60, 99) as u8; 4]).collect();
        for atom in 0..ROUNDS as u32 {
            probe.scales(FIRST + 4 * atom, &before);
        }
        let mut scales = || (0..M).map(|_| rng.between(100, 154) as u8).collect::<Vec<_>>();
        let scales: Vec<Vec<u8>> = (0..ROUNDS).map(|_| scales()).collect();
        for (round, scales) in scales.iter().enumerate() {
            for (row, &scale) in scales.iter().enumerate() {
                let at = scale_atoms::offset_in_atom(row as u32, 0) as usize;
                probe.shared[source(round) + at] = scale;
            }
            let column = if same { FIRST } else { FIRST + 4 * round as u32 };
            probe.copy(column, source(round) as u32);
            probe.multiply((round * N) as u32, N, 0, false).scales_a = column;
        }
        Self { probe, same, scales, before }
    }

    /// Tensor memory afterwards, if product `round` sees these scales.
    fn with(&self, scale: impl Fn(usize, usize) -> u8) -> Vec<u32> {
        let mut tensor = self.probe.image();
        for round in 0..ROUNDS {
            tensor.sums((round * N) as u32, N, |i, _| power(scale(round, i), 127));
            let column = if self.same { 0 } else { round };
            for lane in 0..M {
                for word in 0..4 {
                    let at = source(round) + lane % 32 * 16 + word * 4;
                    let bytes = self.probe.shared[at..].first_chunk().copied().unwrap_or_default();
                    let place = FIRST as usize + 4 * column + word;
                    tensor.set(lane, place, u32::from_le_bytes(bytes));
                }
            }
        }
        tensor.0
    }

    /// If each product sees its copy.
    pub(super) fn in_order(&self) -> Vec<u32> {
        self.with(|round, i| self.scales[round][i])
    }

    /// If each product sees what the columns held before its copy.
    pub(super) fn too_early(&self) -> Vec<u32> {
        self.with(|_, i| self.before[i][0])
    }

    /// If each product sees the copy that follows.
    pub(super) fn too_late(&self) -> Vec<u32> {
        self.with(|round, i| self.scales[(round + 1).min(ROUNDS - 1)][i])
    }
}

/// Where the atom of a round begins: 8 fit behind the operands, the rest where B has no rows.
const fn source(round: usize) -> usize {
    ATOMS as usize - 16 * 512 + round * 512
}

fn rounds(bench: &Bench, same: bool) -> Result<Evidence> {
    let rounds = Rounds::new(31, same);
    let got = rounds.probe.run(bench)?;
    let evidence = Evidence::new(got, rounds.in_order(), Box::new(Tensor::place));
    Ok(if same {
        evidence.or("products see the next copy", rounds.too_late())
    } else {
        evidence.or("products do not see their copy", rounds.too_early())
    })
}

/// Links of the chain.
const LINKS: usize = 64;

/// Sums that depend on the order: each link is truncated against what the ones before it left.
fn chain(bench: &Bench) -> Result<Evidence> {
    let mut probe = Probe::new(33);
    let rng = &mut Rng::new(34);
    let (a, b) = (drawn(Values::Uniform, rng, M), drawn(Values::Uniform, rng, N));
    probe.operand(A, &a);
    probe.operand(B, &b);
    probe.equal_scales(127);
    let steps: Vec<u32> = (0..LINKS).map(|_| rng.below(4) as u32).collect();
    for (link, &step) in steps.iter().enumerate() {
        probe.multiply(0, N, step, link > 0);
    }
    let image = probe.image();
    let with = |steps: &[u32]| {
        let mut tensor = image.clone();
        tensor.sums(0, N, |i, j| {
            let part = |row: &[u8; ROW], step: u32| row.as_chunks::<32>().0[step as usize];
            steps.iter().fold(0.0, |sum, &step| {
                Rule::PUBLISHED.step(&part(&a[i], step), &part(&b[j], step), [127; 2], sum)
            })
        });
        tensor.0
    };
    let reversed: Vec<u32> = steps.iter().rev().copied().collect();
    let claim = with(&steps);
    Ok(Evidence::new(probe.run(bench)?, claim, Box::new(Tensor::place))
        .or("the order is reversed", with(&reversed))
        .or("the last product is missing", with(&steps[..LINKS - 1])))
}
