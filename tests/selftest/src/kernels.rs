//! The kernels themselves: crafted inputs that show one fact, and seeded problems that show all at once.

use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Standing};
use expert_gemm::{DeviceInfo, Mxfp8GroupedMm, Result};
use expert_gemm_kernels::abi::{Arch, ElementType, ScaleRule};
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, made_for};
use expert_gemm_tests::gpu::{DeviceProblem, UNTOUCHED};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::gemm_device::{DeviceMx, shape};
use expert_gemm_tests::mx::gemm_model::{family, rows};
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::quant_device::DeviceQuant;
use expert_gemm_tests::mx::quant_model::{QuantOutput, expected};
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::MxRouting;
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::{Layout, Routing, Skew};
use expert_gemm_tests::values::Values;
use expert_gemm_tests::wgmma_model;
use std::fmt::Display;

const BOTH: &[Arch] = &[Arch::Sm90a, Arch::Sm100f];
const TYPES: [ElementType; 2] = [ElementType::Bf16, ElementType::F16];

/// All of them.
pub const FACTS: [Fact; 15] = [
    Fact {
        id: "quantise-bf16",
        claim: "every bf16 number is quantised as the closed form says, by every scale rule",
        relied_on: "kernels-gpu/src/quant, kernels-gpu/src/ptx/cvt.rs",
        standing: Standing::Assumed,
        families: BOTH,
        ask: |bench| every_number(bench, ElementType::Bf16),
    },
    Fact {
        id: "quantise-f16",
        claim: "every f16 number is quantised as the closed form says, by every scale rule",
        relied_on: "kernels-gpu/src/quant, kernels-gpu/src/ptx/cvt.rs",
        standing: Standing::Assumed,
        families: BOTH,
        ask: |bench| every_number(bench, ElementType::F16),
    },
    Fact {
        id: "quantise-problems",
        claim: "grouped quantisations with gaps leave codes, scales and nothing else",
        relied_on: "kernels-gpu/src/quant",
        standing: Standing::Assumed,
        families: BOTH,
        ask: seeded_quantisations,
    },
    Fact {
        id: "mxfp8-narrow-tiles",
        claim: "the MXFP8 product equals the model for 1 to 64 rows an expert, where no CTA shares its tokens",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100, mxfp8_gemm_sm90",
        standing: Standing::Assumed,
        families: BOTH,
        ask: |bench| row_counts(bench, Kernel::OneCta, &[1, 8, 16, 17, 32, 33, 48, 49, 64]),
    },
    Fact {
        id: "mxfp8-shared-tokens",
        claim: "the MXFP8 product equals the model for 65 to 192 rows, where the two CTAs of a cluster multicast tokens and commit to each other's barriers",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100 `load.rs`, `commit_multicast`",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| row_counts(bench, Kernel::OneCta, &[65, 80, 96, 128, 129, 192]),
    },
    Fact {
        id: "mxfp8-many-tiles",
        claim: "the MXFP8 product equals the model for more than 192 rows, of which some tiles begin in the middle of an atom of scales",
        relied_on: "kernels-gpu/src/tile/token_tiles.rs, scale_shift",
        standing: Standing::Assumed,
        families: BOTH,
        ask: |bench| row_counts(bench, Kernel::OneCta, &[193, 320, 0, 450]),
    },
    Fact {
        id: "mxfp8-few-rows",
        claim: "the MXFP8 product for few rows equals the model for 1 to 100 rows an expert, in either form",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm90/tiles.rs",
        standing: Standing::Assumed,
        families: &[Arch::Sm90a],
        ask: |bench| row_counts(bench, Kernel::FewRows, &[1, 8, 9, 16, 31, 32, 33, 64, 100]),
    },
    Fact {
        id: "mxfp8-pairs",
        claim: "the MXFP8 product over pairs of CTAs equals the model for 1 to 256 rows, in either accumulator",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100_pair",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| {
            row_counts(bench, Kernel::Pair, &[256, 1, 16, 209, 33, 64, 192, 225, 240, 129])
        },
    },
    Fact {
        id: "mxfp8-pairs-many-tiles",
        claim: "the same for more than 256 rows",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100_pair",
        standing: Standing::Assumed,
        families: &[Arch::Sm100f],
        ask: |bench| row_counts(bench, Kernel::Pair, &[257, 450, 0, 900]),
    },
    Fact {
        id: "mxfp8-nan-scale",
        claim: "a NaN scale makes its outputs 0x7FFF, and no others",
        relied_on: "docs/scale_layout.md",
        standing: Standing::Assumed,
        families: BOTH,
        ask: nan_scale,
    },
    Fact {
        id: "mxfp8-problems",
        claim: "seeded MXFP8 products equal the model: all kinds of codes and scales, gaps, both outputs",
        relied_on: "kernels-gpu/src/gemm/mxfp8_gemm_sm100, mxfp8_gemm_sm90",
        standing: Standing::Assumed,
        families: BOTH,
        ask: seeded_products,
    },
    Fact {
        id: "fp8-problems",
        claim: "seeded FP8 block-scaled products equal the model",
        relied_on: "kernels-gpu/src/gemm/fp8_block_sm90",
        standing: Standing::Assumed,
        families: &[Arch::Sm90a],
        ask: seeded_fp8,
    },
    Fact {
        id: "fp8-few-rows",
        claim: "the FP8 product for up to 8 rows an expert equals the model, also where some have more than a tile holds",
        relied_on: "kernels-gpu/src/gemm/fp8_block_sm90/columns.rs",
        standing: Standing::Assumed,
        families: &[Arch::Sm90a],
        ask: |bench| fp8_of(bench, Fp8Kernel::Few),
    },
    Fact {
        id: "fp8-tall-tiles",
        claim: "the FP8 product for 129 to 192 rows an expert equals the model, in one tile or several",
        relied_on: "kernels-gpu/src/gemm/fp8_block_sm90/tall.rs",
        standing: Standing::Assumed,
        families: &[Arch::Sm90a],
        ask: |bench| fp8_of(bench, Fp8Kernel::Tall),
    },
    Fact {
        id: "fp8-wide-tiles",
        claim: "the FP8 product for more than 192 rows an expert equals the model, row blocks in pairs or one alone",
        relied_on: "kernels-gpu/src/gemm/fp8_block_sm90/wide.rs",
        standing: Standing::Assumed,
        families: &[Arch::Sm90a],
        ask: |bench| fp8_of(bench, Fp8Kernel::Wide),
    },
];

