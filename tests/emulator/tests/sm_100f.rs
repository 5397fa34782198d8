//! What a kernel for the family `sm_100f` needs besides the tensor core. The functions that stand for the instructions
//! are tested in `semantics`; here it is that the machine calls the right ones.

mod fixture;

use expert_gemm::Driver;
use expert_gemm_tests::rng::Rng;
use fixture::{TIMINGS, upload};
use ptx_emulator::semantics::alu::float::Half;
use ptx_emulator::semantics::alu::integer::prmt;
use ptx_emulator::semantics::convert as c;
use ptx_emulator::{Emulator, EmulatorDriver, Gpu, Launch, Options, Program};

const TEXT: &str = include_str!("../fixtures/sm_100f.ptx");

/// What the kernel leaves for one thread.
fn expected(lane: u32, from: &[u32; 8]) -> Vec<u32> {
    let [a, b, sum] = [from[0], from[1], from[2]];
    let [x, y] = [from[3], from[4]].map(f32::from_bits);
    let (bf16, f16) = (Half::Bf16, Half::F16);
    let scales = c::ue8m0x2_from_f32(x, y);
    let codes = c::e4m3x2_from_f32(x, y);
    vec![
        bf16.pairwise(a, a, |half, x, _| half.abs(x)),
        f16.pairwise(a, a, |half, x, _| half.abs(x)),
        bf16.pairwise(a, b, Half::max),
        f16.pairwise(a, b, Half::max_nan),
        bf16.pairwise(a, b, Half::min),
        bf16.pairwise(a, b, Half::mul),
        f16.pairwise(a, b, Half::mul),
        bf16.fma_pair(a, b, sum),
        f16.fma_pair(a, b, sum),
        bf16.pairwise(a, b, Half::add),
        f16.pairwise(a, b, Half::sub),
        bf16.pairwise(a, a, |half, x, _| half.neg(x)),
        prmt(a, b, 0x5410),
        scales.into(),
        c::bf16x2_from_ue8m0x2(scales),
        codes.into(),
        c::f16x2_from_e4m3x2(codes),
        c::bf16x2_from_f32(x, y),
        c::f16x2_from_f32(x, y),
        c::f32_from_bf16(a as u16).to_bits(),
        c::f32_from_f16((a >> 16) as u16).to_bits(),
        from[6],
        from[7],
        0,
        u32::from(lane == 0),
        bf16.mul(a as u16, (a >> 16) as u16).into(),
    ]
}

#[test]
fn scalar_instructions() {
    let program = Program::parse(TEXT).expect("the text is known");
    let rng = &mut Rng::stream(3, 9);
    for timing in TIMINGS {
        let inputs: Vec<[u32; 8]> =
            (0..32).map(|_| std::array::from_fn(|_| rng.below(1 << 32) as u32)).collect();
        let mut emulator = Emulator::new(Options { timing, ..Options::default() });
        let bytes: Vec<u8> = inputs.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        let from = upload(&mut emulator, &bytes);
        let to = upload(&mut emulator, &[0; 32 * 128]);
        let params = [from.to_le_bytes(), to.to_le_bytes()].concat();
        let launch = Launch {
            grid: [1; 3],
            block: [32, 1, 1],
            cluster: [1; 3],
            smem_bytes: 0,
            params: &params,
        };
        let (reports, _) = emulator.launch(&program, "scalar", &launch).expect("launch");
        assert!(reports.is_empty(), "{}", reports[0]);
        let mut output = vec![0; 32 * 128];
        emulator.memory.read(to, &mut output).expect("memory");
        for (lane, (input, output)) in (0..).zip(inputs.iter().zip(output.chunks_exact(128))) {
            let words =
                output.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let expected = expected(lane, input);
            let words: Vec<u32> = words.take(expected.len()).collect();
            assert_eq!(words, expected, "lane {lane}: {input:x?}");
        }
    }
}

/// PTX ISA 11.1.2: `sm_100f` runs on the whole family, `sm_100a` on one member, and nothing newer on Hopper.
#[test]
fn the_device_decides_what_it_loads() {
    let targets = ["sm_80", "sm_90a", "sm_100a", "sm_100f", "sm_103a", "sm_103f"];
    let runs = |gpu: Gpu| targets.map(|target| gpu.runs(target));
    assert_eq!(runs(Gpu::H200), [true, true, false, false, false, false]);
    assert_eq!(runs(Gpu::B200), [true, false, true, true, false, false]);
    assert_eq!(runs(Gpu::B300), [true, false, false, true, true, true]);
    for (gpu, name, capability) in [
        (Gpu::H200, "emulated NVIDIA H200", (9, 0)),
        (Gpu::B200, "emulated NVIDIA B200", (10, 0)),
        (Gpu::B300, "emulated NVIDIA B300", (10, 3)),
    ] {
        let options = Options { gpu, sm_count: gpu.info().sm_count, ..Options::default() };
        let driver = EmulatorDriver::new(options);
        let info = driver.info();
        assert_eq!((info.name.as_str(), info.capability), (name, capability));
        assert_eq!(info.sm_count, if gpu == Gpu::H200 { 132 } else { 148 });
        assert_eq!(driver.load_module("scalar", TEXT).is_ok(), gpu != Gpu::H200);
    }
}
