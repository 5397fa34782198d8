//! The MXFP8 grouped product on a GPU: every output bit equals the model of the tensor core.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of random problems (default 1200), `EXPERT_GEMM_SEED` runs a single one of
//! them.

use expert_gemm::abi::{Op, VARIANTS, Variant};
use expert_gemm::{Device, DeviceInfo, ElementType, GroupStatus, Mxfp8GroupedQuant};
use expert_gemm_tests::gpu::{Gpu, UNTOUCHED, say};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::gemm_device::{DeviceMx, shape};
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::gemm_reference;
use expert_gemm_tests::mx::made_for::made_for;
use expert_gemm_tests::mx::routing::{MxRouting, MxTables};
use expert_gemm_tests::mx::scale_values::{ScaleValues, Side};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{EDGE_ROWS, Layout, Routing, Skew, Tables, counts};
use expert_gemm_tests::suite::{check_all, other_seeds, seeds};
use expert_gemm_tests::values::Values;
use std::collections::BTreeSet;
use std::sync::Mutex;

const OUTPUTS: [ElementType; 2] = [ElementType::Bf16, ElementType::F16];

fn open() -> Option<Gpu> {
    let any = MxSpec::PLAIN.build();
    Gpu::open_for(|info: &DeviceInfo| shape(&any).plan(info).map(drop))
}

/// The kernels of this GPU's family.
fn kernels(device: &Device) -> impl Iterator<Item = &'static Variant> {
    let capability = device.info().capability;
    let of_the_operation = VARIANTS.iter().filter(|kernel| kernel.op == Op::Mxfp8GroupedMm);
    of_the_operation.filter(move |kernel| kernel.arch.runs_on(capability))
}

/// Runs one problem and compares everything that it may and may not write.
fn check(device: &Device, problem: &MxProblem) -> Result<u64, String> {
    check_kernel(device, problem).map(|(compared, _)| compared)
}

/// The same; says which kernel the plan chose.
fn check_kernel(device: &Device, problem: &MxProblem) -> Result<(u64, &'static str), String> {
    let (outcome, kernel) = DeviceMx::new(device, problem, Around::Guards)
        .and_then(|on_device| Ok((on_device.run()?, on_device.prepared().plan().variant().symbol)))
        .map_err(|error| format!("{error}\n  {problem}"))?;
    outcome
        .judge(problem, &problem.tables())
        .map_err(|complaint| format!("{complaint}\n  {problem}"))?;
    // The exact product costs more than the model: some rows of it.
    let owned = problem.owned();
    let some: Vec<_> = owned.iter().step_by(owned.len().div_ceil(3).max(1)).copied().collect();
    match gemm_reference::complaint(problem, &some, &outcome.output) {
        Some(complaint) => Err(format!("{complaint}\n  {problem}")),
        None => Ok(((owned.len() * problem.spec.n) as u64, kernel)),
    }
}

fn check_specs(name: &str, specs: &[MxSpec]) {
    let Some(gpu) = open() else { return };
    let device: &Device = &gpu;
    check_all(name, "outputs", specs, |spec| check(device, &spec.build()));
}

#[test]
fn random_problems() {
    let specs: Vec<MxSpec> =
        seeds(1200).into_iter().map(|seed| MxSpec::fuzz(seed, &ScaleValues::BF16)).collect();
    let Some(gpu) = open() else { return };
    let device: &Device = &gpu;
    let left_out = check_and_tell(device, "random products", &specs, MxSpec::build);
    assert!(left_out.is_empty() || other_seeds(), "{left_out:?} did not run");
}

