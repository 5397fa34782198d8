//! A GPU, the memory on it, and the modules that are loaded.

use crate::abi::Variant;
use crate::driver::cuda::Cuda;
use crate::driver::{
    Driver, Event, Function, FunctionAttributes, Graph, MemoryInfo, Module, Stream,
};
use crate::error::{Error, Result};
use crate::memory::DeviceBuffer;
use crate::module_error::ModuleError;
use crate::ops::Operation;
use crate::plan::Plan;
use crate::ptx::PtxModule;
use crate::runtime::{self, Checks, Prepared};
use crate::trace;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A version such as 13.0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// Before the point.
    pub major: u32,
    /// After the point.
    pub minor: u32,
}

impl Version {
    /// Reads `13.0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// Reads CUDA's way of writing a version as one number: 13000 is 13.0.
    pub const fn from_cuda(number: u32) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a device is. Plans are made from this alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DeviceInfo {
    /// Number of the device in this process.
    pub ordinal: i32,
    /// Name, such as `NVIDIA H200`.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Number of streaming multiprocessors.
    pub sm_count: u32,
    /// Most dynamic shared memory of a block after opting in, in bytes.
    pub smem_optin_bytes: u64,
    /// Second-level cache in bytes.
    pub l2_bytes: u64,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// CUDA version that the driver supports.
    pub driver_version: Version,
}

impl DeviceInfo {
    /// An H200 SXM, to plan without one.
    pub fn h200() -> Self {
        Self {
            ordinal: 0,
            name: "NVIDIA H200".to_owned(),
            capability: (9, 0),
            sm_count: 132,
            smem_optin_bytes: 232_448,
            l2_bytes: 60 << 20,
            memory_bytes: 141 << 30,
            driver_version: Version { major: 13, minor: 0 },
        }
    }

    /// A B200, to plan without one.
    pub fn b200() -> Self {
        Self {
            name: "NVIDIA B200".to_owned(),
            capability: (10, 0),
            sm_count: 148,
            l2_bytes: 126 << 20,
            memory_bytes: 180 << 30,
            ..Self::h200()
        }
    }

    /// A B300, to plan without one.
    pub fn b300() -> Self {
        Self {
            name: "NVIDIA B300".to_owned(),
            capability: (10, 3),
            memory_bytes: 268 << 30,
            ..Self::b200()
        }
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        write!(f, "{} (sm_{major}{minor}, {} SMs)", self.name, self.sm_count)
    }
}

/// A device that is open. Cheap to clone; clones share the loaded modules.
#[derive(Clone, Debug)]
pub struct Device {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    driver: Arc<dyn Driver>,
    kernels: Mutex<HashMap<&'static str, Kernel>>,
    modules: Mutex<HashMap<&'static str, Module>>,
    announced: trace::Announced,
}

/// A kernel that is loaded and ready to launch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// The kernel.
    pub function: Function,
    /// What the driver's compiler made of it.
    pub attributes: FunctionAttributes,
}

impl Device {
    /// Opens a device through the CUDA driver.
    ///
    /// # Errors
    ///
    /// [`Error::DriverMissing`], [`Error::DriverTooOld`], [`Error::NoDevice`], [`Error::DeviceOrdinal`], or
    /// what the driver answers.
    pub fn open(ordinal: i32) -> Result<Self> {
        Ok(Self::with_driver(Cuda::open(ordinal)?))
    }

    /// Opens the device whose primary context is current on the calling thread: the one that `cudaSetDevice`
    /// chose.
    ///
    /// # Errors
    ///
    /// [`Error::CurrentContext`], and as [`open`](Self::open).
    pub fn open_current() -> Result<Self> {
        Ok(Self::with_driver(Cuda::open_current()?))
    }

    /// A device behind any implementation of [`Driver`].
    pub fn with_driver(driver: Arc<dyn Driver>) -> Self {
        let shared = Shared {
            driver,
            kernels: Mutex::default(),
            modules: Mutex::default(),
            announced: trace::Announced::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What the device is.
    pub fn info(&self) -> &DeviceInfo {
        self.shared.driver.info()
    }

    /// The driver, for what this type does not offer.
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.shared.driver
    }

    /// Whether a kernel has faulted: then the process cannot use the device any more. Asks no driver and never waits,
    /// so that a health check may call it as often as it likes; a fault is known once any call has reported it.
    pub fn is_poisoned(&self) -> bool {
        self.shared.driver.poison().is_some()
    }

    /// Allocates device memory of `bytes` bytes, not initialised. 0 bytes are ordinary.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`], or what the driver answers.
    pub fn alloc(&self, bytes: u64) -> Result<DeviceBuffer> {
        DeviceBuffer::new(self.driver(), bytes)
    }

    /// Allocates and fills device memory with the elements of a slice.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    pub fn upload<T: crate::memory::Plain>(&self, from: &[T]) -> Result<DeviceBuffer> {
        let buffer = self.alloc(size_of_val(from) as u64)?;
        buffer.upload(from)?;
        Ok(buffer)
    }

