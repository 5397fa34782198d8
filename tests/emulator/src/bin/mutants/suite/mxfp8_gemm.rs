//! The MXFP8 products: of Hopper, there also for few rows, of Blackwell, and of Blackwell over pairs of CTAs.

use super::{Launch as AnyLaunch, first_complaint, hostile, mxfp8_forms};
use expert_gemm::Device;
use expert_gemm::abi::{Arch, Variant};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::gemm_device::DeviceMx;
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::made_for::made_for;
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Routing};

pub(super) type Launch = AnyLaunch<MxProblem, MxTables>;

/// Runs the suite.
pub(super) fn complaint(kernel: &'static Variant) -> Option<String> {
    let of_this_kernel = match kernel.arch {
        Arch::Sm90a if kernel.more_rows_than > 0 => hopper,
        Arch::Sm90a => hopper_few,
        Arch::Sm100f if kernel.more_rows_than > 0 => pairs,
        Arch::Sm100f => blackwell,
    };
    let make = Make { kernel };
    // Cheap ones first: most faults show in any problem.
    let groups = [mixed, scales, broken_tables, crowded, of_this_kernel, panels];
    let launches = groups.into_iter().flat_map(|group| group(make));
    first_complaint(kernel, launches, |device, launch| check(kernel, device, launch))
}

/// Makes launches of a kernel.
#[derive(Clone, Copy)]
pub(super) struct Make {
    kernel: &'static Variant,
}

impl Make {
    pub(super) fn launch(self, spec: MxSpec, routing: MxRouting, sm_count: u32) -> Launch {
        let routing = made_for(self.kernel, routing, true);
        let spec = MxSpec { experts: routing.rows.experts(), output: self.kernel.output, ..spec };
        let problem = MxProblem::new(spec, routing);
        let tables = problem.tables();
        Launch::new(problem, tables, sm_count)
    }

    /// N and K of experts with these rows, one after the other.
    fn packed(self, [n, k]: [usize; 2], rows: &[u32], sm_count: u32) -> Launch {
        // The seed picks the alignment of the tables.
        let spec = MxSpec { n, k, seed: 0x15 + rows.len() as u64, ..MxSpec::PLAIN };
        self.launch(spec, MxRouting::packed(Routing::packed(rows.to_vec())), sm_count)
    }
}

/// Few and many rows, none, a last block of columns that is half as wide as others, groups in any order with gaps.
fn mixed(make: Make) -> Vec<Launch> {
    let rng = &mut Rng::new(5);
    let rows = Routing::laid_out(vec![1, 8, 9, 17, 0, 33, 66], Layout::PermutedGaps, rng);
    let routing = MxRouting::laid_out(rows, Layout::PermutedGaps, rng);
    let spec = MxSpec { n: 384, k: 256, seed: 0x27, ..MxSpec::PLAIN };
    vec![make.launch(spec, routing, 2)]
}

/// Tiles of 8 to 128 tokens, of each so many that every slot of every ring is used again; an odd number of blocks of K,
/// and many; last waves of which the tiles are cut in two and in four; and scales on which it hangs how a block is
/// multiplied.
fn hopper(make: Make) -> Vec<Launch> {
    let mut launches: Vec<Launch> =
        [8, 16, 32, 64, 65].map(|rows| make.packed([256, 384], &[rows; 6], 2)).into();
    launches.extend([
        make.packed([128, 1408], &[50, 128], 2),
        make.packed([256, 128], &[257, 128, 100], 4),
        make.packed([256, 128], &[100; 9], 4),
        make.packed([256, 128], &[128, 128, 70, 3, 30, 65, 40, 128, 97, 128], 4),
    ]);
    // Up to 16 rows on average, among them experts with many: tiles of half the height. The last wave is one tile, cut in
    // four, of an expert whose rows reach into each part.
    let mut rows = vec![0; 72];
    rows.iter_mut().skip(4).step_by(4).for_each(|rows| *rows = 50);
    launches.push(make.packed([256, 128], &rows, 4));
    launches.extend(mxfp8_forms::launches(make));
    launches
}

