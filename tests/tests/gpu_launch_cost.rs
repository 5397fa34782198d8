//! What a launch costs the host: checks, tensor maps and the driver's own launch.

use expert_gemm::Stream;
use expert_gemm_tests::gpu::{DeviceProblem, Gpu, say};
use expert_gemm_tests::problem::Spec;
use std::time::Instant;

const LAUNCHES: usize = 2000;
const BOUND_US: f64 = 10.0;

#[test]
fn a_launch_takes_less_than_ten_microseconds_of_host_time() {
    let Some(gpu) = Gpu::open() else { return };
    let problem = Spec { experts: 32, total_rows: 32, ..Spec::PLAIN }.build();
    let on_device = DeviceProblem::new(&gpu, &problem).expect("upload");
    let tensors = on_device.tensors();
    let mut costs_us = Vec::with_capacity(LAUNCHES);
    for launch in 0..LAUNCHES {
        // A full queue would make the driver wait, which is not what a launch costs.
        if launch % 64 == 0 {
            gpu.synchronize().expect("no fault");
        }
        let start = Instant::now();
        on_device.prepared().launch(Stream::DEFAULT, &tensors).expect("launch");
        costs_us.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    gpu.synchronize().expect("no fault");
    costs_us.sort_by(f64::total_cmp);
    let at = |share: f64| costs_us[(share * (LAUNCHES - 1) as f64) as usize];
    say(&format!(
        "host time per launch: median {:.2} us, fastest {:.2}, 99 of 100 below {:.2}",
        at(0.5),
        at(0.0),
        at(0.99)
    ));
    if cfg!(debug_assertions) {
        say(&format!("built without optimisation: the bound of {BOUND_US} us is not asserted"));
    } else {
        assert!(
            at(0.5) < BOUND_US,
            "a launch takes {:.2} us, at most {BOUND_US} are allowed",
            at(0.5)
        );
    }
}
