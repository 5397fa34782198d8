//! Two emulated devices in one process: each computes its own, and neither takes the other's memory.

mod common;

use common::{Emulated, verdict};
use expert_gemm_tests::gpu::DeviceProblem;
use expert_gemm_tests::problem::Spec;
use ptx_emulator::{Options, Timing};

const SPEC: Spec = Spec { experts: 4, n: 256, k: 256, total_rows: 50, ..Spec::PLAIN };

fn device(ordinal: i32, timing: Timing) -> Emulated {
    Emulated::new(Options { ordinal, timing, sm_count: 2, ..Options::default() })
}

#[test]
fn two_devices_compute_at_once_from_two_threads_each() {
    let devices = [device(0, Timing::Early), device(1, Timing::Random(5))];
    std::thread::scope(|scope| {
        for (index, emulated) in devices.iter().enumerate() {
            for thread in 0..2 {
                scope.spawn(move || {
                    let problem = Spec { seed: (2 * index + thread) as u64, ..SPEC }.build();
                    let on_device = DeviceProblem::new(&emulated.device, &problem).expect("upload");
                    let stream = emulated.device.stream().expect("stream");
                    on_device.launch(stream.stream()).expect("launch");
                    stream.synchronize().expect("no fault");
                    let outcome = on_device.outcome().expect("download");
                    let judged = verdict(&problem, &problem.tables(), &outcome);
                    assert!(judged.is_ok(), "device {index}: {judged:?}");
                });
            }
        }
    });
    for emulated in &devices {
        assert_eq!(emulated.reports(), [""; 0]);
        assert_eq!(emulated.driver.stats().launches, 2);
    }
}

#[test]
fn an_address_of_one_device_is_none_of_the_other() {
    let [first, second] = [device(0, Timing::Early), device(1, Timing::Early)];
    let near = first.device.alloc(64).expect("alloc");
    let far = second.device.alloc(64).expect("alloc");
    assert_ne!(near.address(), far.address());
    let range = |emulated: &Emulated, address| emulated.device.driver().range_of(address);
    assert_eq!(range(&first, far.address()), Ok(None));
    assert_eq!(range(&second, far.address()).map(|range| range.map(|r| r.ordinal)), Ok(Some(1)));
}
