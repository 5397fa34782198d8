//! The calls themselves, each in the device's context.

use super::tensor_map::encode;
use super::{Cuda, code_of};
use crate::abi::TensorMap;
use crate::device::DeviceInfo;
use crate::driver::fault::{Poison, code_name};
use crate::driver::{
    Driver, Event, Function, FunctionAttributes, Graph, LaunchSpec, MemoryInfo, MemoryRange,
    Module, Stream, TensorMapSpec,
};
use crate::error::{Error, Result};
use crate::module_error::ModuleError;
use cudarc::driver::sys;
use cudarc::driver::sys::{
    CUfunction_attribute_enum as FunctionAttribute, CUpointer_attribute_enum as PointerAttribute,
};
use std::ffi::{CString, c_void};
use std::ptr;

fn stream_of(stream: Stream) -> sys::CUstream {
    stream.raw() as usize as sys::CUstream
}

fn function_of(function: Function) -> sys::CUfunction {
    function.raw() as usize as sys::CUfunction
}

fn event_of(event: Event) -> sys::CUevent {
    event.raw() as usize as sys::CUevent
}

fn address_of<T>(handle: *mut T) -> u64 {
    handle as usize as u64
}

impl Driver for Cuda {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn poison(&self) -> Option<Poison> {
        self.health.poison()
    }

    fn context(&self) -> u64 {
        address_of(self.context.0)
    }

    fn context_of(&self, stream: Stream) -> Result<u64> {
        let _current = self.enter()?;
        let mut context = ptr::null_mut();
        // SAFETY: the stream is live by the promise of its handle; the pointer is to a local.
        let code = unsafe { sys::cuStreamGetCtx(stream_of(stream), &raw mut context) };
        self.judge("cuStreamGetCtx", code)?;
        Ok(address_of(context))
    }

