//! A grouped quantisation on the host, made from one `u64`.

use super::inputs::Inputs;
use super::judge::{MxJudged, Scales};
use super::routing::{MxRouting, MxTables};
use crate::rng::Rng;
use crate::routing::{Layout, Routing, Skew, counts};
use core::fmt;
use expert_gemm_kernels::abi::{ElementType, Problem, ScaleRule, ScaledProblem};
use rayon::prelude::*;

/// Elements that one stream of random numbers fills.
const CHUNK: usize = 1 << 17;

/// What rows of nobody hold: NaN in either element type.
const NOBODY: u16 = 0xFFFF;

/// What the tables say of N, which the quantiser does not read: nothing that a product would take.
const N_IN_TABLES: u32 = 7;

/// What to make. Equal specifications give equal problems, bit for bit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QuantSpec {
    /// Number of experts.
    pub experts: usize,
    /// Elements of a row; a multiple of 128.
    pub k: usize,
    /// Rows to share out; see [`counts`].
    pub total_rows: u64,
    /// How the rows are shared out.
    pub skew: Skew,
    /// How they lie in the packed tensor, and how their scales do.
    pub layouts: [Layout; 2],
    /// The elements' distribution.
    pub inputs: Inputs,
    /// The elements' type.
    pub input: ElementType,
    /// How scales follow from elements.
    pub rule: ScaleRule,
    /// The seed of everything random.
    pub seed: u64,
}

impl QuantSpec {
    /// A plain specification, to be varied: 1 row for each of 4 experts, K = 256.
    pub const PLAIN: Self = Self {
        experts: 4,
        k: 256,
        total_rows: 4,
        skew: Skew::Balanced,
        layouts: [Layout::Packed; 2],
        inputs: Inputs::Normal,
        input: ElementType::Bf16,
        rule: ScaleRule::Sgl,
        seed: 1,
    };

    /// A random specification of at most about `elements` elements (or the smallest shape), with at most
    /// `max_experts` experts.
    pub fn random(seed: u64, elements: u64, max_experts: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let experts = rng.log_uniform(1.0, max_experts as f64 + 1.0) as u64;
        let k_blocks =
            rng.log_uniform(1.0, 57.0).min((elements / experts / 128) as f64).max(1.0) as u64;
        let rows_limit = (elements / (k_blocks * 128)).max(1);
        let total_rows = ((rng.log_uniform(0.5, 600.0) * experts as f64) as u64).min(rows_limit);
        let mut skew = rng.pick(&[
            Skew::Balanced,
            Skew::Ragged,
            Skew::Softmax { top_k: 2, spread: 1.0 },
            Skew::Zipf,
            Skew::OneHot,
            Skew::MostlyEmpty,
            Skew::Edges,
        ]);
        // The row counts of edges do not follow the total.
        if skew == Skew::Edges && 80 * experts > rows_limit {
            skew = Skew::Zipf;
        }
        Self {
            experts: experts as usize,
            k: (k_blocks * 128) as usize,
            total_rows,
            skew,
            layouts: [rng.pick(&Layout::ALL), rng.pick(&Layout::ALL)],
            inputs: rng.pick(&Inputs::ALL),
            input: rng.pick(&[ElementType::Bf16, ElementType::F16]),
            rule: rng.pick(&ScaleRule::ALL),
            seed,
        }
    }

    /// The specification that a fuzzing seed stands for; sizes differ by orders of magnitude.
    pub fn fuzz(seed: u64) -> Self {
        let elements = Rng::stream(seed, 1).log_uniform(1e4, 4e6);
        Self::random(seed, elements as u64, 512)
    }

    /// Makes the problem.
    ///
    /// # Panics
    /// If `k` is not a multiple of 128.
    pub fn build(&self) -> QuantProblem {
        let rng = &mut Rng::stream(self.seed, 0);
        let counts = counts(self.skew, self.experts, self.total_rows, rng);
        let rows = Routing::laid_out(counts, self.layouts[0], rng);
        QuantProblem::new(*self, MxRouting::laid_out(rows, self.layouts[1], rng))
    }
}

impl fmt::Display for QuantSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experts, k, total_rows, skew, layouts, inputs, input, rule, seed } = self;
        let ([rows, scales], input, rule) = (layouts, input.name(), rule.name());
        write!(
            f,
            "E={experts} K={k} rows={total_rows} {skew} {rows} scales={scales} {inputs} {input} {rule} \
             seed={seed:#x}"
        )
    }
}

