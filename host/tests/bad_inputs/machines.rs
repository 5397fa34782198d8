//! Devices, drivers and modules that cannot serve, and calls in the wrong order.

use super::Outcome;
use super::world::{PROBLEM, World, at};
use expert_gemm::abi::{ABI_VERSION, Arch, VARIANTS};
use expert_gemm::driver::cuda::Cuda;
use expert_gemm::driver::mock::MockDriver;
use expert_gemm::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use expert_gemm::ptx::PtxModule;
use expert_gemm::{
    Device, DeviceInfo, Dims, Driver, ElementType, Error, Fp8GroupedMm, ModuleError, Result,
    Stream, Version,
};
use std::path::Path;

fn outcome(
    name: &'static str,
    names: &'static str,
    answer: Result<()>,
    launches: usize,
    right: fn(&Error) -> bool,
) -> Outcome {
    Outcome { name, answer, right, names, launches }
}

/// Runs `call` on a device and counts its launches.
fn on(
    name: &'static str,
    names: &'static str,
    driver: MockDriver,
    call: impl FnOnce(&Device, &MockDriver) -> Result<()>,
    right: fn(&Error) -> bool,
) -> Outcome {
    let driver = driver.shared();
    let answer = call(&Device::with_driver(driver.clone()), &driver);
    outcome(name, names, answer, driver.launches().len(), right)
}

fn info(change: impl FnOnce(&mut DeviceInfo)) -> DeviceInfo {
    let mut info = DeviceInfo::h200();
    change(&mut info);
    info
}

fn plan_for(device: &Device) -> Result<expert_gemm::Plan> {
    PROBLEM.plan(device.info())
}

/// Prepares the good plan from a module with this text, where `{abi}` stands for the contract's version.
fn prepare_text(device: &Device, text: &'static str) -> Result<()> {
    let text = text.replace("{abi}", &ABI_VERSION.to_string());
    let ptx = PtxModule { name: "fp8_block_sm90", arch: Arch::Sm90a, text: text.into() };
    device.prepare_from(&plan_for(device)?, &ptx).map(drop)
}

fn map(change: impl FnOnce(&mut TensorMapSpec)) -> Result<()> {
    let mut spec = TensorMapSpec {
        element: ElementType::U8,
        address: 4096,
        dims: Dims::new(&[128, 64]),
        strides_bytes: Dims::new(&[128]),
        box_dims: Dims::new(&[128, 64]),
        swizzle: Swizzle::Bytes128,
        l2_promotion: L2Promotion::None,
        out_of_bounds: OutOfBounds::Zero,
    };
    change(&mut spec);
    MockDriver::h200().encode_tensor_map(&spec).map(drop)
}

const STAMP: &str = ".version 8.0\n.target sm_90a\n.visible .const .u32 EXPERT_GEMM_ABI = {abi};\n";

pub(crate) fn all() -> Vec<Outcome> {
    [devices(), modules(), order(), faults(), maps()].into_iter().flatten().collect()
}

