//! What the log of a service gets to see, on the recorder.

use expert_gemm::driver::mock::MockDriver;
use expert_gemm::{Device, ElementType, Fp8GroupedMm};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps every event as one line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("a string");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Lines {
    fn of(&self, what: &str) -> Vec<String> {
        let lines = self.0.lock().expect("no panic");
        lines.iter().filter(|line| line.contains(what)).cloned().collect()
    }
}

#[test]
fn a_plan_is_announced_once_for_each_shape_and_a_fault_once() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let driver = MockDriver::h200().shared();
        let device = Device::with_driver(driver.clone());
        let small = Fp8GroupedMm { rows: 8, experts: 2, n: 128, k: 256, output: ElementType::Bf16 };
        for problem in [small, small, Fp8GroupedMm { rows: 9, ..small }] {
            let plan = problem.plan(device.info()).expect("plan");
            device.prepare(&plan).expect("prepare");
        }
        for _ in 0..2 {
            driver.fail_next("cuCtxSynchronize", 700);
            assert!(device.synchronize().is_err());
        }
    });
    let plans = lines.of("plan chosen");
    assert_eq!(plans.len(), 2, "{plans:?}");
    assert!(plans[0].starts_with("INFO expert_gemm") && plans[0].contains("K 256"), "{plans:?}");
    assert!(plans[0].contains("kernel=\"fp8_block_sm90"), "{plans:?}");
    assert_eq!(lines.of("module loaded").len(), 1);
    let lost = lines.of("device lost");
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].starts_with("ERROR") && lost[0].contains("code=700"), "{lost:?}");
}
