//! A grouped MXFP8 product on the host, made from one `u64`.

use super::VECTOR;
use super::judge::{MxJudged, Scales};
use super::routing::{MxRouting, MxTables};
use super::scale_values::{ScaleValues, Side};
use crate::e4m3;
use crate::problem::codes;
use crate::rng::Rng;
use crate::routing::{Layout, Routing, Skew, counts};
use crate::values::Values;
use core::fmt;
use core::ops::Range;
use expert_gemm_kernels::abi::{ElementType, Problem, ScaledProblem, scale_atoms};

/// What to make. Equal specifications give equal problems, bit for bit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MxSpec {
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
    /// How they lie in the packed tensor, and how their scales do.
    pub layouts: [Layout; 2],
    /// Codes of activations and weights.
    pub values: [Values; 2],
    /// Scales of both.
    pub scales: ScaleValues,
    /// Element type of the output.
    pub output: ElementType,
    /// The seed of everything random.
    pub seed: u64,
}

impl MxSpec {
    /// A plain specification, to be varied: 1 row for each of 4 experts, N = 256, K = 256.
    pub const PLAIN: Self = Self {
        experts: 4,
        n: 256,
        k: 256,
        total_rows: 4,
        skew: Skew::Balanced,
        layouts: [Layout::Packed; 2],
        values: [Values::Gaussian; 2],
        scales: ScaleValues::Near,
        output: ElementType::Bf16,
        seed: 1,
    };

    /// A random specification whose cost is at most `dot32` sums of 32 products (or the smallest shape), with scales
    /// of one of these kinds.
    pub fn random(seed: u64, dot32: u64, scales: &[ScaleValues]) -> Self {
        // The shapes are those of the FP8 product.
        let plain = crate::problem::Spec::random(seed, dot32);
        let rng = &mut Rng::stream(seed, 3);
        Self {
            experts: plain.experts,
            n: plain.n,
            k: plain.k,
            total_rows: plain.total_rows,
            skew: plain.skew,
            layouts: [plain.layout, rng.pick(&Layout::ALL)],
            values: plain.values,
            scales: rng.pick(scales),
            output: plain.output,
            seed,
        }
    }

    /// The specification that a fuzzing seed stands for; sizes differ by orders of magnitude.
    pub fn fuzz(seed: u64, scales: &[ScaleValues]) -> Self {
        let spec = Self::random(seed, 1, scales);
        // The models take far longer for scales that are far from one.
        let most = if spec.scales == ScaleValues::Far { 4e5 } else { 2e7 };
        Self::random(seed, Rng::stream(seed, 1).log_uniform(2e4, most) as u64, scales)
    }

    /// Makes the problem.
    ///
    /// # Panics
    /// If `n` or `k` is not a multiple of 128.
    pub fn build(&self) -> MxProblem {
        let rng = &mut Rng::stream(self.seed, 0);
        let counts = counts(self.skew, self.experts, self.total_rows, rng);
        let rows = Routing::laid_out(counts, self.layouts[0], rng);
        MxProblem::new(*self, MxRouting::laid_out(rows, self.layouts[1], rng))
    }
}

impl fmt::Display for MxSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experts, n, k, total_rows, skew, layouts, values, scales, output, seed } = self;
        let ([rows, scale_rows], [a, b], output) = (layouts, values, output.name());
        write!(
            f,
            "E={experts} N={n} K={k} rows={total_rows} {skew} {rows} scale-rows={scale_rows} a={a} b={b} \
             scales={scales} {output} seed={seed:#x}"
        )
    }
}

/// A row of the output: its expert, its packed row, and the scale row that goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MxRow {
    /// Expert whose weights it meets.
    pub expert: usize,
    /// Packed row.
    pub row: usize,
    /// Row of its scales.
    pub scale_row: usize,
}

/// The tensors of one problem, in host memory, scales row by row. What belongs to nobody is NaN: rows, and scales of
/// rows that only complete an atom.
#[derive(Clone)]
pub struct MxProblem {
    /// What it was made from.
    pub spec: MxSpec,
    /// Which rows belong to which expert, and where their scales lie.
    pub routing: MxRouting,
    /// Activations `[rows, k]`.
    pub a: Vec<u8>,
    /// Weights `[experts, n, k]`.
    pub b: Vec<u8>,
    /// Activation scales `[scale_rows, k / 32]`.
    pub scales_a: Vec<u8>,
    /// Weight scales `[experts, n, k / 32]`.
    pub scales_b: Vec<u8>,
}

impl MxProblem {
    /// Makes the tensors for a routing; `spec.skew`, `layouts` and `total_rows` are not looked at.
    ///
    /// # Panics
    /// If `n` or `k` is not a multiple of 128.
    pub fn new(spec: MxSpec, routing: MxRouting) -> Self {
        let MxSpec { experts, n, k, seed, values, .. } = spec;
        assert!(n.is_multiple_of(128) && k.is_multiple_of(128), "N = {n}, K = {k}");
        let mut scales_b = vec![0; experts * n * k / VECTOR];
        let rng = &mut Rng::stream(seed, 4 << 40);
        spec.scales.fill(rng, seed, Side::B, k / VECTOR, &mut scales_b);
        let mut problem = Self {
            a: Vec::new(),
            b: codes(experts * n * k, values[1], seed, 2 << 40),
            scales_a: Vec::new(),
            scales_b,
            spec,
            routing: MxRouting::packed(Routing::packed(Vec::new())),
        };
        problem.reroute(routing);
        problem
    }