fn devices() -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (name, device, capability) in [
        ("an Ampere GPU", "NVIDIA A10", (8, 6)),
        ("an Ada GPU", "NVIDIA L40S", (8, 9)),
        ("a Blackwell GPU", "NVIDIA B200", (10, 0)),
    ] {
        let info = info(|info| (info.name, info.capability) = (device.to_owned(), capability));
        let call = |device: &Device, _: &MockDriver| plan_for(device).map(drop);
        outcomes.push(on(name, device, MockDriver::new(info), call, |e| {
            matches!(e, Error::UnsupportedDevice { .. })
        }));
    }
    let small = info(|info| info.smem_optin_bytes = 101_376);
    outcomes.push(on(
        "too little shared memory",
        "shared memory",
        MockDriver::new(small),
        |d, _| plan_for(d).map(drop),
        |e| matches!(e, Error::SharedMemory { available_bytes: 101_376, .. }),
    ));
    outcomes.push(on(
        "a plan for a larger GPU",
        "78 SMs",
        MockDriver::new(info(|i| i.sm_count = 78)),
        |d, _| d.prepare(&PROBLEM.plan(&DeviceInfo::h200())?).map(drop),
        |e| matches!(e, Error::PlanForAnotherDevice { .. }),
    ));
    // On a machine with a GPU the driver is there; then a device that does not exist stands in.
    let absent = Cuda::open(i32::MAX).map(drop);
    outcomes.push(outcome("no driver, or no such device", "d", absent, 0, |e| {
        matches!(
            e,
            Error::DriverMissing { .. }
                | Error::NoDevice
                | Error::DeviceOrdinal { given: i32::MAX, .. }
                | Error::DriverTooOld { .. }
        )
    }));
    outcomes.push(on(
        "a buffer larger than the device",
        "bytes of device memory",
        MockDriver::h200(),
        |d, _| d.alloc(1 << 40).map(drop),
        |e| matches!(e, Error::OutOfMemory { requested_bytes } if *requested_bytes == 1 << 40),
    ));
    outcomes.push(on(
        "an upload longer than its buffer",
        "17 bytes",
        MockDriver::h200(),
        |d, _| d.alloc(16)?.upload(&[0u8; 17]),
        |e| matches!(e, Error::CopyTooLong { given: 17, capacity: 16, .. }),
    ));
    outcomes.push(on(
        "a download longer than its buffer",
        "32 bytes",
        MockDriver::h200(),
        |d, _| d.alloc(16)?.download(&mut [0f32; 8]),
        |e| matches!(e, Error::CopyTooLong { given: 32, .. }),
    ));
    outcomes.push(on(
        "a view past its buffer",
        "offset 8",
        MockDriver::h200(),
        |d, _| d.alloc(16)?.tensor_at(8, ElementType::F32, &[3]).map(drop),
        |e| matches!(e, Error::CopyTooLong { offset: 8, .. }),
    ));
    outcomes
}

fn modules() -> Vec<Outcome> {
    let old = info(|info| info.driver_version = Version { major: 12, minor: 2 });
    let text = |name, names, driver, text, right| {
        on(name, names, driver, move |d: &Device, _: &MockDriver| prepare_text(d, text), right)
    };
    let h200 = MockDriver::h200;
    vec![
        text(
            "PTX newer than the driver",
            "PTX 8.6",
            MockDriver::new(old),
            ".version 8.6\n.target sm_90a\n.visible .const .u32 EXPERT_GEMM_ABI = {abi};\n",
            |e| {
                matches!(
                    e,
                    Error::Module(ModuleError::TooNew { max: Version { major: 8, minor: 2 }, .. })
                )
            },
        ),
        text(
            "PTX of another contract",
            "version 99",
            h200(),
            ".version 8.0\n.target sm_90a\n.visible .const .u32 EXPERT_GEMM_ABI = 99;\n",
            |e| matches!(e, Error::Module(ModuleError::AbiMismatch { given: 99, .. })),
        ),
        text(
            "PTX of another target",
            "sm_100a",
            h200(),
            ".version 8.0\n.target sm_100a\n.visible .const .u32 EXPERT_GEMM_ABI = {abi};\n",
            |e| matches!(e, Error::Module(ModuleError::WrongTarget { expected: "sm_90a", .. })),
        ),
        text("PTX without a stamp", "stamp", h200(), ".version 8.0\n.target sm_90a\n", |e| {
            matches!(
                e,
                Error::Module(ModuleError::Malformed { missing: "stamp EXPERT_GEMM_ABI", .. })
            )
        }),
        text("an empty module", ".version", h200(), "", |e| {
            matches!(e, Error::Module(ModuleError::Malformed { missing: ".version", .. }))
        }),
        text("PTX without a target", ".target", h200(), ".version 8.0\n", |e| {
            matches!(e, Error::Module(ModuleError::Malformed { missing: ".target", .. }))
        }),
        text(
            "a module without the kernel",
            "no kernel `fp8_block_sm90_bf16`",
            h200().with_checked_symbols(),
            STAMP,
            |e| matches!(e, Error::Module(ModuleError::KernelMissing { .. })),
        ),
        on(
            "PTX that the driver refuses",
            "fatal: as asked",
            h200(),
            |device, driver| {
                driver.fail_next("cuModuleLoadDataEx", 218);
                prepare_text(device, STAMP)
            },
            |e| matches!(e, Error::Module(ModuleError::Jit { code: 218, .. })),
        ),
        outcome(
            "a PTX folder without the module",
            "EXPERT_GEMM_PTX_DIR",
            PtxModule::from_folder(Path::new("/no/such/folder"), &VARIANTS[0]).map(drop),
            0,
            |e| {
                matches!(
                    e,
                    Error::Module(ModuleError::File { kind: std::io::ErrorKind::NotFound, .. })
                )
            },
        ),
    ]
}

