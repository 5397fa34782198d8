//! What a service relies on: threads, streams, devices and health, on the recorder.

use expert_gemm::doctor::{DeviceReport, KernelState, Report};
use expert_gemm::driver::mock::MockDriver;
use expert_gemm::{
    Checks, Device, DeviceBuffer, DeviceInfo, ElementType as E, Error, EventHandle, Fp8GroupedMm,
    Fp8GroupedMmTensors, GraphHandle, Mxfp8GroupedMm, Mxfp8GroupedQuant, Plan, Prepared, Result,
    Stream, StreamHandle,
};
use std::sync::Arc;

const P: Fp8GroupedMm = Fp8GroupedMm { rows: 40, experts: 3, n: 256, k: 384, output: E::Bf16 };

#[test]
fn handles_may_be_shared_and_moved_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Device>();
    shared::<DeviceBuffer>();
    shared::<StreamHandle>();
    shared::<EventHandle>();
    shared::<GraphHandle>();
    shared::<Plan<Fp8GroupedMm>>();
    shared::<Prepared<Fp8GroupedMm>>();
    shared::<Prepared<Mxfp8GroupedMm>>();
    shared::<Prepared<Mxfp8GroupedQuant>>();
    shared::<Error>();
    shared::<Report>();
}

fn opened(info: DeviceInfo) -> (Arc<MockDriver>, Device) {
    let driver = MockDriver::new(info).shared();
    (driver.clone(), Device::with_driver(driver))
}

#[test]
fn memory_in_use_is_that_of_the_device() {
    let (driver, device) = opened(DeviceInfo::h200());
    let free = || device.memory_info().expect("a device").free_bytes;
    let all = device.info().memory_bytes;
    let buffer = device.alloc(1000).expect("memory");
    driver.alloc_on(1, 500);
    assert_eq!(free(), all - 1000);
    drop(buffer);
    assert_eq!(free(), all);
    driver.fail_next("cuMemGetInfo", 999);
    assert!(matches!(device.memory_info(), Err(Error::Driver { code: 999, .. })));
}

struct Buffers([DeviceBuffer; 7]);

impl Buffers {
    fn new(device: &Device) -> Result<Self> {
        let bytes = [40 * 256 * 2, 40 * 384, 3 * 256 * 384, 40 * 12, 3 * 24, 36, 12];
        let mut buffers = Vec::new();
        for bytes in bytes {
            buffers.push(device.alloc(bytes)?);
        }
        Ok(Self(buffers.try_into().expect("seven")))
    }

    fn tensors(&self) -> Fp8GroupedMmTensors<'_> {
        let [output, a, b, scales_a, scales_b, sizes, offsets] = &self.0;
        Fp8GroupedMmTensors {
            output: output.tensor(E::Bf16, &[40, 256]),
            a: a.tensor(E::E4m3, &[40, 384]),
            b: b.tensor(E::E4m3, &[3, 256, 384]),
            scales_a: scales_a.tensor(E::F32, &[40, 3]),
            scales_b: scales_b.tensor(E::F32, &[3, 2, 3]),
            problem_sizes: sizes.tensor(E::I32, &[3, 3]),
            expert_offsets: offsets.tensor(E::I32, &[3]),
            status: None,
        }
    }
}

#[test]
fn many_threads_launch_one_plan_each_on_its_stream() {
    const THREADS: usize = 8;
    const LAUNCHES: usize = 50;
    let (driver, device) = opened(DeviceInfo::h200());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Every thread prepares: the module is loaded once all the same.
                let prepared =
                    device.prepare(&P.plan(device.info()).expect("plan")).expect("prepare");
                let stream = device.stream().expect("stream");
                let buffers = Buffers::new(&device).expect("alloc");
                for _ in 0..LAUNCHES {
                    prepared.launch(stream.stream(), &buffers.tensors()).expect("launch");
                }
                let own: Vec<_> =
                    driver.launches().into_iter().filter(|l| l.stream == stream.stream()).collect();
                assert_eq!(own.len(), LAUNCHES);
                // Threads share the cache of tensor maps, and still every launch gets its own tensors.
                assert!(own.iter().all(|launch| launch.params == own[0].params));
            });
        }
    });
    assert_eq!(driver.modules(), 1);
    let launches = driver.launches();
    assert_eq!(launches.len(), THREADS * LAUNCHES);
    let mut params: Vec<_> = launches.into_iter().map(|launch| launch.params).collect();
    params.sort();
    params.dedup();
    assert_eq!(params.len(), THREADS, "one set of tensors for each thread");
    assert_eq!(driver.allocated_bytes(), 0);
}

