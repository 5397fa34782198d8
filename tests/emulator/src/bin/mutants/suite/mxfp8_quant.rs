//! The MXFP8 quantisers.

use super::{Launch as AnyLaunch, first_complaint, hostile};
use expert_gemm::abi::Variant;
use expert_gemm::{Device, ScaleRule};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::VECTOR;
use expert_gemm_tests::mx::inputs::Inputs;
use expert_gemm_tests::mx::quant_device::DeviceQuant;
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::vectors;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Routing};

type Launch = AnyLaunch<QuantProblem, MxTables>;

/// Runs the suite.
pub(super) fn complaint(kernel: &'static Variant) -> Option<String> {
    let groups = [special, shapes, broken_tables, shared, crowded, late];
    let launches = groups.into_iter().flat_map(|group| group(kernel));
    first_complaint(kernel, launches, check)
}

fn launch(kernel: &Variant, spec: QuantSpec, routing: MxRouting) -> Launch {
    let spec = QuantSpec { experts: routing.rows.experts(), input: kernel.input, ..spec };
    let problem = QuantProblem::new(spec, routing);
    Launch { tables: problem.tables(), problem, sm_count: 2, overlap: false }
}

/// Experts one after the other.
fn packed(kernel: &Variant, spec: QuantSpec, rows: &[u32]) -> Launch {
    launch(kernel, spec, MxRouting::packed(Routing::packed(rows.to_vec())))
}

/// For each rule, the published vectors, and every kind of values in every row of a piece of work, those at the edges of
/// the rules more often.
fn special(kernel: &Variant) -> Vec<Launch> {
    let blocks: Vec<_> = vectors::all().into_iter().filter(|v| v.input == kernel.input).collect();
    // Eleven kinds meet the eight rows of a piece in every combination.
    let kinds = [&Inputs::ALL[..], &[Inputs::Edges, Inputs::WithInf]].concat();
    let launch = |rule| {
        let rows = blocks.len() + 2 * 8 * kinds.len();
        let spec = QuantSpec { k: 1024, rule, ..QuantSpec::PLAIN };
        let mut launch = packed(kernel, spec, &[rows as u32]);
        let (special, drawn) = launch.problem.input.split_at_mut(blocks.len() * spec.k);
        for (row, vector) in special.chunks_mut(spec.k).zip(&blocks) {
            row.as_chunks_mut::<VECTOR>().0.fill(vector.elements);
        }
        let rng = &mut Rng::new(rule as u64);
        for (row, inputs) in drawn.chunks_mut(spec.k).zip(kinds.iter().cycle()) {
            inputs.fill(rng, kernel.input, row);
        }
        launch
    };
    ScaleRule::ALL.map(launch).into()
}

/// Row counts around the edges of a piece of work and of an atom of scales, in any order with gaps; rows of fewer blocks
/// than a CTA has warps, of as many, and of more.
fn shapes(kernel: &Variant) -> Vec<Launch> {
    let launch = |(k, rows): (usize, &[u32])| {
        let rng = &mut Rng::new(k as u64);
        let rows = Routing::laid_out(rows.to_vec(), Layout::PermutedGaps, rng);
        let routing = MxRouting::laid_out(rows, Layout::PermutedGaps, rng);
        let spec = QuantSpec { k, seed: 0x15 + k as u64, ..QuantSpec::PLAIN };
        launch(kernel, spec, routing)
    };
    let many: &[u32] = &[1, 7, 8, 9, 0, 127, 128, 129, 16, 31, 33];
    [(128, many), (256, many), (1024, &[9, 20]), (1152, &[3, 17]), (2176, &[12])].map(launch).into()
}

/// More experts than a CTA has threads.
fn crowded(kernel: &Variant) -> Vec<Launch> {
    let rows: Vec<u32> = (0..300).map(|expert| [0, 1, 0, 3, 2, 0, 1][expert % 7]).collect();
    vec![packed(kernel, QuantSpec { k: 128, ..QuantSpec::PLAIN }, &rows)]
}

/// Few rows behind many of nobody: blocks beyond the first hundreds ask whose the rows are before they load. Of the last
/// piece of work only the first row exists.
fn late(kernel: &Variant) -> Vec<Launch> {
    const NOBODYS: u32 = 640 * 8 * 8;
    let rows = Routing::packed(vec![13, 0, 32]).with_spare_rows(NOBODYS + 4, 0);
    assert_eq!(rows.rows % 8, 1);
    let spec = QuantSpec { k: 128, ..QuantSpec::PLAIN };
    vec![launch(kernel, spec, MxRouting::packed(rows))]
}

/// Rows that many groups claim, small ones and large ones: each of them gets their scales.
fn shared(kernel: &Variant) -> Vec<Launch> {
    let rows_per_expert: Vec<u32> = (0..40).map(|expert| [3, 20, 0, 150, 7][expert % 5]).collect();
    let first_row: Vec<u32> = (0..40).map(|expert| expert * 29 % 101).collect();
    let rows = Routing { rows_per_expert, first_row, rows: 251 };
    let spec = QuantSpec { k: 256, ..QuantSpec::PLAIN };
    vec![Launch { overlap: true, ..launch(kernel, spec, MxRouting::packed(rows)) }]
}

/// One broken entry in each launch.
fn broken_tables(kernel: &Variant) -> Vec<Launch> {
    hostile::launches(|| packed(kernel, QuantSpec { k: 128, ..QuantSpec::PLAIN }, &[10; 5]))
}

fn check(device: &Device, launch: &Launch) -> Result<(), String> {
    let Launch { problem, tables, .. } = launch;
    let on_device =
        DeviceQuant::new(device, problem, Around::Nothing).map_err(|e| e.to_string())?;
    let outcome =
        on_device.reset(tables).and_then(|()| on_device.run()).map_err(|e| e.to_string())?;
    outcome.judge(problem, tables).map(drop)
}
