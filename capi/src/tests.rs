//! The interface as C meets it: nonsense is answered by a code, and what is right reaches the host crate unchanged.

use crate::buffer::*;
use crate::device::*;
use crate::ops::fp8_grouped_mm::*;
use crate::ops::mxfp8_grouped_mm::*;
use crate::ops::mxfp8_grouped_quant::*;
use crate::plan::*;
use crate::scales::*;
use crate::status::{eg_last_error, eg_status};
use crate::tensor::{EG_MAX_RANK, eg_element, eg_tensor};
use eg_status::{InvalidArgument, WrongElementType, WrongOrder};
use expert_gemm::driver::mock::MockDriver;
use expert_gemm::{Device, ElementType, Fp8GroupedMm, Fp8GroupedMmTensors, Stream};
use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

static PROBLEM: eg_fp8_grouped_mm = eg_fp8_grouped_mm {
    rows: 3,
    experts: 2,
    n: 128,
    k: 256,
    output: eg_element::F16 as u32,
    checks: eg_checks::Memory as u32,
};

fn last_error() -> String {
    // SAFETY: the pointer is valid until the next refusal on this thread.
    unsafe { CStr::from_ptr(eg_last_error()) }.to_str().expect("UTF-8").to_owned()
}

/// A call of the interface, whose promises are kept by the tests.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: handles and pointers of the tests are live or NULL, and shapes are those of the memory.
        unsafe { $call }
    };
}

/// A device, a plan, and tensors of ones.
struct World {
    device: *mut eg_device,
    plan: *mut eg_plan,
    buffers: Vec<*mut eg_buffer>,
    tensors: eg_fp8_grouped_mm_tensors,
}

impl World {
    fn on(device: *mut eg_device) -> Self {
        let mut plan = null_mut();
        let prepared =
            call!(eg_fp8_grouped_mm_prepare(device, &raw const PROBLEM, null_mut(), &raw mut plan));
        assert_eq!(prepared, eg_status::Ok, "{}", last_error());
        let mut buffers = Vec::new();
        let mut tensor = |element: eg_element, shape: &[u64], bytes: &[u8]| {
            let mut buffer = null_mut();
            let count = bytes.len() as u64;
            assert_eq!(call!(eg_buffer_create(device, count, &raw mut buffer)), eg_status::Ok);
            let uploaded = call!(eg_buffer_upload(buffer, bytes.as_ptr().cast(), count));
            assert_eq!(uploaded, eg_status::Ok);
            buffers.push(buffer);
            let mut lengths = [0; EG_MAX_RANK];
            lengths[..shape.len()].copy_from_slice(shape);
            eg_tensor {
                data: call!(eg_buffer_data(buffer)),
                element: element as u32,
                rank: shape.len() as u32,
                shape: lengths,
                strides: null(),
            }
        };
        let one = 1f32.to_le_bytes();
        let sizes = [2i32, 128, 256, 1, 128, 256].map(i32::to_le_bytes).concat();
        let tensors = eg_fp8_grouped_mm_tensors {
            output: tensor(eg_element::F16, &[3, 128], &[0; 3 * 128 * 2]),
            a: tensor(eg_element::E4m3, &[3, 256], &[0x38; 3 * 256]),
            b: tensor(eg_element::E4m3, &[2, 128, 256], &vec![0x38; 2 * 128 * 256]),
            scales_a: tensor(eg_element::F32, &[3, 2], &one.repeat(6)),
            scales_b: tensor(eg_element::F32, &[2, 1, 2], &one.repeat(4)),
            problem_sizes: tensor(eg_element::I32, &[2, 3], &sizes),
            expert_offsets: tensor(
                eg_element::I32,
                &[2],
                &[0i32, 2].map(i32::to_le_bytes).concat(),
            ),
            status: tensor(eg_element::U32, &[1], &[0; 4]),
        };
        Self { device, plan, buffers, tensors }
    }

    fn on_cpu() -> Self {
        let mut device = null_mut();
        assert_eq!(call!(eg_device_open(EG_CPU, &raw mut device)), eg_status::Ok);
        Self::on(device)
    }

    fn on_gpu() -> (Arc<MockDriver>, Self) {
        let driver = MockDriver::h200().shared();
        let backend = Backend::Gpu(Device::with_driver(driver.clone()));
        (driver, Self::on(Box::into_raw(Box::new(eg_device { backend }))))
    }

    fn launch(&self) -> eg_status {
        call!(eg_fp8_grouped_mm_launch(self.plan, 0x70 as *mut c_void, &raw const self.tensors))
    }

