//! A whole problem on the host, made from one `u64`.

use crate::e4m3;
use crate::rng::Rng;
use crate::routing::{Layout, Routing, Skew, Tables, counts};
use crate::values::Values;
use crate::wgmma_model::BLOCK;
use core::fmt;
use expert_gemm_kernels::abi::ElementType;
use rayon::prelude::*;

/// Bytes that one stream of random numbers fills.
const CHUNK_BYTES: usize = 1 << 18;

/// What to make. Equal specifications give equal problems, bit for bit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spec {
    /// Number of experts.
    pub experts: usize,
    /// Columns of the output; a multiple of 128.
    pub n: usize,
    /// Elements of the reduction; a multiple of 128.
    pub k: usize,
    /// Rows to share out; see [`counts`].
    pub total_rows: u64,
    /// How the rows are shared out.
    pub skew: Skew,
    /// How they lie in the packed tensor.
    pub layout: Layout,
    /// Codes of activations and weights.
    pub values: [Values; 2],
    /// Scales lie between `1 / scale_range` and `scale_range`, uniform in the logarithm.
    pub scale_range: f32,
    /// Element type of the output.
    pub output: ElementType,
    /// The seed of everything random.
    pub seed: u64,
}

impl Spec {
    /// A plain specification, to be varied: 1 row for each of 4 experts, N = 256, K = 256.
    pub const PLAIN: Self = Self {
        experts: 4,
        n: 256,
        k: 256,
        total_rows: 4,
        skew: Skew::Balanced,
        layout: Layout::Packed,
        values: [Values::Gaussian, Values::Gaussian],
        scale_range: 100.0,
        output: ElementType::Bf16,
        seed: 1,
    };

    /// A random specification whose cost is at most `dot32` sums of 32 products (or the smallest shape).
    pub fn random(seed: u64, dot32: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let experts = match rng.below(4) {
            0 => rng.between(1, 8),
            1 => rng.between(1, 64),
            2 => rng.between(1, 256),
            _ => rng.between(1, 512),
        };
        // Weights are drawn, uploaded and decoded however few rows there are: 4 codes count as one sum.
        let blocks_limit = (dot32 * 4 / (experts * 128 * 128)).max(1);
        let n_blocks = (rng.log_uniform(1.0, 33.0) as u64).min(blocks_limit);
        let k_blocks = (rng.log_uniform(1.0, 57.0) as u64).min((blocks_limit / n_blocks).max(1));
        let (n, k) = (n_blocks * 128, k_blocks * 128);
        let rows_limit = (dot32 / (n * k / 32)).max(1);
        let total_rows = (rng.log_uniform(1.0, 600.0) * experts as f64) as u64;
        let mut skew = match rng.below(8) {
            0 => Skew::Balanced,
            1 | 2 => Skew::Ragged,
            3 => Skew::Softmax { top_k: rng.pick(&[1, 2, 8]), spread: 1.0 },
            4 => Skew::Zipf,
            5 => Skew::MostlyEmpty,
            6 => Skew::OneHot,
            _ => Skew::Edges,
        };
        if skew == Skew::Edges && 80 * experts > rows_limit {
            skew = Skew::Zipf;
        }
        Self {
            experts: experts as usize,
            n: n as usize,
            k: k as usize,
            total_rows: if skew == Skew::OneHot { total_rows.min(600) } else { total_rows }
                .min(rows_limit),
            skew,
            layout: rng.pick(&Layout::ALL),
            values: [rng.pick(&Values::ALL), rng.pick(&Values::ALL)],
            scale_range: rng.pick(&[1.0, 100.0, 1e4]),
            output: rng.pick(&[ElementType::Bf16, ElementType::F16]),
            seed,
        }
    }

    /// The specification that a fuzzing seed stands for; sizes differ by orders of magnitude.
    pub fn fuzz(seed: u64) -> Self {
        let dot32 = Rng::stream(seed, 1).log_uniform(2e4, 4e7);
        Self::random(seed, dot32 as u64)
    }

