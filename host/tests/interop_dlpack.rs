//! `DLPack` tensors, lent to launches on the recorder.

use expert_gemm::driver::mock::MockDriver;
use expert_gemm::interop::ForeignError;
use expert_gemm::interop::dlpack::{
    DLDataType, DLDevice, DLManagedTensor, DLManagedTensorVersioned, DLPackVersion, DLTensor,
    ManagedTensor, export,
};
use expert_gemm::{
    Device, ElementType as E, Error, Fp8GroupedMm, Fp8GroupedMmTensors, Prepared, Result, Stream,
};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const P: Fp8GroupedMm = Fp8GroupedMm { rows: 40, experts: 3, n: 256, k: 384, output: E::Bf16 };

fn prepared() -> (Arc<MockDriver>, Prepared) {
    let driver = MockDriver::h200().shared();
    let device = Device::with_driver(driver.clone());
    let prepared = device.prepare(&P.plan(device.info()).expect("plan")).expect("prepare");
    (driver, prepared)
}

/// What a producer hands out, taken over for `stream`.
fn imported(device: &Device, element: E, shape: &[u64], stream: Stream) -> ManagedTensor {
    let bytes = shape.iter().product::<u64>() * element.bytes();
    let capsule = export(device.alloc(bytes).expect("alloc"), element, shape).expect("exported");
    // SAFETY: just made, and nothing runs on the recorder.
    unsafe { ManagedTensor::from_raw(capsule, stream) }.expect("imported")
}

fn call(prepared: &Prepared, lent_for: Stream, stream: Stream) -> Result<Vec<u64>> {
    let t = |element, shape: &[u64]| imported(prepared.device(), element, shape, lent_for);
    let (output, a) = (t(E::Bf16, &[40, 256]), t(E::U8, &[40, 384]));
    let (b, scales_a) = (t(E::E4m3, &[3, 256, 384]), t(E::F32, &[40, 3]));
    let (scales_b, sizes) = (t(E::F32, &[3, 2, 3]), t(E::I32, &[3, 3]));
    let (offsets, status) = (t(E::I32, &[3]), t(E::U32, &[1]));
    let tensors = Fp8GroupedMmTensors {
        output: output.tensor(),
        a: a.tensor_as(E::E4m3)?,
        b: b.tensor(),
        scales_a: scales_a.tensor(),
        scales_b: scales_b.tensor(),
        problem_sizes: sizes.tensor(),
        expert_offsets: offsets.tensor(),
        status: Some(status.tensor()),
    };
    prepared.launch(stream, &tensors)?;
    Ok(vec![
        tensors.output.address(),
        tensors.scales_a.address(),
        tensors.status.map_or(0, |s| s.address()),
    ])
}

#[test]
fn a_launch_gets_the_memory_and_the_producer_gets_it_back() {
    let (driver, prepared) = prepared();
    let addresses = call(&prepared, Stream::DEFAULT, Stream::DEFAULT).expect("launch");
    let [launch] = &driver.launches()[..] else { panic!("one launch") };
    let words: Vec<u64> = launch
        .params
        .chunks_exact(8)
        .map(|c| u64::from_le_bytes(c.try_into().expect("8")))
        .collect();
    for address in addresses {
        assert!(words.contains(&address), "{address:#x}");
    }
    assert_eq!(driver.allocated_bytes(), 0, "every deleter has run");
}

#[test]
fn a_launch_on_another_stream_is_refused() {
    let (driver, prepared) = prepared();
    let stream = prepared.device().stream().expect("stream");
    let refused = call(&prepared, Stream::DEFAULT, stream.stream());
    let (given, expected) = (stream.stream().raw(), 0);
    let wrong = ForeignError::WrongStream { tensor: "output", given, expected };
    assert_eq!(refused, Err(wrong.into()));
    assert!(driver.launches().is_empty());
    call(&prepared, stream.stream(), stream.stream()).expect("launch");
}

/// A producer of a `[40, 3]` tensor of f32 that counts what it gets back.
struct Producer {
    shape: Vec<i64>,
    strides: Option<Vec<i64>>,
    tensor: DLTensor,
}

impl Producer {
    fn new() -> Self {
        let dtype = DLDataType { code: 2, bits: 32, lanes: 1 };
        let device = DLDevice { device_type: 2, device_id: 0 };
        let tensor = DLTensor {
            data: 0x1000 as *mut c_void,
            device,
            ndim: 2,
            dtype,
            shape: null_mut(),
            strides: null_mut(),
            byte_offset: 64,
        };
        Self { shape: vec![40, 3], strides: None, tensor }
    }

    /// Imports the tensor, looks at it, and gives it back.
    fn import(mut self) -> Result<()> {
        unsafe extern "C" fn delete(managed: *mut DLManagedTensor) {
            // SAFETY: `import` lends the count for as long as the tensor is out.
            unsafe { &*(*managed).manager_ctx.cast::<AtomicU32>() }.fetch_add(1, Relaxed);
        }
        let given_back = AtomicU32::new(0);
        self.tensor.shape = self.shape.as_mut_ptr();
        self.tensor.strides = self.strides.as_mut().map_or(null_mut(), Vec::as_mut_ptr);
        let mut managed = DLManagedTensor {
            dl_tensor: self.tensor,
            manager_ctx: (&raw const given_back).cast_mut().cast(),
            deleter: Some(delete),
        };
        // SAFETY: the description and the count live until the end of this function.
        let imported =
            unsafe { ManagedTensor::from_raw(NonNull::from(&mut managed), Stream::DEFAULT) };
        let result = imported.map(|imported| {
            assert_eq!(given_back.load(Relaxed), 0, "in use");
            self.looks_like(&imported);
        });
        assert_eq!(given_back.load(Relaxed), 1, "given back, refused or not");
        result
    }

