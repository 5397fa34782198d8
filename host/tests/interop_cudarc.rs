//! cudarc's memory and streams, lent to launches. On a GPU, or on the emulated driver of `cargo xtask interop`.

#[path = "../examples/common/mod.rs"]
mod common;
mod driver;

use common::{BLOCKS, EXPERTS, K, N, Operands, PROBLEM, ROWS};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DriverError, sys};
use expert_gemm::interop::ForeignError;
use expert_gemm::interop::cudarc::launch;
use expert_gemm::{Checks, ElementType as E, Error, Fp8GroupedMm, Fp8GroupedMmTensors, Prepared};
use half::bf16;
use std::sync::Arc;

/// The plan of the examples, loaded, unless there is no device.
fn prepared() -> Option<driver::Turn<Prepared>> {
    driver::required(common::prepare)
}

struct OnDevice {
    a: CudaSlice<u8>,
    b: CudaSlice<u8>,
    scales_a: CudaSlice<f32>,
    scales_b: CudaSlice<f32>,
    sizes: CudaSlice<[i32; 3]>,
    offsets: CudaSlice<i32>,
    output: CudaSlice<bf16>,
    status: CudaSlice<u32>,
}

impl OnDevice {
    fn new(stream: &Arc<CudaStream>) -> Result<Self, DriverError> {
        let operands = Operands::new();
        Ok(Self {
            a: stream.clone_htod(&operands.a)?,
            b: stream.clone_htod(&operands.b)?,
            scales_a: stream.clone_htod(&operands.scales_a)?,
            scales_b: stream.clone_htod(&operands.scales_b)?,
            sizes: stream.clone_htod(&operands.sizes)?,
            offsets: stream.clone_htod(&operands.offsets)?,
            output: stream.alloc_zeros((ROWS * N) as usize)?,
            status: stream.alloc_zeros(1)?,
        })
    }

