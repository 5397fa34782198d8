//! The CUDA driver itself: memory, modules, capture, faults. Skipped where there is no supported GPU.

mod driver;

use driver::{Turn, required};
use expert_gemm::abi::VARIANTS;
use expert_gemm::cpu::{self, HostOutput, HostTensors};
use expert_gemm::driver::cuda::Cuda;
use expert_gemm::driver::{Driver, LaunchSpec, Stream};
use expert_gemm::{
    Device, DeviceTensor, ElementType, Error, Fp8GroupedMm, Fp8GroupedMmTensors, GroupStatus,
    ModuleError,
};
use half::bf16;
use std::time::Instant;

/// Writes the number of the launch's parameter to an address, or traps if the number is 0.
const STORE: &str = "
.version 8.0
.target sm_90a
.address_size 64
.visible .entry store(.param .align 16 .b8 params[16])
{
    .reg .b64 %rd<2>;
    .reg .b32 %r<2>;
    .reg .pred %p;
    ld.param.u64 %rd0, [params];
    ld.param.u32 %r0, [params+8];
    setp.eq.u32 %p, %r0, 0;
    @%p trap;
    cvta.to.global.u64 %rd1, %rd0;
    st.global.u32 [%rd1], %r0;
    ret;
}
";

fn device() -> Option<Turn<Device>> {
    let any = Fp8GroupedMm { rows: 1, experts: 1, n: 128, k: 128, output: ElementType::Bf16 };
    required(|| Device::open(0).and_then(|device| any.plan(device.info()).map(|_| device)))
}

fn store(device: &Device, address: u64, number: u32, stream: Stream) -> Result<(), Error> {
    let driver = device.driver();
    let module = driver.load_module("store", STORE)?;
    let function = driver.function(module, "store")?.expect("in the module");
    launch_store(&**driver, function, address, number, stream)
}

fn launch_store(
    driver: &dyn Driver,
    function: expert_gemm::driver::Function,
    address: u64,
    number: u32,
    stream: Stream,
) -> Result<(), Error> {
    let mut params = [0; 16];
    params[..8].copy_from_slice(&address.to_ne_bytes());
    params[8..12].copy_from_slice(&number.to_ne_bytes());
    let spec = LaunchSpec {
        function,
        grid: [1; 3],
        block: [1; 3],
        cluster: [1; 3],
        smem_bytes: 0,
        stream,
        params: &params,
    };
    // SAFETY: the parameter is the kernel's; the address is the test's own or faults on purpose.
    unsafe { driver.launch(&spec) }
}

#[test]
fn memory_is_told_apart() {
    let Some(device) = device() else { return };
    let driver = device.driver();
    let buffer = device.alloc(1000).expect("alloc");
    let range = driver.range_of(buffer.address() + 999).expect("asked").expect("known");
    assert_eq!((range.base, range.bytes, range.ordinal), (buffer.address(), 1000, 0));
    let host = [0u64; 4];
    assert_eq!(driver.range_of(host.as_ptr().addr() as u64), Ok(None));
    assert_eq!(driver.range_of(0), Ok(None));
    let address = buffer.address();
    drop(buffer);
    assert_eq!(driver.range_of(address), Ok(None));
    assert!(matches!(device.alloc(1 << 50), Err(Error::OutOfMemory { .. })));
    assert!(!device.is_poisoned());
}

#[test]
fn what_is_uploaded_is_downloaded() {
    let Some(device) = device() else { return };
    let numbers: Vec<u32> = (0..100_000).collect();
    let buffer = device.upload(&numbers).expect("upload");
    assert_eq!(buffer.to_vec::<u32>().expect("download"), numbers);
    buffer.fill(0xab, Stream::DEFAULT).expect("fill");
    assert!(buffer.to_vec::<u8>().expect("download").iter().all(|&byte| byte == 0xab));
}

