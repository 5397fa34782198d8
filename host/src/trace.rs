//! What a service may want in its log, as `tracing` events. Without the feature `tracing` nothing is compiled.

use crate::device::DeviceInfo;
use crate::ops::Operation;
use crate::plan::Plan;
use std::time::Duration;

/// The problems of one device whose plans were announced.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// Hashes of them.
    #[cfg(feature = "tracing")]
    problems: std::sync::Mutex<std::collections::HashSet<u64>>,
}

impl Announced {
    /// A plan is prepared: announced if it is the first of its problem.
    #[cfg(feature = "tracing")]
    pub(crate) fn plan_chosen<O: Operation>(&self, plan: &Plan<O>) {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (O::NAME, plan.problem()).hash(&mut hasher);
        let mut problems = self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !problems.insert(hasher.finish()) {
            return;
        }
        tracing::info!(
            target: "expert_gemm",
            operation = O::OP.name(),
            problem = plan.problem().describe(),
            kernel = plan.variant().symbol,
            grid = plan.grid(),
            device = plan.device().ordinal,
            "plan chosen"
        );
    }

    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn plan_chosen<O: Operation>(&self, _: &Plan<O>) {}
}

/// The driver has compiled and loaded a module.
pub(crate) fn module_loaded(module: &str, device: &DeviceInfo, took: Duration) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "expert_gemm",
        module,
        device = device.ordinal,
        milliseconds = took.as_secs_f64() * 1e3,
        "module loaded"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (module, device, took);
}

/// A kernel faulted: the device is lost to this process.
pub(crate) fn device_lost(call: &str, code: u32) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "expert_gemm",
        call,
        code,
        name = crate::driver::fault::code_name(code),
        "device lost"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (call, code);
}