    fn download<const BYTES: usize>(&self, buffer: usize) -> [u8; BYTES] {
        let mut bytes = [0xff; BYTES];
        let to = bytes.as_mut_ptr().cast();
        let answer = call!(eg_buffer_download(self.buffers[buffer], to, BYTES as u64));
        assert_eq!(answer, eg_status::Ok, "{}", last_error());
        bytes
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for &buffer in &self.buffers {
            call!(eg_buffer_free(buffer));
        }
        call!(eg_plan_free(self.plan));
        call!(eg_device_close(self.device));
    }
}

#[test]
fn a_plan_may_expect_fewer_rows_but_not_more() {
    let (_driver, gpu) = World::on_gpu();
    for world in [&gpu, &World::on_cpu()] {
        let prepare = |problem: &eg_fp8_grouped_mm, expected: u64, plan: &mut *mut eg_plan| {
            call!(eg_fp8_grouped_mm_prepare_expecting(
                world.device,
                problem,
                expected,
                null_mut(),
                plan
            ))
        };
        let mut plan = null_mut();
        for expected in [0, 1, 3] {
            assert_eq!(prepare(&PROBLEM, expected, &mut plan), eg_status::Ok, "{}", last_error());
            call!(eg_plan_free(plan));
        }
        assert_eq!(prepare(&PROBLEM, 4, &mut plan), InvalidArgument);
        assert_eq!(plan, null_mut());
        assert!(last_error().starts_with("`expected_rows` is 4, but"), "{}", last_error());
    }
    let room = eg_fp8_grouped_mm { rows: 32_768, experts: 32, n: 4096, k: 7168, ..PROBLEM };
    let mut plan = null_mut();
    let prepared = call!(eg_fp8_grouped_mm_prepare_expecting(
        gpu.device,
        &raw const room,
        256,
        null_mut(),
        &raw mut plan
    ));
    assert_eq!(prepared, eg_status::Ok, "{}", last_error());
    let mut text = [0; 4096];
    let length = call!(eg_plan_explain(plan, text.as_mut_ptr().cast(), text.len()));
    let text = std::str::from_utf8(&text[..length]).expect("UTF-8");
    assert!(text.contains("expected  256 of 32768 rows"), "{text}");
    assert!(text.contains("> fp8_block_sm90_few_f16 "), "{text}");
    call!(eg_plan_free(plan));
}

#[test]
fn null_is_answered_everywhere() {
    let world = World::on_cpu();
    let (device, plan) = (world.device, world.plan);
    let mut handle = null_mut();
    let answers = [
        call!(eg_device_count(null_mut())),
        call!(eg_device_open(0, null_mut())),
        call!(eg_device_open_current(null_mut())),
        call!(eg_device_synchronize(null())),
        call!(eg_buffer_create(null(), 1, &raw mut handle)),
        call!(eg_buffer_create(device, 1, null_mut())),
        call!(eg_buffer_upload(null_mut(), null(), 0)),
        call!(eg_buffer_upload(world.buffers[0], null(), 1)),
        call!(eg_buffer_download(null(), null_mut(), 0)),
        call!(eg_buffer_download(world.buffers[0], null_mut(), 1)),
        call!(eg_buffer_fill(null_mut(), 0, null_mut())),
        call!(eg_fp8_grouped_mm_prepare(null(), &raw const PROBLEM, null_mut(), &mut null_mut())),
        call!(eg_fp8_grouped_mm_prepare(device, null(), null_mut(), &mut null_mut())),
        call!(eg_fp8_grouped_mm_prepare(device, &raw const PROBLEM, null_mut(), null_mut())),
        call!(eg_fp8_grouped_mm_prepare_expecting(device, null(), 0, null_mut(), &mut null_mut())),
        call!(eg_mxfp8_grouped_mm_prepare(device, null(), null_mut(), &mut null_mut())),
        call!(eg_mxfp8_grouped_mm_prepare_expecting(
            device,
            null(),
            0,
            null_mut(),
            &mut null_mut()
        )),
        call!(eg_mxfp8_grouped_quant_prepare(device, null(), null_mut(), &mut null_mut())),
        call!(eg_fp8_grouped_mm_launch(null(), null_mut(), &raw const world.tensors)),
        call!(eg_fp8_grouped_mm_launch(plan, null_mut(), null())),
        call!(eg_mxfp8_grouped_mm_launch(null(), null_mut(), null())),
        call!(eg_mxfp8_grouped_quant_launch(null(), null_mut(), null())),
        call!(eg_mxfp8_swizzle_scales(128, 128, null(), null_mut())),
        call!(eg_mxfp8_unswizzle_scales(128, 128, null(), null_mut())),
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, InvalidArgument, "call {index}");
    }
    assert!(handle.is_null());
    assert!(call!(eg_buffer_data(null())).is_null());
    assert_eq!(call!(eg_device_ordinal(null())), -2);
    assert_eq!(call!(eg_device_describe(null(), null_mut(), 0)), 0);
    assert_eq!(call!(eg_plan_explain(null(), null_mut(), 0)), 0);
    assert!(last_error().starts_with("`plan` is NULL"), "{}", last_error());
    call!(eg_buffer_free(null_mut()));
    call!(eg_plan_free(null_mut()));
    call!(eg_device_close(null_mut()));
}

