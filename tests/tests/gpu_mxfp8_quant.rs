//! The MXFP8 quantiser on a GPU: every code and every scale equals the closed form, and nothing else is written.
//!
//! `EXPERT_GEMM_PROBLEMS` sets the number of random problems (default 1500), `EXPERT_GEMM_SEED` runs a single one of
//! them, `EXPERT_GEMM_BLOCKS` sets the number of random blocks (default 10^8).

use expert_gemm::{Device, DeviceInfo, ElementType, Mxfp8GroupedQuant, ScaleRule};
use expert_gemm_tests::gpu::{Gpu, say};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::inputs::Inputs;
use expert_gemm_tests::mx::quant_device::DeviceQuant;
use expert_gemm_tests::mx::quant_model::quantise;
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::MxRouting;
use expert_gemm_tests::mx::{Block, VECTOR, vectors};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{EDGE_ROWS, Layout, Routing, Skew, counts};
use expert_gemm_tests::suite::{check_all, number, seeds};
use rayon::prelude::*;
use std::time::Instant;

const INPUTS: [ElementType; 2] = [ElementType::Bf16, ElementType::F16];

/// Rows and elements of a row in the tests of single blocks: 2^21 blocks, every value in every lane.
const BLOCK_ROWS: usize = 1 << 14;
const BLOCK_K: usize = 4096;
const BLOCKS: usize = BLOCK_ROWS * BLOCK_K / VECTOR;

fn open() -> Option<Gpu> {
    let any = |info: &DeviceInfo| {
        let shape = Mxfp8GroupedQuant {
            rows: 1,
            experts: 1,
            k: 128,
            scale_rows: 128,
            input: ElementType::Bf16,
            rule: ScaleRule::Sgl,
        };
        shape.plan(info).map(drop)
    };
    Gpu::open_for(any)
}

/// Runs one problem and compares everything that it may and may not write.
fn check(device: &Device, problem: &QuantProblem) -> Result<u64, String> {
    let tables = problem.tables();
    DeviceQuant::new(device, problem, Around::Guards)
        .and_then(|on_device| on_device.run())
        .map_err(|error| error.to_string())
        .and_then(|outcome| outcome.judge(problem, &tables))
        .map_err(|complaint| format!("{complaint}\n  {problem}"))?;
    Ok(problem.routing.rows.owned_rows() * problem.spec.k as u64)
}

fn check_specs(name: &str, specs: &[QuantSpec]) {
    let Some(gpu) = open() else { return };
    let device: &Device = &gpu;
    check_all(name, "elements", specs, |spec| check(device, &spec.build()));
}

/// Quantises chunks of 2^21 blocks, each filled by `fill` from its number, and compares them.
fn check_blocks(
    name: &str,
    chunks: &[(ElementType, ScaleRule)],
    fill: impl Fn(usize, ElementType, usize, &mut Block) + Sync,
) {
    let Some(gpu) = open() else { return };
    let start = Instant::now();
    let routing = MxRouting::packed(Routing::packed(vec![BLOCK_ROWS as u32]));
    let spec = QuantSpec { experts: 1, k: BLOCK_K, ..QuantSpec::PLAIN };
    let mut problem = QuantProblem { spec, routing, input: vec![0; BLOCK_ROWS * BLOCK_K] };
    let mut on_device: Option<DeviceQuant> = None;
    for (chunk, &(input, rule)) in chunks.iter().enumerate() {
        let blocks = problem.input.as_chunks_mut::<VECTOR>().0;
        blocks.par_iter_mut().enumerate().with_min_len(256).for_each(|(number, block)| {
            fill(chunk, input, number, block);
        });
        // The plan holds type and rule: another one needs another plan.
        if (problem.spec.input, problem.spec.rule) != (input, rule) || on_device.is_none() {
            (problem.spec.input, problem.spec.rule) = (input, rule);
            drop(on_device.take());
            let uploaded = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("upload");
            on_device = Some(uploaded);
        } else if let Some(on_device) = &on_device {
            on_device.reset(&problem.tables()).expect("reset");
            on_device.replace_input(&problem.input).expect("upload");
        }
        let outcome = on_device.as_ref().expect("just made").run().expect("no fault");
        let judged = outcome.judge(&problem, &problem.tables());
        assert!(judged.is_ok(), "{name}, chunk {chunk}, {}: {judged:?}", input.name());
    }
    say(&format!(
        "{name}: {} blocks equal the closed form in every bit; {:.1} s",
        chunks.len() * BLOCKS,
        start.elapsed().as_secs_f64()
    ));
}

