//! The cases: `<projection>/E<experts>/M<mean rows>/<distribution>`, most wanted first.

use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::zipf_counts;
use std::fmt;

/// A projection of a model: the weights of one expert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Projection {
    /// Its name.
    pub name: &'static str,
    /// Columns of the output.
    pub n: usize,
    /// Elements of the reduction.
    pub k: usize,
}

const DSV3_GATEUP: Projection = Projection { name: "dsv3_gateup", n: 4096, k: 7168 };
const DSV3_DOWN: Projection = Projection { name: "dsv3_down", n: 7168, k: 2048 };
const QWEN3_GATEUP: Projection = Projection { name: "qwen3_gateup", n: 3072, k: 4096 };
const QWEN3_DOWN: Projection = Projection { name: "qwen3_down", n: 4096, k: 1536 };

/// Weights that several cases share: a projection and a number of experts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// The projection.
    pub projection: Projection,
    /// Number of experts.
    pub experts: usize,
}

/// All groups.
pub const GROUPS: [Group; 14] = [
    group(DSV3_GATEUP, 32),
    group(DSV3_DOWN, 32),
    group(QWEN3_GATEUP, 128),
    group(QWEN3_DOWN, 128),
    group(DSV3_GATEUP, 8),
    group(DSV3_DOWN, 8),
    group(DSV3_GATEUP, 256),
    group(DSV3_DOWN, 256),
    group(QWEN3_GATEUP, 32),
    group(QWEN3_DOWN, 32),
    group(QWEN3_GATEUP, 8),
    group(QWEN3_DOWN, 8),
    group(DSV3_GATEUP, 128),
    group(DSV3_DOWN, 128),
];

const fn group(projection: Projection, experts: usize) -> Group {
    Group { projection, experts }
}

/// Mean rows per expert while tokens are generated.
const DECODE_ROWS: [u32; 6] = [1, 8, 16, 32, 64, 128];

/// Mean rows per expert while prompts are read.
const fn prefill_rows(experts: usize) -> &'static [u32] {
    match experts {
        8 => &[1024, 4096, 8192],
        32 => &[1024, 2048],
        128 => &[256, 512],
        _ => &[256],
    }
}

/// Mean rows per expert of the skewed cases.
const fn zipf_rows(experts: usize) -> &'static [u32] {
    match experts {
        8 => &[8, 32, 128, 4096],
        32 => &[8, 32, 128, 1024],
        128 => &[8, 32, 128, 512],
        _ => &[8, 32, 128, 256],
    }
}

/// How the rows of a case are shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distribution {
    /// Every expert has the same number.
    Balanced,
    /// The share of the i-th ranked expert is proportional to 1 / i.
    Zipf,
}

/// One case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Weights.
    pub group: Group,
    /// Mean rows per expert.
    pub mean_rows: u32,
    /// How they are shared out.
    pub distribution: Distribution,
    /// Rows of each expert.
    pub rows_per_expert: Vec<u32>,
}

impl Case {
    fn new(group: Group, mean_rows: u32, distribution: Distribution) -> Self {
        let Group { experts, .. } = group;
        let rows_per_expert = match distribution {
            Distribution::Balanced => vec![mean_rows; experts],
            Distribution::Zipf => {
                let total = experts as u64 * u64::from(mean_rows);
                zipf_counts(
                    experts,
                    total,
                    &mut Rng::new(1234 + experts as u64 + u64::from(mean_rows)),
                )
            }
        };
        Self { group, mean_rows, distribution, rows_per_expert }
    }

    /// Rows of all experts.
    pub fn rows(&self) -> u64 {
        self.rows_per_expert.iter().map(|&rows| u64::from(rows)).sum()
    }

    /// Experts that have rows.
    pub fn live_experts(&self) -> u64 {
        self.rows_per_expert.iter().filter(|&&rows| rows > 0).count() as u64
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Group { projection, experts } = self.group;
        let distribution = match self.distribution {
            Distribution::Balanced => "balanced",
            Distribution::Zipf => "zipf",
        };
        f.pad(&format!("{}/E{experts}/M{}/{distribution}", projection.name, self.mean_rows))
    }
}

/// The cases of a group.
pub fn cases(group: Group) -> Vec<Case> {
    let mut balanced = DECODE_ROWS.to_vec();
    balanced.extend(prefill_rows(group.experts));
    let zipf = zipf_rows(group.experts).iter();
    balanced
        .iter()
        .map(|&rows| Case::new(group, rows, Distribution::Balanced))
        .chain(zipf.map(|&rows| Case::new(group, rows, Distribution::Zipf)))
        .collect()
}

/// The cases of the quantiser, most wanted first: projection, experts, mean rows, distribution.
const QUANT: [(Projection, usize, u32, Distribution); 17] = [
    (DSV3_GATEUP, 32, 8, Distribution::Balanced),
    (DSV3_GATEUP, 32, 128, Distribution::Balanced),
    (DSV3_GATEUP, 32, 1024, Distribution::Balanced),
    (DSV3_GATEUP, 8, 8192, Distribution::Balanced),
    (DSV3_GATEUP, 256, 8, Distribution::Balanced),
    (DSV3_GATEUP, 256, 128, Distribution::Balanced),
    (DSV3_GATEUP, 32, 1024, Distribution::Zipf),
    (DSV3_GATEUP, 256, 128, Distribution::Zipf),
    (DSV3_DOWN, 32, 128, Distribution::Balanced),
    (DSV3_DOWN, 32, 1024, Distribution::Balanced),
    (DSV3_DOWN, 8, 8192, Distribution::Balanced),
    (QWEN3_GATEUP, 128, 8, Distribution::Balanced),
    (QWEN3_GATEUP, 128, 128, Distribution::Balanced),
    (QWEN3_GATEUP, 128, 512, Distribution::Balanced),
    (QWEN3_GATEUP, 128, 512, Distribution::Zipf),
    (QWEN3_DOWN, 128, 128, Distribution::Balanced),
    (QWEN3_DOWN, 128, 512, Distribution::Balanced),
];

/// The cases of the quantiser: activations of some of the cases of the product.
pub fn quant_cases() -> impl Iterator<Item = Case> {
    QUANT.into_iter().map(|(projection, experts, mean_rows, distribution)| {
        Case::new(group(projection, experts), mean_rows, distribution)
    })
}

/// The name of a quantiser's case: that of the product, and how long the rows are.
pub fn quant_name(case: &Case) -> String {
    format!("quant/{case}/K{}", case.group.projection.k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counts_are_kept() {
        let all: Vec<Case> = GROUPS.into_iter().flat_map(cases).collect();
        assert_eq!(all.len(), 170);
        let names: std::collections::HashSet<String> = all.iter().map(Case::to_string).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.contains("dsv3_gateup/E32/M8/balanced"));
        assert!(names.contains("qwen3_down/E128/M512/zipf"));
        for case in &all {
            let rows = case.group.experts as u64 * u64::from(case.mean_rows);
            assert_eq!(case.rows(), rows, "{case}");
        }
    }

    #[test]
    fn cases_of_the_quantiser_are_cases_of_the_product() {
        let all: Vec<Case> = GROUPS.into_iter().flat_map(cases).collect();
        let names: std::collections::HashSet<String> = quant_cases()
            .inspect(|case| assert!(all.contains(case), "{case}"))
            .map(|c| quant_name(&c))
            .collect();
        assert_eq!(names.len(), 17);
        assert!(names.contains("quant/dsv3_gateup/E256/M8/balanced/K7168"));
    }
}