/// Checks problems; tells which kernels of the family did not run.
fn check_and_tell<P: Sync>(
    device: &Device,
    name: &str,
    problems: &[P],
    build: impl Fn(&P) -> MxProblem + Sync + Send,
) -> BTreeSet<&'static str> {
    let left_out: BTreeSet<_> = kernels(device).map(|kernel| kernel.symbol).collect();
    let left_out = Mutex::new(left_out);
    check_all(name, "outputs", problems, |problem| {
        let (compared, kernel) = check_kernel(device, &build(problem))?;
        left_out.lock().expect("nobody panics").remove(kernel);
        Ok(compared)
    });
    left_out.into_inner().expect("nobody panicked")
}

#[test]
fn every_edge_of_the_row_count() {
    let Some(gpu) = open() else { return };
    let device: &Device = &gpu;
    let mut cases = Vec::new();
    for rows in EDGE_ROWS {
        for output in OUTPUTS {
            for layout in Layout::ALL {
                let spec = MxSpec { output, experts: 3, k: 384, ..MxSpec::PLAIN };
                let of_the_output = kernels(device).filter(|kernel| kernel.output == output);
                cases.extend(of_the_output.map(|kernel| (rows, kernel, layout, spec)));
            }
        }
    }
    let left_out = check_and_tell(device, "row counts", &cases, |&(rows, kernel, layout, spec)| {
        let rng = &mut Rng::new(u64::from(rows));
        let routing = Routing::laid_out(vec![rows; 3], layout, rng);
        let routing = made_for(kernel, MxRouting::laid_out(routing, layout, rng), false);
        MxProblem::new(MxSpec { experts: routing.rows.experts(), ..spec }, routing)
    });
    assert!(left_out.is_empty(), "{left_out:?} did not run");
}

#[test]
fn every_depth_and_width() {
    let mut specs = Vec::new();
    for output in OUTPUTS {
        for total_rows in [5, 40, 400] {
            for blocks in 1..=9 {
                let plain = MxSpec { output, total_rows, skew: Skew::Ragged, ..MxSpec::PLAIN };
                specs.push(MxSpec { k: 128 * blocks, seed: blocks as u64, ..plain });
                specs.push(MxSpec { n: 128 * blocks, seed: blocks as u64, ..plain });
            }
        }
    }
    check_specs("depths and widths", &specs);
}

#[test]
fn every_kind_of_values_and_scales() {
    let mut specs = Vec::new();
    for a in Values::ALL {
        for b in Values::ALL {
            for scales in ScaleValues::BF16 {
                let plain = MxSpec { total_rows: 40, skew: Skew::Ragged, ..MxSpec::PLAIN };
                specs.push(MxSpec { values: [a, b], scales, k: 512, n: 128, ..plain });
            }
        }
    }
    check_specs("kinds of values", &specs);
}

#[test]
fn a_few_tiles_more_than_whole_waves() {
    let Some(gpu) = open() else { return };
    let device: &Device = &gpu;
    let sms = device.info().sm_count;
    let mut cases = Vec::new();
    for seed in 0..48 {
        let rng = &mut Rng::stream(seed, 21);
        let experts = [1, 3, 40, 70][seed as usize % 4];
        // Tiles are 128 x 256. The last wave is anything from nearly empty to nearly full.
        let tiles = 2 * sms + rng.between(1, u64::from(sms) - 1) as u32;
        let columns = rng.between(3, 9) as u32;
        let row_blocks = tiles / columns;
        let mut counts = vec![0; experts];
        for _ in 0..row_blocks {
            let expert = rng.below(experts as u64) as usize;
            counts[expert] += 128;
        }
        for count in &mut counts {
            *count = u32::saturating_sub(*count, rng.between(0, 127) as u32);
        }
        let n = columns as usize * 256 - [0, 128][seed as usize % 2];
        let spec = MxSpec { n, k: 256, experts, seed, ..MxSpec::PLAIN };
        cases.push((spec, counts));
    }
    check_all("last waves", "outputs", &cases, |(spec, counts)| {
        let rng = &mut Rng::new(spec.seed);
        let routing = Routing::laid_out(counts.clone(), Layout::PermutedGaps, rng);
        check(
            device,
            &MxProblem::new(*spec, MxRouting::laid_out(routing, Layout::PermutedGaps, rng)),
        )
    });
}