    /// Free and total memory, at this moment and for all processes.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn memory_info(&self) -> Result<MemoryInfo> {
        self.shared.driver.memory_info()
    }

    /// Waits for all work of the device.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if a kernel faulted.
    pub fn synchronize(&self) -> Result<()> {
        self.shared.driver.synchronize()
    }

    /// A new stream.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn stream(&self) -> Result<StreamHandle> {
        let stream = self.shared.driver.create_stream()?;
        Ok(StreamHandle { driver: Arc::clone(self.driver()), stream })
    }

    /// A new event.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn event(&self) -> Result<EventHandle> {
        let event = self.shared.driver.create_event()?;
        Ok(EventHandle { driver: Arc::clone(self.driver()), event })
    }

    /// Loads the kernel of a plan, so that launches need nothing but the launch. Loads once per device;
    /// call it outside of any graph capture.
    ///
    /// # Errors
    ///
    /// [`Error::PlanForAnotherDevice`], everything that [`PtxModule::check`] refuses, [`ModuleError::Jit`],
    /// [`ModuleError::KernelMissing`], or what the driver answers.
    pub fn prepare<O: Operation>(&self, plan: &Plan<O>) -> Result<Prepared<O>> {
        self.prepare_on(plan, Stream::DEFAULT)
    }

    /// As [`prepare`](Self::prepare), and refuses if `stream` is being captured: loading a module waits
    /// for the device, which a capture must not.
    ///
    /// # Errors
    ///
    /// [`Error::Capturing`], and as [`prepare`](Self::prepare).
    pub fn prepare_on<O: Operation>(&self, plan: &Plan<O>, stream: Stream) -> Result<Prepared<O>> {
        self.check_plan(plan)?;
        let kernel = self.load_on(plan.variant(), stream)?;
        self.shared.announced.plan_chosen(plan);
        Ok(Prepared::new(self.clone(), plan.clone(), kernel))
    }

    /// Loads any kernel of the variant table, once per device: for launches through [`Driver::launch`].
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn load(&self, variant: &'static Variant) -> Result<Kernel> {
        self.load_on(variant, Stream::DEFAULT)
    }

    fn load_on(&self, variant: &'static Variant, stream: Stream) -> Result<Kernel> {
        if let Some(kernel) = self.kernel(variant) {
            return Ok(kernel);
        }
        if stream != Stream::DEFAULT && self.shared.driver.is_capturing(stream)? {
            let remedy = "prepare the plan before the capture begins";
            return Err(Error::Capturing { operation: "Device::prepare", remedy });
        }
        self.load_module(&PtxModule::of(variant)?, variant)
    }

    /// As [`prepare`](Self::prepare), from a PTX module of the caller: for tests of kernels.
    ///
    /// The module is not kept for later calls of `prepare`, and stays loaded until the process ends.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn prepare_from<O: Operation>(
        &self,
        plan: &Plan<O>,
        ptx: &PtxModule,
    ) -> Result<Prepared<O>> {
        self.check_plan(plan)?;
        ptx.check(self.info().driver_version)?;
        let module = self.shared.driver.load_module(ptx.name, &ptx.text)?;
        let kernel = self.find(module, plan.variant())?;
        Ok(Prepared::new(self.clone(), plan.clone(), kernel))
    }

    /// Launches a plan whose kernel is already loaded. Safe inside a capture.
    ///
    /// # Errors
    ///
    /// [`Error::NotPrepared`], and as [`Prepared::launch`].
    pub fn launch<O: Operation>(
        &self,
        plan: &Plan<O>,
        stream: Stream,
        tensors: &O::Tensors<'_>,
    ) -> Result<()> {
        self.check_plan(plan)?;
        let variant = plan.variant();
        let kernel = self.kernel(variant).ok_or(Error::NotPrepared { symbol: variant.symbol })?;
        runtime::launch(self, plan, kernel, Checks::default(), None, stream, tensors)
    }

    fn check_plan<O>(&self, plan: &Plan<O>) -> Result<()> {
        let (planned, have) = (plan.device(), self.info());
        // The grid follows the number of SMs, the kernel the capability; nothing else matters.
        if planned.capability != have.capability || planned.sm_count != have.sm_count {
            let (planned, have) = (planned.to_string(), have.to_string());
            return Err(Error::PlanForAnotherDevice { planned, have });
        }
        Ok(())
    }

    fn kernel(&self, variant: &Variant) -> Option<Kernel> {
        let kernels = self.shared.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.get(variant.symbol).copied()
    }

    fn load_module(&self, ptx: &PtxModule, variant: &'static Variant) -> Result<Kernel> {
        // Held while the driver compiles, so that threads that prepare at once compile once.
        let mut modules = self.shared.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = if let Some(&module) = modules.get(variant.module) {
            module
        } else {
            ptx.check(self.info().driver_version)?;
            let start = Instant::now();
            let module = self.shared.driver.load_module(ptx.name, &ptx.text)?;
            trace::module_loaded(ptx.name, self.info(), start.elapsed());
            modules.insert(variant.module, module);
            module
        };
        let kernel = self.find(module, variant)?;
        let mut kernels = self.shared.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.insert(variant.symbol, kernel);
        Ok(kernel)
    }

    fn find(&self, module: Module, variant: &Variant) -> Result<Kernel> {
        let driver = &self.shared.driver;
        let function =
            driver.function(module, variant.symbol)?.ok_or_else(|| ModuleError::KernelMissing {
                module: variant.module.to_owned(),
                symbol: variant.symbol.to_owned(),
            })?;
        driver.set_max_dynamic_smem(function, variant.smem_bytes)?;
        let attributes = driver.function_attributes(function)?;
        Ok(Kernel { function, attributes })
    }
}

