//! The FP8 product.

use super::{Launch as AnyLaunch, first_complaint, hostile};
use expert_gemm::abi::Variant;
use expert_gemm::{Device, DeviceInfo};
use expert_gemm_tests::fp8_kernel::{Fp8Kernel, made_for};
use expert_gemm_tests::gpu::{UNTOUCHED, shape};
use expert_gemm_tests::judge::Judged;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::{Layout, Routing, Skew, Tables};
use ptx_emulator::exact::ExactProblem;

type Launch = AnyLaunch<HostProblem, Tables>;

/// Runs the suite.
pub(super) fn complaint(kernel: &'static Variant) -> Option<String> {
    let make = Make { kernel };
    let of_this_kernel: &[fn(Make) -> Vec<Launch>] = match make.kernel() {
        Fp8Kernel::Few => &[guessed],
        Fp8Kernel::Flat => &[guessed, halves],
        Fp8Kernel::Tall => &[tall],
        Fp8Kernel::Wide => &[paired],
    };
    let groups = LAUNCHES.iter().chain(of_this_kernel);
    let launches = groups.flat_map(|group| group(make));
    first_complaint(kernel, launches, check)
}

/// Cheap ones first: most faults show in any problem.
const LAUNCHES: [fn(Make) -> Vec<Launch>; 9] =
    [narrow, broken_tables, aligned, skewed, handed_on, wide, deep, crowded, panels];

fn spec(experts: usize, n: usize, k: usize, seed: u64) -> Spec {
    Spec { experts, n, k, seed, ..Spec::PLAIN }
}

/// Makes launches of a kernel.
#[derive(Clone, Copy)]
struct Make {
    kernel: &'static Variant,
}

impl Make {
    fn kernel(self) -> Fp8Kernel {
        Fp8Kernel::of_module(self.kernel.module).expect("an FP8 kernel")
    }

    fn launch(self, spec: Spec, routing: Routing, sm_count: u32) -> Launch {
        let device = DeviceInfo { sm_count, ..DeviceInfo::h200() };
        let spec = Spec { output: self.kernel.output, ..spec };
        let problem = made_for(self.kernel(), spec, routing, true, &device);
        let plan = shape(&problem).plan(&device).expect("plan");
        assert_eq!(plan.variant().symbol, self.kernel.symbol, "{problem}");
        let tables = problem.tables();
        Launch::new(problem, tables, sm_count)
    }

    fn packed(self, spec: Spec, rows: &[u32], sm_count: u32) -> Launch {
        self.launch(spec, Routing::packed(rows.to_vec()), sm_count)
    }
}

/// Groups of 8, 16, 32 and 64 columns of tokens, full ones and others, and an uneven number of column blocks. Each width
/// often enough that every slot of every ring is used again: a slot that is never given back must be missed.
fn narrow(make: Make) -> Vec<Launch> {
    let mixed = make.packed(spec(6, 384, 256, 16), &[1, 8, 9, 17, 0, 33], 2);
    let same = |rows: u32| make.packed(spec(8, 256, 256, 3 + u64::from(rows)), &[rows; 8], 2);
    let mut launches = vec![mixed];
    launches.extend([8, 16, 32, 64, 65].map(same));
    // An odd number of blocks, the last of which is loaded behind the loop over pairs.
    launches.push(make.packed(spec(4, 256, 384, 11), &[20, 9, 32, 16], 2));
    // More blocks than the loops of the narrowest take at once.
    launches.push(make.packed(spec(4, 256, 640, 13), &[8, 3, 5, 8], 2));
    // In each form all slots before a tile whose tokens the other CTA copies, too.
    launches.push(make.packed(spec(8, 256, 768, 34), &[8, 65, 16, 65, 32, 65, 64, 65], 2));
    launches
}

/// Guesses at a CTA's first tile: right ones of several columns; wrong ones whose columns are right and whose expert is not, or
/// the other way round; CTAs without any tile.
fn guessed(make: Make) -> Vec<Launch> {
    vec![
        make.packed(spec(4, 256, 384, 17), &[0, 5, 3, 8], 4),
        make.packed(spec(4, 512, 384, 18), &[130, 4, 7, 1], 4),
        make.packed(spec(4, 256, 384, 19), &[0, 0, 0, 3], 6),
        make.packed(spec(4, 512, 384, 30), &[4, 7, 1, 3], 4),
        // The fifth cluster's tile is in the last columns of the expert that it guesses, and it guesses those before.
        make.packed(spec(3, 768, 384, 31), &[0, 130, 3], 10),
        // As many rows as a guess allows where tiles have 128, and it is wrong.
        make.packed(spec(2, 256, 384, 33), &[0, 256], 4),
        // The fourth cluster's tile is of the fourth expert, and it guesses the second.
        make.packed(spec(4, 768, 384, 32), &[5, 0, 0, 7], 10),
    ]
}