fn order() -> Vec<Outcome> {
    let launch_unprepared = {
        let world = World::new();
        let fresh = MockDriver::h200().shared();
        let device = Device::with_driver(fresh.clone());
        let answer = device.launch(world.prepared.plan(), Stream::DEFAULT, &world.tensors());
        outcome("launch without prepare", "Device::prepare", answer, fresh.launches().len(), |e| {
            matches!(e, Error::NotPrepared { symbol: "fp8_block_sm90_bf16" })
        })
    };
    vec![
        launch_unprepared,
        on(
            "capture without prepare",
            "being captured",
            MockDriver::h200(),
            |device, _| {
                let stream = device.stream()?;
                let plan = plan_for(device)?;
                stream.capture(|stream| device.prepare_on(&plan, stream).map(drop)).map(drop)
            },
            |e| matches!(e, Error::Capturing { operation: "Device::prepare", .. }),
        ),
        on(
            "launch in a capture without prepare",
            "not loaded",
            MockDriver::h200(),
            |device, _| {
                let world = World::new();
                let plan = plan_for(device)?;
                let stream = device.stream()?;
                stream.capture(|stream| device.launch(&plan, stream, &world.tensors())).map(drop)
            },
            |e| matches!(e, Error::NotPrepared { .. }),
        ),
        on(
            "waiting for a captured stream",
            "cuStreamSynchronize",
            MockDriver::h200(),
            |device, _| {
                let stream = device.stream()?;
                stream.capture(|_| stream.synchronize()).map(drop)
            },
            |e| matches!(e, Error::Driver { code: 900, .. }),
        ),
        on(
            "capture of the default stream",
            "cuStreamBeginCapture",
            MockDriver::h200(),
            |device, _| device.driver().begin_capture(Stream::DEFAULT),
            |e| matches!(e, Error::Driver { call: "cuStreamBeginCapture", .. }),
        ),
    ]
}