#[test]
fn extreme_numbers_of_experts_and_rows() {
    let plain = MxSpec { n: 128, k: 128, ..MxSpec::PLAIN };
    let layouts = [Layout::PermutedGaps; 2];
    let mut specs = Vec::new();
    for output in OUTPUTS {
        let plain = MxSpec { output, ..plain };
        specs.extend([
            MxSpec { experts: 1024, total_rows: 4096, skew: Skew::Ragged, ..plain },
            MxSpec { experts: 1024, total_rows: 1024, layouts, ..plain },
            MxSpec { experts: 256, total_rows: 3000, skew: Skew::OneHot, n: 384, k: 512, ..plain },
            MxSpec { experts: 256, total_rows: 3000, skew: Skew::MostlyEmpty, k: 512, ..plain },
            MxSpec { experts: 1, total_rows: 20_000, n: 256, k: 256, ..plain },
            MxSpec { experts: 1, total_rows: 1, n: 4096, k: 7168, ..plain },
            MxSpec { experts: 64, total_rows: 0, skew: Skew::Empty, ..plain },
            MxSpec { experts: 64, total_rows: 0, skew: Skew::Empty, layouts, ..plain },
            MxSpec { experts: 0, total_rows: 0, skew: Skew::Empty, ..plain },
        ]);
    }
    check_specs("extreme routings", &specs);
}

/// Against the model, and in so many words: which outputs are NaN, and that all others are as without the NaN.
#[test]
fn a_nan_scale_poisons_exactly_its_outputs() {
    let Some(gpu) = open() else { return };
    let spec = MxSpec { experts: 2, total_rows: 6, n: 256, k: 384, ..MxSpec::PLAIN };
    let problem = spec.build();
    let run = |problem: &MxProblem| {
        let on_device = DeviceMx::new(&gpu, problem, Around::Guards).expect("upload");
        on_device.run().expect("no fault").output
    };
    let clean = run(&problem);
    for column in 0..12 {
        let mut poisoned = problem.clone();
        // Expert 1 has the rows 3..6, and the scale rows 128..131.
        poisoned.scales_a[(128 + 1) * 12 + column] = 0xFF;
        poisoned.scales_b[(256 + 130) * 12 + column] = 0xFF;
        for (i, (&got, &clean)) in run(&poisoned).iter().zip(&clean).enumerate() {
            let nan = i / 256 == 4 || i / 256 >= 3 && i % 256 == 130;
            let want = if nan { 0x7FFF } else { clean };
            assert_eq!(got, want, "row {}, column {}, scale {column}", i / 256, i % 256);
        }
    }
}

#[test]
fn random_hostile_tables() {
    let Some(gpu) = open() else { return };
    let mut seen = GroupStatus::OK;
    for seed in 0..200 {
        let problem = MxSpec::random(seed, 60_000, &ScaleValues::BF16[..3]).build();
        let on_device = DeviceMx::new(&gpu, &problem, Around::Guards).expect("ordinary tables");
        let rng = &mut Rng::stream(seed, 7);
        for round in 0..3 {
            let routing = &problem.routing;
            let tables = problem.tables().hostile(routing.rows.rows, routing.scale_rows, rng);
            on_device.reset(&tables).expect("reset");
            match on_device.run().expect("no fault").judge(&problem, &tables) {
                Ok(status) => seen = seen.union(status),
                Err(complaint) => panic!("{complaint}\n  round {round} of {problem}\n  {tables:?}"),
            }
        }
    }
    say(&format!("600 hostile tables: status bits seen {:#x}", seen.0));
    assert_eq!(seen.0, 0x7F, "every bit but that of scales which are written was asked for");
}