fn every_type_and_rule() -> Vec<(ElementType, ScaleRule)> {
    INPUTS.into_iter().flat_map(|input| ScaleRule::ALL.map(|rule| (input, rule))).collect()
}

#[test]
fn every_value_in_every_lane() {
    // Alone in its block, where it decides the scale, and beside a one.
    for (name, beside) in [("all values alone", false), ("all values beside a one", true)] {
        check_blocks(name, &every_type_and_rule(), |_, input, number, block| {
            let (value, lane) = (number / VECTOR, number % VECTOR);
            let one = if input == ElementType::Bf16 { 0x3F80 } else { 0x3C00 };
            *block = [0; VECTOR];
            block[(lane + 1) % VECTOR] = if beside { one } else { 0 };
            block[lane] = value as u16;
        });
    }
}

#[test]
fn a_hundred_million_random_blocks() {
    let blocks = number("EXPERT_GEMM_BLOCKS").unwrap_or(100_000_000) as usize;
    let mut chunks: Vec<_> =
        every_type_and_rule().into_iter().cycle().take(blocks.div_ceil(BLOCKS).max(6)).collect();
    chunks.sort_by_key(|&(input, rule)| (input == ElementType::F16, rule as u32));
    check_blocks("random blocks", &chunks, |chunk, input, number, block| {
        let rng = &mut Rng::stream(chunk as u64, number as u64);
        rng.pick(&Inputs::ALL).fill(rng, input, block);
    });
}

#[test]
fn the_published_vectors() {
    let Some(gpu) = open() else { return };
    for input in INPUTS {
        for (index, rule) in ScaleRule::ALL.into_iter().enumerate() {
            let vectors: Vec<_> = vectors::all().into_iter().filter(|v| v.input == input).collect();
            // Each vector is one row, at every place in it.
            let spec = QuantSpec {
                experts: 1,
                k: 512,
                total_rows: vectors.len() as u64,
                input,
                rule,
                ..QuantSpec::PLAIN
            };
            let mut problem = spec.build();
            for (row, vector) in problem.input.chunks_mut(spec.k).zip(&vectors) {
                row.as_chunks_mut::<VECTOR>().0.fill(vector.elements);
            }
            let on_device = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("upload");
            let outcome = on_device.run().expect("no fault");
            let codes = outcome.output.codes.chunks(spec.k);
            for (vector, row) in vectors.iter().zip(codes) {
                for (place, codes) in row.as_chunks::<VECTOR>().0.iter().enumerate() {
                    let what = || format!("{}, {}, block {place}", vector.name, rule.name());
                    assert_eq!(*codes, vector.wanted[index].codes, "{}", what());
                }
            }
            // The scales, against the model, which the vectors are compared with elsewhere.
            let judged = outcome.judge(&problem, &problem.tables());
            assert!(judged.is_ok(), "{} {}: {judged:?}", input.name(), rule.name());
        }
    }
}

#[test]
fn random_problems() {
    let specs: Vec<QuantSpec> = seeds(1500).into_iter().map(QuantSpec::fuzz).collect();
    check_specs("random quantisations", &specs);
}

#[test]
fn every_edge_of_the_row_count() {
    let Some(gpu) = open() else { return };
    let device: &Device = &gpu;
    let mut cases = Vec::new();
    for rows in EDGE_ROWS {
        for (input, rule) in every_type_and_rule() {
            for layout in Layout::ALL {
                cases.push((
                    rows,
                    QuantSpec { input, rule, experts: 3, k: 384, ..QuantSpec::PLAIN },
                    layout,
                ));
            }
        }
    }
    check_all("row counts", "elements", &cases, |&(rows, spec, layout)| {
        let rng = &mut Rng::new(u64::from(rows));
        let routing = Routing::laid_out(vec![rows; 3], layout, rng);
        check(device, &QuantProblem::new(spec, MxRouting::laid_out(routing, layout, rng)))
    });
}