/// The same for tiles of up to 32 tokens, in either form, and experts of several.
fn hopper_few(make: Make) -> Vec<Launch> {
    let mut launches: Vec<Launch> =
        [8, 9, 32].map(|rows| make.packed([256, 384], &[rows; 6], 2)).into();
    launches.extend([
        make.packed([128, 1408], &[30, 70], 2),
        make.packed([256, 128], &[97, 32, 1, 60, 8, 33], 4),
    ]);
    launches.extend(mxfp8_forms::launches(make));
    launches
}

/// Tiles with one block of K in a slot and with two, with and without shared tokens, of even and odd numbers of blocks;
/// experts of several tiles, which begin in the middle of an atom of scales.
fn blackwell(make: Make) -> Vec<Launch> {
    vec![
        make.packed([256, 384], &[32, 16, 31, 5, 32, 20], 2),
        make.packed([256, 384], &[33, 64, 40, 60, 48, 50], 2),
        make.packed([256, 384], &[65, 128, 192, 66, 130, 100], 2),
        // Few rows on average: else the plan would take the kernel for pairs. The tile of rows 192 to 291 needs two atoms
        // of scales only because it begins in the middle of one.
        make.packed([256, 128], &[321, 0, 193, 0, 577, 0, 292, 0], 4),
        make.packed([128, 1408], &[20, 70], 2),
        make.packed([384, 1152], &[20, 70], 4),
    ]
}

/// Every width in either accumulator, wide tiles and narrow ones in turns, and experts of several tiles.
fn pairs(make: Make) -> Vec<Launch> {
    vec![
        make.packed([384, 128], &[256, 1, 240, 209, 256, 256], 2),
        make.packed([256, 384], &[256, 241, 130, 17, 256, 257, 40, 250], 2),
        make.packed([256, 128], &[16, 32, 48, 64, 80, 96, 112, 128], 2),
        make.packed([128, 128], &[208, 210, 241, 16, 255, 1, 225, 193, 224], 2),
        make.packed([256, 128], &[577, 0, 385], 4),
        make.packed([128, 1408], &[20, 230], 2),
    ]
}

/// Scales of every kind; those near and far from each other in turns change how Hopper multiplies.
fn scales(make: Make) -> Vec<Launch> {
    let kinds = [
        (ScaleValues::Mixed, 1280),
        (ScaleValues::Wandering, 640),
        (ScaleValues::Far, 256),
        (ScaleValues::WithNan, 256),
        (ScaleValues::Moderate, 128),
    ];
    // As many as two CTAs take in whole waves: tiles of the last one would be cut.
    let rows = [3, 12, 20, 40, 70, 8];
    let launch = |(scales, k)| {
        let spec = MxSpec { n: 128, k, scales, seed: 0x39 + k as u64, ..MxSpec::PLAIN };
        make.launch(spec, MxRouting::packed(Routing::packed(rows.to_vec())), 2)
    };
    kinds.map(launch).into()
}

/// More experts than a warp has lanes, most of them with few rows; then two of them overlap.
fn crowded(make: Make) -> Vec<Launch> {
    let launch = || make.packed([128, 128], &hostile::crowd(70), 4);
    let mut overlapping = Launch { overlap: true, ..launch() };
    hostile::overlap_far(&mut overlapping.tables.groups);
    vec![launch(), overlapping]
}

/// More row blocks than a panel has, so that the last panel is shorter; and rests of half a block.
fn panels(make: Make) -> Vec<Launch> {
    let mut rows = vec![0; 20];
    rows[..3].copy_from_slice(&[16 * make.kernel.tile[0] + 5, 64, 192]);
    vec![make.packed([512, 128], &rows, 4)]
}

/// One broken entry in each launch.
fn broken_tables(make: Make) -> Vec<Launch> {
    hostile::launches(|| make.packed([128, 128], &[3; 5], 4))
}

fn check(kernel: &Variant, device: &Device, launch: &Launch) -> Result<(), String> {
    let Launch { problem, tables, .. } = launch;
    let on_device = DeviceMx::new(device, problem, Around::Nothing).map_err(|e| e.to_string())?;
    let chosen = on_device.prepared().plan().variant();
    assert_eq!(chosen.symbol, kernel.symbol, "another kernel than the one that is tried");
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