    fn launch(&mut self, prepared: &Prepared, stream: &CudaStream) -> expert_gemm::Result<()> {
        launch(prepared, stream, |lend| {
            Ok(Fp8GroupedMmTensors {
                output: lend.write(&mut self.output, E::Bf16, &[ROWS, N])?,
                a: lend.read(&self.a, E::E4m3, &[ROWS, K])?,
                b: lend.read(&self.b, E::E4m3, &[EXPERTS, N, K])?,
                scales_a: lend.read(&self.scales_a, E::F32, &[ROWS, BLOCKS[1]])?,
                scales_b: lend.read(&self.scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?,
                problem_sizes: lend.read(&self.sizes, E::I32, &[EXPERTS, 3])?,
                expert_offsets: lend.read(&self.offsets, E::I32, &[EXPERTS])?,
                status: Some(lend.write(&mut self.status, E::U32, &[1])?),
            })
        })
    }
}

#[test]
fn the_product_of_lent_memory_is_that_of_the_cpu() {
    let Some(prepared) = prepared() else { return };
    let stream = CudaContext::new(0).and_then(|context| context.new_stream()).expect("stream");
    let mut on_device = OnDevice::new(&stream).expect("upload");
    on_device.launch(&prepared, &stream).expect("launch");
    let product = stream.clone_dtoh(&on_device.output).expect("download");
    common::compare(&product, &Operands::new().on_cpu().expect("CPU")).expect("equal");
    assert_eq!(stream.clone_dtoh(&on_device.status).expect("download"), [0]);
}

#[test]
fn views_of_one_allocation_are_lent_one_by_one() {
    let Some(prepared) = prepared() else { return };
    let stream = CudaContext::new(0).expect("context").default_stream();
    let operands = Operands::new();
    // One pool, as a service would have it: weights, then activations.
    let mut pool = stream.alloc_zeros::<u8>(operands.b.len() + operands.a.len()).expect("alloc");
    let (mut b, mut a) = pool.split_at_mut(operands.b.len());
    stream.memcpy_htod(&operands.b, &mut b).expect("upload");
    stream.memcpy_htod(&operands.a, &mut a).expect("upload");
    let mut rest = OnDevice::new(&stream).expect("upload");
    launch(&prepared, &stream, |lend| {
        Ok(Fp8GroupedMmTensors {
            output: lend.write(&mut rest.output, E::Bf16, &[ROWS, N])?,
            a: lend.read(&a, E::E4m3, &[ROWS, K])?,
            b: lend.read(&b, E::E4m3, &[EXPERTS, N, K])?,
            scales_a: lend.read(&rest.scales_a, E::F32, &[ROWS, BLOCKS[1]])?,
            scales_b: lend.read(&rest.scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?,
            problem_sizes: lend.read(&rest.sizes, E::I32, &[EXPERTS, 3])?,
            expert_offsets: lend.read(&rest.offsets, E::I32, &[EXPERTS])?,
            status: None,
        })
    })
    .expect("launch");
    let product = stream.clone_dtoh(&rest.output).expect("download");
    common::compare(&product, &operands.on_cpu().expect("CPU")).expect("equal");
}

#[test]
fn cudarc_knows_what_the_kernel_reads_and_writes() {
    let Some(prepared) = prepared() else { return };
    let Some(log) = driver::Log::of(prepared.device()) else { return };
    let context = CudaContext::new(0).expect("context");
    let (upload, compute) =
        (context.new_stream().expect("stream"), context.new_stream().expect("stream"));
    let mut on_device = OnDevice::new(&upload).expect("upload");
    log.take();
    on_device.launch(&prepared, &compute).expect("launch");
    let compute_name = format!("stream {:#x}", compute.cu_stream() as usize);
    let lines = log.take();
    let launched = lines.iter().position(|line| line.starts_with("launch ")).expect("a launch");
    assert!(lines[launched].ends_with(&compute_name), "{lines:?}");
    let of = |what: &str, lines: &[String]| {
        lines.iter().filter(|line| line.starts_with(what) && line.ends_with(&compute_name)).count()
    };
    // Six tensors are read: a wait for the write of each. Two are written: for a read and a write of each.
    assert_eq!(of("wait ", &lines[..launched]), 6 + 2 * 2, "{lines:?}");
    assert_eq!(of("record ", &lines[..launched]), 0, "{lines:?}");
    assert_eq!(of("record ", &lines[launched..]), 8, "{lines:?}");

    // Memory is freed on the stream that made it, behind the kernel.
    let recorded = lines[launched + 1].split(' ').nth(1).expect("an event").to_owned();
    drop(on_device);
    let lines = log.take();
    let freed = lines.iter().position(|line| line.starts_with("free ")).expect("a free");
    let waits = |line: &String| line.starts_with("wait ") && !line.ends_with(&compute_name);
    assert!(lines[..freed].iter().any(waits), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(&recorded)), "{recorded} in {lines:?}");
}

#[test]
fn without_event_tracking_nothing_is_waited_for() {
    let Some(prepared) = prepared() else { return };
    let Some(log) = driver::Log::of(prepared.device()) else { return };
    let context = CudaContext::new(0).expect("context");
    // SAFETY: one stream is used, so that there is nothing to keep in order.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().expect("stream");
    let mut on_device = OnDevice::new(&stream).expect("upload");
    log.take();
    on_device.launch(&prepared, &stream).expect("launch");
    let lines = log.take();
    assert!(lines.len() == 1 && lines[0].starts_with("launch "), "{lines:?}");
}

#[test]
fn what_cannot_be_lent_is_refused_before_anything_is_launched() {
    let Some(prepared) = prepared() else { return };
    let context = CudaContext::new(0).expect("context");
    let stream = context.new_stream().expect("stream");
    let mut on_device = OnDevice::new(&stream).expect("upload");

    let wrong_type = launch(&prepared, &stream, |lend| {
        lend.read(&on_device.scales_a, E::E4m3, &[ROWS, K])?;
        Err(Error::NoDevice)
    });
    let Err(Error::Foreign(ForeignError::ElementType { given, asked, .. })) = wrong_type else {
        panic!("{wrong_type:?}")
    };
    assert_eq!((given.as_str(), asked), ("f32", E::E4m3));

    // cudarc would not know that it is written.
    let read_only = launch(&prepared, &stream, |lend| {
        Ok(Fp8GroupedMmTensors {
            output: lend.read(&on_device.output, E::Bf16, &[ROWS, N])?,
            a: lend.read(&on_device.a, E::E4m3, &[ROWS, K])?,
            b: lend.read(&on_device.b, E::E4m3, &[EXPERTS, N, K])?,
            scales_a: lend.read(&on_device.scales_a, E::F32, &[ROWS, BLOCKS[1]])?,
            scales_b: lend.read(&on_device.scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?,
            problem_sizes: lend.read(&on_device.sizes, E::I32, &[EXPERTS, 3])?,
            expert_offsets: lend.read(&on_device.offsets, E::I32, &[EXPERTS])?,
            status: None,
        })
    });
    assert_eq!(read_only, Err(ForeignError::ReadOnly { tensor: "output" }.into()));

    // Even where the driver is not asked, the length is that of the slice.
    on_device.b = stream.alloc_zeros((EXPERTS * N * K) as usize - 1).expect("alloc");
    let short = on_device.launch(&prepared.clone().with_checks(Checks::Shapes), &stream);
    assert!(matches!(short, Err(Error::BufferTooShort { tensor: "b", .. })), "{short:?}");

    let wrong_shape = on_device.launch(&prepare(&prepared, N * 2), &stream);
    assert!(matches!(wrong_shape, Err(Error::WrongShape { tensor: "output", .. })));
}

#[test]
fn memory_and_streams_of_elsewhere_are_refused() {
    let Some(prepared) = prepared() else { return };
    let stream = CudaContext::new(0).and_then(|context| context.new_stream()).expect("stream");
    let mut on_device = OnDevice::new(&stream).expect("upload");
    let mut raw = std::ptr::null_mut();
    // SAFETY: the pointer is to a local, and the context is given to what ends it.
    let secondary = unsafe {
        assert_eq!(sys::cuCtxCreate_v4(&raw mut raw, std::ptr::null_mut(), 0, 0) as u32, 0);
        CudaContext::from_raw_context(0, 0, raw)
    };
    let secondary = secondary.and_then(|context| context.new_stream()).expect("stream");
    let refused = on_device.launch(&prepared, &secondary);
    let Err(Error::Foreign(ForeignError::StreamElsewhere { given, .. })) = &refused else {
        panic!("{refused:?}")
    };
    assert!(given.contains("not primary"), "{given}");

    let Ok(second) = CudaContext::new(1).and_then(|context| context.new_stream()) else {
        eprintln!("skipped: there is no second device");
        return;
    };
    let refused = on_device.launch(&prepared, &second);
    let Err(Error::Foreign(ForeignError::StreamElsewhere { given, expected, .. })) = &refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((given.as_str(), expected.as_str()), ("device 1", "device 0"));

    on_device.offsets = second.clone_htod(&Operands::new().offsets).expect("upload");
    let refused = on_device.launch(&prepared, &stream);
    let elsewhere = Error::WrongDevice { tensor: "expert_offsets", given: 1, expected: 0 };
    assert_eq!(refused, Err(elsewhere));
}

fn prepare(like: &Prepared, n: u64) -> Prepared {
    let problem = Fp8GroupedMm { n, ..PROBLEM };
    let device = like.device();
    device.prepare(&problem.plan(device.info()).expect("plan")).expect("prepare")
}
