use super::*;
use crate::abi::mxfp8_quant;
use crate::abi::{
    ABI_VERSION, Arch, ElementType as E, Mxfp8GemmParams, Mxfp8QuantParams, ScaleRule,
};
use crate::device::DeviceInfo;
use crate::driver::mock::{MockDriver, RecordedLaunch};
use crate::made_up;
use crate::memory::DeviceBuffer;
use crate::ops::{
    Mxfp8GroupedMm, Mxfp8GroupedMmTensors, Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors,
};
use crate::ptx::PtxModule;
use std::mem::offset_of;

#[test]
fn a_prepared_plan_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Prepared>();
    shared::<Prepared<Mxfp8GroupedMm>>();
    shared::<Prepared<Mxfp8GroupedQuant>>();
    shared::<Device>();
}

/// A device of the recorder, with a plan of a made-up kernel prepared.
fn prepared<O: Operation>(problem: O, info: DeviceInfo) -> (Arc<MockDriver>, Prepared<O>) {
    let driver = MockDriver::new(info).shared();
    let device = Device::with_driver(driver.clone());
    let plan = Plan::among(&made_up::VARIANTS, problem, None, device.info()).expect("plan");
    let arch = plan.variant().arch;
    let text = format!(
        ".version 8.0\n.target {}\n.visible .const .u32 EXPERT_GEMM_ABI = {ABI_VERSION};\n",
        arch.name()
    );
    let module = PtxModule { name: "made_up", arch, text: text.into() };
    let prepared = device.prepare_from(&plan, &module).expect("prepare");
    (driver, prepared)
}

fn u64_at(launch: &RecordedLaunch, offset: usize) -> u64 {
    u64::from_le_bytes(launch.params[offset..offset + 8].try_into().expect("eight bytes"))
}

fn u32_at(launch: &RecordedLaunch, offset: usize) -> u32 {
    u32::from_le_bytes(launch.params[offset..offset + 4].try_into().expect("four bytes"))
}

const MM: Mxfp8GroupedMm =
    Mxfp8GroupedMm { rows: 200, experts: 3, n: 256, k: 384, scale_rows: 512, output: E::Bf16 };

fn mm_buffers(device: &Device) -> [DeviceBuffer; 9] {
    [200 * 256 * 2, 200 * 384, 3 * 256 * 384, 512 * 12, 3 * 256 * 12, 36, 12, 12, 4]
        .map(|bytes| device.alloc(bytes).expect("alloc"))
}

fn mm_tensors(buffers: &[DeviceBuffer; 9]) -> Mxfp8GroupedMmTensors<'_> {
    let [output, a, b, sfa, sfb, sizes, offsets, scale_offsets, status] = buffers;
    Mxfp8GroupedMmTensors {
        output: output.tensor(E::Bf16, &[200, 256]),
        a: a.tensor(E::E4m3, &[200, 384]),
        b: b.tensor(E::E4m3, &[3, 256, 384]),
        sfa: sfa.tensor(E::E8m0, &[512, 12]),
        sfb: sfb.tensor(E::U8, &[3, 256, 12]),
        problem_sizes: sizes.tensor(E::I32, &[3, 3]),
        expert_offsets: offsets.tensor(E::I32, &[3]),
        blockscale_offsets: scale_offsets.tensor(E::I32, &[3]),
        status: Some(status.tensor(E::U32, &[1])),
    }
}

#[test]
fn a_product_launches_with_its_parameter_and_the_maps_that_its_kernel_uses() {
    for (info, boxes) in [
        (DeviceInfo::h200(), vec![vec![128, 64], vec![128, 8], vec![128, 128, 1]]),
        (DeviceInfo::b200(), vec![vec![128, 128], vec![128, 128, 1]]),
    ] {
        let (driver, prepared) = prepared(MM, info);
        let buffers = mm_buffers(prepared.device());
        let tensors = mm_tensors(&buffers);
        for _ in 0..2 {
            prepared.launch(Stream::DEFAULT, &tensors).expect("launch");
        }
        let maps = driver.maps();
        let encoded: Vec<_> = maps.iter().map(|map| map.box_dims.as_slice().to_vec()).collect();
        assert_eq!(encoded, boxes, "encoded once for two launches");
        let weights = maps.last().expect("a map of the weights");
        assert_eq!(weights.dims.as_slice(), [384, 256, 3]);
        assert_eq!(weights.strides_bytes.as_slice(), [384, 384 * 256]);
        let launches = driver.launches();
        assert_eq!(launches.len(), 2);
        assert_eq!(launches[0], launches[1]);
        let launch = &launches[0];
        // Two or three row tiles, two column tiles in one cluster.
        assert_eq!((launch.grid, launch.cluster), ([8, 1, 1], [2, 1, 1]));
        assert_eq!(launch.params.len(), size_of::<Mxfp8GemmParams>());
        for (offset, buffer) in [
            (offset_of!(Mxfp8GemmParams, output), &buffers[0]),
            (offset_of!(Mxfp8GemmParams, a), &buffers[1]),
            (offset_of!(Mxfp8GemmParams, scales_a), &buffers[3]),
            (offset_of!(Mxfp8GemmParams, scales_b), &buffers[4]),
            (offset_of!(Mxfp8GemmParams, problem_sizes), &buffers[5]),
            (offset_of!(Mxfp8GemmParams, expert_offsets), &buffers[6]),
            (offset_of!(Mxfp8GemmParams, blockscale_offsets), &buffers[7]),
            (offset_of!(Mxfp8GemmParams, status), &buffers[8]),
        ] {
            assert_eq!(u64_at(launch, offset), buffer.address(), "at {offset}");
        }
        for (offset, value) in [
            (offset_of!(Mxfp8GemmParams, rows), 200),
            (offset_of!(Mxfp8GemmParams, experts), 3),
            (offset_of!(Mxfp8GemmParams, n), 256),
            (offset_of!(Mxfp8GemmParams, k), 384),
            (offset_of!(Mxfp8GemmParams, scale_rows), 512),
            (offset_of!(Mxfp8GemmParams, reserved), 0),
        ] {
            assert_eq!(u32_at(launch, offset), value, "at {offset}");
        }
    }
}

