//! [`Driver`] on the emulator: the host crate's real dispatch code runs on it.
//!
//! Streams execute at once. A launch that cannot end poisons the device, like a fault of a GPU.

use crate::machine::{Emulator, Launch, LaunchError, Program};
use crate::memory::MemoryFault;
use crate::options::{Options, Stats};
use crate::report::{Report, ReportKind};
use crate::tensor_map;
use expert_gemm::abi::TensorMap;
use expert_gemm::driver::fault::{Health, Poison, code_name};
use expert_gemm::driver::{
    Event, Function, FunctionAttributes, Graph, LaunchSpec, MemoryInfo, MemoryRange, Module,
    Stream, TensorMapSpec,
};
use expert_gemm::{DeviceInfo, Driver, Error, ModuleError, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The driver.
pub struct EmulatorDriver {
    info: DeviceInfo,
    health: Health,
    state: Mutex<State>,
}

struct State {
    emulator: Emulator,
    modules: BTreeMap<u64, Arc<Program>>,
    functions: BTreeMap<u64, (Arc<Program>, String)>,
    streams: BTreeMap<u64, Option<Vec<Work>>>,
    graphs: BTreeMap<u64, Vec<Work>>,
    events: BTreeMap<u64, Instant>,
    next: u64,
    reports: Vec<Report>,
    stats: Stats,
    /// The code of a fault that the next wait answers.
    fault: Option<u32>,
}

/// What a stream can hold.
#[derive(Clone)]
enum Work {
    Launch {
        function: u64,
        grid: [u32; 3],
        block: [u32; 3],
        cluster: [u32; 3],
        smem_bytes: u32,
        params: Vec<u8>,
    },
    Copy {
        to: u64,
        from: u64,
        bytes: u64,
    },
    Fill {
        to: u64,
        value: u8,
        bytes: u64,
    },
}

impl fmt::Debug for EmulatorDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmulatorDriver({})", self.info)
    }
}

impl EmulatorDriver {
    /// The GPU of the options as far as plans are concerned, with as many multiprocessors as they say.
    pub fn new(options: Options) -> Self {
        let real = options.gpu.info();
        let name = format!("emulated {}", real.name);
        let (ordinal, sm_count) = (options.ordinal, options.sm_count);
        let info = DeviceInfo { ordinal, name, sm_count, ..real };
        let state = State {
            emulator: Emulator::new(options),
            modules: BTreeMap::new(),
            functions: BTreeMap::new(),
            streams: BTreeMap::new(),
            graphs: BTreeMap::new(),
            events: BTreeMap::new(),
            next: 0,
            reports: Vec::new(),
            stats: Stats::default(),
            fault: None,
        };
        Self { info, health: Health::new(), state: Mutex::new(state) }
    }

    /// What was found since the last call.
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.state().reports)
    }

    /// What all launches took so far.
    pub fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    /// Changes the options of later launches; the number of multiprocessors stays.
    pub fn set_options(&self, options: Options) {
        self.state().emulator.options = options;
    }

    /// The options of later launches.
    pub fn options(&self) -> Options {
        self.state().emulator.options.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> Result<MutexGuard<'_, State>> {
        self.health.check()?;
        Ok(self.state())
    }

    fn refuse<T>(call: &'static str, code: u32) -> Result<T> {
        Err(Error::Driver { call, code, name: code_name(code) })
    }

    fn memory<T>(call: &'static str, result: std::result::Result<T, MemoryFault>) -> Result<T> {
        result.or_else(|_| Self::refuse(call, 1))
    }

    /// Runs work at once, or records it where the stream is being captured.
    fn enqueue(&self, call: &'static str, stream: Stream, work: Work) -> Result<()> {
        let mut state = self.call()?;
        match state.streams.get_mut(&stream.raw()) {
            Some(Some(recorded)) => {
                recorded.push(work);
                Ok(())
            }
            Some(None) => state.perform(call, &work),
            None if stream == Stream::DEFAULT => state.perform(call, &work),
            None => Self::refuse(call, 400),
        }
    }

    fn wait(&self, call: &'static str) -> Result<()> {
        let fault = self.call()?.fault.take();
        fault.map_or(Ok(()), |code| self.health.judge(call, code))
    }
}