/// Evidence of several launches, one after the other.
#[derive(Default)]
struct Runs {
    got: Vec<u32>,
    want: Vec<u32>,
    /// Where each run begins, and what it is.
    starts: Vec<(usize, String)>,
}

impl Runs {
    /// Adds what a launch left and should have left, beside its status and the guard zones that it damaged.
    fn add<T: Copy + Into<u32>>(
        &mut self,
        run: &impl Display,
        [got, want]: [&[T]; 2],
        status: [u32; 2],
        damage: &[String],
    ) {
        self.starts.push((self.got.len(), run.to_string()));
        self.got.extend([status[0], damage.len() as u32]);
        self.want.extend([status[1], 0]);
        self.got.extend(got.iter().map(|&x| x.into()));
        self.want.extend(want.iter().map(|&x| x.into()));
    }

    fn evidence(self) -> Evidence {
        let Self { got, want, starts } = self;
        let place = move |at: usize| {
            let run = starts.iter().rev().find(|(first, _)| *first <= at);
            let Some((first, run)) = run else { return format!("word {at}") };
            match at - first {
                0 => format!("status word of {run}"),
                1 => format!("damaged guard zones of {run}"),
                at => format!("output {} of {run}", at - 2),
            }
        };
        Evidence::new(got, want, Box::new(place))
    }
}

fn quantise(bench: &Bench, problem: &QuantProblem, runs: &mut Runs) -> Result<()> {
    let outcome = DeviceQuant::new(&bench.device, problem, Around::Guards)?.run()?;
    let judged = problem.judge(&problem.tables());
    let want = expected(problem, &judged, &outcome.output);
    let bytes = |output: &QuantOutput| [&output.codes[..], &output.scales[..]].concat();
    let (got, want) = (bytes(&outcome.output), bytes(&want));
    let status = [outcome.status.0, judged.status().0];
    runs.add(problem, [&got, &want], status, &outcome.damage);
    Ok(())
}

/// All 65536 numbers, each alone in a block, so that it alone decides the scale.
fn every_number(bench: &Bench, input: ElementType) -> Result<Evidence> {
    const K: usize = 4096;
    let mut runs = Runs::default();
    for rule in ScaleRule::ALL {
        let spec = QuantSpec { experts: 1, k: K, input, rule, ..QuantSpec::PLAIN };
        let numbers = (0..=u16::MAX).flat_map(|bits| {
            // In every lane position, beside smaller numbers of its kind.
            let mut block = [0; 32];
            block[bits as usize % 32] = bits;
            block[(bits as usize + 7) % 32] = bits & 0x7FFF & !0x7F >> 1;
            block
        });
        let input: Vec<u16> = numbers.collect();
        let routing = MxRouting::packed(Routing::packed(vec![(input.len() / K) as u32]));
        quantise(bench, &QuantProblem { spec, routing, input }, &mut runs)?;
    }
    Ok(runs.evidence())
}