#[test]
fn the_quantiser_launches_with_its_parameter_and_without_maps() {
    for rule in ScaleRule::ALL {
        let (rows, experts, k, scale_rows) = (200, 3, 384, 512);
        let problem = Mxfp8GroupedQuant { rows, experts, k, scale_rows, input: E::Bf16, rule };
        let (driver, prepared) = prepared(problem, DeviceInfo::b300());
        assert_eq!(prepared.plan().variant().arch, Arch::Sm100f);
        let buffers = [200 * 384 * 2, 36, 12, 12, 200 * 384, 512 * 12, 4]
            .map(|bytes| prepared.device().alloc(bytes).expect("alloc"));
        let [input, sizes, offsets, scale_offsets, codes, scales, status] = &buffers;
        let tensors = Mxfp8GroupedQuantTensors {
            input: input.tensor(E::Bf16, &[200, 384]),
            problem_sizes: sizes.tensor(E::I32, &[3, 3]),
            expert_offsets: offsets.tensor(E::I32, &[3]),
            blockscale_offsets: scale_offsets.tensor(E::I32, &[3]),
            quant_output: codes.tensor(E::E4m3, &[200, 384]),
            scale_factor: scales.tensor(E::U8, &[512, 12]),
            status: Some(status.tensor(E::U32, &[1])),
        };
        prepared.launch(Stream::DEFAULT, &tensors).expect("launch");
        let silent = Mxfp8GroupedQuantTensors { status: None, ..tensors };
        prepared.launch(Stream::DEFAULT, &silent).expect("launch");
        assert!(driver.maps().is_empty());
        let [launch, silent] = &driver.launches()[..] else { panic!("two launches") };
        // 25 times 8 rows of three column blocks: 75 runs for blocks of 8 warps, and one block for the groups.
        assert_eq!((launch.grid, launch.block), ([11, 1, 1], [mxfp8_quant::THREADS, 1, 1]));
        assert_eq!(launch.params.len(), size_of::<Mxfp8QuantParams>());
        for (offset, buffer) in [
            (offset_of!(Mxfp8QuantParams, input), input),
            (offset_of!(Mxfp8QuantParams, problem_sizes), sizes),
            (offset_of!(Mxfp8QuantParams, expert_offsets), offsets),
            (offset_of!(Mxfp8QuantParams, blockscale_offsets), scale_offsets),
            (offset_of!(Mxfp8QuantParams, codes), codes),
            (offset_of!(Mxfp8QuantParams, scales), scales),
            (offset_of!(Mxfp8QuantParams, status), status),
        ] {
            assert_eq!(u64_at(launch, offset), buffer.address(), "at {offset}");
        }
        for (offset, value) in [
            (offset_of!(Mxfp8QuantParams, rows), 200),
            (offset_of!(Mxfp8QuantParams, experts), 3),
            (offset_of!(Mxfp8QuantParams, k), 384),
            (offset_of!(Mxfp8QuantParams, scale_rows), 512),
            (offset_of!(Mxfp8QuantParams, rule), rule as u32),
            (offset_of!(Mxfp8QuantParams, reserved), 0),
        ] {
            assert_eq!(u32_at(launch, offset), value, "at {offset}");
        }
        assert_eq!(u64_at(silent, offset_of!(Mxfp8QuantParams, status)), 0);
    }
}

#[test]
fn every_tensor_of_a_product_is_inspected() {
    // The last one, and so all before it: the inspection keeps them in order.
    let (driver, prepared) = prepared(MM, DeviceInfo::h200());
    let buffers = mm_buffers(prepared.device());
    let good = mm_tensors(&buffers);
    let address = driver.alloc_on(3, 4);
    let status = Some(crate::tensor::DeviceTensor::new(address, E::U32, &[1]));
    let refused = prepared.launch(Stream::DEFAULT, &Mxfp8GroupedMmTensors { status, ..good });
    assert!(matches!(refused, Err(crate::Error::WrongDevice { tensor: "status", given: 3, .. })));
    let empty = Mxfp8GroupedMm { experts: 0, ..MM };
    assert!(good.validate(&empty).is_err() && good.validate(&MM).is_ok());
}