impl State {
    fn handle(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn perform(&mut self, call: &'static str, work: &Work) -> Result<()> {
        // After a fault nothing runs any more; the next wait says so.
        if self.fault.is_some() {
            return Ok(());
        }
        match work {
            Work::Copy { to, from, bytes } => {
                let mut data = vec![0; *bytes as usize];
                let memory = &self.emulator.memory;
                EmulatorDriver::memory(call, memory.read(*from, &mut data))?;
                EmulatorDriver::memory(call, memory.write(*to, &data))
            }
            Work::Fill { to, value, bytes } => {
                EmulatorDriver::memory(call, self.emulator.memory.fill(*to, *value, *bytes))
            }
            Work::Launch { function, grid, block, cluster, smem_bytes, params } => {
                let Some((program, entry)) = self.functions.get(function).cloned() else {
                    return EmulatorDriver::refuse(call, 400);
                };
                let launch = Launch {
                    grid: *grid,
                    block: *block,
                    cluster: *cluster,
                    smem_bytes: *smem_bytes,
                    params,
                };
                match self.emulator.launch(&program, &entry, &launch) {
                    Ok((reports, stats)) => {
                        self.stats.add(&stats);
                        self.fault = reports.iter().find_map(|report| fault_code(report.kind));
                        self.reports.extend(reports);
                        Ok(())
                    }
                    Err(LaunchError(message)) => {
                        self.reports.push(Report {
                            kind: ReportKind::Launch,
                            kernel: entry,
                            lines: Vec::new(),
                            places: Vec::new(),
                            message,
                            times: 1,
                        });
                        EmulatorDriver::refuse(call, 1)
                    }
                }
            }
        }
    }
}

/// What a GPU answers after such a finding, if it notices at all.
const fn fault_code(kind: ReportKind) -> Option<u32> {
    match kind {
        ReportKind::OutOfBounds => Some(700),
        ReportKind::Misaligned => Some(716),
        ReportKind::Deadlock | ReportKind::Divergence | ReportKind::Limit => Some(702),
        ReportKind::Trap => Some(719),
        _ => None,
    }
}

impl Driver for EmulatorDriver {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn poison(&self) -> Option<Poison> {
        self.health.poison()
    }

    fn alloc(&self, bytes: u64) -> Result<u64> {
        let mut state = self.call()?;
        if bytes == 0 {
            return Self::refuse("cuMemAlloc", 1);
        }
        if state.emulator.memory.allocated() + bytes > self.info.memory_bytes {
            return Err(Error::OutOfMemory { requested_bytes: bytes });
        }
        Ok(state.emulator.memory.alloc(bytes))
    }

    unsafe fn free(&self, address: u64) -> Result<()> {
        if self.call()?.emulator.memory.free(address) {
            Ok(())
        } else {
            Self::refuse("cuMemFree", 1)
        }
    }

    unsafe fn copy_to_device(&self, to: u64, from: &[u8]) -> Result<()> {
        Self::memory("cuMemcpyHtoD", self.call()?.emulator.memory.write(to, from))
    }

    unsafe fn copy_to_host(&self, to: &mut [u8], from: u64) -> Result<()> {
        Self::memory("cuMemcpyDtoH", self.call()?.emulator.memory.read(from, to)).map(drop)
    }

    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: u64, stream: Stream) -> Result<()> {
        self.enqueue("cuMemcpyDtoDAsync", stream, Work::Copy { to, from, bytes })
    }

    unsafe fn fill(&self, to: u64, value: u8, bytes: u64, stream: Stream) -> Result<()> {
        self.enqueue("cuMemsetD8Async", stream, Work::Fill { to, value, bytes })
    }

    fn memory_info(&self) -> Result<MemoryInfo> {
        let used = self.call()?.emulator.memory.allocated();
        let total_bytes = self.info.memory_bytes;
        Ok(MemoryInfo { free_bytes: total_bytes - used, total_bytes })
    }

    fn range_of(&self, address: u64) -> Result<Option<MemoryRange>> {
        let range = self.call()?.emulator.memory.range(address);
        let ordinal = self.info.ordinal;
        Ok(range.map(|(base, bytes)| MemoryRange { base, bytes, ordinal }))
    }

    fn load_module(&self, name: &str, ptx: &str) -> Result<Module> {
        let mut state = self.call()?;
        let program = Program::parse(ptx).map_err(|error| ModuleError::Jit {
            module: name.to_owned(),
            code: 218,
            name: code_name(218),
            log: error.to_string(),
        })?;
        let gpu = state.emulator.options.gpu;
        if !gpu.runs(program.target()) {
            // CUDA_ERROR_NO_BINARY_FOR_GPU
            return Self::refuse("cuModuleLoadData", 209);
        }
        let handle = state.handle();
        state.modules.insert(handle, Arc::new(program));
        // SAFETY: the handle was just made, and every use of it looks it up.
        Ok(unsafe { Module::from_raw(handle) })
    }

    unsafe fn unload_module(&self, module: Module) -> Result<()> {
        match self.call()?.modules.remove(&module.raw()) {
            Some(_) => Ok(()),
            None => Self::refuse("cuModuleUnload", 400),
        }
    }

    fn function(&self, module: Module, symbol: &str) -> Result<Option<Function>> {
        let mut state = self.call()?;
        let Some(program) = state.modules.get(&module.raw()).cloned() else {
            return Self::refuse("cuModuleGetFunction", 400);
        };
        if program.kernel(symbol).is_none() {
            return Ok(None);
        }
        let handle = state.handle();
        state.functions.insert(handle, (program, symbol.to_owned()));
        // SAFETY: the handle was just made, and every use of it looks it up.
        Ok(Some(unsafe { Function::from_raw(handle) }))
    }