#[test]
fn devices_do_not_share_memory_modules_or_health() {
    let (first_driver, first) = opened(DeviceInfo::h200());
    let (second_driver, second) = opened(DeviceInfo { ordinal: 1, ..DeviceInfo::h200() });
    let on_first = first.prepare(&P.plan(first.info()).expect("plan")).expect("prepare");
    // The devices are of a kind, so that one plan serves both.
    let on_second = second.prepare(on_first.plan()).expect("prepare");
    assert_eq!((first_driver.modules(), second_driver.modules()), (1, 1));

    let (near, far) = (Buffers::new(&first).expect("alloc"), Buffers::new(&second).expect("alloc"));
    for checks in [Checks::Memory, Checks::Shapes] {
        let prepared = on_first.clone().with_checks(checks);
        let mixed = Fp8GroupedMmTensors { b: far.tensors().b, ..near.tensors() };
        let refused = prepared.launch(Stream::DEFAULT, &mixed);
        let elsewhere = Error::WrongDevice { tensor: "b", given: 1, expected: 0 };
        assert_eq!(refused, Err(elsewhere), "{checks:?}");
    }

    first_driver.fail_next("cuCtxSynchronize", 700);
    assert!(!first.is_poisoned());
    assert!(matches!(first.synchronize(), Err(Error::Fault { code: 700, .. })));
    assert!(first.is_poisoned() && first.clone().is_poisoned() && !second.is_poisoned());
    let refused = on_first.launch(Stream::DEFAULT, &near.tensors());
    assert!(matches!(refused, Err(Error::Poisoned { since: "cuCtxSynchronize", .. })));
    on_second.launch(Stream::DEFAULT, &far.tensors()).expect("the other device works");
    assert_eq!((first_driver.launches().len(), second_driver.launches().len()), (0, 1));
}

fn states(report: &DeviceReport) -> [usize; 3] {
    let count =
        |is: fn(&KernelState) -> bool| report.kernels.iter().filter(|k| is(&k.state)).count();
    [
        count(|state| matches!(state, KernelState::Loaded { .. })),
        count(|state| matches!(state, KernelState::OtherArch)),
        count(|state| matches!(state, KernelState::Failed(_))),
    ]
}

#[test]
fn the_doctor_loads_what_a_device_can_run_and_says_what_it_cannot() {
    let (driver, device) = opened(DeviceInfo::h200());
    let report = device.examine();
    let [loaded, other, failed] = states(&report);
    assert!(loaded > 0 && other > 0 && failed == 0, "{report}");
    assert!(driver.modules() > 0 && driver.modules() <= loaded);
    let text = report.to_string();
    assert!(
        text.starts_with("device 0: NVIDIA H200 (sm_90, 132 SMs), 141 GiB, driver for CUDA 13.0")
    );
    assert!(text.contains("is for sm_100f") && text.contains("168 registers"), "{text}");

    // A driver that is too old for every module, and then a device that is lost.
    let old = DeviceInfo {
        driver_version: expert_gemm::Version { major: 11, minor: 0 },
        ..DeviceInfo::h200()
    };
    let [loaded, _, failed] = states(&opened(old).1.examine());
    assert!(loaded == 0 && failed > 0);
    let (driver, device) = opened(DeviceInfo::h200());
    driver.fail_next("cuModuleLoadDataEx", 719);
    let report = device.examine();
    assert_eq!(states(&report)[0], 0, "{report}");
    assert_eq!(report.poison.map(|poison| poison.code), Some(719));
    assert!(report.to_string().contains("lost since `cuModuleLoadDataEx`"), "{report}");
}

#[test]
fn the_report_of_this_machine_says_what_it_is() {
    let report = expert_gemm::doctor();
    let text = report.to_string();
    assert!(text.starts_with(concat!("expert-gemm ", env!("CARGO_PKG_VERSION"))), "{text}");
    match &report.devices {
        Ok(devices) => assert!(!devices.is_empty() && text.contains("device 0: ")),
        Err(error) => assert!(text.contains(&error.to_string()), "{text}"),
    }
}
