//! Modules, their functions, and launches.

use crate::api::{put, put_text, refuse};
use crate::log;
use crate::memory::stream_of;
use crate::world::{current, inside, outside};
use cudarc::driver::sys::{
    CUfunction_attribute_enum as Attribute, CUjit_option as JitOption, CUlaunchAttributeID,
    CUlaunchConfig,
};
use expert_gemm::driver::{Function, LaunchSpec, Module};
use expert_gemm::{Driver, Error, ModuleError, Result};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a launch must know beyond the driver: by function, its name and the bytes of its parameter.
type Known = BTreeMap<u64, (String, usize)>;

static TEXTS: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
static FUNCTIONS: Mutex<Known> = Mutex::new(BTreeMap::new());

fn functions() -> MutexGuard<'static, Known> {
    FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn function_of(handle: u64) -> Result<Function> {
    // SAFETY: the caller's function is alive, by the driver's documentation.
    Ok(unsafe { Function::from_raw(inside(current()?, handle)?) })
}

fn module_of(handle: u64) -> Result<Module> {
    // SAFETY: the caller's module is alive, by the driver's documentation.
    Ok(unsafe { Module::from_raw(inside(current()?, handle)?) })
}

/// Bytes of the one parameter of a kernel, as its PTX has it: `.param .align 64 .b8 name[384]`.
fn param_bytes(ptx: &str, symbol: &str) -> Option<usize> {
    let (_, rest) = ptx.split_once(&format!(".entry {symbol}("))?;
    let (parameters, _) = rest.split_once(')')?;
    let (_, rest) = parameters.split_once('[')?;
    rest.split_once(']')?.0.parse().ok()
}

unsafe fn load(module: *mut u64, image: *const c_char) -> Result<()> {
    // SAFETY: PTX is a text that ends with a zero.
    let text = unsafe { CStr::from_ptr(image) }.to_string_lossy().into_owned();
    let driver = current()?;
    let loaded = outside(driver, driver.load_module("module", &text)?.raw());
    TEXTS.lock().unwrap_or_else(PoisonError::into_inner).insert(loaded, text);
    // SAFETY: the caller gives a place for the answer.
    unsafe { put(module, loaded) }
}

/// Launches with one parameter, which lies where the first pointer of `params` points.
unsafe fn launch(
    function: u64,
    [grid, block, cluster]: [[u32; 3]; 3],
    smem_bytes: u32,
    stream: u64,
    params: *const *const c_void,
) -> Result<()> {
    let Some((symbol, bytes)) = functions().get(&function).cloned() else {
        return refuse("cuLaunchKernel", 400);
    };
    let driver = current()?;
    // SAFETY: the caller's parameter has as many bytes as its kernel declares.
    let params = unsafe { std::slice::from_raw_parts(params.read().cast(), bytes) };
    let spec = LaunchSpec {
        function: function_of(function)?,
        grid,
        block,
        cluster,
        smem_bytes,
        // SAFETY: the caller's stream is alive.
        stream: unsafe { stream_of(stream)? },
        params,
    };
    log::line(format!("launch {symbol} stream {stream:#x}"));
    // SAFETY: the emulator checks every access of the kernel.
    let launched = unsafe { driver.launch(&spec) };
    for report in driver.take_reports() {
        eprintln!("{report}");
        log::line(format!("report {report}"));
    }
    launched
}

driver_api! {
    fn cuModuleLoadData(module: *mut u64, image: *const c_char) { load(module, image) }

    fn cuModuleLoadDataEx(
        module: *mut u64,
        image: *const c_char,
        count: u32,
        options: *const u32,
        values: *const *mut c_void,
    ) {
        let loaded = load(module, image);
        if let Err(Error::Module(ModuleError::Jit { log, .. })) = &loaded {
            let index = |wanted: JitOption| {
                (0..count as usize).find(|&index| options.add(index).read() == wanted as u32)
            };
            let value = |wanted| index(wanted).map(|index| values.add(index).read());
            let (buffer, bytes) = (JitOption::CU_JIT_ERROR_LOG_BUFFER, JitOption::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
            if let (Some(buffer), Some(bytes)) = (value(buffer), value(bytes)) {
                put_text(buffer.cast(), bytes as usize, log);
            }
        }
        loaded
    }

    fn cuModuleUnload(module: u64) { current()?.unload_module(module_of(module)?) }

    fn cuModuleGetFunction(function: *mut u64, module: u64, name: *const c_char) {
        let symbol = CStr::from_ptr(name).to_string_lossy().into_owned();
        let driver = current()?;
        let Some(found) = driver.function(module_of(module)?, &symbol)? else {
            return refuse("cuModuleGetFunction", 500);
        };
        let found = outside(driver, found.raw());
        let texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = texts.get(&module).and_then(|text| param_bytes(text, &symbol)).unwrap_or(0);
        functions().insert(found, (symbol, bytes));
        put(function, found)
    }

    fn cuFuncSetAttribute(function: u64, attribute: u32, value: i32) {
        if attribute != Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as u32 {
            return refuse("cuFuncSetAttribute", 801);
        }
        current()?.set_max_dynamic_smem(function_of(function)?, value.unsigned_abs())
    }

    fn cuFuncGetAttribute(value: *mut i32, attribute: u32, function: u64) {
        let attributes = current()?.function_attributes(function_of(function)?)?;
        let known = [
            (Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS, attributes.registers),
            (Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, attributes.local_bytes),
            (Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, attributes.static_smem_bytes),
            (Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, attributes.max_threads),
        ];
        match known.iter().find(|(known, _)| *known as u32 == attribute) {
            Some((_, found)) => put(value, *found as i32),
            None => refuse("cuFuncGetAttribute", 801),
        }
    }

    fn cuLaunchKernel(
        function: u64,
        grid_x: u32,
        grid_y: u32,
        grid_z: u32,
        block_x: u32,
        block_y: u32,
        block_z: u32,
        smem_bytes: u32,
        stream: u64,
        params: *const *const c_void,
        _extra: *const *mut c_void,
    ) {
        let sides = [[grid_x, grid_y, grid_z], [block_x, block_y, block_z], [1; 3]];
        launch(function, sides, smem_bytes, stream, params)
    }

    fn cuLaunchKernelEx(
        config: *const CUlaunchConfig,
        function: u64,
        params: *const *const c_void,
        _extra: *const *mut c_void,
    ) {
        let c = &*config;
        let mut cluster = [1; 3];
        for index in 0..c.numAttrs as usize {
            let attribute = &*c.attrs.add(index);
            if attribute.id != CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION {
                return refuse("cuLaunchKernelEx", 801);
            }
            let sides = attribute.value.clusterDim;
            cluster = [sides.x, sides.y, sides.z];
        }
        let grid = [c.gridDimX, c.gridDimY, c.gridDimZ];
        let block = [c.blockDimX, c.blockDimY, c.blockDimZ];
        let stream = c.hStream as usize as u64;
        launch(function, [grid, block, cluster], c.sharedMemBytes, stream, params)
    }
}