#[test]
fn memory_in_use_is_told() {
    const BYTES: u64 = 64 << 20;
    let Some(device) = device() else { return };
    let before = device.memory_info().expect("no fault");
    let buffer = device.alloc(BYTES).expect("memory");
    let during = device.memory_info().expect("no fault");
    assert_eq!(during.total_bytes, before.total_bytes);
    assert!(before.free_bytes - during.free_bytes >= BYTES, "{before:?} {during:?}");
    drop(buffer);
    let after = device.memory_info().expect("no fault");
    assert!(after.free_bytes - during.free_bytes >= BYTES, "{during:?} {after:?}");
}

#[test]
fn a_refused_module_carries_the_log() {
    let Some(device) = device() else { return };
    let text = ".version 8.0\n.target sm_90a\n.address_size 64\nnonsense;\n";
    let error = device.driver().load_module("nonsense", text).expect_err("refused");
    assert!(
        matches!(&error, Error::Module(ModuleError::Jit { code: 218, log, .. }) if log.contains("line 4")),
        "{error}"
    );
    assert_eq!(device.synchronize(), Ok(()));
}

#[test]
fn a_module_of_a_future_version_is_refused() {
    let Some(device) = device() else { return };
    let text = STORE.replace("8.0", "99.0");
    let error = device.driver().load_module("future", &text).expect_err("refused");
    assert!(matches!(&error, Error::Module(ModuleError::Jit { .. })), "{error}");
    assert_eq!(device.synchronize(), Ok(()));
}

#[test]
fn a_captured_graph_replays() {
    let Some(device) = device() else { return };
    let buffer = device.upload(&[0u32]).expect("upload");
    let driver = device.driver();
    let module = driver.load_module("store", STORE).expect("module");
    let function = driver.function(module, "store").expect("asked").expect("there");
    assert_eq!(driver.function(module, "absent"), Ok(None));
    let stream = device.stream().expect("stream");
    let graph = stream
        .capture(|stream| {
            assert_eq!(driver.is_capturing(stream), Ok(true));
            launch_store(&**driver, function, buffer.address(), 7, stream)
        })
        .expect("capture");
    assert_eq!(driver.is_capturing(stream.stream()), Ok(false));
    assert_eq!(buffer.to_vec::<u32>().expect("download"), [0]);
    let (start, end) = (device.event().expect("event"), device.event().expect("event"));
    start.record(stream.stream()).expect("record");
    // SAFETY: the buffer lives until the end of the test.
    unsafe { graph.launch(stream.stream()) }.expect("replay");
    end.record(stream.stream()).expect("record");
    end.synchronize().expect("wait");
    assert!(end.elapsed_ms_since(&start).expect("elapsed") > 0.0);
    assert_eq!(buffer.to_vec::<u32>().expect("download"), [7]);
    let lost = stream.capture(|_| stream.synchronize());
    assert!(lost.is_err() && !device.is_poisoned());
    assert_eq!(stream.synchronize(), Ok(()));
}

#[test]
fn every_thread_may_call() {
    let Some(device) = device() else { return };
    std::thread::scope(|scope| {
        for number in 1..9u32 {
            let device: &Device = &device;
            scope.spawn(move || {
                let buffer = device.upload(&[0u32]).expect("upload");
                store(device, buffer.address(), number, Stream::DEFAULT).expect("launch");
                assert_eq!(buffer.to_vec::<u32>().expect("download"), [number]);
            });
        }
    });
}

#[test]
fn every_kernel_loads_within_its_registers_and_without_spills() {
    let Some(device) = device() else { return };
    let capability = device.info().capability;
    for variant in VARIANTS.iter().filter(|variant| variant.arch.runs_on(capability)) {
        let kernel = device.load(variant).expect(variant.symbol);
        assert!(kernel.attributes.registers <= variant.registers, "{kernel:?}");
        assert_eq!(kernel.attributes.local_bytes, 0, "{}", variant.symbol);
    }
}

