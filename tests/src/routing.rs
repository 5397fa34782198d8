//! Which rows of the packed activations belong to which expert: seeded routings and their tables.

use crate::rng::Rng;
use core::fmt;

/// Row counts around every edge of the kernels' tiles and boxes.
pub const EDGE_ROWS: [u32; 24] = [
    0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 191, 192, 255, 256,
    257,
];

/// How rows are shared out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Skew {
    /// Every expert has the same number of rows.
    Balanced,
    /// Uniform between 0 and twice the mean.
    Ragged,
    /// Every token picks its top-k experts from softmax scores with this standard deviation.
    Softmax {
        /// Experts per token.
        top_k: u32,
        /// Standard deviation of the experts' mean logits; 0 for none preferred.
        spread: f32,
    },
    /// The share of the i-th ranked expert is proportional to 1 / i, ranks shuffled.
    Zipf,
    /// One expert has all rows.
    OneHot,
    /// Nine experts in ten have none.
    MostlyEmpty,
    /// Counts from [`EDGE_ROWS`], whatever the total.
    Edges,
    /// No expert has any.
    Empty,
}

/// How the experts' rows lie in the packed tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Experts ascending, without gaps.
    Packed,
    /// Experts ascending, with rows between them that belong to nobody.
    Gaps,
    /// Experts in any order, without gaps.
    Permuted,
    /// Both.
    PermutedGaps,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 4] = [Self::Packed, Self::Gaps, Self::Permuted, Self::PermutedGaps];

    fn is_permuted(self) -> bool {
        matches!(self, Self::Permuted | Self::PermutedGaps)
    }

    fn has_gaps(self) -> bool {
        matches!(self, Self::Gaps | Self::PermutedGaps)
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Softmax { top_k, spread } => write!(f, "softmax-top{top_k}-{spread}"),
            Self::Balanced => f.write_str("balanced"),
            Self::Ragged => f.write_str("ragged"),
            Self::Zipf => f.write_str("zipf"),
            Self::OneHot => f.write_str("one-hot"),
            Self::MostlyEmpty => f.write_str("mostly-empty"),
            Self::Edges => f.write_str("edges"),
            Self::Empty => f.write_str("empty"),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packed => "packed",
            Self::Gaps => "gaps",
            Self::Permuted => "permuted",
            Self::PermutedGaps => "permuted-gaps",
        })
    }
}

/// A routing: for each expert its first row and its number of rows, all inside `rows`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Routing {
    /// Rows of each expert.
    pub rows_per_expert: Vec<u32>,
    /// First packed row of each expert.
    pub first_row: Vec<u32>,
    /// Rows of the packed tensor, those of nobody included.
    pub rows: u32,
}

impl Routing {
    /// The usual routing: the experts' rows one after the other.
    pub fn packed(rows_per_expert: Vec<u32>) -> Self {
        Self::laid_out(rows_per_expert, Layout::Packed, &mut Rng::new(0))
    }

    /// The same with more rows before the first and behind the last, which belong to nobody: a caller who knows only a
    /// bound allocates them.
    #[must_use]
    pub fn with_spare_rows(mut self, before: u32, behind: u32) -> Self {
        self.first_row.iter_mut().for_each(|row| *row += before);
        self.rows += before + behind;
        self
    }

    /// The same with experts without rows behind the others, until there are so many.
    #[must_use]
    pub fn with_experts(mut self, experts: usize) -> Self {
        let experts = experts.max(self.experts());
        self.rows_per_expert.resize(experts, 0);
        self.first_row.resize(experts, 0);
        self
    }

    /// The same counts in another layout.
    pub fn laid_out(rows_per_expert: Vec<u32>, layout: Layout, rng: &mut Rng) -> Self {
        let mut order: Vec<usize> = (0..rows_per_expert.len()).collect();
        if layout.is_permuted() {
            rng.shuffle(&mut order);
        }
        let mut gap =
            || if layout.has_gaps() && !rng.one_in(3) { rng.between(1, 9) as u32 } else { 0 };
        let mut first_row = vec![0; rows_per_expert.len()];
        let mut rows = gap();
        for expert in order {
            first_row[expert] = rows;
            rows += rows_per_expert[expert] + gap();
        }
        Self { rows_per_expert, first_row, rows }
    }