fn faults() -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (name, code, names) in [
        ("a fault: illegal address", 700, "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("a fault: illegal instruction", 715, "CUDA_ERROR_ILLEGAL_INSTRUCTION"),
        ("a fault: misaligned address", 716, "CUDA_ERROR_MISALIGNED_ADDRESS"),
        ("a fault: trap", 719, "CUDA_ERROR_LAUNCH_FAILED"),
    ] {
        outcomes.push(on(
            name,
            names,
            MockDriver::h200(),
            |device, driver| {
                driver.fail_next("cuCtxSynchronize", code);
                device.synchronize()
            },
            |e| matches!(e, Error::Fault { call: "cuCtxSynchronize", .. }),
        ));
    }
    let world = World::new();
    world.driver.fail_next("cuCtxSynchronize", 700);
    assert!(world.device.synchronize().is_err() && world.device.is_poisoned());
    let launches = world.driver.launches().len();
    let right: fn(&Error) -> bool =
        |e| matches!(e, Error::Poisoned { since: "cuCtxSynchronize", code: 700, .. });
    let launch = world.launch(|_, _| ());
    outcomes.push(outcome(
        "launch on a lost device",
        "restart the process",
        launch,
        launches,
        right,
    ));
    let alloc = world.device.alloc(16).map(drop);
    outcomes.push(outcome(
        "allocation on a lost device",
        "CUDA_ERROR_ILLEGAL",
        alloc,
        launches,
        right,
    ));
    outcomes.push(on(
        "launch in a forked child",
        "fork",
        MockDriver::h200().forked(),
        |device, _| {
            let plan = plan_for(device)?;
            device.prepare(&plan).map(drop)
        },
        |e| matches!(e, Error::Forked { .. }),
    ));
    outcomes.push(on(
        "allocation in a forked child",
        "open devices after",
        MockDriver::h200().forked(),
        |device, _| device.alloc(16).map(drop),
        |e| matches!(e, Error::Forked { .. }),
    ));
    outcomes.push({
        let world = World::new();
        world.driver.fail_next("cuLaunchKernel", 400);
        let answer = world.launch(|_, _| ());
        let launches = world.driver.launches().len();
        outcome("a stream of another context", "cuLaunchKernel", answer, launches, |e| {
            matches!(e, Error::Driver { call: "cuLaunchKernel", code: 400, .. })
        })
    });
    outcomes
}

fn maps() -> Vec<Outcome> {
    let map = |name, names, change: fn(&mut TensorMapSpec), right| {
        outcome(name, names, map(change), 0, right)
    };
    vec![
        map(
            "a tensor map without dimensions",
            "the rank",
            |m| m.dims = Dims::new(&[]),
            |e| matches!(e, Error::TensorMap { field: "the rank", given: 0, .. }),
        ),
        map(
            "a tensor map of six dimensions",
            "the rank",
            |m| m.dims = Dims::new(&[1; 6]),
            |e| matches!(e, Error::TensorMap { field: "the rank", given: 6, .. }),
        ),
        map(
            "a tensor map at 4104",
            "the address",
            |m| m.address = 4104,
            |e| matches!(e, Error::TensorMap { field: "the address", .. }),
        ),
        map(
            "a tensor map with a pitch of 100",
            "a stride",
            |m| m.strides_bytes = Dims::new(&[100]),
            |e| matches!(e, Error::TensorMap { given: 100, .. }),
        ),
        map(
            "a tensor map with a box of 512 rows",
            "a side of the box",
            |m| m.box_dims = Dims::new(&[128, 512]),
            |e| matches!(e, Error::TensorMap { given: 512, .. }),
        ),
        map(
            "a tensor map wider than its swizzle",
            "the inner side",
            |m| m.box_dims = Dims::new(&[256, 64]),
            |e| matches!(e, Error::TensorMap { given: 256, .. }),
        ),
    ]
}

#[test]
fn an_empty_problem_checks_its_tensors_and_launches_nothing() {
    let driver = MockDriver::h200().shared();
    let device = Device::with_driver(driver.clone());
    let empty = Fp8GroupedMm { rows: 0, ..PROBLEM };
    let plan = empty.plan(device.info()).expect("plan");
    let prepared = device.prepare(&plan).expect("prepare");
    let world = World::new();
    let mut tensors = world.tensors();
    assert!(prepared.launch(Stream::DEFAULT, &tensors).is_err());
    let none = |element, dim| at(0, element, &[0, dim]);
    tensors.output = none(ElementType::Bf16, 256);
    tensors.a = none(ElementType::E4m3, 384);
    tensors.scales_a = none(ElementType::F32, 3);
    let prepared = prepared.with_checks(expert_gemm::Checks::Shapes);
    assert_eq!(prepared.launch(Stream::DEFAULT, &tensors), Ok(()));
    assert!(driver.launches().is_empty());
}