#[test]
fn nonsense_is_answered_by_a_sentence_and_leaves_no_handle() {
    type Change = fn(&mut eg_fp8_grouped_mm);
    let changes: [(Change, eg_status, &str); 5] = [
        (|p| p.k = 192, InvalidArgument, "`k` is 192"),
        (|p| p.rows = u64::MAX, InvalidArgument, "`rows` is"),
        (|p| p.output = 99, InvalidArgument, "`output` is 99, which is no eg_element"),
        (|p| p.output = eg_element::F32 as u32, WrongElementType, "`output` is to be f32"),
        (|p| p.checks = 2, InvalidArgument, "`checks` is 2, which is no eg_checks"),
    ];
    let (_, gpu) = World::on_gpu();
    let cpu = World::on_cpu();
    for (change, status, sentence) in changes {
        for device in [gpu.device, cpu.device] {
            let mut problem = PROBLEM;
            change(&mut problem);
            let mut plan = std::ptr::dangling_mut();
            let stream = null_mut();
            let answer =
                call!(eg_fp8_grouped_mm_prepare(device, &raw const problem, stream, &raw mut plan));
            assert_eq!(answer, status, "{sentence}");
            assert!(last_error().starts_with(sentence), "{}", last_error());
            assert!(plan.is_null(), "{sentence}");
        }
    }
}

#[test]
fn wrong_tensors_are_answered_alike_on_both_devices_and_nothing_is_launched() {
    type Change = fn(&mut eg_fp8_grouped_mm_tensors);
    static TRANSPOSED: [u64; 3] = [128 * 256, 1, 128];
    let changes: [(Change, eg_status, &str); 9] = [
        (|t| t.a.data = null_mut(), InvalidArgument, "`a` has the address 0"),
        (|t| t.a.data = 0x1001 as *mut c_void, InvalidArgument, "`a` is at 0x1001"),
        (|t| t.a.element = 0, InvalidArgument, "`a` is 0, which is no eg_element"),
        (|t| t.a.element = eg_element::U8 as u32, WrongElementType, "`a` holds u8"),
        (|t| t.b.rank = 4_000_000_000, InvalidArgument, "`b` has 4000000000 dimensions"),
        (|t| t.b.rank = 2, InvalidArgument, "`b` has 2 dimensions"),
        (
            |t| t.b.strides = TRANSPOSED.as_ptr(),
            InvalidArgument,
            "dimension 2 of `b` has a stride of 128",
        ),
        (|t| t.b.strides = 0x1001 as *const u64, InvalidArgument, "`b` is at 0x1001"),
        (|t| t.output.data = t.a.data, InvalidArgument, "`output` shares 768 bytes with `a`"),
    ];
    let (driver, gpu) = World::on_gpu();
    let cpu = World::on_cpu();
    for mut world in [gpu, cpu] {
        let right = world.tensors;
        for (change, status, sentence) in changes {
            world.tensors = right;
            change(&mut world.tensors);
            assert_eq!(world.launch(), status, "{sentence}");
            assert!(last_error().starts_with(sentence), "{}", last_error());
        }
    }
    assert_eq!(driver.launches(), []);
}

#[test]
fn a_launch_is_the_host_crates() {
    let (driver, world) = World::on_gpu();
    assert_eq!(world.launch(), eg_status::Ok, "{}", last_error());

    let device = Device::with_driver(driver.clone());
    let problem = Fp8GroupedMm { rows: 3, experts: 2, n: 128, k: 256, output: ElementType::F16 };
    let prepared = device.prepare(&problem.plan(device.info()).expect("valid")).expect("an H200");
    let t = &world.tensors;
    // SAFETY: the memory of the recorder, of these shapes.
    let tensors = unsafe {
        Fp8GroupedMmTensors {
            output: t.output.view("output").expect("valid"),
            a: t.a.view("a").expect("valid"),
            b: t.b.view("b").expect("valid"),
            scales_a: t.scales_a.view("scales_a").expect("valid"),
            scales_b: t.scales_b.view("scales_b").expect("valid"),
            problem_sizes: t.problem_sizes.view("problem_sizes").expect("valid"),
            expert_offsets: t.expert_offsets.view("expert_offsets").expect("valid"),
            status: Some(t.status.view("status").expect("valid")),
        }
    };
    // SAFETY: the recorder follows no stream.
    prepared.launch(unsafe { Stream::from_raw(0x70) }, &tensors).expect("valid");
    let [of_c, of_rust] = &driver.launches()[..] else { panic!("two launches") };
    assert_eq!(of_c, of_rust);
}

