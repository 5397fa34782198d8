//! CUDA graphs, repeats, streams and permutations: the same bits, whatever surrounds the work.

use expert_gemm::{Device, ElementType, Stream, StreamHandle};
use expert_gemm_tests::gpu::{DeviceProblem, Gpu, UNTOUCHED};
use expert_gemm_tests::metrics::compare_bits;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Routing, Skew, counts};
use expert_gemm_tests::wgmma_model;

const SPEC: Spec = Spec {
    experts: 16,
    n: 512,
    k: 640,
    total_rows: 700,
    skew: Skew::Softmax { top_k: 4, spread: 1.0 },
    ..Spec::PLAIN
};

/// The problem with every kind of routing that fits its rows.
fn rerouted(problem: &HostProblem) -> Vec<HostProblem> {
    let skews = [Skew::Zipf, Skew::OneHot, Skew::MostlyEmpty, Skew::Empty, SPEC.skew, Skew::Zipf];
    let rng = &mut Rng::new(99);
    skews
        .into_iter()
        .map(|skew| {
            let counts = counts(skew, SPEC.experts, SPEC.total_rows, rng);
            problem.with_routing(Routing::packed(counts))
        })
        .collect()
}

fn assert_outcome(on_device: &DeviceProblem, problem: &HostProblem, what: &str) {
    let outcome = on_device.outcome().expect("no fault");
    let want = wgmma_model::grouped(problem, UNTOUCHED);
    let difference = compare_bits(problem, &outcome.output, &want);
    assert!(difference.is_none(), "{what}: {difference}\n  {problem}");
    assert!(outcome.damage.is_empty() && outcome.status.is_ok(), "{what}: {:?}", outcome.damage);
}

#[test]
fn a_captured_graph_replays_with_other_routing() {
    let Some(gpu) = Gpu::open() else { return };
    for output in [ElementType::Bf16, ElementType::F16] {
        let problem = Spec { output, ..SPEC }.build();
        let on_device = DeviceProblem::new(&gpu, &problem).expect("upload");
        let stream = gpu.stream().expect("stream");
        let graph = stream.capture(|stream| on_device.launch(stream)).expect("capture");
        let untouched = on_device.outcome().expect("no fault").output;
        assert!(untouched.iter().all(|&bits| bits == UNTOUCHED), "a capture runs nothing");
        for problem in rerouted(&problem) {
            on_device.reset(&problem.tables()).expect("reset");
            // SAFETY: `on_device` owns the memory of the captured launch and is alive.
            unsafe { graph.launch(stream.stream()) }.expect("replay");
            stream.synchronize().expect("no fault");
            assert_outcome(&on_device, &problem, "replay");
        }
    }
}

#[test]
fn repeats_and_streams_give_the_same_bits() {
    let Some(gpu) = Gpu::open() else { return };
    let problem = SPEC.build();
    let on_device = DeviceProblem::new(&gpu, &problem).expect("upload");
    let streams: Vec<_> = (0..4).map(|_| gpu.stream().expect("stream")).collect();
    for round in 0..50 {
        on_device.reset(&problem.tables()).expect("reset");
        let stream = streams.get(round % 5).map_or(Stream::DEFAULT, StreamHandle::stream);
        on_device.launch(stream).expect("launch");
        assert_outcome(&on_device, &problem, "repeat");
    }
}

#[test]
fn problems_on_several_streams_at_once_do_not_disturb_each_other() {
    let Some(gpu) = Gpu::open() else { return };
    let problems: Vec<HostProblem> = (0..8).map(|seed| Spec { seed, ..SPEC }.build()).collect();
    let on_device: Vec<DeviceProblem> =
        problems.iter().map(|problem| DeviceProblem::new(&gpu, problem).expect("upload")).collect();
    let streams: Vec<_> = problems.iter().map(|_| gpu.stream().expect("stream")).collect();
    for _ in 0..20 {
        for (on_device, stream) in on_device.iter().zip(&streams) {
            on_device.launch(stream.stream()).expect("launch");
        }
    }
    for (on_device, problem) in on_device.iter().zip(&problems) {
        assert_outcome(on_device, problem, "concurrent");
    }
}

#[test]
fn permuting_the_experts_permutes_the_rows() {
    let Some(gpu) = Gpu::open() else { return };
    let problem = SPEC.build();
    let rng = &mut Rng::new(3);
    let rows = output_by_expert(&gpu, &problem);
    let mut order: Vec<usize> = (0..SPEC.experts).collect();
    rng.shuffle(&mut order);
    let permuted = permuted(&problem, &order);
    let permuted_rows = output_by_expert(&gpu, &permuted);
    for (place, &expert) in order.iter().enumerate() {
        assert!(permuted_rows[place] == rows[expert], "expert {expert} moved to {place}");
    }
}

/// The problem with expert `order[i]` in place `i`: weights, activations and scales move along.
fn permuted(problem: &HostProblem, order: &[usize]) -> HostProblem {
    let Spec { n, k, .. } = problem.spec;
    let scales_per_expert = n / 128 * (k / 128);
    let counts = order.iter().map(|&e| problem.routing.rows_per_expert[e]).collect();
    let mut permuted = problem.with_routing(Routing::packed(counts));
    for (place, &expert) in order.iter().enumerate() {
        permuted.b[place * n * k..][..n * k].copy_from_slice(problem.b_rows(expert, 0, n));
        permuted.scales_b[place * scales_per_expert..][..scales_per_expert]
            .copy_from_slice(&problem.scales_b[expert * scales_per_expert..][..scales_per_expert]);
        let to = permuted.routing.rows_of(place);
        for (to, from) in to.zip(problem.routing.rows_of(expert)) {
            permuted.a[to * k..][..k].copy_from_slice(problem.a_row(from));
            permuted.scales_a[to * (k / 128)..][..k / 128]
                .copy_from_slice(problem.scales_a_row(from));
        }
    }
    permuted
}

fn output_by_expert(device: &Device, problem: &HostProblem) -> Vec<Vec<u16>> {
    let run = || DeviceProblem::new(device, problem)?.run();
    let output = run().expect("no fault").output;
    let n = problem.spec.n;
    (0..problem.spec.experts)
        .map(|expert| {
            let rows = problem.routing.rows_of(expert);
            output[rows.start * n..rows.end * n].to_vec()
        })
        .collect()
}