/// A last round of halves, of the last expert: in each form, with an odd number of column blocks, in tiles of more chunks of scales
/// than their ring has slots; and of the last experts of more than a warp has lanes, where it is known and where it is not.
fn halves(make: Make) -> Vec<Launch> {
    let last = |rows: u32, k: usize| make.packed(spec(3, 640, k, 80), &[5, 66, rows], 8);
    let mut launches =
        vec![last(20, 384), last(128, 512), last(40, 640), last(9, 384), last(7, 256)];
    launches.extend([last(70, 2432), last(12, 2432)]);
    launches.extend([(34, 22), (33, 20)].map(|(experts, multiprocessors)| {
        make.packed(spec(experts, 128, 128, 81), &vec![16; experts], multiprocessors)
    }));
    launches
}

/// Tall tiles: one and several of an expert, whose last takes up to 64 rows more; of one to eight blocks, and more of them than
/// there are slots of every ring. Every expert's rows end with the tensor, or with another's.
fn tall(make: Make) -> Vec<Launch> {
    let mut launches = vec![
        make.packed(spec(3, 384, 256, 50), &[192, 1, 129], 2),
        make.packed(spec(3, 256, 512, 51), &[300, 66, 140], 2),
        make.packed(spec(24, 256, 384, 52), &[160; 24], 2),
        // A row more than a tall tile has.
        make.packed(spec(2, 256, 128, 54), &[193, 5], 2),
    ];
    launches
        .extend([640, 768, 896, 1024].map(|k| make.packed(spec(2, 128, k, 53), &[131, 188], 2)));
    launches
}

/// Wide tiles: row blocks in pairs and without a partner, in even and odd numbers of column blocks, the last of which is whole, or
/// ends after 64 or 128 columns; of one to eight blocks, and more of them than there are slots of every ring. Of each number at
/// which a tile can end, more items than their ring has slots.
fn paired(make: Make) -> Vec<Launch> {
    let mut launches = vec![
        make.packed(spec(3, 384, 256, 60), &[257, 1, 129], 2),
        make.packed(spec(2, 640, 512, 61), &[300, 66], 4),
        make.packed(spec(2, 768, 256, 62), &[250, 400], 4),
        make.packed(spec(2, 128, 384, 63), &[513, 140], 2),
        make.packed(spec(12, 384, 384, 64), &[130; 12], 2),
        make.packed(spec(5, 384, 512, 66), &[130; 5], 2),
        make.packed(spec(5, 384, 1024, 67), &[130; 5], 2),
        // Narrow and short tiles before others, with and without blocks behind their last chunk.
        make.packed(spec(5, 640, 512, 68), &[130; 5], 2),
        make.packed(spec(5, 640, 640, 69), &[130; 5], 2),
        make.packed(spec(5, 384, 640, 70), &[40; 5], 2),
        // The same with less than a chunk of blocks.
        make.packed(spec(5, 640, 384, 71), &[130; 5], 2),
        make.packed(spec(5, 384, 256, 72), &[40; 5], 2),
    ];
    launches
        .extend([640, 768, 896, 1024].map(|k| make.packed(spec(2, 384, k, 65), &[131, 188], 2)));
    launches
}

/// Scales at 16-byte boundaries and a multiple of four blocks: copies of 16 bytes. Then the loop over four blocks,
/// with more tiles of it in one CTA than the rings have slots.
fn aligned(make: Make) -> Vec<Launch> {
    vec![
        make.packed(spec(3, 256, 512, 0x1000), &[40, 16, 65], 2),
        make.packed(spec(4, 256, 640, 12), &[70, 66, 100, 65], 2),
        // One chunk of scales a tile: each slot of their ring is the last one once.
        make.packed(spec(5, 256, 512, 15), &[70, 66, 100, 65, 80], 2),
    ]
}

