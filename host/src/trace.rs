//! What a service may want in its log, as `tracing` events. Without the feature `tracing` nothing is compiled.

use crate::device::DeviceInfo;
use crate::ops::Operation;
use crate::plan::Plan;
use std::time::Duration;

/// A plan is prepared for the first time on its device.
pub(crate) fn plan_chosen<O: Operation>(plan: &Plan<O>) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "expert_gemm",
        operation = O::OP.name(),
        problem = plan.problem().describe(),
        kernel = plan.variant().symbol,
        grid = plan.grid(),
        device = plan.device().ordinal,
        "plan chosen"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = plan;
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
