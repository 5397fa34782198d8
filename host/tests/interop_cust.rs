//! cust's memory and streams, lent to launches. On a GPU, or on the emulated driver of `cargo xtask interop`.

#[path = "../examples/common/mod.rs"]
mod common;
mod driver;

use common::{BLOCKS, EXPERTS, K, N, Operands, ROWS};
use cust::context::legacy::{Context as LegacyContext, ContextFlags};
use cust::error::CudaResult;
use cust::memory::{CopyDestination, DeviceBuffer};
use cust::stream::{Stream, StreamFlags};
use expert_gemm::interop::ForeignError;
use expert_gemm::interop::cust::{launch, read, write};
use expert_gemm::{Checks, ElementType as E, Error, Fp8GroupedMmTensors, Prepared};
use half::bf16;

/// The plan of the examples, loaded, unless there is no device.
fn prepared() -> Option<driver::Turn<Prepared>> {
    driver::required(common::prepare)
}

struct OnDevice {
    a: DeviceBuffer<u8>,
    b: DeviceBuffer<u8>,
    scales_a: DeviceBuffer<f32>,
    scales_b: DeviceBuffer<f32>,
    sizes: DeviceBuffer<[i32; 3]>,
    offsets: DeviceBuffer<i32>,
    output: DeviceBuffer<u16>,
    status: DeviceBuffer<u32>,
}

impl OnDevice {
    fn new() -> CudaResult<Self> {
        let operands = Operands::new();
        Ok(Self {
            a: DeviceBuffer::from_slice(&operands.a)?,
            b: DeviceBuffer::from_slice(&operands.b)?,
            scales_a: DeviceBuffer::from_slice(&operands.scales_a)?,
            scales_b: DeviceBuffer::from_slice(&operands.scales_b)?,
            sizes: DeviceBuffer::from_slice(&operands.sizes)?,
            offsets: DeviceBuffer::from_slice(&operands.offsets)?,
            output: DeviceBuffer::zeroed((ROWS * N) as usize)?,
            status: DeviceBuffer::zeroed(1)?,
        })
    }

    fn tensors(&mut self) -> expert_gemm::Result<Fp8GroupedMmTensors<'_>> {
        Ok(Fp8GroupedMmTensors {
            output: write(&mut self.output, E::Bf16, &[ROWS, N])?,
            a: read(&self.a, E::E4m3, &[ROWS, K])?,
            b: read(&self.b, E::E4m3, &[EXPERTS, N, K])?,
            scales_a: read(&self.scales_a, E::F32, &[ROWS, BLOCKS[1]])?,
            scales_b: read(&self.scales_b, E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]])?,
            problem_sizes: read(&self.sizes, E::I32, &[EXPERTS, 3])?,
            expert_offsets: read(&self.offsets, E::I32, &[EXPERTS])?,
            status: Some(write(&mut self.status, E::U32, &[1])?),
        })
    }
}

#[test]
fn the_product_of_lent_memory_is_that_of_the_cpu() {
    let Some(prepared) = prepared() else { return };
    let _context = cust::quick_init().expect("context");
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("stream");
    let mut on_device = OnDevice::new().expect("upload");
    launch(&prepared, &stream, &on_device.tensors().expect("lent")).expect("launch");
    stream.synchronize().expect("no fault");
    let (mut product, mut status) = (vec![0; (ROWS * N) as usize], [0]);
    on_device.output.copy_to(&mut product).expect("download");
    on_device.status.copy_to(&mut status).expect("download");
    let product: Vec<bf16> = product.into_iter().map(bf16::from_bits).collect();
    common::compare(&product, &Operands::new().on_cpu().expect("CPU")).expect("equal");
    assert_eq!(status, [0]);
}

#[test]
fn what_cannot_be_lent_is_refused_before_anything_is_launched() {
    let Some(prepared) = prepared() else { return };
    let _context = cust::quick_init().expect("context");
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("stream");
    let mut on_device = OnDevice::new().expect("upload");
    let wrong_type = read(&on_device.output, E::E4m3, &[ROWS, N]);
    let Err(Error::Foreign(ForeignError::ElementType { given, asked, .. })) = wrong_type else {
        panic!("{wrong_type:?}")
    };
    assert_eq!((given.as_str(), asked), ("u16", E::E4m3));

    let no_status = Fp8GroupedMmTensors { status: None, ..on_device.tensors().expect("lent") };
    let status = DeviceBuffer::<u32>::zeroed(1).expect("alloc");
    let status = Some(read(&status, E::U32, &[1]).expect("lent"));
    let read_only = launch(&prepared, &stream, &Fp8GroupedMmTensors { status, ..no_status });
    assert_eq!(read_only, Err(ForeignError::ReadOnly { tensor: "status" }.into()));

    on_device.a = DeviceBuffer::zeroed((ROWS * K) as usize - 1).expect("alloc");
    let unchecked = prepared.clone().with_checks(Checks::Shapes);
    let short = launch(&unchecked, &stream, &on_device.tensors().expect("lent"));
    assert!(matches!(short, Err(Error::BufferTooShort { tensor: "a", .. })), "{short:?}");
}

#[test]
fn a_stream_of_another_context_is_refused() {
    let Some(prepared) = prepared() else { return };
    let context = cust::quick_init().expect("context");
    let mut on_device = OnDevice::new().expect("upload");
    let device = cust::device::Device::get_device(0).expect("device");
    let flags = ContextFlags::SCHED_AUTO;
    let other = LegacyContext::create_and_push(flags, device).expect("a second context");
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("stream");
    let refused = launch(&prepared, &stream, &on_device.tensors().expect("lent"));
    let elsewhere = |error: &Error| {
        matches!(error, Error::Foreign(ForeignError::StreamElsewhere { owner: "Stream", .. }))
    };
    assert!(refused.as_ref().is_err_and(elsewhere), "{refused:?}");
    drop(stream);
    drop(other);
    cust::context::CurrentContext::set_current(&context).expect("current");
}