/// A stream that ends with this value.
#[derive(Debug)]
pub struct StreamHandle {
    driver: Arc<dyn Driver>,
    stream: Stream,
}

impl StreamHandle {
    /// The stream, for launches.
    pub const fn stream(&self) -> Stream {
        self.stream
    }

    /// Waits for the work of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if a kernel faulted.
    pub fn synchronize(&self) -> Result<()> {
        self.driver.synchronize_stream(self.stream)
    }

    /// Captures what `work` puts into the stream as a graph, without running it.
    ///
    /// # Errors
    ///
    /// What `work` or the driver answers; the capture is ended in any case.
    pub fn capture(&self, work: impl FnOnce(Stream) -> Result<()>) -> Result<GraphHandle> {
        self.driver.begin_capture(self.stream)?;
        let worked = work(self.stream);
        let ended = self.driver.end_capture(self.stream);
        let handle = ended.map(|graph| GraphHandle { driver: Arc::clone(&self.driver), graph });
        worked.and(handle)
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        // SAFETY: the handle came from `create_stream`, and nobody else owns it.
        // A refusal here means that the device is lost; the next call on it says so.
        let _ = unsafe { self.driver.destroy_stream(self.stream) };
    }
}

/// An event that ends with this value.
#[derive(Debug)]
pub struct EventHandle {
    driver: Arc<dyn Driver>,
    event: Event,
}

impl EventHandle {
    /// Marks the point after the work that `stream` holds now.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn record(&self, stream: Stream) -> Result<()> {
        self.driver.record_event(self.event, stream)
    }

    /// Waits until the point is reached.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if a kernel faulted.
    pub fn synchronize(&self) -> Result<()> {
        self.driver.synchronize_event(self.event)
    }

    /// Milliseconds from an earlier event to this one, both reached.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn elapsed_ms_since(&self, start: &Self) -> Result<f32> {
        self.driver.elapsed_ms(start.event, self.event)
    }
}

impl Drop for EventHandle {
    fn drop(&mut self) {
        // SAFETY: the handle came from `create_event`, and nobody else owns it.
        let _ = unsafe { self.driver.destroy_event(self.event) };
    }
}

/// Captured work that can be launched again and again.
#[derive(Debug)]
pub struct GraphHandle {
    driver: Arc<dyn Driver>,
    graph: Graph,
}

impl GraphHandle {
    /// Runs the captured work in the order of `stream`.
    ///
    /// # Safety
    ///
    /// All memory that the captured work uses is still allocated.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub unsafe fn launch(&self, stream: Stream) -> Result<()> {
        // SAFETY: the caller keeps the memory alive.
        unsafe { self.driver.launch_graph(self.graph, stream) }
    }
}

impl Drop for GraphHandle {
    fn drop(&mut self) {
        // SAFETY: the handle came from `end_capture`, and nobody else owns it.
        let _ = unsafe { self.driver.destroy_graph(self.graph) };
    }
}
