//! `mma.sync` m16n8k32 in the machine: fragments as PTX ISA 9.7.14.5.10 places them, sums by the published rules.

mod fixture;

use expert_gemm_tests::rng::Rng;
use fixture::upload;
use ptx_emulator::semantics::tensor::mma_dot32;
use ptx_emulator::semantics::tensor::mma_sync::Family;
use ptx_emulator::{Emulator, Launch, Options, Program};

/// A, B and C lie row-major behind each other (B with K side by side); D is written behind them.
const TEXT: &str = include_str!("../fixtures/mma_sync.ptx");

#[test]
fn one_product() {
    let rng = &mut Rng::stream(1, 4);
    let codes: Vec<u8> = (0..24 * 32).map(|_| (rng.below(127) | rng.below(2) << 7) as u8).collect();
    let c: Vec<f32> = (0..128).map(|_| rng.below(2000) as f32 - 1000.0).collect();
    let mut bytes = codes.clone();
    bytes.extend(c.iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend([0; 512]);
    let (a, b) = codes.split_at(16 * 32);
    let row = |from: &[u8], row: usize| *from[row * 32..].first_chunk::<32>().expect("inside");
    for (target, family) in [("sm_89", Family::Ada), ("sm_120a", Family::BlackwellRtx)] {
        let program = Program::parse(&TEXT.replace("sm_89", target)).expect("the text is known");
        let mut emulator = Emulator::new(Options::default());
        let address = upload(&mut emulator, &bytes);
        let launch = Launch {
            grid: [1; 3],
            block: [32, 1, 1],
            cluster: [1; 3],
            smem_bytes: 0,
            params: &address.to_le_bytes(),
        };
        let (reports, _) = emulator.launch(&program, "product", &launch).expect("launch");
        assert!(reports.is_empty(), "{}", reports[0]);
        let mut output = vec![0; 512];
        emulator.memory.read(address + 1280, &mut output).expect("memory");
        for (i, word) in output.as_chunks::<4>().0.iter().enumerate() {
            let expected = mma_dot32(family, c[i], &row(a, i / 8), &row(b, i % 8));
            assert_eq!(u32::from_le_bytes(*word), expected.to_bits(), "{target}: {i}");
        }
    }
}

/// Nobody published or measured the rule of other targets.
#[test]
fn other_targets_are_refused() {
    for target in ["sm_90a", "sm_100f"] {
        assert!(Program::parse(&TEXT.replace("sm_89", target)).is_err());
    }
}
