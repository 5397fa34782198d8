//! The MXFP8 products: of Hopper, of Blackwell, and of Blackwell over pairs of CTAs.

use super::{Launch as AnyLaunch, first_complaint, hostile};
use expert_gemm::Device;
use expert_gemm::abi::{Arch, Variant};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::gemm_device::DeviceMx;
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::scale_values::ScaleValues;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Layout, Routing};

type Launch = AnyLaunch<MxProblem, MxTables>;

/// Runs the suite.
pub(super) fn complaint(kernel: &'static Variant) -> Option<String> {
    let of_this_kernel = match kernel.arch {
        Arch::Sm90a => hopper,
        Arch::Sm100f if kernel.more_rows_than > 0 => pairs,
        Arch::Sm100f => blackwell,
    };
    let make = Make { kernel };
    let groups = [mixed, of_this_kernel, broken_tables, scales, crowded];
    let launches = groups.into_iter().flat_map(|group| group(make));
    first_complaint(kernel, launches, |device, launch| check(kernel, device, launch))
}

/// Makes launches of a kernel.
#[derive(Clone, Copy)]
struct Make {
    kernel: &'static Variant,
}

impl Make {
    /// Rows of nobody, in front, so that the last expert's end with the tensor: a plan chooses a kernel for many rows by
    /// their bound alone. Each expert's share, and several tiles on each multiprocessor.
    fn spare(self, experts: usize) -> u32 {
        match self.kernel.more_rows_than {
            0 => 0,
            rows => (experts as u32 * rows + 1).max(24 * 256),
        }
    }

    fn launch(self, spec: MxSpec, routing: MxRouting, sm_count: u32) -> Launch {
        let spec = MxSpec { experts: routing.rows.experts(), output: self.kernel.output, ..spec };
        let rows = routing.rows.with_spare_rows(self.spare(spec.experts), 0);
        let problem = MxProblem::new(spec, MxRouting { rows, ..routing });
        Launch { tables: problem.tables(), problem, sm_count, overlap: false }
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
/// and many; and last waves of which the tiles are cut in two and in four.
fn hopper(make: Make) -> Vec<Launch> {
    let mut launches: Vec<Launch> =
        [8, 16, 32, 64, 65].map(|rows| make.packed([256, 384], &[rows; 6], 2)).into();
    launches.extend([
        make.packed([128, 1408], &[50, 128], 2),
        make.packed([256, 128], &[257, 128, 100], 4),
        make.packed([256, 128], &[100; 9], 4),
        make.packed([256, 128], &[128, 128, 70, 3, 30, 65, 40, 128, 97, 128], 4),
    ]);
    launches
}

/// Tiles with one block of K in a slot and with two, with and without shared tokens, of even and odd numbers of blocks;
/// experts of several tiles, which begin in the middle of an atom of scales.
fn blackwell(make: Make) -> Vec<Launch> {
    vec![
        make.packed([256, 384], &[32, 16, 31, 5, 32, 20], 2),
        make.packed([256, 384], &[33, 64, 40, 60, 48, 50], 2),
        make.packed([256, 384], &[65, 128, 192, 66, 130, 100], 2),
        // Few rows on average: else the plan would take the kernel for pairs.
        make.packed([256, 128], &[321, 0, 193, 0, 577, 0], 4),
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
    let rows = [3, 12, 20, 40, 70];
    let launch = |(scales, k)| {
        let spec = MxSpec { n: 128, k, scales, seed: 0x39 + k as u64, ..MxSpec::PLAIN };
        make.launch(spec, MxRouting::packed(Routing::packed(rows.to_vec())), 2)
    };
    kinds.map(launch).into()
}

/// More experts than a warp has lanes, most of them with few rows.
fn crowded(make: Make) -> Vec<Launch> {
    let rows: Vec<u32> = (0..70).map(|expert| [0, 1, 0, 3, 2, 0, 1][expert % 7]).collect();
    vec![make.packed([128, 128], &rows, 4)]
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
    let outcome =
        on_device.reset(tables).and_then(|()| on_device.run()).map_err(|e| e.to_string())?;
    outcome.judge(problem, tables).map(drop)
}
