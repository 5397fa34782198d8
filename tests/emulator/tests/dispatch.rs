//! The host crate from end to end on the emulator: plans, launches, streams, graphs and refusals.

mod common;

use common::{Emulated, verdict};
use expert_gemm::abi::VARIANTS;
use expert_gemm::{
    DeviceInfo, ElementType, Error, Fp8GroupedMm, Mxfp8GroupedMm, Mxfp8GroupedQuant, ScaleRule,
};
use expert_gemm_tests::gpu::{DeviceProblem, UNTOUCHED};
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::{Routing, Skew, counts};
use ptx_emulator::{Gpu, Options, Timing};

const SPEC: Spec = Spec { experts: 5, n: 256, k: 384, total_rows: 60, ..Spec::PLAIN };

fn judge(emulated: &Emulated, on_device: &DeviceProblem, problem: &HostProblem, what: &str) {
    let outcome = on_device.outcome().expect("no fault");
    let judged = verdict(problem, &problem.tables(), &outcome);
    assert!(judged.is_ok(), "{what}: {judged:?}");
    assert_eq!(emulated.reports(), [""; 0], "{what}");
}

#[test]
fn a_captured_graph_replays_with_other_routing() {
    for output in [ElementType::Bf16, ElementType::F16] {
        let emulated = Emulated::timed(Timing::Random(3), 4);
        let problem = Spec { output, ..SPEC }.build();
        let on_device = DeviceProblem::new(&emulated.device, &problem).expect("upload");
        let stream = emulated.device.stream().expect("stream");
        let graph = stream.capture(|stream| on_device.launch(stream)).expect("capture");
        let untouched = on_device.outcome().expect("no fault").output;
        assert!(untouched.iter().all(|&bits| bits == UNTOUCHED), "a capture runs nothing");
        let rng = &mut Rng::new(99);
        for skew in [Skew::Zipf, Skew::OneHot, Skew::Empty, Skew::Softmax { top_k: 1, spread: 1.0 }]
        {
            let counts = counts(skew, SPEC.experts, SPEC.total_rows, rng);
            let rerouted = problem.with_routing(Routing::packed(counts));
            on_device.reset(&rerouted.tables()).expect("reset");
            // SAFETY: `on_device` owns the memory of the captured launch and is alive.
            unsafe { graph.launch(stream.stream()) }.expect("replay");
            stream.synchronize().expect("no fault");
            judge(&emulated, &on_device, &rerouted, "replay");
        }
    }
}

#[test]
fn problems_on_several_streams_do_not_disturb_each_other() {
    let emulated = Emulated::timed(Timing::Late, 2);
    let problems: Vec<HostProblem> = (0..4).map(|seed| Spec { seed, ..SPEC }.build()).collect();
    let on_device: Vec<DeviceProblem> = problems
        .iter()
        .map(|problem| DeviceProblem::new(&emulated.device, problem).expect("upload"))
        .collect();
    let streams: Vec<_> =
        problems.iter().map(|_| emulated.device.stream().expect("stream")).collect();
    for (on_device, stream) in on_device.iter().zip(&streams) {
        on_device.launch(stream.stream()).expect("launch");
    }
    for (on_device, problem) in on_device.iter().zip(&problems) {
        judge(&emulated, on_device, problem, "concurrent");
    }
}

#[test]
fn any_number_of_multiprocessors_gives_the_same_bits() {
    let problem = SPEC.build();
    for sm_count in [2, 3, 8, 20] {
        let emulated = Emulated::timed(Timing::Early, sm_count);
        common::check(&emulated, &problem).expect("the model's bits");
    }
}

#[test]
fn the_same_options_give_the_same_run() {
    let counts = || {
        let emulated = Emulated::timed(Timing::Random(17), 2);
        common::check(&emulated, &SPEC.build()).expect("the model's bits");
        emulated.driver.stats().thread_instructions
    };
    assert_eq!(counts(), counts());
}