#[test]
fn the_cpu_computes_and_reports() {
    let world = World::on_cpu();
    assert_eq!(world.launch(), eg_status::Ok, "{}", last_error());
    // 256 is 0x5c00 as f16.
    assert_eq!(world.download::<768>(0), [0x00, 0x5c].repeat(384)[..]);
    assert_eq!(world.download::<4>(7), [0; 4]);

    // The second expert begins behind the last row.
    let offsets = [0i32, 3].map(i32::to_le_bytes).concat();
    assert_eq!(
        call!(eg_buffer_upload(world.buffers[6], offsets.as_ptr().cast(), 8)),
        eg_status::Ok
    );
    assert_eq!(world.launch(), eg_status::Ok);
    let word = u32::from_le_bytes(world.download::<4>(7));
    let mut text = [0; 256];
    let length = call!(eg_group_status_text(word, text.as_mut_ptr(), text.len()));
    // SAFETY: the text ends with a 0.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().expect("UTF-8");
    assert_eq!(
        (text, text.len()),
        ("a group reaches past the last packed row, and was skipped", length)
    );
    assert_eq!(call!(eg_group_status_text(0, null_mut(), 0)), 0);
    assert_ne!(call!(eg_group_status_text(1 << 31, null_mut(), 0)), 0);
}

#[test]
fn a_plan_knows_its_operation() {
    let world = World::on_cpu();
    let tensors = std::ptr::dangling::<eg_mxfp8_grouped_quant_tensors>();
    assert_eq!(call!(eg_mxfp8_grouped_quant_launch(world.plan, null_mut(), tensors)), WrongOrder);
    let tensors = std::ptr::dangling::<eg_mxfp8_grouped_mm_tensors>();
    assert_eq!(call!(eg_mxfp8_grouped_mm_launch(world.plan, null_mut(), tensors)), WrongOrder);
    assert!(last_error().contains("the plan is for `eg_fp8_grouped_mm`"), "{}", last_error());
}

#[test]
fn copies_stay_inside_of_their_buffer() {
    let (_, gpu) = World::on_gpu();
    for world in [gpu, World::on_cpu()] {
        let bytes = [7u8; 8];
        let too_long = call!(eg_buffer_upload(world.buffers[7], bytes.as_ptr().cast(), 8));
        assert_eq!(too_long, InvalidArgument);
        assert!(last_error().contains("does not fit the buffer of 4 bytes"), "{}", last_error());
        assert_eq!(call!(eg_buffer_fill(world.buffers[7], 9, null_mut())), eg_status::Ok);
        assert_eq!(world.download::<4>(7), [9; 4]);
        let mut none = null_mut();
        assert_eq!(call!(eg_buffer_create(world.device, 0, &raw mut none)), eg_status::Ok);
        assert!(call!(eg_buffer_data(none)).is_null());
        assert_eq!(call!(eg_buffer_fill(none, 9, null_mut())), eg_status::Ok);
        call!(eg_buffer_free(none));
        let mut huge = null_mut();
        let refused = call!(eg_buffer_create(world.device, u64::MAX, &raw mut huge));
        assert_eq!(refused, eg_status::OutOfMemory, "{}", last_error());
    }
}

#[test]
fn scales_go_into_atoms_and_back() {
    let row_major: Vec<u8> = (0..130 * 4).map(|index| (index % 251) as u8).collect();
    let (mut atoms, mut back) = (vec![0xff; 256 * 4], vec![0; 130 * 4]);
    let to = call!(eg_mxfp8_swizzle_scales(130, 128, row_major.as_ptr(), atoms.as_mut_ptr()));
    let from = call!(eg_mxfp8_unswizzle_scales(130, 128, atoms.as_ptr(), back.as_mut_ptr()));
    assert_eq!((to, from), (eg_status::Ok, eg_status::Ok));
    assert_eq!(row_major, back);
    assert_ne!(row_major, atoms[..130 * 4]);
    for (rows, k) in [(u64::MAX, 128), (1 << 62, 1 << 62), (128, 0), (128, 32)] {
        // What is wrong is told by the numbers; the bytes are never looked at.
        let (from, to) = (std::ptr::dangling(), std::ptr::dangling_mut());
        assert_eq!(
            call!(eg_mxfp8_swizzle_scales(rows, k, from, to)),
            InvalidArgument,
            "{rows} {k}"
        );
    }
}