    fn looks_like(&self, imported: &ManagedTensor) {
        let tensor = imported.tensor();
        let as_u64 = |dims: &[i64]| dims.iter().map(|&dim| dim as u64).collect::<Vec<_>>();
        assert_eq!((tensor.address(), tensor.shape()), (0x1040, &as_u64(&self.shape)[..]));
        assert_eq!(tensor.strides(), self.strides.as_deref().map(as_u64).as_deref());
    }

    fn refused_field(self) -> &'static str {
        match self.import() {
            Err(Error::Foreign(ForeignError::Tensor { field, .. })) => field,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_description_says_is_what_is_lent() {
    let accepted = |producer: Producer| assert_eq!(producer.import(), Ok(()));
    accepted(Producer::new());
    accepted(Producer { strides: Some(vec![3, 1]), ..Producer::new() });
    accepted(Producer { strides: Some(vec![1, 40]), ..Producer::new() });
}

#[test]
fn descriptions_that_no_launch_can_use_are_refused_and_given_back() {
    let with = |change: &dyn Fn(&mut Producer)| {
        let mut producer = Producer::new();
        change(&mut producer);
        producer.refused_field()
    };
    for device_type in [1, 3, 10] {
        assert_eq!(with(&|p| p.tensor.device.device_type = device_type), "device type");
    }
    for (code, bits, lanes) in [(0, 64, 1), (2, 64, 1), (12, 8, 1), (2, 32, 2), (6, 8, 1)] {
        assert_eq!(with(&|p| p.tensor.dtype = DLDataType { code, bits, lanes }), "element type");
    }
    assert_eq!(with(&|p| p.shape[1] = -3), "shape");
    assert_eq!(with(&|p| p.strides = Some(vec![-3, 1])), "strides");
    assert_eq!(with(&|p| p.tensor.ndim = -1), "shape");
}

/// Launches with a status word that came in the newer form.
fn versioned(major: u32, flags: u64, device_id: i32, strides: Option<[i64; 2]>) -> Result<E> {
    let (_, prepared) = prepared();
    let status = prepared.device().alloc(4).expect("alloc");
    let (mut shape, mut strides) = ([1i64, 1], strides);
    let mut managed = DLManagedTensorVersioned {
        version: DLPackVersion { major, minor: 7 },
        manager_ctx: null_mut(),
        deleter: None,
        flags,
        dl_tensor: DLTensor {
            data: status.address() as usize as *mut c_void,
            device: DLDevice { device_type: 2, device_id },
            ndim: 1,
            dtype: DLDataType { code: 1, bits: 32, lanes: 1 },
            shape: shape.as_mut_ptr(),
            strides: strides.as_mut().map_or(null_mut(), |strides| strides.as_mut_ptr()),
            byte_offset: 0,
        },
    };
    // SAFETY: the description outlives the tensor.
    let tensor =
        unsafe { ManagedTensor::from_raw_versioned(NonNull::from(&mut managed), Stream::DEFAULT) }?;
    let t = |element, shape: &[u64]| imported(prepared.device(), element, shape, Stream::DEFAULT);
    let (output, a) = (t(E::Bf16, &[40, 256]), t(E::E4m3, &[40, 384]));
    let (b, scales_a) = (t(E::E4m3, &[3, 256, 384]), t(E::F32, &[40, 3]));
    let (scales_b, sizes, offsets) = (t(E::F32, &[3, 2, 3]), t(E::I32, &[3, 3]), t(E::I32, &[3]));
    let tensors = Fp8GroupedMmTensors {
        output: output.tensor(),
        a: a.tensor(),
        b: b.tensor(),
        scales_a: scales_a.tensor(),
        scales_b: scales_b.tensor(),
        problem_sizes: sizes.tensor(),
        expert_offsets: offsets.tensor(),
        status: Some(tensor.tensor()),
    };
    prepared.launch(Stream::DEFAULT, &tensors)?;
    Ok(tensor.tensor().element())
}

#[test]
fn the_newer_form_knows_its_version_and_whether_it_may_be_written() {
    assert_eq!(versioned(1, 0, 0, None), Ok(E::U32));
    assert_eq!(versioned(1, 1, 0, None), Err(ForeignError::ReadOnly { tensor: "status" }.into()));
    let elsewhere = Error::WrongDevice { tensor: "status", given: 3, expected: 0 };
    assert_eq!(versioned(1, 0, 3, None), Err(elsewhere));
    let newer = versioned(2, 0, 0, None);
    let is_version = |error: &Error| {
        matches!(error, Error::Foreign(ForeignError::Tensor { field: "version", .. }))
    };
    assert!(newer.as_ref().is_err_and(is_version), "{newer:?}");
    // One element is packed whatever its stride.
    assert_eq!(versioned(1, 0, 0, Some([7, 7])), Ok(E::U32));
}

#[test]
fn only_bytes_can_be_called_otherwise() {
    let (_, prepared) = prepared();
    let t = |element| imported(prepared.device(), element, &[128, 4], Stream::DEFAULT);
    assert_eq!(t(E::U8).tensor_as(E::E8m0).map(|tensor| tensor.element()), Ok(E::E8m0));
    for (element, asked) in [(E::U8, E::F32), (E::F32, E::E4m3), (E::E4m3, E::E8m0)] {
        let refused = t(element).tensor_as(asked).map(|tensor| tensor.element());
        assert!(matches!(refused, Err(Error::Foreign(ForeignError::ElementType { .. }))));
    }
    let small = prepared.device().alloc(15).expect("alloc");
    assert!(matches!(export(small, E::F32, &[4]), Err(Error::CopyTooLong { .. })));
}