#[test]
fn a_launch_costs_the_host_less_than_ten_microseconds() {
    let Some(device) = device() else { return };
    let problem = Fp8GroupedMm { rows: 128, experts: 8, n: 256, k: 256, output: ElementType::Bf16 };
    let prepared = device.prepare(&problem.plan(device.info()).expect("plan")).expect("prepare");
    let sizes = [128 * 256 * 2, 128 * 256, 8 * 256 * 256, 128 * 8, 8 * 16, 8 * 12, 8 * 4, 4u64];
    // Zeroed tables: every expert is empty.
    let buffers = sizes.map(|bytes| device.upload(&vec![0u8; bytes as usize]).expect("upload"));
    let [output, a, b, scales_a, scales_b, sizes, offsets, status] = &buffers;
    let tensors = Fp8GroupedMmTensors {
        output: output.tensor(ElementType::Bf16, &[128, 256]),
        a: a.tensor(ElementType::E4m3, &[128, 256]),
        b: b.tensor(ElementType::E4m3, &[8, 256, 256]),
        scales_a: scales_a.tensor(ElementType::F32, &[128, 2]),
        scales_b: scales_b.tensor(ElementType::F32, &[8, 2, 2]),
        problem_sizes: sizes.tensor(ElementType::I32, &[8, 3]),
        expert_offsets: offsets.tensor(ElementType::I32, &[8]),
        status: Some(status.tensor(ElementType::U32, &[1])),
    };
    let stream = device.stream().expect("stream");
    let mut best = f64::MAX;
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..20 {
            prepared.launch(stream.stream(), &tensors).expect("launch");
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / 20.0);
        stream.synchronize().expect("wait");
    }
    let start = Instant::now();
    for _ in 0..1000 {
        tensors.validate_memory(&problem, &**device.driver()).expect("valid");
    }
    let checks = start.elapsed().as_secs_f64() * 1e3;
    eprintln!("host time of a launch: {best:.2} us, of which checks {checks:.2} us");
    assert!(best < 10.0, "{best} us");
    assert_eq!(status.to_vec::<u32>().expect("download"), [GroupStatus::OK.0]);
    // SAFETY: host memory, which the launch must refuse.
    let host = unsafe { DeviceTensor::from_raw(4096, ElementType::E4m3, &[128, 256]) };
    let error = prepared.launch(stream.stream(), &Fp8GroupedMmTensors { a: host, ..tensors });
    assert!(matches!(error, Err(Error::NotDeviceMemory { tensor: "a", .. })));
}

