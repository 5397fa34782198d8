//! A driver without a device: it keeps memory as host bytes, runs nothing, and records every launch.
//!
//! For tests of code that sits on this crate, above all of what is refused before a launch.

use super::fault::{Health, Poison};
use super::{
    Driver, Event, Function, FunctionAttributes, Graph, LaunchSpec, MemoryInfo, MemoryRange,
    Module, Stream, TensorMapSpec,
};
use crate::abi::TensorMap;
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::module_error::ModuleError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A launch that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedLaunch {
    /// Entry point.
    pub symbol: String,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Blocks of a cluster in x, y and z.
    pub cluster: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub smem_bytes: u32,
    /// The stream.
    pub stream: Stream,
    /// The by-value parameter.
    pub params: Vec<u8>,
}

/// The driver. Allocations lie far apart, so that the end of one is never the start of another.
#[derive(Debug)]
pub struct MockDriver {
    info: DeviceInfo,
    health: Health,
    check_symbols: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: BTreeMap<u64, (i32, Vec<u8>)>,
    modules: Vec<String>,
    functions: Vec<String>,
    capturing: BTreeSet<u64>,
    next_handle: u64,
    fail_next: Option<(&'static str, u32)>,
    launches: Vec<RecordedLaunch>,
    maps: Vec<TensorMapSpec>,
}

const FIRST_ADDRESS: u64 = 0x7f00_0000_0000;
const DISTANCE: u64 = 1 << 36;

impl MockDriver {
    /// A device of this description. Every kernel name is known to every module.
    pub fn new(info: DeviceInfo) -> Self {
        Self { info, health: Health::new(), check_symbols: false, state: Mutex::default() }
    }

    /// An H200.
    pub fn h200() -> Self {
        Self::new(DeviceInfo::h200())
    }

    /// The same, where a module knows only the kernels that its text names.
    #[must_use]
    pub fn with_checked_symbols(self) -> Self {
        Self { check_symbols: true, ..self }
    }

    /// The same, as a forked child of the process that opened it sees it.
    #[must_use]
    pub fn forked(self) -> Self {
        Self { health: Health::opened_by(std::process::id().wrapping_add(1)), ..self }
    }

    /// The driver as a device takes it.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// Every launch so far.
    pub fn launches(&self) -> Vec<RecordedLaunch> {
        self.state().launches.clone()
    }

    /// Every tensor map encoded so far.
    pub fn maps(&self) -> Vec<TensorMapSpec> {
        self.state().maps.clone()
    }

    /// Number of modules loaded so far.
    pub fn modules(&self) -> usize {
        self.state().modules.len()
    }