#[test]
fn named_hostile_tables() {
    let Some(gpu) = open() else { return };
    let problem = MxSpec { total_rows: 40, n: 256, k: 384, ..MxSpec::PLAIN }.build();
    let on_device = DeviceMx::new(&gpu, &problem, Around::Guards).expect("ordinary tables");
    let ten = [10, 256, 384];
    let (packed, scales) = ([0, 10, 20, 30], [0, 128, 256, 384]);
    let (offset, past) = (GroupStatus::SCALE_OFFSET, GroupStatus::SCALES_PAST_THE_END);
    let named = [
        ("ordinary", ten, packed, scales, GroupStatus::OK),
        ("wrong columns", [10, 128, 384], packed, scales, GroupStatus::WRONG_SHAPE),
        ("negative count", [-1, 256, 384], packed, scales, GroupStatus::NEGATIVE_ROWS),
        ("past the end", ten, [0, 10, 20, 31], scales, GroupStatus::PAST_THE_END),
        ("same rows", ten, [0, 10, 19, 30], scales, GroupStatus::OVERLAP),
        ("same scales are read twice", ten, packed, [0, 128, 128, 384], GroupStatus::OK),
        ("odd scales", ten, packed, [0, 128, 257, 384], offset),
        ("negative scales", ten, packed, [-128, 128, 256, 384], offset),
        ("scales at the end", ten, packed, [0, 128, 256, 512], past),
    ];
    for (name, second, offsets, scale_offsets, status) in named {
        let groups = Tables { sizes: vec![ten, second, ten, ten], offsets: offsets.to_vec() };
        let tables = MxTables { groups, scale_offsets: scale_offsets.to_vec() };
        on_device.reset(&tables).expect("reset");
        let outcome = on_device.run().expect("no fault");
        assert_eq!(outcome.judge(&problem, &tables), Ok(status), "{name}");
    }
}

#[test]
fn a_captured_graph_replays_with_other_routing() {
    let Some(gpu) = open() else { return };
    for output in OUTPUTS {
        let softmax = Skew::Softmax { top_k: 4, spread: 1.0 };
        let plain = MxSpec { output, skew: softmax, ..MxSpec::PLAIN };
        let spec = MxSpec { experts: 16, n: 512, k: 640, total_rows: 700, ..plain };
        let mut routing = MxRouting::packed(Routing::packed(vec![700; 1]));
        // Whatever the split, its scales fit; and every scale row is one that somebody may own.
        routing.scale_rows = Mxfp8GroupedQuant::max_scale_rows(700, 16) as u32;
        routing.rows.rows_per_expert.resize(16, 0);
        routing.rows.first_row.resize(16, 0);
        routing.first_scale_row.resize(16, 0);
        let mut problem = MxProblem::new(spec, routing);
        spec.scales.fill(&mut Rng::new(5), spec.seed, Side::A, spec.k / 32, &mut problem.scales_a);
        let on_device = DeviceMx::new(&gpu, &problem, Around::Guards).expect("upload");
        let stream = gpu.stream().expect("stream");
        let graph = stream.capture(|stream| on_device.launch(stream)).expect("capture");
        let untouched = on_device.outcome().expect("no fault").output;
        assert!(untouched.iter().all(|&bits| bits == UNTOUCHED), "a capture runs nothing");
        let rng = &mut Rng::new(99);
        for skew in [Skew::Zipf, Skew::OneHot, Skew::MostlyEmpty, Skew::Empty, softmax] {
            let counts = counts(skew, spec.experts, spec.total_rows, rng);
            let problem = problem.with_routing(MxRouting::packed(Routing::packed(counts)));
            on_device.reset(&problem.tables()).expect("reset");
            // SAFETY: `on_device` owns the memory of the captured launch and is alive.
            unsafe { graph.launch(stream.stream()) }.expect("replay");
            stream.synchronize().expect("no fault");
            let outcome = on_device.outcome().expect("no fault");
            let judged = outcome.judge(&problem, &problem.tables());
            assert!(judged.is_ok(), "{skew}: {judged:?}");
        }
    }
}