    fn set_max_dynamic_smem(&self, _: Function, bytes: u32) -> Result<()> {
        drop(self.call()?);
        let fits = u64::from(bytes) <= self.info.smem_optin_bytes;
        if fits { Ok(()) } else { Self::refuse("cuFuncSetAttribute", 1) }
    }

    fn function_attributes(&self, function: Function) -> Result<FunctionAttributes> {
        let state = self.call()?;
        let kernel = state
            .functions
            .get(&function.raw())
            .and_then(|(program, symbol)| program.kernel(symbol));
        let Some(kernel) = kernel else { return Self::refuse("cuFuncGetAttribute", 400) };
        let threads = kernel.max_threads.map_or(1024, |sides| sides.iter().product());
        Ok(FunctionAttributes {
            // Registers are the compiler's business; as many as the largest block leaves to a thread.
            registers: kernel.launch_registers(threads),
            local_bytes: kernel.local_bytes as u32,
            static_smem_bytes: kernel.static_shared as u32,
            max_threads: threads,
        })
    }

    fn create_stream(&self) -> Result<Stream> {
        let mut state = self.call()?;
        let handle = state.handle();
        state.streams.insert(handle, None);
        // SAFETY: the handle was just made, and every use of it looks it up.
        Ok(unsafe { Stream::from_raw(handle) })
    }

    unsafe fn destroy_stream(&self, stream: Stream) -> Result<()> {
        match self.call()?.streams.remove(&stream.raw()) {
            Some(_) => Ok(()),
            None => Self::refuse("cuStreamDestroy", 400),
        }
    }

    fn synchronize_stream(&self, stream: Stream) -> Result<()> {
        if self.is_capturing(stream)? {
            return Self::refuse("cuStreamSynchronize", 900);
        }
        self.wait("cuStreamSynchronize")
    }

    fn synchronize(&self) -> Result<()> {
        self.wait("cuCtxSynchronize")
    }

    fn is_capturing(&self, stream: Stream) -> Result<bool> {
        Ok(matches!(self.call()?.streams.get(&stream.raw()), Some(Some(_))))
    }

    fn create_event(&self) -> Result<Event> {
        let handle = self.call()?.handle();
        // SAFETY: the handle was just made, and every use of it looks it up.
        Ok(unsafe { Event::from_raw(handle) })
    }

    unsafe fn destroy_event(&self, event: Event) -> Result<()> {
        self.call()?.events.remove(&event.raw());
        Ok(())
    }

    fn record_event(&self, event: Event, _: Stream) -> Result<()> {
        self.call()?.events.insert(event.raw(), Instant::now());
        Ok(())
    }

    fn synchronize_event(&self, _: Event) -> Result<()> {
        self.wait("cuEventSynchronize")
    }

    fn elapsed_ms(&self, start: Event, end: Event) -> Result<f32> {
        let state = self.call()?;
        match (state.events.get(&start.raw()), state.events.get(&end.raw())) {
            (Some(start), Some(end)) => Ok(end.duration_since(*start).as_secs_f32() * 1e3),
            _ => Self::refuse("cuEventElapsedTime", 400),
        }
    }

    fn begin_capture(&self, stream: Stream) -> Result<()> {
        match self.call()?.streams.get_mut(&stream.raw()) {
            Some(recorded @ None) => {
                *recorded = Some(Vec::new());
                Ok(())
            }
            _ => Self::refuse("cuStreamBeginCapture", 900),
        }
    }

    fn end_capture(&self, stream: Stream) -> Result<Graph> {
        let mut state = self.call()?;
        let Some(work) = state.streams.get_mut(&stream.raw()).and_then(Option::take) else {
            return Self::refuse("cuStreamEndCapture", 901);
        };
        let handle = state.handle();
        state.graphs.insert(handle, work);
        // SAFETY: the handle was just made, and every use of it looks it up.
        Ok(unsafe { Graph::from_raw(handle) })
    }

    unsafe fn launch_graph(&self, graph: Graph, _: Stream) -> Result<()> {
        let mut state = self.call()?;
        let Some(work) = state.graphs.get(&graph.raw()).cloned() else {
            return Self::refuse("cuGraphLaunch", 400);
        };
        work.iter().try_for_each(|work| state.perform("cuGraphLaunch", work))
    }

    unsafe fn destroy_graph(&self, graph: Graph) -> Result<()> {
        self.call()?.graphs.remove(&graph.raw());
        Ok(())
    }

    fn encode_tensor_map(&self, spec: &TensorMapSpec) -> Result<TensorMap> {
        spec.validate()?;
        drop(self.call()?);
        Ok(TensorMap { bytes: tensor_map::TensorMap::new(spec).encode() })
    }

    unsafe fn launch(&self, spec: &LaunchSpec<'_>) -> Result<()> {
        let work = Work::Launch {
            function: spec.function.raw(),
            grid: spec.grid,
            block: spec.block,
            cluster: spec.cluster,
            smem_bytes: spec.smem_bytes,
            params: spec.params.to_vec(),
        };
        self.enqueue("cuLaunchKernel", spec.stream, work)
    }
}