    /// Number of experts.
    pub fn experts(&self) -> usize {
        self.rows_per_expert.len()
    }

    /// Rows that belong to an expert.
    pub fn owned_rows(&self) -> u64 {
        self.rows_per_expert.iter().map(|&rows| u64::from(rows)).sum()
    }

    /// The packed rows of an expert.
    pub fn rows_of(&self, expert: usize) -> core::ops::Range<usize> {
        let first = self.first_row[expert] as usize;
        first..first + self.rows_per_expert[expert] as usize
    }

    /// For each packed row, the expert it belongs to.
    pub fn owners(&self) -> Vec<Option<usize>> {
        let mut owners = vec![None; self.rows as usize];
        for expert in 0..self.experts() {
            owners[self.rows_of(expert)].fill(Some(expert));
        }
        owners
    }

    /// The tables as the kernels take them.
    pub fn tables(&self, n: u32, k: u32) -> Tables {
        let sizes = self.rows_per_expert.iter().map(|&m| [m as i32, n as i32, k as i32]).collect();
        let offsets = self.first_row.iter().map(|&row| row as i32).collect();
        Tables { sizes, offsets }
    }
}

/// The two tables of group metadata, possibly hostile.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// `(M, N, K)` of each expert.
    pub sizes: Vec<[i32; 3]>,
    /// First packed row of each expert.
    pub offsets: Vec<i32>,
}

impl Tables {
    /// `problem_sizes` flattened, `[experts, 3]`.
    pub fn problem_sizes(&self) -> Vec<i32> {
        self.sizes.as_flattened().to_vec()
    }

    /// Breaks about a third of the entries in every way the contract forbids: negative and extreme counts and
    /// offsets, groups past the end, wrong N or K; and overlaps.
    #[must_use]
    pub fn hostile(mut self, rows: u32, rng: &mut Rng) -> Self {
        let rows = rows as i32;
        let extremes =
            [i32::MIN, i32::MIN + 1, -129, -128, -1, i32::MAX - 127, i32::MAX - 1, i32::MAX];
        for (size, offset) in self.sizes.iter_mut().zip(&mut self.offsets) {
            if !rng.one_in(3) {
                continue;
            }
            match rng.below(8) {
                0 => size[0] = rng.pick(&extremes),
                1 => *offset = rng.pick(&extremes),
                2 => (size[0], *offset) = (rng.pick(&extremes), rng.pick(&extremes)),
                3 => *offset = rows - size[0] + rng.between(1, 200) as i32,
                4 => size[0] = (rows - *offset).saturating_add(rng.between(1, 200) as i32),
                5 => {
                    size[1] =
                        rng.pick(&[0, -128, 1, size[1] + 128, size[1] * 2, i32::MAX, i32::MIN]);
                }
                6 => {
                    size[2] =
                        rng.pick(&[0, -128, 1, size[2] + 128, size[2] * 2, i32::MAX, i32::MIN]);
                }
                _ => *offset = rng.below(rows as u64 + 1) as i32,
            }
        }
        self
    }
}

/// Shares about `total` rows out over `experts`. The total is kept exactly by balanced, softmax, Zipf,
/// one-hot and mostly-empty routings; a balanced one rounds the mean up.
pub fn counts(skew: Skew, experts: usize, total: u64, rng: &mut Rng) -> Vec<u32> {
    let mean = total.div_ceil(experts.max(1) as u64);
    match skew {
        Skew::Balanced => vec![mean as u32; experts],
        Skew::Ragged => (0..experts).map(|_| rng.between(0, 2 * mean) as u32).collect(),
        Skew::Softmax { top_k, spread } => softmax_counts(experts, total, top_k, spread, rng),
        Skew::Zipf => zipf_counts(experts, total, rng),
        Skew::OneHot => {
            let mut counts = vec![0; experts];
            if experts > 0 {
                counts[rng.below(experts as u64) as usize] = total as u32;
            }
            counts
        }
        Skew::MostlyEmpty => {
            let mut order: Vec<usize> = (0..experts).collect();
            rng.shuffle(&mut order);
            let live = &order[..experts.div_ceil(10)];
            let mut counts = vec![0; experts];
            for (&expert, rows) in live.iter().zip(zipf_counts(live.len(), total, rng)) {
                counts[expert] = rows;
            }
            counts
        }
        Skew::Edges => (0..experts).map(|_| rng.pick(&EDGE_ROWS)).collect(),
        Skew::Empty => vec![0; experts],
    }
}

