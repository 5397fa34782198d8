//! Launches: stream-ordered, without allocation, waiting or module loading, and safe inside a capture.

use crate::abi::{ElementType, Fp8BlockParams, TensorMap, fp8_block};
use crate::device::{Device, Kernel};
use crate::driver::{
    Driver, FunctionAttributes, L2Promotion, LaunchSpec, OutOfBounds, Stream, Swizzle,
    TensorMapSpec,
};
use crate::error::Result;
use crate::plan::Plan;
use crate::problem::Fp8GroupedMm;
use crate::tensor::{DeviceTensor, Dims, Fp8GroupedMmTensors};
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
pub struct Prepared {
    device: Device,
    plan: Plan,
    kernel: Kernel,
    checks: Checks,
    maps: MapCache,
}

/// The tensor maps of the last launch and the addresses they were made for, so that a service that launches
/// on the same buffers encodes them once. Encoding depends on nothing else: the shapes are the plan's.
type MapCache = Arc<Mutex<Option<([u64; 2], [TensorMap; 3])>>>;

impl Prepared {
    pub(crate) fn new(device: Device, plan: Plan, kernel: Kernel) -> Self {
        Self { device, plan, kernel, checks: Checks::default(), maps: MapCache::default() }
    }

    /// The same with other checks.
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
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

    /// Checks the tensors and puts one kernel into `stream`. Allocates nothing, waits for nothing, and
    /// may be captured into a graph, which then replays with whatever the tensors hold at that time.
    ///
    /// A problem without rows or experts launches nothing and leaves the status word alone.
    ///
    /// # Errors
    ///
    /// What [`Fp8GroupedMmTensors::validate_memory`] refuses, or what the driver answers. Group tables
    /// live on the device: what is wrong in them is reported by the status word.
    pub fn launch(&self, stream: Stream, tensors: &Fp8GroupedMmTensors<'_>) -> Result<()> {
        let Self { device, plan, kernel, checks, maps } = self;
        launch(device, plan, *kernel, *checks, Some(maps), stream, tensors)
    }
}

pub(crate) fn launch(
    device: &Device,
    plan: &Plan,
    kernel: Kernel,
    checks: Checks,
    cache: Option<&MapCache>,
    stream: Stream,
    tensors: &Fp8GroupedMmTensors<'_>,
) -> Result<()> {
    let driver = &**device.driver();
    match checks {
        Checks::Memory => tensors.validate_memory(plan.problem(), driver)?,
        Checks::Shapes => tensors.validate(plan.problem())?,
    }
    if plan.is_empty() {
        return Ok(());
    }
    let params = params(driver, plan.problem(), tensors, cache)?;
    let variant = plan.variant();
    let spec = LaunchSpec {
        function: kernel.function,
        grid: [plan.grid(), 1, 1],
        block: [variant.threads, 1, 1],
        cluster: [variant.cluster, 1, 1],
        smem_bytes: variant.smem_bytes,
        stream,
        params: bytes(&params),
    };
    // SAFETY: the parameter is the variant's, and its tensors were checked above; whoever made them keeps
    // their memory alive (see `DeviceTensor`).
    unsafe { driver.launch(&spec) }
}

fn params(
    driver: &dyn Driver,
    problem: &Fp8GroupedMm,
    tensors: &Fp8GroupedMmTensors<'_>,
    cache: Option<&MapCache>,
) -> Result<Fp8BlockParams> {
    let [tokens, tokens_small, weights] = encoded_maps(driver, problem, tensors, cache)?;
    let address = |tensor: &DeviceTensor<'_>| tensor.address();
    Ok(Fp8BlockParams {
        tokens,
        tokens_small,
        weights,
        scales_a: address(&tensors.scales_a),
        scales_b: address(&tensors.scales_b),
        output: address(&tensors.output),
        problem_sizes: address(&tensors.problem_sizes),
        expert_offsets: address(&tensors.expert_offsets),
        status: tensors.status.as_ref().map_or(0, address),
        // `Fp8GroupedMm::validate` bounds all four below 2^31.
        rows: problem.rows as u32,
        experts: problem.experts as u32,
        n: problem.n as u32,
        k: problem.k as u32,
    })
}

fn encoded_maps(
    driver: &dyn Driver,
    problem: &Fp8GroupedMm,
    tensors: &Fp8GroupedMmTensors<'_>,
    cache: Option<&MapCache>,
) -> Result<[TensorMap; 3]> {
    let addresses = [tensors.a.address(), tensors.b.address()];
    // A thread that finds the cache in use encodes for itself rather than wait.
    let mut cached = cache.and_then(|cache| cache.try_lock().ok());
    if let Some(Some((of, maps))) = cached.as_deref()
        && *of == addresses
    {
        return Ok(*maps);
    }
    let [tokens, tokens_small, weights] = maps(problem, tensors);
    let maps = [
        driver.encode_tensor_map(&tokens)?,
        driver.encode_tensor_map(&tokens_small)?,
        driver.encode_tensor_map(&weights)?,
    ];
    if let Some(cached) = cached.as_deref_mut() {
        *cached = Some((addresses, maps));
    }
    Ok(maps)
}

/// The three tensor maps of the kernel, as [`Fp8BlockParams`] describes them.
fn maps(p: &Fp8GroupedMm, tensors: &Fp8GroupedMmTensors<'_>) -> [TensorMapSpec; 3] {
    let tile_k = u64::from(fp8_block::TILE_K);
    let map = |address, dims: &[u64], strides: &[u64], box_dims: &[u64]| TensorMapSpec {
        element: ElementType::U8,
        address,
        dims: Dims::new(dims),
        strides_bytes: Dims::new(strides),
        box_dims: Dims::new(box_dims),
        swizzle: Swizzle::Bytes128,
        l2_promotion: L2Promotion::Bytes256,
        out_of_bounds: OutOfBounds::Zero,
    };
    let tokens =
        |rows: u32| map(tensors.a.address(), &[p.k, p.rows], &[p.k], &[tile_k, rows.into()]);
    [
        tokens(fp8_block::TOKEN_BOX_ROWS),
        tokens(fp8_block::TOKEN_BOX_ROWS_SMALL),
        map(
            tensors.b.address(),
            &[p.k, p.n, p.experts],
            &[p.k, p.k.saturating_mul(p.n)],
            &[tile_k, fp8_block::TILE.into(), 1],
        ),
    ]
}

fn bytes(params: &Fp8BlockParams) -> &[u8] {
    let start = std::ptr::from_ref(params).cast::<u8>();
    // SAFETY: the struct has no padding (asserted below), so every byte is initialised.
    unsafe { std::slice::from_raw_parts(start, size_of::<Fp8BlockParams>()) }
}

const _: () = assert!(
    size_of::<Fp8BlockParams>()
        == 3 * size_of::<TensorMap>() + 6 * size_of::<u64>() + 4 * size_of::<u32>()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_plan_is_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<Prepared>();
        shared::<Device>();
    }
}