    /// Makes new activations for another routing; the weights stay.
    pub fn reroute(&mut self, routing: MxRouting) {
        let MxSpec { k, seed, values, scales, .. } = self.spec;
        self.a = codes(routing.rows.rows as usize * k, values[0], seed, 1 << 40);
        let columns = k / VECTOR;
        let mut drawn = vec![0; routing.scale_rows as usize * columns];
        scales.fill(&mut Rng::stream(seed, 3 << 40), seed, Side::A, columns, &mut drawn);
        self.scales_a = vec![scale_atoms::NAN; drawn.len()];
        self.routing = routing;
        for MxRow { scale_row, .. } in self.owned() {
            let at = scale_row * columns..(scale_row + 1) * columns;
            self.scales_a[at.clone()].copy_from_slice(&drawn[at]);
        }
        for (owner, row) in self.routing.rows.owners().into_iter().zip(self.a.chunks_mut(k)) {
            if owner.is_none() {
                row.fill(e4m3::NAN_CODE);
            }
        }
    }

    /// The same tensors with other groups, of which no row or scale row may lie beyond the packed ones.
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

    /// Every row that belongs to an expert.
    pub fn owned(&self) -> Vec<MxRow> {
        let MxRouting { rows, first_scale_row, .. } = &self.routing;
        (0..rows.experts())
            .flat_map(|expert| {
                let first = first_scale_row[expert] as usize;
                rows.rows_of(expert).enumerate().map(move |(i, row)| MxRow {
                    expert,
                    row,
                    scale_row: first + i,
                })
            })
            .collect()
    }

    /// Rows of the packed activations and of the output.
    pub fn rows(&self) -> usize {
        self.routing.rows.rows as usize
    }

    /// The tables of group metadata.
    pub fn tables(&self) -> MxTables {
        self.routing.tables(self.spec.n as u32, self.spec.k as u32)
    }

    /// What the contract says of any tables.
    pub fn judge(&self, tables: &MxTables) -> MxJudged {
        let (n, k) = (self.spec.n as u32, self.spec.k as u32);
        let problem = Problem { rows: self.rows() as u32, n, k };
        let shape = ScaledProblem { problem, scale_rows: self.routing.scale_rows };
        MxJudged::new(shape, tables, Scales::Read)
    }

    /// The codes of one packed row of activations.
    pub fn a_row(&self, row: usize) -> &[u8] {
        &self.a[row * self.spec.k..][..self.spec.k]
    }

    /// One row of the activation scales.
    pub fn scales_a_row(&self, scale_row: usize) -> &[u8] {
        &self.scales_a[scale_row * self.spec.k / VECTOR..][..self.spec.k / VECTOR]
    }

    /// The codes of some rows of an expert's weights: columns of the output.
    pub fn b_rows(&self, expert: usize, columns: Range<usize>) -> &[u8] {
        let MxSpec { n, k, .. } = self.spec;
        &self.b[(expert * n + columns.start) * k..(expert * n + columns.end) * k]
    }

    /// The scales of some rows of an expert's weights.
    pub fn scales_b_rows(&self, expert: usize, columns: Range<usize>) -> &[u8] {
        let (n, row) = (self.spec.n, self.spec.k / VECTOR);
        &self.scales_b[(expert * n + columns.start) * row..(expert * n + columns.end) * row]
    }
}

/// Rows of scales in atoms, as the kernels read them.
///
/// # Panics
/// If the rows are no whole number of atoms.
pub fn in_atoms(scales: &[u8], k: usize) -> Vec<u8> {
    let columns = k / VECTOR;
    assert!(scales.len().is_multiple_of(columns * scale_atoms::ROWS as usize), "whole atoms");
    let mut atoms = vec![0; scales.len()];
    for (row, scales) in scales.chunks(columns).enumerate() {
        for (column, &scale) in scales.iter().enumerate() {
            atoms[scale_atoms::offset(row as u64, column as u64, k as u64 / 128) as usize] = scale;
        }
    }
    atoms
}

impl fmt::Debug for MxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MxProblem({})", self.spec)
    }
}

impl fmt::Display for MxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_kernels::abi::GroupStatus;

    #[test]
    fn random_problems_keep_the_contract() {
        for seed in 0..100 {
            let problem = MxSpec::random(seed, 50_000, &ScaleValues::ALL).build();
            assert_eq!(problem.judge(&problem.tables()).status(), GroupStatus::OK, "{problem}");
        }
    }

    #[test]
    fn what_belongs_to_nobody_is_nan_and_all_else_is_not() {
        let layouts = [Layout::PermutedGaps, Layout::Gaps];
        let problem = MxSpec { layouts, total_rows: 40, ..MxSpec::PLAIN }.build();
        let owned = problem.owned();
        assert_eq!(owned.len(), 40);
        for row in 0..problem.rows() {
            let nan = problem.a_row(row).iter().all(|&code| e4m3::is_nan(code));
            assert_eq!(nan, owned.iter().all(|owned| owned.row != row), "row {row}");
        }
        for row in 0..problem.routing.scale_rows as usize {
            let nan = problem.scales_a_row(row).iter().all(|&scale| scale == scale_atoms::NAN);
            assert_eq!(nan, owned.iter().all(|owned| owned.scale_row != row), "scale row {row}");
        }
    }

    #[test]
    fn atoms_hold_every_scale_once() {
        let scales: Vec<u8> = (0..256 * 8).map(|i| (i % 251) as u8).collect();
        let atoms = in_atoms(&scales, 256);
        // Row 130, scale column 5: the second row of atoms, its second atom.
        assert_eq!(atoms[3 * 512 + 2 * 16 + 1], scales[130 * 8 + 5]);
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(&atoms), sorted(&scales));
    }
}