/// `total` rows, the share of the i-th ranked expert proportional to 1 / i: [`power_law_counts`].
pub fn zipf_counts(experts: usize, total: u64, rng: &mut Rng) -> Vec<u32> {
    power_law_counts(experts, total, 1.0, rng)
}

/// `total` rows, the share of the i-th ranked expert proportional to 1 / i^`exponent`, ranks shuffled; what is left
/// by rounding down goes to the largest remainders.
pub fn power_law_counts(experts: usize, total: u64, exponent: f64, rng: &mut Rng) -> Vec<u32> {
    let weights: Vec<f64> = (1..=experts).map(|rank| (rank as f64).powf(exponent)).collect();
    let harmonic: f64 = weights.iter().map(|weight| 1.0 / weight).sum();
    let mut shares: Vec<f64> =
        weights.iter().map(|weight| total as f64 / (weight * harmonic)).collect();
    rng.shuffle(&mut shares);
    let mut counts: Vec<u32> = shares.iter().map(|share| *share as u32).collect();
    let left = total - counts.iter().map(|&c| u64::from(c)).sum::<u64>();
    let mut order: Vec<usize> = (0..experts).collect();
    order.sort_by(|&p, &q| shares[q].fract().total_cmp(&shares[p].fract()));
    for &expert in order.iter().take(left as usize) {
        counts[expert] += 1;
    }
    counts
}

/// `total` rows, each to an expert drawn uniformly.
///
/// # Panics
/// If there are rows but no experts.
pub fn multinomial_counts(experts: usize, total: u64, rng: &mut Rng) -> Vec<u32> {
    let mut counts = vec![0; experts];
    for _ in 0..total {
        counts[rng.below(experts as u64) as usize] += 1;
    }
    counts
}

/// `total` rows as evenly as they go, the first experts one more.
pub fn even_counts(experts: usize, total: u64) -> Vec<u32> {
    let experts = experts as u64;
    (0..experts).map(|i| (total / experts + u64::from(i < total % experts)) as u32).collect()
}

