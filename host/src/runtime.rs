//! Launches: stream-ordered, without allocation, waiting or module loading, and safe inside a capture.

use crate::abi::{MAPS, TensorMap, Variant};
use crate::device::{Device, Kernel};
use crate::driver::{Driver, FunctionAttributes, LaunchSpec, Stream};
use crate::error::Result;
use crate::ops::{Addresses, Fp8GroupedMm, Operands, Operation, Parameter};
use crate::plan::Plan;
use crate::tensor::Inspection;
use std::sync::{Arc, Mutex};

/// How much a launch checks before it launches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Checks {
    /// Types, shapes, strides, alignment and overlap, and whether every tensor is memory of the device
    /// and long enough: eight questions to the driver, 3 of the 8.5 us of a launch (measured, H200).
    #[default]
    Memory,
    /// All but the memory: for pool allocators whose blocks the driver does not know one by one.
    Shapes,
}

/// A plan whose kernel is loaded. Launch it as often as you like, from any thread.
#[derive(Clone, Debug)]
pub struct Prepared<O = Fp8GroupedMm> {
    device: Device,
    plan: Plan<O>,
    kernel: Kernel,
    checks: Checks,
    maps: MapCache,
}

/// The tensor maps of the last launch and the addresses they were made for, so that a service that launches
/// on the same buffers encodes them once. Encoding depends on nothing else: the shapes are the plan's.
type MapCache = Arc<Mutex<Option<(Addresses, [TensorMap; MAPS])>>>;

impl<O> Prepared<O> {
    pub(crate) fn new(device: Device, plan: Plan<O>, kernel: Kernel) -> Self {
        Self { device, plan, kernel, checks: Checks::default(), maps: MapCache::default() }
    }

    /// The same with other checks.
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan<O> {
        &self.plan
    }

    /// The device.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// What the driver's compiler made of the kernel.
    pub const fn attributes(&self) -> FunctionAttributes {
        self.kernel.attributes
    }
}

impl<O: Operation> Prepared<O> {
    /// Checks the tensors and puts one kernel into `stream`. Allocates nothing, waits for nothing, and
    /// may be captured into a graph, which then replays with whatever the tensors hold at that time.
    ///
    /// A problem without rows or experts launches nothing and leaves the status word alone.
    ///
    /// # Errors
    ///
    /// What `validate_memory` of the tensors refuses, or what the driver answers. Group tables live on the
    /// device: what is wrong in them is reported by the status word.
    pub fn launch(&self, stream: Stream, tensors: &O::Tensors<'_>) -> Result<()> {
        let Self { device, plan, kernel, checks, maps } = self;
        launch(device, plan, *kernel, *checks, Some(maps), stream, tensors)
    }
}

pub(crate) fn launch<O: Operation>(
    device: &Device,
    plan: &Plan<O>,
    kernel: Kernel,
    checks: Checks,
    cache: Option<&MapCache>,
    stream: Stream,
    tensors: &O::Tensors<'_>,
) -> Result<()> {
    let driver = &**device.driver();
    let (problem, variant) = (plan.problem(), plan.variant());
    let inspection = Inspection::of(problem, tensors)?;
    inspection.loans(driver.info().ordinal, stream)?;
    if checks == Checks::Memory {
        inspection.memory(driver)?;
    }
    if plan.is_empty() {
        return Ok(());
    }
    let maps = match problem.operands(tensors) {
        Some(operands) => encoded_maps(driver, &operands, variant, cache)?,
        None => [TensorMap::EMPTY; MAPS],
    };
    let params = problem.params(maps, tensors);
    let spec = LaunchSpec {
        function: kernel.function,
        grid: [plan.grid(), 1, 1],
        block: [variant.threads, 1, 1],
        cluster: [variant.cluster, 1, 1],
        smem_bytes: variant.smem_bytes,
        stream,
        params: params.bytes(),
    };
    // SAFETY: the parameter is the variant's, and its tensors were checked above; whoever made them keeps
    // their memory alive (see `DeviceTensor`).
    unsafe { driver.launch(&spec) }
}

fn encoded_maps(
    driver: &dyn Driver,
    operands: &Operands,
    variant: &Variant,
    cache: Option<&MapCache>,
) -> Result<[TensorMap; MAPS]> {
    let addresses = operands.addresses(variant);
    // A thread that finds the cache in use encodes for itself rather than wait.
    let mut cached = cache.and_then(|cache| cache.try_lock().ok());
    if let Some(Some((of, maps))) = cached.as_deref()
        && *of == addresses
    {
        return Ok(*maps);
    }
    let mut maps = [TensorMap::EMPTY; MAPS];
    for (map, spec) in maps.iter_mut().zip(operands.maps(variant)) {
        if let Some(spec) = spec {
            *map = driver.encode_tensor_map(&spec)?;
        }
    }
    if let Some(cached) = cached.as_deref_mut() {
        *cached = Some((addresses, maps));
    }
    Ok(maps)
}

#[cfg(test)]
mod tests;