fn seeded_quantisations(bench: &Bench) -> Result<Evidence> {
    let mut runs = Runs::default();
    for seed in 0..12 {
        quantise(bench, &QuantSpec::random(seed, 20_000, 8).build(), &mut runs)?;
    }
    Ok(runs.evidence())
}

fn multiply(bench: &Bench, problem: &MxProblem, runs: &mut Runs) -> Result<Vec<u16>> {
    let outcome = DeviceMx::new(&bench.device, problem, Around::Guards)?.run()?;
    let (owned, n) = (problem.owned(), problem.spec.n);
    let mut want = vec![UNTOUCHED; outcome.output.len()];
    let model = rows(problem, family(outcome.capability), &owned);
    for (row, outputs) in owned.iter().zip(model.chunks(n)) {
        want[row.row * n..][..n].copy_from_slice(outputs);
    }
    let kernel = shape(problem).plan(bench.info())?.variant().symbol;
    let run = format!("{kernel}, {problem}");
    runs.add(&run, [&outcome.output, &want], [outcome.status.0, 0], &outcome.damage);
    Ok(outcome.output)
}

/// Which kernel of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kernel {
    /// Blackwell's for one CTA; Hopper's with all forms.
    OneCta,
    /// Blackwell's.
    Pair,
    /// Hopper's.
    FewRows,
}

impl Kernel {
    /// Whether it is the one of its family that is made for more rows than another.
    fn is_for_more_rows(self, info: &DeviceInfo) -> bool {
        match self {
            Self::OneCta => Arch::Sm90a.runs_on(info.capability),
            Self::Pair => true,
            Self::FewRows => false,
        }
    }
}

/// Rows and experts after which a plan that chooses another kernel is left as it is.
const MOST_SPARE_ROWS: u32 = 1 << 17;
const MOST_SPARE_EXPERTS: usize = 64;

/// A problem with these rows for which this device's plan chooses the kernel. A plan knows a bound on the rows and the
/// number of experts, so spare rows make it choose the kernel for more rows, and experts without rows the other.
fn planned(info: &DeviceInfo, kernel: Kernel, spec: MxSpec, counts: &[u32]) -> Result<MxProblem> {
    let (mut counts, mut spare) = (counts.to_vec(), 0);
    loop {
        let rows = Routing::packed(counts.clone()).with_spare_rows(0, spare);
        let spec = MxSpec { experts: counts.len(), ..spec };
        let routing = MxRouting::packed(rows);
        let mm = Mxfp8GroupedMm {
            rows: routing.rows.rows.into(),
            experts: counts.len() as u64,
            n: spec.n as u64,
            k: spec.k as u64,
            scale_rows: routing.scale_rows.into(),
            output: spec.output,
        };
        let chosen = mm.plan(info)?.variant().more_rows_than > 0;
        let wanted = kernel.is_for_more_rows(info);
        let full = spare >= MOST_SPARE_ROWS || counts.len() >= MOST_SPARE_EXPERTS;
        match (wanted, chosen) {
            (false, true) if !full => counts.push(0),
            (true, false) if !full => spare = (2 * spare).max(512),
            _ => return Ok(MxProblem::new(spec, routing)),
        }
    }
}

/// An expert for each row count.
fn row_counts(bench: &Bench, kernel: Kernel, counts: &[u32]) -> Result<Evidence> {
    let mut runs = Runs::default();
    for output in TYPES {
        let spec = MxSpec { n: 256, k: 384, output, ..MxSpec::PLAIN };
        let spec = MxSpec { scales: ScaleValues::Moderate, ..spec };
        multiply(bench, &planned(bench.info(), kernel, spec, counts)?, &mut runs)?;
    }
    Ok(runs.evidence())
}

fn nan_scale(bench: &Bench) -> Result<Evidence> {
    let mut runs = Runs::default();
    let spec = MxSpec { experts: 2, total_rows: 6, n: 256, k: 384, ..MxSpec::PLAIN };
    let mut problem = spec.build();
    let clean = multiply(bench, &problem, &mut runs)?;
    // Expert 1 has the rows 3 to 5 and the scale rows from 128 on. Row 4, and its column 130.
    problem.scales_a[(128 + 1) * 12 + 7] = 0xFF;
    problem.scales_b[(256 + 130) * 12 + 2] = 0xFF;
    let poisoned = multiply(bench, &problem, &mut runs)?;
    let want: Vec<u16> = (0..clean.len())
        .map(|at| {
            let (row, column) = (at / 256, at % 256);
            let nan = row == 4 || row >= 3 && column == 130;
            if nan { 0x7FFF } else { clean[at] }
        })
        .collect();
    runs.add(&"the same beside the clean run", [&poisoned, &want], [0; 2], &[]);
    Ok(runs.evidence())
}