/// `total` rows made by tokens of `top_k` experts each (the last token may bring fewer). A token's scores are
/// the experts' common preferences plus its own Gumbel noise, which samples its softmax without replacement.
pub fn softmax_counts(
    experts: usize,
    total: u64,
    top_k: u32,
    spread: f32,
    rng: &mut Rng,
) -> Vec<u32> {
    let preference: Vec<f32> = (0..experts).map(|_| rng.normals()[0] * spread).collect();
    let mut counts = vec![0; experts];
    let mut left = total;
    let mut scores = vec![(0.0f32, 0usize); experts];
    while left > 0 && experts > 0 {
        for (expert, score) in scores.iter_mut().enumerate() {
            let gumbel = -(-(rng.unit().max(1e-300)).ln()).max(1e-300).ln();
            *score = (preference[expert] + gumbel as f32, expert);
        }
        let take = u64::from(top_k).min(left).min(experts as u64) as usize;
        if take < experts {
            scores.select_nth_unstable_by(take, |p, q| q.0.total_cmp(&p.0));
        }
        for &(_, expert) in &scores[..take] {
            counts[expert] += 1;
        }
        left -= take as u64;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(counts: &[u32]) -> u64 {
        counts.iter().map(|&c| u64::from(c)).sum()
    }

    #[test]
    fn exact_skews_keep_the_total() {
        let mut rng = Rng::new(1);
        let softmax = Skew::Softmax { top_k: 8, spread: 1.0 };
        for skew in [softmax, Skew::Zipf, Skew::OneHot, Skew::MostlyEmpty] {
            for (experts, total) in [(1, 10), (32, 256), (256, 2048), (512, 3), (1024, 1000)] {
                let counts = counts(skew, experts, total, &mut rng);
                assert_eq!((counts.len(), sum(&counts)), (experts, total), "{skew}");
            }
        }
        assert_eq!(counts(Skew::Empty, 4, 99, &mut rng), [0; 4]);
        assert_eq!(counts(Skew::Balanced, 4, 32, &mut rng), [8; 4]);
    }

    #[test]
    fn no_token_picks_an_expert_twice() {
        let counts = softmax_counts(16, 8 * 100, 8, 3.0, &mut Rng::new(2));
        assert!(counts.iter().all(|&c| c <= 100) && sum(&counts) == 800);
        assert!(counts.iter().max() > Some(&80), "a wide spread prefers some: {counts:?}");
    }

    #[test]
    fn zipf_falls_with_rank() {
        let mut counts = zipf_counts(8, 10_000, &mut Rng::new(3));
        counts.sort_unstable_by(|p, q| q.cmp(p));
        for (rank, &count) in counts.iter().enumerate() {
            let share = 10_000.0 / ((rank + 1) as f64 * 2.717_857);
            assert!((f64::from(count) - share).abs() <= 1.0, "rank {rank}: {count} for {share}");
        }
    }

    #[test]
    fn a_steeper_law_gives_the_first_rank_more_and_uniform_draws_scatter_around_the_mean() {
        let mut rng = Rng::new(6);
        let steep = power_law_counts(32, 4096, 1.5, &mut rng);
        let flat = zipf_counts(32, 4096, &mut rng);
        assert_eq!((sum(&steep), steep.iter().max()), (4096, Some(&1811)));
        assert_eq!((sum(&flat), flat.iter().max()), (4096, Some(&1009)));
        let drawn = multinomial_counts(32, 32 * 1024, &mut rng);
        assert_eq!(sum(&drawn), 32 * 1024);
        // Five standard deviations of 32 rows around 1024.
        assert!(drawn.iter().all(|&rows| rows.abs_diff(1024) < 160), "{drawn:?}");
        assert!(drawn.iter().any(|&rows| rows != 1024));
        assert_eq!(even_counts(3, 8), [3, 3, 2]);
    }

    #[test]
    fn layouts_never_overlap_and_stay_inside() {
        let mut rng = Rng::new(4);
        for layout in Layout::ALL {
            for _ in 0..50 {
                let counts = counts(Skew::Edges, 20, 0, &mut rng);
                let routing = Routing::laid_out(counts, layout, &mut rng);
                let owned = routing.owners().iter().flatten().count() as u64;
                assert_eq!(owned, routing.owned_rows(), "{layout}");
                assert_eq!(owned == u64::from(routing.rows), !layout.has_gaps(), "{layout}");
                let ascending = routing.first_row.is_sorted();
                assert!(ascending || layout.is_permuted());
            }
        }
    }

    #[test]
    fn hostile_tables_break_every_rule() {
        use expert_gemm_kernels::abi::{GroupStatus, Problem};
        let mut rng = Rng::new(5);
        let mut seen = GroupStatus::OK;
        let problem = Problem { rows: 160, n: 256, k: 128 };
        for _ in 0..20 {
            let tables = Routing::packed(vec![10; 16]).tables(256, 128).hostile(160, &mut rng);
            for (&size, &offset) in tables.sizes.iter().zip(&tables.offsets) {
                seen = seen.union(problem.group(size, offset).status);
            }
        }
        let all = [
            GroupStatus::NEGATIVE_ROWS,
            GroupStatus::NEGATIVE_OFFSET,
            GroupStatus::PAST_THE_END,
            GroupStatus::WRONG_SHAPE,
        ];
        assert!(all.into_iter().all(|bit| seen.contains(bit)), "{seen:?}");
    }
}