    /// Bytes allocated now.
    pub fn allocated_bytes(&self) -> u64 {
        self.state().memory.values().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Lets the next call of the driver's function `call`, such as `cuLaunchKernel`, answer `code`.
    pub fn fail_next(&self, call: &'static str, code: u32) {
        self.state().fail_next = Some((call, code));
    }

    /// Memory of another device.
    pub fn alloc_on(&self, ordinal: i32, bytes: u64) -> u64 {
        self.state().alloc(ordinal, bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call: refuses after a fault, and plays the answer set by `fail_next`.
    fn call(&self, call: &'static str) -> Result<MutexGuard<'_, State>> {
        self.health.check()?;
        let mut state = self.state();
        if let Some((_, code)) = state.fail_next.take_if(|(next, _)| *next == call) {
            self.health.judge(call, code)?;
        }
        Ok(state)
    }

    fn refuse<T>(&self, call: &'static str, code: u32) -> Result<T> {
        self.health.judge(call, code)?;
        Err(Error::Driver { call, code, name: super::fault::code_name(code) })
    }
}

impl State {
    fn handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle
    }

    fn alloc(&mut self, ordinal: i32, bytes: u64) -> u64 {
        let address = FIRST_ADDRESS + DISTANCE * self.handle();
        self.memory.insert(address, (ordinal, vec![0; bytes as usize]));
        address
    }

    fn range(&self, address: u64) -> Option<(u64, i32, u64)> {
        let (&base, (ordinal, bytes)) = self.memory.range(..=address).next_back()?;
        let length = bytes.len() as u64;
        (address - base < length).then_some((base, *ordinal, length))
    }

    fn slice(&mut self, address: u64, length: u64) -> Option<&mut [u8]> {
        let (base, _, _) = self.range(address)?;
        let (_, bytes) = self.memory.get_mut(&base)?;
        let start = (address - base) as usize;
        bytes.get_mut(start..start.checked_add(length as usize)?)
    }
}

impl Driver for MockDriver {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn poison(&self) -> Option<Poison> {
        self.health.poison()
    }

    fn alloc(&self, bytes: u64) -> Result<u64> {
        let mut state = self.call("cuMemAlloc")?;
        if bytes > self.info.memory_bytes {
            return Err(Error::OutOfMemory { requested_bytes: bytes });
        }
        if bytes == 0 {
            return self.refuse("cuMemAlloc", 1);
        }
        Ok(state.alloc(self.info.ordinal, bytes))
    }

    unsafe fn free(&self, address: u64) -> Result<()> {
        match self.call("cuMemFree")?.memory.remove(&address) {
            Some(_) => Ok(()),
            None => self.refuse("cuMemFree", 1),
        }
    }

    unsafe fn copy_to_device(&self, to: u64, from: &[u8]) -> Result<()> {
        match self.call("cuMemcpyHtoD")?.slice(to, from.len() as u64) {
            Some(slice) => slice.copy_from_slice(from),
            None => return self.refuse("cuMemcpyHtoD", 1),
        }
        Ok(())
    }

    unsafe fn copy_to_host(&self, to: &mut [u8], from: u64) -> Result<()> {
        match self.call("cuMemcpyDtoH")?.slice(from, to.len() as u64) {
            Some(slice) => to.copy_from_slice(slice),
            None => return self.refuse("cuMemcpyDtoH", 1),
        }
        Ok(())
    }

    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: u64, _: Stream) -> Result<()> {
        let mut state = self.call("cuMemcpyDtoDAsync")?;
        let Some(copy) = state.slice(from, bytes).map(|slice| slice.to_vec()) else {
            return self.refuse("cuMemcpyDtoDAsync", 1);
        };
        match state.slice(to, bytes) {
            Some(slice) => slice.copy_from_slice(&copy),
            None => return self.refuse("cuMemcpyDtoDAsync", 1),
        }
        Ok(())
    }

    unsafe fn fill(&self, to: u64, value: u8, bytes: u64, _: Stream) -> Result<()> {
        match self.call("cuMemsetD8Async")?.slice(to, bytes) {
            Some(slice) => slice.fill(value),
            None => return self.refuse("cuMemsetD8Async", 1),
        }
        Ok(())
    }

    fn memory_info(&self) -> Result<MemoryInfo> {
        let state = self.call("cuMemGetInfo")?;
        let own = state.memory.values().filter(|(ordinal, _)| *ordinal == self.info.ordinal);
        let used = own.map(|(_, bytes)| bytes.len() as u64).sum();
        let total_bytes = self.info.memory_bytes;
        Ok(MemoryInfo { free_bytes: total_bytes.saturating_sub(used), total_bytes })
    }

    fn range_of(&self, address: u64) -> Result<Option<MemoryRange>> {
        let range = self.call("cuPointerGetAttributes")?.range(address);
        Ok(range.map(|(base, ordinal, bytes)| MemoryRange { base, bytes, ordinal }))
    }

    fn load_module(&self, name: &str, ptx: &str) -> Result<Module> {
        let mut state = self.call("cuModuleLoadDataEx").map_err(|error| match error {
            Error::Driver { code, name: code_name, .. } => ModuleError::Jit {
                module: name.to_owned(),
                code,
                name: code_name,
                log: "ptxas application, line 1; fatal: as asked".to_owned(),
            }
            .into(),
            other => other,
        })?;
        state.modules.push(ptx.to_owned());
        Ok(Module(state.modules.len() as u64))
    }

    unsafe fn unload_module(&self, _: Module) -> Result<()> {
        self.call("cuModuleUnload").map(drop)
    }

    fn function(&self, module: Module, symbol: &str) -> Result<Option<Function>> {
        let mut state = self.call("cuModuleGetFunction")?;
        let index = (module.raw() as usize).wrapping_sub(1);
        let Some(text) = state.modules.get(index) else {
            return self.refuse("cuModuleGetFunction", 400);
        };
        if self.check_symbols && !text.contains(&format!(".entry {symbol}(")) {
            return Ok(None);
        }
        state.functions.push(symbol.to_owned());
        Ok(Some(Function(state.functions.len() as u64)))
    }

    fn set_max_dynamic_smem(&self, _: Function, bytes: u32) -> Result<()> {
        drop(self.call("cuFuncSetAttribute")?);
        if u64::from(bytes) > self.info.smem_optin_bytes {
            return self.refuse("cuFuncSetAttribute", 1);
        }
        Ok(())
    }

    fn function_attributes(&self, _: Function) -> Result<FunctionAttributes> {
        drop(self.call("cuFuncGetAttribute")?);
        Ok(FunctionAttributes { registers: 168, max_threads: 384, ..FunctionAttributes::default() })
    }

    fn create_stream(&self) -> Result<Stream> {
        Ok(Stream(self.call("cuStreamCreate")?.handle()))
    }

    unsafe fn destroy_stream(&self, _: Stream) -> Result<()> {
        self.call("cuStreamDestroy").map(drop)
    }

    fn synchronize_stream(&self, stream: Stream) -> Result<()> {
        let state = self.call("cuStreamSynchronize")?;
        if state.capturing.contains(&stream.raw()) {
            return self.refuse("cuStreamSynchronize", 900);
        }
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        self.call("cuCtxSynchronize").map(drop)
    }

    fn is_capturing(&self, stream: Stream) -> Result<bool> {
        Ok(self.call("cuStreamIsCapturing")?.capturing.contains(&stream.raw()))
    }

    fn create_event(&self) -> Result<Event> {
        Ok(Event(self.call("cuEventCreate")?.handle()))
    }

    unsafe fn destroy_event(&self, _: Event) -> Result<()> {
        self.call("cuEventDestroy").map(drop)
    }

    fn record_event(&self, _: Event, _: Stream) -> Result<()> {
        self.call("cuEventRecord").map(drop)
    }

    fn synchronize_event(&self, _: Event) -> Result<()> {
        self.call("cuEventSynchronize").map(drop)
    }

    fn elapsed_ms(&self, _: Event, _: Event) -> Result<f32> {
        self.call("cuEventElapsedTime").map(|_| 0.0)
    }

    fn begin_capture(&self, stream: Stream) -> Result<()> {
        let mut state = self.call("cuStreamBeginCapture")?;
        if stream == Stream::DEFAULT {
            return self.refuse("cuStreamBeginCapture", 900);
        }
        state.capturing.insert(stream.raw());
        Ok(())
    }

    fn end_capture(&self, stream: Stream) -> Result<Graph> {
        let mut state = self.call("cuStreamEndCapture")?;
        if !state.capturing.remove(&stream.raw()) {
            return self.refuse("cuStreamEndCapture", 901);
        }
        Ok(Graph(state.handle()))
    }

    unsafe fn launch_graph(&self, _: Graph, _: Stream) -> Result<()> {
        self.call("cuGraphLaunch").map(drop)
    }

    unsafe fn destroy_graph(&self, _: Graph) -> Result<()> {
        self.call("cuGraphExecDestroy").map(drop)
    }

    fn encode_tensor_map(&self, spec: &TensorMapSpec) -> Result<TensorMap> {
        spec.validate()?;
        self.call("cuTensorMapEncodeTiled")?.maps.push(*spec);
        Ok(TensorMap::EMPTY)
    }

    unsafe fn launch(&self, spec: &LaunchSpec<'_>) -> Result<()> {
        let mut state = self.call("cuLaunchKernel")?;
        let index = (spec.function.raw() as usize).wrapping_sub(1);
        let Some(symbol) = state.functions.get(index).cloned() else {
            return self.refuse("cuLaunchKernel", 400);
        };
        state.launches.push(RecordedLaunch {
            symbol,
            grid: spec.grid,
            block: spec.block,
            cluster: spec.cluster,
            smem_bytes: spec.smem_bytes,
            stream: spec.stream,
            params: spec.params.to_vec(),
        });
        Ok(())
    }
}