/// The tensors of one problem, in host memory. Rows that belong to no expert hold NaN.
#[derive(Clone)]
pub struct QuantProblem {
    /// What it was made from.
    pub spec: QuantSpec,
    /// Which rows belong to which expert, and where their scales go.
    pub routing: MxRouting,
    /// Elements `[rows, k]`, as bits.
    pub input: Vec<u16>,
}

impl QuantProblem {
    /// Makes the elements for a routing; `spec.skew`, `layouts` and `total_rows` are not looked at.
    ///
    /// # Panics
    /// If `k` is not a multiple of 128.
    pub fn new(spec: QuantSpec, routing: MxRouting) -> Self {
        let QuantSpec { k, seed, inputs, input, .. } = spec;
        assert!(k.is_multiple_of(128), "K = {k}");
        let mut elements = vec![0; routing.rows.rows as usize * k];
        elements.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| {
            inputs.fill(&mut Rng::stream(seed, (1 << 40) + i as u64), input, chunk);
        });
        for (owner, row) in routing.rows.owners().into_iter().zip(elements.chunks_mut(k)) {
            if owner.is_none() {
                row.fill(NOBODY);
            }
        }
        Self { spec, routing, input: elements }
    }

    /// The same elements with other groups, of which no row or scale row may lie beyond the packed ones.
    ///
    /// # Panics
    /// If the routing has another number of experts, or more rows or scale rows.
    #[must_use]
    pub fn with_routing(&self, routing: MxRouting) -> Self {
        assert!(routing.rows.experts() == self.spec.experts);
        let (rows, scale_rows) = (self.routing.rows.rows, self.routing.scale_rows);
        assert!(routing.rows.rows <= rows && routing.scale_rows <= scale_rows);
        let rows = Routing { rows, ..routing.rows };
        Self { routing: MxRouting { rows, scale_rows, ..routing }, ..self.clone() }
    }

    /// Rows of the packed input.
    pub fn rows(&self) -> usize {
        self.routing.rows.rows as usize
    }

    /// Bytes of the scales.
    pub fn scale_bytes(&self) -> usize {
        self.routing.scale_rows as usize * self.spec.k / super::VECTOR
    }

    /// The tables of group metadata.
    pub fn tables(&self) -> MxTables {
        self.routing.tables(N_IN_TABLES, self.spec.k as u32)
    }

    /// What the contract says of any tables.
    pub fn judge(&self, tables: &MxTables) -> MxJudged {
        let problem = Problem { rows: self.rows() as u32, n: 0, k: self.spec.k as u32 };
        let shape = ScaledProblem { problem, scale_rows: self.routing.scale_rows };
        let mut tables = tables.clone();
        for size in &mut tables.groups.sizes {
            size[1] = 0;
        }
        MxJudged::new(shape, &tables, Scales::Written)
    }

    /// The elements of one packed row.
    pub fn row(&self, row: usize) -> &[u16] {
        &self.input[row * self.spec.k..][..self.spec.k]
    }
}

impl fmt::Debug for QuantProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuantProblem({})", self.spec)
    }
}

impl fmt::Display for QuantProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_kernels::abi::GroupStatus;

    #[test]
    fn a_seed_gives_the_same_problem_with_any_number_of_threads() {
        let spec = QuantSpec { k: 7168, ..QuantSpec::random(3, 1 << 20, 64) };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (p, q) = (spec.build(), one.install(|| spec.build()));
        assert_eq!((&p.input, &p.routing), (&q.input, &q.routing));
    }

    #[test]
    fn random_problems_keep_the_contract_and_their_budget() {
        for seed in 0..300 {
            let spec = QuantSpec::random(seed, 100_000, 512);
            let problem = spec.build();
            assert_eq!(problem.judge(&problem.tables()).status(), GroupStatus::OK, "{spec}");
            assert!(problem.routing.rows.owned_rows() * spec.k as u64 <= 400_000, "{spec}");
        }
    }

    #[test]
    fn rows_of_nobody_are_nan() {
        let layouts = [Layout::PermutedGaps, Layout::Gaps];
        let problem = QuantSpec { layouts, total_rows: 40, ..QuantSpec::PLAIN }.build();
        let owners = problem.routing.rows.owners();
        assert!(owners.contains(&None));
        for (row, owner) in owners.iter().enumerate() {
            assert_eq!(problem.row(row).iter().all(|&x| x == NOBODY), owner.is_none(), "row {row}");
        }
    }
}