/// Scales off every boundary, and a multiple of four blocks, or 1, 2 and 3 more; groups out of order.
fn skewed(make: Make) -> Vec<Launch> {
    [512, 640, 768, 896]
        .map(|k| {
            let routing =
                Routing { first_row: vec![70, 3], rows: 134, ..Routing::packed(vec![64, 65]) };
            make.launch(spec(2, 128, k, 0xE7), routing, 2)
        })
        .into()
}

/// A tile that is stored under the next one, in each of the places where that happens by the number of blocks. It ends with the
/// tensor, so that a row too many is seen: at 4, 8 or 12 behind a multiple of 16, for a warp stores four at a time.
fn handed_on(make: Make) -> Vec<Launch> {
    let launch = |k: usize, rows: u32| {
        let packed = Routing::packed(vec![rows, 66]);
        let routing = Routing { first_row: vec![66, 0], ..packed };
        make.launch(spec(2, 128, k, 40 + u64::from(rows)), routing, 2)
    };
    let of = |k: usize| [68, 72, 76].map(|rows| launch(k, rows));
    [256, 512, 1024].into_iter().flat_map(of).collect()
}

/// Whole tiles of 128 rows and the rest of one; a rest of half a tile, of 128 rows or of 64, in more columns than a cluster takes at
/// once.
fn wide(make: Make) -> Vec<Launch> {
    vec![
        make.packed(spec(2, 256, 128, 5), &[257, 128], 4),
        make.packed(spec(2, 384, 128, 14), &[64, 192], 4),
        make.packed(spec(2, 384, 128, 35), &[32, 96], 4),
    ]
}

/// The loops over four blocks, of wide tiles over eight too, several tiles of each in one CTA, and what is left behind them.
fn deep(make: Make) -> Vec<Launch> {
    vec![
        make.packed(spec(3, 256, 1408, 6), &[50, 64, 40], 2),
        make.packed(spec(2, 256, 2432, 7), &[100, 70], 2),
        // Four blocks and three behind them, tile after tile: every slot that they leave is needed again. Eight and three, and
        // more items than their ring has slots.
        make.packed(spec(6, 256, 896, 9), &[65; 6], 2),
        make.packed(spec(7, 256, 1408, 29), &[65; 7], 2),
    ]
}

/// More experts than a warp has lanes, most of them with few rows, laid out in any order with gaps; then two that
/// overlap.
fn crowded(make: Make) -> Vec<Launch> {
    let spec = Spec {
        total_rows: 100,
        layout: Layout::PermutedGaps,
        skew: Skew::Ragged,
        ..spec(70, 128, 128, 8)
    };
    let mut overlapping = make.packed(Spec { seed: 9, ..spec }, &hostile::crowd(spec.experts), 4);
    hostile::overlap_far(&mut overlapping.tables);
    overlapping.overlap = true;
    vec![make.launch(spec, spec.build().routing, 4), overlapping]
}

/// More row blocks than a panel has, so that the last panel is shorter, with tiles of 128 rows or of 64.
fn panels(make: Make) -> Vec<Launch> {
    let height = if make.kernel() == Fp8Kernel::Few { 64 } else { 128 };
    vec![make.packed(spec(1, 384, 128, 10), &[16 * height + 5], 4)]
}

/// One broken entry in each launch; then one that nobody asks about.
fn broken_tables(make: Make) -> Vec<Launch> {
    let launch = |(i, fault): (usize, &fn(&mut Tables))| {
        let mut launch = make.packed(spec(5, 128, 128, 20 + i as u64), &[3; 5], 4);
        fault(&mut launch.tables);
        launch.overlap = true;
        launch
    };
    let unasked = Launch { has_status: false, ..launch((0, &hostile::ROW_FAULTS[0])) };
    hostile::ROW_FAULTS.iter().enumerate().map(launch).chain([unasked]).collect()
}

fn check(device: &Device, launch: &Launch) -> Result<(), String> {
    let Launch { problem, tables, .. } = launch;
    let outcome = ExactProblem::new(device, problem, tables).and_then(|on_device| {
        if launch.has_status { on_device.run() } else { on_device.run_without_status() }
    });
    let outcome = outcome.map_err(|error| error.to_string())?;
    let judged = Judged::new(problem, tables);
    let difference = judged.compare(problem, &outcome.output, UNTOUCHED);
    if !difference.is_none() {
        return Err(format!("wrong bits: {difference}"));
    }
    if launch.has_status && outcome.status != judged.status {
        return Err(format!("status {:?}, want {:?}", outcome.status, judged.status));
    }
    Ok(())
}