/// The GPU's block sums keep fewer bits than the CPU's, so outputs may differ by roundings, not by more.
#[test]
fn the_gpu_agrees_with_the_cpu() {
    let Some(device) = device() else { return };
    let (rows, n, k) = ([130usize, 0, 7, 64], 256usize, 512usize);
    let (t, e) = (rows.iter().sum::<usize>(), rows.len());
    let problem = Fp8GroupedMm {
        rows: t as u64,
        experts: e as u64,
        n: n as u64,
        k: k as u64,
        output: ElementType::Bf16,
    };
    let bytes = |count: usize, step: usize| -> Vec<u8> {
        (0..count).map(|i| (i * step + i / 97) as u8 & 0xbf).collect()
    };
    let floats = |count: usize| -> Vec<f32> { (0..count).map(|i| 0.5 + (i % 13) as f32).collect() };
    let (a, b) = (bytes(t * k, 37), bytes(e * n * k, 101));
    let (scales_a, scales_b) = (floats(t * k / 128), floats(e * n / 128 * k / 128));
    let sizes: Vec<_> = rows.iter().map(|&m| [m as i32, n as i32, k as i32]).collect();
    let offsets = [0, 130, 130, 137];
    let mut expected = vec![bf16::ZERO; t * n];
    let tensors = HostTensors {
        a: &a,
        b: &b,
        scales_a: &scales_a,
        scales_b: &scales_b,
        problem_sizes: &sizes,
        expert_offsets: &offsets,
    };
    cpu::fp8_grouped_mm(&problem, &tensors, HostOutput::Bf16(&mut expected)).expect("cpu");

    let output = device.upload(&vec![bf16::NAN; t * n]).expect("upload");
    let (a, b) = (device.upload(&a).expect("upload"), device.upload(&b).expect("upload"));
    let scales_a = device.upload(&scales_a).expect("upload");
    let scales_b = device.upload(&scales_b).expect("upload");
    let sizes = device.upload(&sizes).expect("upload");
    let offsets = device.upload(&offsets).expect("upload");
    let status = device.upload(&[0u32]).expect("upload");
    let (t, e, n, k) = (problem.rows, problem.experts, problem.n, problem.k);
    let tensors = Fp8GroupedMmTensors {
        output: output.tensor(ElementType::Bf16, &[t, n]),
        a: a.tensor(ElementType::E4m3, &[t, k]),
        b: b.tensor(ElementType::E4m3, &[e, n, k]),
        scales_a: scales_a.tensor(ElementType::F32, &[t, k / 128]),
        scales_b: scales_b.tensor(ElementType::F32, &[e, n / 128, k / 128]),
        problem_sizes: sizes.tensor(ElementType::I32, &[e, 3]),
        expert_offsets: offsets.tensor(ElementType::I32, &[e]),
        status: Some(status.tensor(ElementType::U32, &[1])),
    };
    let plan = problem.plan(device.info()).expect("plan");
    device.prepare(&plan).expect("prepare").launch(Stream::DEFAULT, &tensors).expect("launch");
    device.synchronize().expect("runs");
    assert_eq!(status.to_vec::<u32>().expect("download"), [GroupStatus::OK.0]);
    let largest = expected.iter().map(|value| value.to_f32().abs()).fold(0.0, f32::max);
    for (index, (given, expected)) in
        output.to_vec::<bf16>().expect("download").iter().zip(&expected).enumerate()
    {
        let (given, expected) = (given.to_f32(), expected.to_f32());
        let error = (given - expected).abs();
        assert!(
            error <= expected.abs() * 0.01 + largest * 1e-3,
            "element {index}: {given} on the GPU, {expected} on the CPU"
        );
    }
}

/// A fault ends the device for the whole process, so it happens in a process of its own.
#[test]
fn a_fault_poisons_the_device() {
    const CHILD: &str = "EXPERT_GEMM_TEST_FAULT";
    if std::env::var_os(CHILD).is_none() {
        let exe = std::env::current_exe().expect("own path");
        let status = std::process::Command::new(exe)
            .args(["--exact", "a_fault_poisons_the_device", "--nocapture"])
            .env(CHILD, "1")
            .status()
            .expect("run");
        assert!(status.success());
        return;
    }
    let Some(device) = device() else { return };
    let buffer = device.upload(&[1u32]).expect("upload");
    store(&device, buffer.address(), 0, Stream::DEFAULT).expect("launched");
    let error = device.synchronize().expect_err("trapped");
    assert!(matches!(error, Error::Fault { code: 719, .. }), "{error}");
    assert!(device.is_poisoned());
    assert!(matches!(device.alloc(16), Err(Error::Poisoned { code: 719, .. })));
    assert!(matches!(buffer.download(&mut [0u32]), Err(Error::Poisoned { .. })));
    let again = Device::open(0).expect("the same device");
    assert!(again.is_poisoned(), "one device has one state of health");
}

#[test]
fn devices_that_are_not_there_are_named() {
    if device().is_none() {
        return;
    }
    let count = Cuda::count().expect("count");
    assert_eq!(Cuda::open(count).map(drop), Err(Error::DeviceOrdinal { given: count, count }));
    assert_eq!(Cuda::open(-1).map(drop), Err(Error::DeviceOrdinal { given: -1, count }));
}

#[test]
fn no_context_is_current_after_a_call() {
    let Some(gpu) = device() else { return };
    gpu.synchronize().expect("a healthy device");
    let none = Device::open_current().expect_err("nobody has made a context current");
    assert_eq!(none, Error::CurrentContext { given: "none" });
}
