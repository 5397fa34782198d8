//! The cases: `<projection>/E<experts>/M<mean rows>/<distribution>`, most wanted first.
//!
//! Three sets. [`Set::Peers`] is what the peers were measured on, and what records hold; [`Set::Between`] the rows between 64 and
//! 256, at random as well; [`Set::Matrix`] every model, stage and routing. A case that is in several has one name and one routing.

use crate::models::{Model, Part, Projection};
use clap::ValueEnum;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{even_counts, multinomial_counts, power_law_counts};
use std::fmt;

const DSV3_GATEUP: Projection = Projection { model: Model::DeepseekV3, part: Part::GateUp };
const DSV3_DOWN: Projection = Projection { model: Model::DeepseekV3, part: Part::Down };
const QWEN3_GATEUP: Projection = Projection { model: Model::Qwen3_235b, part: Part::GateUp };
const QWEN3_DOWN: Projection = Projection { model: Model::Qwen3_235b, part: Part::Down };

/// A set of cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Set {
    /// The 170 cases (17 of the quantiser) that other libraries were measured on
    Peers,
    /// The same weights with 96 to 192 rows an expert, even and at random
    Between,
    /// Every model, in decode, mid and prefill, with every routing
    Matrix,
}

impl Set {
    /// The cases of a product, by the weights that they share.
    pub fn groups(self) -> Vec<(Group, Vec<Case>)> {
        match self {
            Self::Peers => GROUPS.into_iter().map(|group| (group, cases(group))).collect(),
            Self::Between => GROUPS.into_iter().map(|group| (group, between(group))).collect(),
            Self::Matrix => matrix(),
        }
    }

    /// The cases of the quantiser: activations of cases of the product.
    pub fn quant_cases(self) -> Vec<Case> {
        match self {
            Self::Peers => quant_cases().collect(),
            Self::Between | Self::Matrix => {
                self.groups().into_iter().flat_map(|(_, cases)| cases).collect()
            }
        }
    }
}

/// Weights that several cases share: a projection and a number of experts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// The projection.
    pub projection: Projection,
    /// Number of experts.
    pub experts: usize,
}

/// The groups of [`Set::Peers`].
const GROUPS: [Group; 14] = [
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
    /// Every row picks its expert uniformly.
    Multinomial,
    /// The share of the i-th ranked expert is proportional to 1 / i.
    Zipf,
    /// The share of the i-th ranked expert is proportional to 1 / i^1.5.
    SteepZipf,
    /// One expert has half of the rows, the others share the rest evenly.
    Hot,
    /// Nine experts in ten have none, the others share them evenly.
    MostlyEmpty,
}

impl Distribution {
    /// All, the even one first.
    pub const ALL: [Self; 6] = [
        Self::Balanced,
        Self::Multinomial,
        Self::Zipf,
        Self::SteepZipf,
        Self::Hot,
        Self::MostlyEmpty,
    ];

    /// As in the names of cases.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Multinomial => "multinomial",
            Self::Zipf => "zipf",
            Self::SteepZipf => "zipf1.5",
            Self::Hot => "hot50",
            Self::MostlyEmpty => "empty90",
        }
    }

    /// Rows of each expert, with this mean.
    fn counts(self, experts: usize, mean_rows: u32) -> Vec<u32> {
        let total = experts as u64 * u64::from(mean_rows);
        let mut rng = Rng::new(1234 + experts as u64 + u64::from(mean_rows));
        match self {
            Self::Balanced => vec![mean_rows; experts],
            Self::Multinomial => multinomial_counts(experts, total, &mut rng),
            Self::Zipf => power_law_counts(experts, total, 1.0, &mut rng),
            Self::SteepZipf => power_law_counts(experts, total, 1.5, &mut rng),
            Self::Hot => {
                let mut counts = even_counts(experts - 1, total / 2);
                let hot = rng.below(experts as u64) as usize;
                counts.insert(hot, (total - total / 2) as u32);
                counts
            }
            Self::MostlyEmpty => {
                let mut counts = even_counts(experts.div_ceil(10), total);
                counts.resize(experts, 0);
                rng.shuffle(&mut counts);
                counts
            }
        }
    }
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
    /// A case with its routing, which depends on nothing else.
    pub fn new(group: Group, mean_rows: u32, distribution: Distribution) -> Self {
        let rows_per_expert = distribution.counts(group.experts, mean_rows);
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
        let (mean_rows, distribution) = (self.mean_rows, self.distribution.name());
        f.pad(&format!("{projection}/E{experts}/M{mean_rows}/{distribution}"))
    }
}

