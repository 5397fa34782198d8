//! The MXFP8 quantisers.

use super::{Launch as AnyLaunch, first_complaint, hostile};
use expert_gemm::abi::Variant;
use expert_gemm::{Device, ElementType, ScaleRule};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::VECTOR;
use expert_gemm_tests::mx::inputs::{Inputs, narrow};
use expert_gemm_tests::mx::quant_device::DeviceQuant;
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::vectors;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Routing};

/// Rows of a piece of work.
const RUN: usize = 8;

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
    let tables = problem.tables();
    Launch::new(problem, tables, 2)
}

/// Experts one after the other.
fn packed(kernel: &Variant, spec: QuantSpec, rows: &[u32]) -> Launch {
    launch(kernel, spec, MxRouting::packed(Routing::packed(rows.to_vec())))
}

/// For each rule: one element in each place that decides about its block's scale, by its lowest bit, among numbers only
/// and beside infinities; the published vectors; and every kind of values in every row of a piece of work.
fn special(kernel: &Variant) -> Vec<Launch> {
    const K: usize = VECTOR * VECTOR;
    let blocks: Vec<_> = vectors::all().into_iter().filter(|v| v.input == kernel.input).collect();
    let launch = |rule| {
        let rows = 2 * RUN + blocks.len() + 2 * RUN * Inputs::ALL.len();
        let spec = QuantSpec { k: K, rule, ..QuantSpec::PLAIN };
        let mut launch = packed(kernel, spec, &[rows as u32]);
        let (deciding, others) = launch.problem.input.split_at_mut(2 * RUN * K);
        for (row, elements) in deciding.chunks_mut(K).enumerate() {
            decided(elements, kernel.input, row >= RUN);
        }
        let (published, drawn) = others.split_at_mut(blocks.len() * K);
        for (row, vector) in published.chunks_mut(K).zip(&blocks) {
            row.as_chunks_mut::<VECTOR>().0.fill(vector.elements);
        }
        let rng = &mut Rng::new(rule as u64);
        for (row, inputs) in drawn.chunks_mut(K).zip(Inputs::ALL.iter().cycle()) {
            inputs.fill(rng, kernel.input, row);
        }
        launch
    };
    ScaleRule::ALL.map(launch).into()
}

/// Block `i` has the smallest number above 1.75, from where on scales are rounded up, as its element `i`. Every fifth block
/// of those `with_infinities` has one instead.
fn decided(row: &mut [u16], input: ElementType, with_infinities: bool) {
    row.fill(narrow(0.25, input));
    for (i, block) in row.chunks_mut(VECTOR).enumerate() {
        let infinite = with_infinities && i % 5 == 0;
        block[i] = if infinite { narrow(f32::INFINITY, input) } else { narrow(1.75, input) + 1 };
    }
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
    // Groups that begin where a piece does: it is the only one of the CTA's that needs them.
    let spec = QuantSpec { k: 1152, ..QuantSpec::PLAIN };
    let whole = packed(kernel, spec, &[8, 16, 8, 5]);
    let many: &[u32] = &[1, 7, 8, 9, 0, 127, 128, 129, 16, 31, 33];
    let shapes = [(128, many), (256, many), (1024, &[9, 20]), (1152, &[3, 17]), (2176, &[12])];
    shapes.map(launch).into_iter().chain([whole]).collect()
}

/// More experts than a CTA has threads; then rows of two of them overlap, or scales.
fn crowded(kernel: &Variant) -> Vec<Launch> {
    let spec = QuantSpec { k: 128, ..QuantSpec::PLAIN };
    let launch = || packed(kernel, spec, &hostile::crowd(300));
    let [mut rows, mut scales] = [launch(), launch()].map(|l| Launch { overlap: true, ..l });
    hostile::overlap_far(&mut rows.tables.groups);
    scales.tables.scale_offsets[38] = scales.tables.scale_offsets[52];
    vec![launch(), rows, scales]
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

/// Rows that many groups claim, small ones and large ones: each of them gets their scales. Then some of the groups are
/// refused, each for another reason, and get none.
fn shared(kernel: &Variant) -> Vec<Launch> {
    let rows_per_expert: Vec<u32> = (0..40).map(|expert| [3, 20, 0, 168, 7][expert % 5]).collect();
    let first_row: Vec<u32> = (0..40).map(|expert| expert * 29 % 101).collect();
    let rows = Routing { rows_per_expert, first_row, rows: 101 + 168 };
    let spec = QuantSpec { k: 256, ..QuantSpec::PLAIN };
    let launch = || launch(kernel, spec, MxRouting::packed(rows.clone()));
    let mut refused = launch();
    let MxTables { groups, scale_offsets } = &mut refused.tables;
    groups.sizes[1][0] = -1;
    groups.offsets[6] = -1;
    groups.offsets[11] = rows.rows as i32 - 19;
    groups.sizes[16][2] += 128;
    scale_offsets[21] += 1;
    scale_offsets[26] = refused.problem.routing.scale_rows as i32;
    [launch(), refused].map(|launch| Launch { overlap: true, ..launch }).into()
}

/// One broken entry in each launch; then a pair of groups that overlap, of so few that one CTA looks at all.
fn broken_tables(kernel: &Variant) -> Vec<Launch> {
    let packed = |rows| packed(kernel, QuantSpec { k: 128, ..QuantSpec::PLAIN }, rows);
    let mut few = Launch { overlap: true, ..packed(&[10; 4]) };
    few.tables.groups.offsets[1] += 1;
    hostile::launches(|| packed(&[10; 5])).into_iter().chain([few]).collect()
}

fn check(device: &Device, launch: &Launch) -> Result<(), String> {
    let Launch { problem, tables, .. } = launch;
    let on_device =
        DeviceQuant::new(device, problem, Around::Nothing).map_err(|e| e.to_string())?;
    let run = || {
        on_device.reset(tables)?;
        if launch.has_status { on_device.run() } else { on_device.run_without_status() }
    };
    let mut outcome = run().map_err(|e| e.to_string())?;
    // A kernel without the word answers nothing.
    if !launch.has_status {
        outcome.status = problem.judge(tables).status();
    }
    outcome.judge(problem, tables).map(drop)
}
