//! Problems for which a plan chooses a certain one of Hopper's FP8 kernels. All that a plan knows is a bound on the rows, and the
//! number of experts: rows of nobody bring more, experts without rows fewer for each.

use super::problem::{HostProblem, Spec};
use super::routing::{EDGE_ROWS, Routing};
use expert_gemm::{DeviceInfo, ElementType, Fp8GroupedMm};
use expert_gemm_kernels::abi::fp8_block::{few, tall};

/// One of the kernels, by the tiles that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fp8Kernel {
    /// Up to 64 rows x 128 columns.
    Few,
    /// 128 rows x 128 columns.
    Flat,
    /// Up to 192 rows x 128 columns.
    Tall,
    /// 128 rows x 192 columns.
    Wide,
}

impl Fp8Kernel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Few, Self::Flat, Self::Tall, Self::Wide];

    /// The PTX module that holds it.
    #[must_use]
    pub const fn module(self) -> &'static str {
        match self {
            Self::Few => "fp8_block_sm90_few",
            Self::Flat => "fp8_block_sm90",
            Self::Tall => "fp8_block_sm90_tall",
            Self::Wide => "fp8_block_sm90_wide",
        }
    }

    /// The kernel in a PTX module.
    #[must_use]
    pub fn of_module(module: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kernel| kernel.module() == module)
    }

    /// Rows that an expert has on average, at least and at most.
    const fn rows(self) -> [u32; 2] {
        match self {
            Self::Few => [0, few::UP_TO_ROWS],
            Self::Flat => [few::UP_TO_ROWS + 1, u32::MAX],
            Self::Tall => [160, tall::TILE_TOKENS],
            Self::Wide => [256, u32::MAX],
        }
    }

    /// Whether a plan chooses it.
    fn is_chosen(self, spec: &Spec, rows: u32, experts: usize, device: &DeviceInfo) -> bool {
        let [experts, n, k] = [experts, spec.n, spec.k].map(|size| size as u64);
        let problem = Fp8GroupedMm { rows: u64::from(rows), experts, n, k, output: spec.output };
        problem.plan(device).expect("plan").variant().module == self.module()
    }
}

/// The problem with the experts and the rows that it lacks; rows of nobody in front, so that the last expert's end with the
/// tensor, or behind. If no number of experts will do, as where tiles are wider than the output, it has more columns.
///
/// # Panics
/// If a plan chooses another kernel all the same.
#[must_use]
pub fn made_for(
    kernel: Fp8Kernel,
    spec: Spec,
    routing: Routing,
    in_front: bool,
    device: &DeviceInfo,
) -> HostProblem {
    let [least, most] = kernel.rows();
    let rows = |experts: usize| routing.rows.max(experts as u32 * least);
    let first = routing.experts().max(routing.rows.div_ceil(most) as usize);
    let (spec, experts) = [0, 128, 256, 384]
        .into_iter()
        .flat_map(|more| {
            let spec = Spec { n: spec.n + more, ..spec };
            (first..first + 256).map(move |experts| (spec, experts))
        })
        .find(|(spec, experts)| kernel.is_chosen(spec, rows(*experts), *experts, device))
        .expect("numbers of experts and columns that fill the device with such tiles");
    let spare = rows(experts) - routing.rows;
    let [before, behind] = if in_front { [spare, 0] } else { [0, spare] };
    let routing = routing.with_experts(experts).with_spare_rows(before, behind);
    HostProblem::new(Spec { experts, ..spec }, routing)
}

/// One and several tiles of an expert, every edge of the row count and of the columns, every way through the loop over K. Each
/// for the device that its seed stands for.
#[must_use]
pub fn edges(kernel: Fp8Kernel, device: impl Fn(u64) -> DeviceInfo) -> Vec<HostProblem> {
    let mut problems = Vec::new();
    let mut add = |spec: Spec, counts: &[u32], in_front: bool| {
        let routing = Routing::packed(counts.to_vec());
        problems.push(made_for(kernel, spec, routing, in_front, &device(spec.seed)));
    };
    let output = |i: u32| if i.is_multiple_of(2) { ElementType::Bf16 } else { ElementType::F16 };
    for rows in EDGE_ROWS.into_iter().chain([150, 193, 300, 319, 320, 321, 384, 385, 513]) {
        let seed = 2000 + u64::from(rows);
        let spec = Spec { output: output(rows), k: 256, seed, ..Spec::PLAIN };
        add(spec, &[rows, 1], rows / 2 % 2 == 0);
    }
    for (i, k) in (0..).zip([128, 384, 512, 640, 896, 1024, 1152, 1664]) {
        let seed = 3000 + u64::from(i);
        let n = [384, 128, 640, 768][i as usize % 4];
        let spec = Spec { output: output(i), n, k, seed, ..Spec::PLAIN };
        add(spec, &[130, 40, 192, 257], i / 2 % 2 == 0);
    }
    problems
}