    fn alloc(&self, bytes: u64) -> Result<u64> {
        let _current = self.enter()?;
        let mut address = 0;
        // SAFETY: the pointer is to a local.
        let code = unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes as usize) };
        let answer = self.judge("cuMemAlloc", code);
        if code_of(&answer) == 2 {
            return Err(Error::OutOfMemory { requested_bytes: bytes });
        }
        answer.map(|()| address)
    }

    unsafe fn free(&self, address: u64) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller gives up an address that came from `alloc`.
        self.judge("cuMemFree", unsafe { sys::cuMemFree_v2(address) })
    }

    unsafe fn copy_to_device(&self, to: u64, from: &[u8]) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller vouches for the device range; the host range is the slice.
        let code = unsafe { sys::cuMemcpyHtoD_v2(to, from.as_ptr().cast(), from.len()) };
        self.judge("cuMemcpyHtoD", code)?;
        // The copy may still be on its way from a staging buffer, which streams that do not wait for the
        // default stream would not see.
        // SAFETY: a null stream is the default stream.
        self.judge("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(ptr::null_mut()) })
    }

    unsafe fn copy_to_host(&self, to: &mut [u8], from: u64) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller vouches for the device range; the host range is the slice.
        let code = unsafe { sys::cuMemcpyDtoH_v2(to.as_mut_ptr().cast(), from, to.len()) };
        self.judge("cuMemcpyDtoH", code)
    }

    unsafe fn copy_on_device(&self, to: u64, from: u64, bytes: u64, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller vouches for both ranges.
        let code =
            unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes as usize, stream_of(stream)) };
        self.judge("cuMemcpyDtoDAsync", code)
    }

    unsafe fn fill(&self, to: u64, value: u8, bytes: u64, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller vouches for the range.
        let code = unsafe { sys::cuMemsetD8Async(to, value, bytes as usize, stream_of(stream)) };
        self.judge("cuMemsetD8Async", code)
    }

    fn memory_info(&self) -> Result<MemoryInfo> {
        let _current = self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the pointers are to locals.
        let code = unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) };
        self.judge("cuMemGetInfo", code)?;
        Ok(MemoryInfo { free_bytes: free as u64, total_bytes: total as u64 })
    }

    fn range_of(&self, address: u64) -> Result<Option<MemoryRange>> {
        let _current = self.enter()?;
        self.query_range(address)
    }

    fn ranges_of(
        &self,
        addresses: &[u64],
        visit: &mut dyn FnMut(usize, Option<MemoryRange>) -> Result<()>,
    ) -> Result<()> {
        let _current = self.enter()?;
        for (index, &address) in addresses.iter().enumerate() {
            visit(index, self.query_range(address)?)?;
        }
        Ok(())
    }

    fn load_module(&self, name: &str, ptx: &str) -> Result<Module> {
        const LOG_BYTES: usize = 8192;
        let _current = self.enter()?;
        let malformed = |_| ModuleError::Malformed { module: name.to_owned(), missing: "text" };
        let text = CString::new(ptx).map_err(malformed)?;
        let mut log = vec![0u8; LOG_BYTES];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), ptr::without_provenance_mut(LOG_BYTES)];
        let mut module = ptr::null_mut();
        // SAFETY: the text ends with a zero; the log is as long as its option says.
        let code = unsafe {
            sys::cuModuleLoadDataEx(
                &raw mut module,
                text.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        match self.judge("cuModuleLoadDataEx", code) {
            Err(Error::Driver { code, .. }) => {
                let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
                let text = String::from_utf8_lossy(text).trim().to_owned();
                let log = if text.is_empty() { "no log".to_owned() } else { text };
                Err(ModuleError::Jit { module: name.to_owned(), code, name: code_name(code), log }
                    .into())
            }
            answer => {
                answer?;
                // SAFETY: the driver has just made it.
                Ok(unsafe { Module::from_raw(address_of(module)) })
            }
        }
    }

    unsafe fn unload_module(&self, module: Module) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller gives the module up.
        let code = unsafe { sys::cuModuleUnload(module.raw() as usize as sys::CUmodule) };
        self.judge("cuModuleUnload", code)
    }

    fn function(&self, module: Module, symbol: &str) -> Result<Option<Function>> {
        let _current = self.enter()?;
        let Ok(symbol) = CString::new(symbol) else { return Ok(None) };
        let mut function = ptr::null_mut();
        let module = module.raw() as usize as sys::CUmodule;
        // SAFETY: the module is live by the promise of its handle; the name ends with a zero.
        let code = unsafe { sys::cuModuleGetFunction(&raw mut function, module, symbol.as_ptr()) };
        let answer = self.judge("cuModuleGetFunction", code);
        if code_of(&answer) == 500 {
            return Ok(None);
        }
        answer?;
        // SAFETY: the driver has just found it.
        Ok(Some(unsafe { Function::from_raw(address_of(function)) }))
    }

    fn set_max_dynamic_smem(&self, function: Function, bytes: u32) -> Result<()> {
        let _current = self.enter()?;
        let attribute = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is live by the promise of its handle.
        let code =
            unsafe { sys::cuFuncSetAttribute(function_of(function), attribute, bytes as i32) };
        self.judge("cuFuncSetAttribute", code)
    }

    fn function_attributes(&self, function: Function) -> Result<FunctionAttributes> {
        let _current = self.enter()?;
        let get = |attribute| {
            let mut value = 0;
            // SAFETY: the function is live by the promise of its handle; the pointer is to a local.
            let code = unsafe {
                sys::cuFuncGetAttribute(&raw mut value, attribute, function_of(function))
            };
            self.judge("cuFuncGetAttribute", code).map(|()| value.unsigned_abs())
        };
        Ok(FunctionAttributes {
            registers: get(FunctionAttribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: get(FunctionAttribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            static_smem_bytes: get(FunctionAttribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            max_threads: get(FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        })
    }

    fn create_stream(&self) -> Result<Stream> {
        let _current = self.enter()?;
        let mut stream = ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: the pointer is to a local.
        self.judge("cuStreamCreate", unsafe { sys::cuStreamCreate(&raw mut stream, flags) })?;
        // SAFETY: the driver has just made it.
        Ok(unsafe { Stream::from_raw(address_of(stream)) })
    }

    unsafe fn destroy_stream(&self, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller gives the stream up.
        self.judge("cuStreamDestroy", unsafe { sys::cuStreamDestroy_v2(stream_of(stream)) })
    }

    fn synchronize_stream(&self, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the stream is live by the promise of its handle.
        self.judge("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(stream_of(stream)) })
    }

    fn synchronize(&self) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: takes nothing.
        self.judge("cuCtxSynchronize", unsafe { sys::cuCtxSynchronize() })
    }

    fn is_capturing(&self, stream: Stream) -> Result<bool> {
        let _current = self.enter()?;
        let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream is live by the promise of its handle; the pointer is to a local.
        let code = unsafe { sys::cuStreamIsCapturing(stream_of(stream), &raw mut status) };
        let answer = self.judge("cuStreamIsCapturing", code);
        // The default stream answers so while another stream is captured that would wait for it.
        if code_of(&answer) == 906 {
            return Ok(true);
        }
        answer?;
        Ok(status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
    }

    fn create_event(&self) -> Result<Event> {
        let _current = self.enter()?;
        let mut event = ptr::null_mut();
        // SAFETY: the pointer is to a local; flags 0 make an event that measures time.
        self.judge("cuEventCreate", unsafe { sys::cuEventCreate(&raw mut event, 0) })?;
        // SAFETY: the driver has just made it.
        Ok(unsafe { Event::from_raw(address_of(event)) })
    }

    unsafe fn destroy_event(&self, event: Event) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the caller gives the event up.
        self.judge("cuEventDestroy", unsafe { sys::cuEventDestroy_v2(event_of(event)) })
    }

    fn record_event(&self, event: Event, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: both are live by the promise of their handles.
        let code = unsafe { sys::cuEventRecord(event_of(event), stream_of(stream)) };
        self.judge("cuEventRecord", code)
    }

    fn synchronize_event(&self, event: Event) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: the event is live by the promise of its handle.
        self.judge("cuEventSynchronize", unsafe { sys::cuEventSynchronize(event_of(event)) })
    }

    fn elapsed_ms(&self, start: Event, end: Event) -> Result<f32> {
        let _current = self.enter()?;
        let mut elapsed_ms = 0.0;
        // SAFETY: both are live by the promise of their handles; the pointer is to a local.
        let code =
            unsafe { (self.elapsed_time)(&raw mut elapsed_ms, event_of(start), event_of(end)) };
        self.health.judge("cuEventElapsedTime", code)?;
        Ok(elapsed_ms)
    }

    fn begin_capture(&self, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        // Other threads may go on allocating.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is live by the promise of its handle.
        let code = unsafe { sys::cuStreamBeginCapture_v2(stream_of(stream), mode) };
        self.judge("cuStreamBeginCapture", code)
    }

    fn end_capture(&self, stream: Stream) -> Result<Graph> {
        let _current = self.enter()?;
        let (mut graph, mut exec) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the stream is live by the promise of its handle; the pointer is to a local.
        let code = unsafe { sys::cuStreamEndCapture(stream_of(stream), &raw mut graph) };
        self.judge("cuStreamEndCapture", code)?;
        // SAFETY: the graph is valid, the pointer is to a local.
        let code = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut exec, graph, 0) };
        let answer = self.judge("cuGraphInstantiate", code);
        // SAFETY: what is instantiated does not need the graph any more.
        let code = unsafe { sys::cuGraphDestroy(graph) };
        answer.and(self.judge("cuGraphDestroy", code))?;
        // SAFETY: the driver has just made it.
        Ok(unsafe { Graph::from_raw(address_of(exec)) })
    }

    unsafe fn launch_graph(&self, graph: Graph, stream: Stream) -> Result<()> {
        let _current = self.enter()?;
        let graph = graph.raw() as usize as sys::CUgraphExec;
        // SAFETY: both are live by the promise of their handles, the memory by the caller's.
        self.judge("cuGraphLaunch", unsafe { sys::cuGraphLaunch(graph, stream_of(stream)) })
    }

    unsafe fn destroy_graph(&self, graph: Graph) -> Result<()> {
        let _current = self.enter()?;
        let graph = graph.raw() as usize as sys::CUgraphExec;
        // SAFETY: the caller gives the graph up.
        self.judge("cuGraphExecDestroy", unsafe { sys::cuGraphExecDestroy(graph) })
    }

    fn encode_tensor_map(&self, spec: &TensorMapSpec) -> Result<TensorMap> {
        // NOTE(measured): the encoder touches no device, and yet answers 201 without a current context.
        let _current = self.enter()?;
        encode(spec, |code| self.judge("cuTensorMapEncodeTiled", code))
    }

    unsafe fn launch(&self, spec: &LaunchSpec<'_>) -> Result<()> {
        let _current = self.enter()?;
        let mut params: [*mut c_void; 1] = [spec.params.as_ptr().cast_mut().cast()];
        let [grid_x, grid_y, grid_z] = spec.grid;
        let [block_x, block_y, block_z] = spec.block;
        if spec.cluster == [1, 1, 1] {
            // SAFETY: the caller vouches for the parameter and the memory behind it.
            let code = unsafe {
                sys::cuLaunchKernel(
                    function_of(spec.function),
                    grid_x,
                    grid_y,
                    grid_z,
                    block_x,
                    block_y,
                    block_z,
                    spec.smem_bytes,
                    stream_of(spec.stream),
                    params.as_mut_ptr(),
                    ptr::null_mut(),
                )
            };
            return self.judge("cuLaunchKernel", code);
        }
        let [x, y, z] = spec.cluster;
        let mut cluster = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { pad: [0; 64] },
        };
        cluster.value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
        let config = sys::CUlaunchConfig {
            gridDimX: grid_x,
            gridDimY: grid_y,
            gridDimZ: grid_z,
            blockDimX: block_x,
            blockDimY: block_y,
            blockDimZ: block_z,
            sharedMemBytes: spec.smem_bytes,
            hStream: stream_of(spec.stream),
            attrs: &raw mut cluster,
            numAttrs: 1,
        };
        // SAFETY: the caller vouches for the parameter and the memory behind it.
        let code = unsafe {
            sys::cuLaunchKernelEx(
                &raw const config,
                function_of(spec.function),
                params.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        self.judge("cuLaunchKernelEx", code)
    }
}

impl Cuda {
    /// The allocation that holds `address`; the context is current.
    fn query_range(&self, address: u64) -> Result<Option<MemoryRange>> {
        let (mut kind, mut ordinal, mut base, mut bytes) = (0u32, 0i32, 0u64, 0usize);
        let mut attributes = [
            PointerAttribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
            PointerAttribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            PointerAttribute::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
            PointerAttribute::CU_POINTER_ATTRIBUTE_RANGE_SIZE,
        ];
        let mut values: [*mut c_void; 4] = [
            (&raw mut kind).cast(),
            (&raw mut ordinal).cast(),
            (&raw mut base).cast(),
            (&raw mut bytes).cast(),
        ];
        // SAFETY: each value points to a local of the type that its attribute has.
        let code = unsafe {
            sys::cuPointerGetAttributes(
                attributes.len() as u32,
                attributes.as_mut_ptr(),
                values.as_mut_ptr(),
                address,
            )
        };
        let answer = self.judge("cuPointerGetAttributes", code);
        if matches!(code_of(&answer), 1 | 500) {
            return Ok(None);
        }
        answer?;
        // 2 is device memory, 4 unified; 1 is host memory and 0 no memory of the driver.
        let known = matches!(kind, 2 | 4) && base != 0 && bytes != 0;
        Ok(known.then_some(MemoryRange { base, bytes: bytes as u64, ordinal }))
    }
}