    /// Makes the problem.
    ///
    /// # Panics
    /// If `n` or `k` is not a multiple of 128.
    pub fn build(&self) -> HostProblem {
        let rng = &mut Rng::stream(self.seed, 0);
        let counts = counts(self.skew, self.experts, self.total_rows, rng);
        HostProblem::new(*self, Routing::laid_out(counts, self.layout, rng))
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experts, n, k, total_rows, skew, layout, values, scale_range, output, seed } =
            self;
        let [a, b] = values;
        let output = output.name();
        write!(
            f,
            "E={experts} N={n} K={k} rows={total_rows} {skew} {layout} a={a} b={b} \
             scales={scale_range:e} {output} seed={seed:#x}"
        )
    }
}

/// The tensors of one problem, in host memory. Rows of the activations that belong to no expert hold NaN.
#[derive(Clone)]
pub struct HostProblem {
    /// What it was made from.
    pub spec: Spec,
    /// Which rows belong to which expert.
    pub routing: Routing,
    /// Activations `[rows, k]`.
    pub a: Vec<u8>,
    /// Weights `[experts, n, k]`.
    pub b: Vec<u8>,
    /// Activation scales `[rows, k / 128]`.
    pub scales_a: Vec<f32>,
    /// Weight scales `[experts, n / 128, k / 128]`.
    pub scales_b: Vec<f32>,
}

impl HostProblem {
    /// Makes the tensors for a routing; `spec.skew`, `layout` and `total_rows` are not looked at.
    ///
    /// # Panics
    /// If `n` or `k` is not a multiple of 128.
    pub fn new(spec: Spec, routing: Routing) -> Self {
        let Spec { experts, n, k, seed, .. } = spec;
        assert!(n.is_multiple_of(BLOCK) && k.is_multiple_of(BLOCK), "N = {n}, K = {k}");
        let mut problem = Self {
            a: Vec::new(),
            b: codes(experts * n * k, spec.values[1], seed, 2 << 40),
            scales_a: Vec::new(),
            scales_b: scales(experts * n / BLOCK * (k / BLOCK), spec.scale_range, seed, 4 << 40),
            spec,
            routing: Routing::packed(Vec::new()),
        };
        problem.reroute(routing);
        problem
    }

    /// Makes new activations for another routing; the weights stay.
    pub fn reroute(&mut self, routing: Routing) {
        let Spec { k, seed, values, scale_range, .. } = self.spec;
        let rows = routing.rows as usize;
        self.a = codes(rows * k, values[0], seed, 1 << 40);
        self.scales_a = scales(rows * k / BLOCK, scale_range, seed, 3 << 40);
        self.routing = routing;
        for (row, owner) in self.routing.owners().into_iter().enumerate() {
            if owner.is_none() {
                self.a[row * k..(row + 1) * k].fill(e4m3::NAN_CODE);
                self.scales_a[row * k / BLOCK..(row + 1) * k / BLOCK].fill(f32::NAN);
            }
        }
    }

    /// The same tensors with other groups, of which no row may lie beyond the packed ones.
    ///
    /// # Panics
    /// If the routing has another number of experts or more rows.
    #[must_use]
    pub fn with_routing(&self, routing: Routing) -> Self {
        assert!(routing.experts() == self.spec.experts && routing.rows <= self.routing.rows);
        let routing = Routing { rows: self.routing.rows, ..routing };
        Self { routing, ..self.clone() }
    }

    /// Rows of the packed activations and of the output.
    pub fn rows(&self) -> usize {
        self.routing.rows as usize
    }

    /// The tables of group metadata.
    pub fn tables(&self) -> Tables {
        self.routing.tables(self.spec.n as u32, self.spec.k as u32)
    }

    /// The codes of one packed row of activations.
    pub fn a_row(&self, row: usize) -> &[u8] {
        &self.a[row * self.spec.k..][..self.spec.k]
    }