#[test]
fn extreme_numbers_of_experts_and_rows() {
    let plain = QuantSpec { k: 128, ..QuantSpec::PLAIN };
    let layouts = [Layout::PermutedGaps, Layout::PermutedGaps];
    let mut specs = Vec::new();
    for rule in ScaleRule::ALL {
        let plain = QuantSpec { rule, ..plain };
        specs.extend([
            QuantSpec { experts: 1024, total_rows: 4096, skew: Skew::Ragged, ..plain },
            QuantSpec { experts: 1024, total_rows: 700, skew: Skew::OneHot, layouts, ..plain },
            QuantSpec { experts: 4096, total_rows: 9000, skew: Skew::Zipf, layouts, ..plain },
            QuantSpec { experts: 256, total_rows: 3000, skew: Skew::MostlyEmpty, k: 7168, ..plain },
            QuantSpec { experts: 1, total_rows: 40_000, k: 256, ..plain },
            QuantSpec { experts: 1, total_rows: 1, k: 1 << 20, ..plain },
            QuantSpec { experts: 64, total_rows: 0, skew: Skew::Empty, ..plain },
            QuantSpec { experts: 64, total_rows: 0, skew: Skew::Empty, layouts, ..plain },
            QuantSpec { experts: 0, total_rows: 0, skew: Skew::Empty, ..plain },
            QuantSpec { experts: 0, total_rows: 0, skew: Skew::Empty, layouts, ..plain },
        ]);
    }
    check_specs("extreme routings", &specs);
}

/// Weights of a layer, quantised by one call: one group of N rows for each expert, packed.
#[test]
fn weights_are_groups_of_equal_size() {
    let Some(gpu) = open() else { return };
    let (experts, n, k) = (6, 384, 640);
    let routing = MxRouting::packed(Routing::packed(vec![n; experts]));
    let spec = QuantSpec { experts, k, ..QuantSpec::PLAIN };
    let problem = QuantProblem::new(spec, routing);
    let on_device = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("upload");
    let outcome = on_device.run().expect("no fault");
    assert!(outcome.judge(&problem, &problem.tables()).is_ok());
    // The product reads them as `[E, N, K]` and `[E, N, K / 32]` in atoms: one matrix of E * N rows.
    let (codes, scales) = quantise(&problem.input, &problem);
    assert!(outcome.output.codes == codes);
    for (i, &scale) in scales.iter().enumerate() {
        let (row, column) = ((i / (k / VECTOR)) as u64, (i % (k / VECTOR)) as u64);
        let at = expert_gemm::abi::scale_atoms::offset(row, column, k as u64 / 128) as usize;
        assert_eq!(outcome.output.scales[at], scale, "row {row}, column {column}");
    }
}

#[test]
fn a_captured_graph_replays_with_other_routing() {
    let Some(gpu) = open() else { return };
    for (input, rule) in every_type_and_rule() {
        let softmax = Skew::Softmax { top_k: 4, spread: 1.0 };
        let spec = QuantSpec {
            experts: 16,
            k: 640,
            total_rows: 700,
            skew: softmax,
            layouts: [Layout::Packed, Layout::Gaps],
            input,
            rule,
            ..QuantSpec::PLAIN
        };
        let mut problem = spec.build();
        // Whatever the split, its scales fit.
        problem.routing.scale_rows = Mxfp8GroupedQuant::max_scale_rows(700, 16) as u32;
        let on_device = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("upload");
        let stream = gpu.stream().expect("stream");
        let graph = stream.capture(|stream| on_device.launch(stream)).expect("capture");
        let untouched = on_device.outcome().expect("no fault").output;
        assert!(untouched.codes.iter().all(|&code| code == 0xFF), "a capture runs nothing");
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