fn seeded_products(bench: &Bench) -> Result<Evidence> {
    let mut runs = Runs::default();
    let scales = match family(bench.info().capability) {
        Arch::Sm90a => &ScaleValues::BF16[..],
        Arch::Sm100f => &ScaleValues::ALL[..],
    };
    for (seed, &scales) in (0..).zip(scales) {
        for output in TYPES {
            let layouts = [Layout::PermutedGaps, Layout::Gaps];
            let values = [Values::ALL[seed % 6], Values::ALL[(seed + 3) % 6]];
            let plain = MxSpec { layouts, values, scales, output, ..MxSpec::PLAIN };
            let spec = MxSpec { skew: Skew::Ragged, total_rows: 90, k: 640, ..plain };
            multiply(bench, &MxSpec { seed: seed as u64, ..spec }.build(), &mut runs)?;
        }
    }
    Ok(runs.evidence())
}

fn seeded_fp8(bench: &Bench) -> Result<Evidence> {
    let mut runs = Runs::default();
    for (seed, output) in (0..).zip(TYPES) {
        for total_rows in [5, 90, 400] {
            let plain = Spec { skew: Skew::Ragged, layout: Layout::Gaps, seed, ..Spec::PLAIN };
            let problem = Spec { total_rows, output, k: 512, ..plain }.build();
            add_fp8(&mut runs, bench, &problem)?;
        }
    }
    Ok(runs.evidence())
}

fn fp8_of(bench: &Bench, kernel: Fp8Kernel) -> Result<Evidence> {
    let mut runs = Runs::default();
    for (seed, output) in (0..).zip(TYPES) {
        let counts = match kernel {
            Fp8Kernel::Few => [&[8, 3][..], &[16, 33, 20], &[65, 1, 0, 130]],
            _ => [&[129, 192][..], &[150, 40, 161], &[300, 257, 0, 320]],
        };
        for counts in counts {
            let spec = Spec { output, k: 640, seed, ..Spec::PLAIN };
            let routing = Routing::packed(counts.to_vec());
            let in_front = counts.len() % 2 == 0;
            let problem = made_for(kernel, spec, routing, in_front, bench.device.info());
            add_fp8(&mut runs, bench, &problem)?;
        }
    }
    Ok(runs.evidence())
}

fn add_fp8(runs: &mut Runs, bench: &Bench, problem: &HostProblem) -> Result<()> {
    let outcome = DeviceProblem::new(&bench.device, problem)?.run()?;
    let want = wgmma_model::grouped(problem, UNTOUCHED);
    let status = [outcome.status.0, 0];
    runs.add(&problem.spec, [&outcome.output, &want], status, &outcome.damage);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the GPUs that matter, with all their multiprocessors.
    #[test]
    fn each_kernel_can_be_made_to_serve() {
        let spec = MxSpec { n: 256, k: 128, ..MxSpec::PLAIN };
        let blackwell = [Kernel::OneCta, Kernel::Pair];
        let hopper = [Kernel::OneCta, Kernel::FewRows];
        for (info, kernels) in [
            (DeviceInfo::b200(), blackwell),
            (DeviceInfo::b300(), blackwell),
            (DeviceInfo::h200(), hopper),
        ] {
            for counts in [&[1, 64][..], &[193, 320, 0, 450], &[257, 450, 0, 900]] {
                // It would take more experts without rows than a problem gets.
                let too_many = counts.iter().sum::<u32>() > 8 * MOST_SPARE_EXPERTS as u32;
                for kernel in kernels {
                    if kernel == Kernel::FewRows && too_many {
                        continue;
                    }
                    let problem = planned(&info, kernel, spec, counts).expect("a plan");
                    let variant = *shape(&problem).plan(&info).expect("a plan").variant();
                    let many = variant.more_rows_than > 0;
                    assert_eq!(many, kernel.is_for_more_rows(&info), "{kernel:?}, {counts:?}");
                    let rows: u32 = counts.iter().sum();
                    assert_eq!(problem.owned().len(), rows as usize);
                }
            }
        }
    }
}