    /// The codes of `columns` rows of an expert's weights, from `column` on.
    pub fn b_rows(&self, expert: usize, column: usize, columns: usize) -> &[u8] {
        &self.b[(expert * self.spec.n + column) * self.spec.k..][..columns * self.spec.k]
    }

    /// The scales of one packed row of activations.
    pub fn scales_a_row(&self, row: usize) -> &[f32] {
        let blocks = self.spec.k / BLOCK;
        &self.scales_a[row * blocks..][..blocks]
    }

    /// The scales that an expert's output column uses.
    pub fn scales_b_row(&self, expert: usize, column: usize) -> &[f32] {
        let blocks = self.spec.k / BLOCK;
        &self.scales_b[(expert * self.spec.n + column) / BLOCK * blocks..][..blocks]
    }

    /// Floating-point operations of the experts' rows.
    pub fn flops(&self) -> f64 {
        2.0 * self.routing.owned_rows() as f64 * self.spec.n as f64 * self.spec.k as f64
    }
}

impl fmt::Debug for HostProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostProblem({})", self.spec)
    }
}

impl fmt::Display for HostProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

/// `count` codes, each chunk from a stream of its own, so that threads can fill them in any order.
pub(crate) fn codes(count: usize, values: Values, seed: u64, first_stream: u64) -> Vec<u8> {
    let mut codes = vec![0; count];
    codes.par_chunks_mut(CHUNK_BYTES).enumerate().for_each(|(i, chunk)| {
        values.fill(&mut Rng::stream(seed, first_stream + i as u64), chunk);
    });
    codes
}

fn scales(count: usize, range: f32, seed: u64, first_stream: u64) -> Vec<f32> {
    let (low, high) = (1.0 / f64::from(range), f64::from(range));
    let mut scales = vec![0.0; count];
    scales.par_chunks_mut(CHUNK_BYTES / 64).enumerate().for_each(|(i, chunk)| {
        let mut rng = Rng::stream(seed, first_stream + i as u64);
        chunk.fill_with(|| rng.log_uniform(low, high) as f32);
    });
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_problem_with_any_number_of_threads() {
        let spec = Spec { n: 512, k: 1024, layout: Layout::Gaps, ..Spec::random(9, 1 << 20) };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (p, q) = (spec.build(), one.install(|| spec.build()));
        assert_eq!((&p.a, &p.b, &p.routing), (&q.a, &q.b, &q.routing));
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&p.scales_a), bits(&q.scales_a));
        assert_eq!(bits(&p.scales_b), bits(&q.scales_b));
    }

    #[test]
    fn rows_of_nobody_are_nan_and_all_others_are_not() {
        let spec = Spec { layout: Layout::PermutedGaps, total_rows: 40, ..Spec::PLAIN };
        let problem = spec.build();
        let owners = problem.routing.owners();
        assert!(owners.contains(&None));
        for (row, owner) in owners.iter().enumerate() {
            let nan = problem.a_row(row).iter().all(|&code| e4m3::is_nan(code));
            assert_eq!(nan, owner.is_none(), "row {row}");
            assert_eq!(problem.scales_a_row(row)[0].is_nan(), owner.is_none(), "row {row}");
        }
    }

    #[test]
    fn random_specifications_stay_within_their_budget() {
        let budget = 2 << 20;
        let mut shapes = std::collections::HashSet::new();
        for seed in 0..400 {
            let spec = Spec::random(seed, budget);
            let counts = counts(spec.skew, spec.experts, spec.total_rows, &mut Rng::new(seed));
            let rows: u64 = counts.iter().map(|&c| u64::from(c)).sum();
            let cost = rows * (spec.n * spec.k / 32) as u64;
            assert!(cost <= 3 * budget || spec.experts * spec.n * spec.k <= 512 << 14, "{spec}");
            shapes.insert((spec.n, spec.k));
        }
        assert!(shapes.len() > 50, "{} shapes", shapes.len());
    }
}