/// The cases of a group.
fn cases(group: Group) -> Vec<Case> {
    let mut balanced = DECODE_ROWS.to_vec();
    balanced.extend(prefill_rows(group.experts));
    let zipf = zipf_rows(group.experts).iter();
    balanced
        .iter()
        .map(|&rows| Case::new(group, rows, Distribution::Balanced))
        .chain(zipf.map(|&rows| Case::new(group, rows, Distribution::Zipf)))
        .collect()
}

/// The cases of a group in [`Set::Between`].
fn between(group: Group) -> Vec<Case> {
    let of = |distribution| {
        [96, 128, 160, 192].map(|mean_rows| Case::new(group, mean_rows, distribution))
    };
    [Distribution::Balanced, Distribution::Multinomial].into_iter().flat_map(of).collect()
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

fn quant_cases() -> impl Iterator<Item = Case> {
    QUANT.into_iter().map(|(projection, experts, mean_rows, distribution)| {
        Case::new(group(projection, experts), mean_rows, distribution)
    })
}

/// The name of a quantiser's case: that of the product, and how long the rows are.
pub fn quant_name(case: &Case) -> String {
    format!("quant/{case}/K{}", case.group.projection.k())
}

/// Every model's projections on one shard; rows of decode, of chunked prefill and of prefill; every routing.
fn matrix() -> Vec<(Group, Vec<Case>)> {
    let models = Model::value_variants().iter();
    let projections =
        models.flat_map(|&model| [Part::GateUp, Part::Down].map(|part| Projection { model, part }));
    projections
        .map(|projection| {
            let group = group(projection, projection.model.dims().local_experts());
            // Many experts bring many rows: at 512 each they fill memory as 1024 do with fewer.
            let prefill = if group.experts < 128 { 1024 } else { 512 };
            let cases = [8, 128, prefill].into_iter().flat_map(|mean_rows| {
                Distribution::ALL.map(|distribution| Case::new(group, mean_rows, distribution))
            });
            (group, cases.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn all(set: Set) -> Vec<Case> {
        set.groups().into_iter().flat_map(|(_, cases)| cases).collect()
    }

    #[test]
    fn names_are_unique_and_counts_are_kept() {
        let counts = [(Set::Peers, 170), (Set::Between, 14 * 8), (Set::Matrix, 9 * 2 * 3 * 6)];
        for (set, count) in counts {
            let all = all(set);
            assert_eq!(all.len(), count);
            let names: HashSet<String> = all.iter().map(Case::to_string).collect();
            assert_eq!(names.len(), all.len());
            assert!(names.contains("dsv3_gateup/E32/M128/balanced"));
            for case in &all {
                let rows = case.group.experts as u64 * u64::from(case.mean_rows);
                assert_eq!((case.rows(), case.rows_per_expert.len()), (rows, case.group.experts));
            }
        }
    }

    #[test]
    fn a_name_means_one_case() {
        let peers: HashMap<String, Case> =
            all(Set::Peers).into_iter().map(|case| (case.to_string(), case)).collect();
        for set in [Set::Between, Set::Matrix] {
            let all = all(set);
            let shared: Vec<&Case> =
                all.iter().filter(|case| peers.contains_key(&case.to_string())).collect();
            assert!(shared.len() > 10, "{}", shared.len());
            for case in shared {
                assert_eq!(*case, peers[&case.to_string()]);
            }
        }
    }

    #[test]
    fn routings_are_as_skewed_as_they_say() {
        let case = |distribution| Case::new(group(DSV3_GATEUP, 32), 128, distribution);
        let largest = |d| case(d).rows_per_expert.into_iter().max().unwrap();
        assert_eq!(largest(Distribution::Balanced), 128);
        assert!((129..200).contains(&largest(Distribution::Multinomial)));
        assert_eq!(largest(Distribution::Zipf), 1009);
        assert_eq!(largest(Distribution::SteepZipf), 1811);
        assert_eq!(largest(Distribution::Hot), 2048);
        assert_eq!(case(Distribution::MostlyEmpty).live_experts(), 4);
        assert_eq!(largest(Distribution::MostlyEmpty), 1024);
    }

    #[test]
    fn cases_of_the_quantiser_are_cases_of_the_product() {
        for (set, count) in [(Set::Peers, 17), (Set::Between, 112), (Set::Matrix, 324)] {
            let all = all(set);
            let quant = set.quant_cases();
            let names: HashSet<String> = quant
                .iter()
                .inspect(|case| assert!(all.contains(case), "{case}"))
                .map(quant_name)
                .collect();
            assert_eq!(names.len(), count);
            assert!(
                set != Set::Peers || names.contains("quant/dsv3_gateup/E256/M8/balanced/K7168")
            );
        }
    }
}