#[test]
fn what_the_host_refuses_never_reaches_the_kernel() {
    let emulated = Emulated::timed(Timing::Early, 2);
    let plan = Fp8GroupedMm { rows: 4, experts: 1, n: 128, k: 100, output: ElementType::Bf16 }
        .plan(emulated.device.info());
    assert!(plan.is_err());
    let other = Emulated::timed(Timing::Early, 6);
    let problem = Fp8GroupedMm { rows: 4, experts: 1, n: 128, k: 128, output: ElementType::Bf16 };
    let plan = problem.plan(other.device.info()).expect("good");
    let refused = emulated.device.prepare(&plan);
    assert!(matches!(refused, Err(Error::PlanForAnotherDevice { .. })), "{refused:?}");
    assert_eq!(emulated.driver.stats().launches, 0);
}

fn a_gpu(gpu: Gpu) -> Emulated {
    Emulated::new(Options { gpu, sm_count: 2, ..Options::default() })
}

#[test]
fn every_shipped_kernel_loads_on_its_family_and_on_no_other() {
    for gpu in [Gpu::H200, Gpu::B200, Gpu::B300] {
        let emulated = a_gpu(gpu);
        let mut loaded = 0;
        for variant in VARIANTS {
            let loads = emulated.device.load(variant);
            if variant.arch.runs_on(emulated.device.info().capability) {
                loads.expect("the module is understood");
                loaded += 1;
            } else {
                assert!(loads.is_err(), "{} on {gpu:?}", variant.symbol);
            }
        }
        assert!(loaded > 0, "no kernel for {gpu:?}");
    }
}

#[test]
fn plans_choose_the_kernel_of_the_gpu_and_say_why() {
    let product = Mxfp8GroupedMm {
        rows: 64,
        experts: 2,
        n: 256,
        k: 256,
        scale_rows: 256,
        output: ElementType::F16,
    };
    let quant = Mxfp8GroupedQuant {
        rows: 64,
        experts: 2,
        k: 256,
        scale_rows: 256,
        input: ElementType::Bf16,
        rule: ScaleRule::Strict,
    };
    for (gpu, mm, mxq) in [
        (Gpu::H200, "mxfp8_gemm_sm90_f16", "mxfp8_quant_sm90_bf16"),
        (Gpu::B200, "mxfp8_gemm_sm100_f16", "mxfp8_quant_sm100_bf16"),
        (Gpu::B300, "mxfp8_gemm_sm100_f16", "mxfp8_quant_sm100_bf16"),
    ] {
        let emulated = a_gpu(gpu);
        let info = emulated.device.info();
        let product = product.plan(info).expect("a plan");
        let quant = quant.plan(info).expect("a plan");
        assert_eq!((product.variant().symbol, quant.variant().symbol), (mm, mxq), "{gpu:?}");
        assert!(product.explain().contains(mm) && product.explain().contains("refused"));
        emulated.device.prepare(&product).expect("loads");
        emulated.device.prepare(&quant).expect("loads");
    }
    for gpu in [Gpu::B200, Gpu::B300] {
        let emulated = a_gpu(gpu);
        let many = Mxfp8GroupedMm { rows: 2 * 192 + 1, scale_rows: 640, ..product };
        let plan = many.plan(emulated.device.info()).expect("a plan");
        assert_eq!(plan.variant().symbol, "mxfp8_gemm_sm100_pair_f16", "{gpu:?}");
        assert!(plan.explain().contains("> mxfp8_gemm_sm100_pair_f16"), "{}", plan.explain());
        emulated.device.prepare(&plan).expect("loads");
        // With as few rows as before it is refused, and the plan says why.
        let few = product.plan(emulated.device.info()).expect("a plan").explain();
        assert!(few.contains("refused: made for more than 192 rows an expert"), "{few}");
    }
    let a10 = DeviceInfo { name: "NVIDIA A10".to_owned(), capability: (8, 6), ..Gpu::H200.info() };
    let refused = product.plan(&a10).expect_err("no kernel").to_string();
    assert!(refused.contains("sm_90a") && refused.contains("sm_100f"), "{refused}");
    assert!(refused.ends_with("this device is sm_86 (NVIDIA A10)"), "{refused}");
}
