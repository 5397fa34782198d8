use super::*;
use crate::abi::{ElementType, ScaleRule};
use crate::error::Error;
use crate::made_up;
use crate::ops::{Mxfp8GroupedMm, Mxfp8GroupedQuant};

fn problem() -> Fp8GroupedMm {
    Fp8GroupedMm { rows: 2048, experts: 32, n: 4096, k: 7168, output: ElementType::Bf16 }
}

#[test]
fn the_kernel_of_the_output_type_is_chosen() {
    let h200 = DeviceInfo::h200();
    let plan = problem().plan(&h200).expect("plan");
    assert_eq!((plan.variant().symbol, plan.grid()), ("fp8_block_sm90_bf16", 132));
    assert!(plan.grid().is_multiple_of(plan.variant().cluster));
    let f16 = Fp8GroupedMm { output: ElementType::F16, ..problem() }.plan(&h200).expect("plan");
    assert_eq!(f16.variant().symbol, "fp8_block_sm90_f16");
    assert_ne!(plan, f16);
    assert_eq!(plan, problem().plan(&h200).expect("plan"));
}

#[test]
fn small_problems_get_small_grids_and_empty_ones_none() {
    let h200 = DeviceInfo::h200();
    let grid = |rows, experts, n| {
        Fp8GroupedMm { rows, experts, n, ..problem() }.plan(&h200).expect("plan").grid()
    };
    let cluster = VARIANTS[0].cluster;
    assert_eq!(grid(1, 1, 128), cluster);
    assert_eq!(grid(129, 1, 128), 2 * cluster);
    assert_eq!(grid(8, 8, 128), 8 * cluster);
    assert_eq!(grid(1, 512, 4096), 32);
    assert_eq!(grid(1, 512, 128 * 3), 3u32.next_multiple_of(cluster));
    assert_eq!(grid(0, 512, 4096), 0);
    assert_eq!(grid(8192, 0, 4096), 0);
}

#[test]
fn other_devices_are_answered_by_a_sentence() {
    let name = "NVIDIA A10".to_owned();
    let a10 = DeviceInfo { name, capability: (8, 6), ..DeviceInfo::h200() };
    assert_eq!(
        problem().plan(&a10).unwrap_err().to_string(),
        "FP8 blockwise grouped GEMM needs sm_90a (compute capability 9.0); \
         this device is sm_86 (NVIDIA A10)"
    );
    let small = DeviceInfo { smem_optin_bytes: 101_376, ..DeviceInfo::h200() };
    assert!(matches!(problem().plan(&small), Err(Error::SharedMemory { .. })));
}

#[test]
fn the_explanation_names_every_candidate_and_the_reasons() {
    let text = problem().plan(&DeviceInfo::h200()).expect("plan").explain();
    for word in [
        "fp8_block_sm90_bf16",
        "fp8_block_sm90_f16",
        "refused",
        "writes f16",
        "128 x 128 x 128",
        "registers",
        "shared memory",
        "132 blocks",
        "sm_90a",
        "at most 64 rows",
        "FLOP",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

const MM: Mxfp8GroupedMm = Mxfp8GroupedMm {
    rows: 8192,
    experts: 32,
    n: 4096,
    k: 7168,
    scale_rows: 12_160,
    output: ElementType::Bf16,
};

const QUANT: Mxfp8GroupedQuant = Mxfp8GroupedQuant {
    rows: 8192,
    experts: 32,
    k: 7168,
    scale_rows: 12_160,
    input: ElementType::Bf16,
    rule: ScaleRule::Sgl,
};

fn made_up<O: Operation>(problem: O, device: &DeviceInfo) -> Result<Plan<O>> {
    Plan::among(&made_up::VARIANTS, problem, None, device)
}

fn symbol<O: Operation>(problem: O, device: &DeviceInfo) -> &'static str {
    made_up(problem, device).expect("plan").variant().symbol
}

#[test]
fn the_kernel_of_the_operation_the_device_and_the_types_is_chosen() {
    let (h200, b200, b300) = (DeviceInfo::h200(), DeviceInfo::b200(), DeviceInfo::b300());
    assert_eq!(symbol(MM, &h200), "gemm_90_bf16");
    assert_eq!(symbol(MM, &b200), "gemm_100_bf16");
    assert_eq!(symbol(MM, &b300), "gemm_100_bf16");
    assert_eq!(symbol(Mxfp8GroupedMm { output: ElementType::F16, ..MM }, &b300), "gemm_100_f16");
    assert_eq!(symbol(QUANT, &h200), "quant_90_bf16");
    let f16 = Mxfp8GroupedQuant { input: ElementType::F16, ..QUANT };
    assert_eq!(symbol(f16, &h200), "quant_90_f16");
    let candidates = made_up(f16, &h200).expect("plan").candidates().to_vec();
    let verdicts: Vec<_> = candidates.iter().map(|c| (c.variant.symbol, c.verdict)).collect();
    assert_eq!(verdicts[0], ("quant_90_bf16", Verdict::Refused(Refusal::Input)));
    assert_eq!(verdicts.len(), 3);
}

#[test]
fn the_grid_of_the_quantiser_follows_its_rows_however_many_blocks_fit() {
    let h200 = DeviceInfo::h200();
    let grid = |rows, experts, k| {
        let problem = Mxfp8GroupedQuant { rows, experts, k, ..QUANT };
        made_up(problem, &h200).expect("plan").grid()
    };
    // A block that judges the group, and one for up to eight runs.
    assert_eq!(grid(1, 1, 128), 1 + 1);
    assert_eq!(grid(8, 1, 128 * 8), 1 + 1);
    assert_eq!(grid(9, 1, 128 * 8), 1 + 2);
    assert_eq!(grid(1, 8, 128 * 9), 1 + 2);
    assert_eq!(grid(256, 32, 7168), 4 + 32 * 56 / 8);
    assert_eq!(grid(8192, 33, 128), 5 + 1024 / 8);
    assert_eq!(grid(1 << 20, 32, 7168), 4 + (1 << 17) * 7);
    assert_eq!([grid(0, 4, 128), grid(4, 0, 128)], [0, 0]);
}

#[test]
fn blocks_that_share_a_multiprocessor_are_counted() {
    let mut shared = made_up::VARIANTS[0];
    shared.ctas_per_sm = 2;
    let h200 = DeviceInfo::h200();
    assert_eq!(choice::grid(&shared, &MM, &h200), 264);
    assert_eq!(choice::grid(&made_up::VARIANTS[0], &MM, &h200), 132);
    let odd = DeviceInfo { sm_count: 131, ..h200 };
    assert_eq!(choice::grid(&made_up::VARIANTS[0], &MM, &odd), 130);
}

#[test]
fn the_families_that_would_serve_are_named() {
    let name = "NVIDIA A10".to_owned();
    let a10 = DeviceInfo { name, capability: (8, 6), ..DeviceInfo::h200() };
    let families = "sm_90a (compute capability 9.0) or sm_100f (compute capability 10.0 or 10.3)";
    assert_eq!(
        made_up(MM, &a10).unwrap_err().to_string(),
        format!("MXFP8 grouped GEMM needs {families}; this device is sm_86 (NVIDIA A10)")
    );
    let error = made_up(QUANT, &a10).unwrap_err().to_string();
    assert!(error.starts_with(&format!("MXFP8 grouped quantisation needs {families};")), "{error}");
    // f16 output is made up for Blackwell only.
    let f16 = Mxfp8GroupedMm { output: ElementType::F16, ..MM };
    assert_eq!(
        made_up(f16, &DeviceInfo::h200()).unwrap_err().to_string(),
        "MXFP8 grouped GEMM needs sm_100f (compute capability 10.0 or 10.3); this device is sm_90 \
         (NVIDIA H200)"
    );
    assert_eq!(
        Plan::among(&[], MM, None, &a10).unwrap_err().to_string(),
        "MXFP8 grouped GEMM needs a kernel from e4m3 to bf16, which this build does not have; this \
         device is sm_86 (NVIDIA A10)"
    );
    let small = DeviceInfo { smem_optin_bytes: 101_376, ..DeviceInfo::b200() };
    assert!(matches!(made_up(MM, &small), Err(Error::SharedMemory { .. })));
}

/// From 193 rows an expert on: 192 is the largest tile of one block, so that an expert needs more than one.
#[test]
fn many_rows_an_expert_are_for_pairs_of_blocks() {
    let mm = |rows, experts| Mxfp8GroupedMm { rows, experts, ..MM };
    for device in [DeviceInfo::b200(), DeviceInfo::b300()] {
        for (rows, experts, chosen) in [
            (1, 1, "mxfp8_gemm_sm100_bf16"),
            (32 * 192, 32, "mxfp8_gemm_sm100_bf16"),
            (32 * 192 + 1, 32, "mxfp8_gemm_sm100_pair_bf16"),
            (32 * 256, 32, "mxfp8_gemm_sm100_pair_bf16"),
            (32 * 512, 32, "mxfp8_gemm_sm100_pair_bf16"),
            (32 * 4096, 32, "mxfp8_gemm_sm100_pair_bf16"),
            (8 * 300, 8, "mxfp8_gemm_sm100_pair_bf16"),
            (4096, 1, "mxfp8_gemm_sm100_pair_bf16"),
            (2 * 320, 2, "mxfp8_gemm_sm100_pair_bf16"),
            // Few tiles: an expert is 32 blocks of 256 rows, or 64 of 128, and there are multiprocessors for all.
            (256, 1, "mxfp8_gemm_sm100_bf16"),
            (2 * 256, 2, "mxfp8_gemm_sm100_bf16"),
        ] {
            let plan = mm(rows, experts).plan(&device).expect("plan");
            assert_eq!(plan.variant().symbol, chosen, "{rows} rows, {experts} experts");
            assert!(plan.grid().is_multiple_of(2));
        }
        let few = mm(8, 32).plan(&device).expect("plan").explain();
        assert!(few.contains("refused: made for more than 192 rows an expert on average"), "{few}");
        let many = mm(32 * 512, 32).plan(&device).expect("plan").explain();
        assert!(many.contains("> mxfp8_gemm_sm100_pair_bf16"), "{many}");
        assert!(many.contains("256 x 128 x 128") && many.contains("for more than 192"), "{many}");
        let f16 = Mxfp8GroupedMm { output: ElementType::F16, ..mm(8192, 8) };
        let symbol = f16.plan(&device).expect("plan").variant().symbol;
        assert_eq!(symbol, "mxfp8_gemm_sm100_pair_f16");
        let empty = mm(0, 8).plan(&device).expect("plan");
        assert!(empty.is_empty() && empty.variant().more_rows_than == 0);
    }
}

/// Hopper's kernel for few rows serves up to 8 an expert, and fewer tiles than there are multiprocessors.
#[test]
fn few_rows_an_expert_have_a_kernel_of_their_own() {
    for (rows, experts, chosen) in [
        (1, 1, "mxfp8_gemm_sm90_few_bf16"),
        (32 * 8, 32, "mxfp8_gemm_sm90_few_bf16"),
        (32 * 8 + 1, 32, "mxfp8_gemm_sm90_bf16"),
        (32 * 4096, 32, "mxfp8_gemm_sm90_bf16"),
        (1 << 20, 1, "mxfp8_gemm_sm90_bf16"),
        // 128 tiles of 128 rows are one wave, 512 of 32 are four.
        (8 * 128, 8, "mxfp8_gemm_sm90_bf16"),
        // 16 tiles of 128 rows, or 64 of 32: either is one wave.
        (128, 1, "mxfp8_gemm_sm90_few_bf16"),
    ] {
        let mm = Mxfp8GroupedMm { rows, experts, ..MM };
        let plan = mm.plan(&DeviceInfo::h200()).expect("plan");
        assert_eq!(plan.variant().symbol, chosen, "{rows} rows, {experts} experts");
    }
    let few = Mxfp8GroupedMm { rows: 8, experts: 1, ..MM }.plan(&DeviceInfo::h200());
    let few = few.expect("plan").explain();
    assert!(few.contains("refused: made for more than 8 rows an expert on average"), "{few}");
}

/// Hopper's kernel for few rows serves up to 8 an expert.
#[test]
fn up_to_eight_rows_an_expert_have_a_kernel_of_their_own() {
    for (rows, experts, chosen) in [
        (1, 1, "fp8_block_sm90_few_bf16"),
        (8, 1, "fp8_block_sm90_few_bf16"),
        (9, 1, "fp8_block_sm90_bf16"),
        (32 * 8, 32, "fp8_block_sm90_few_bf16"),
        (32 * 8 + 1, 32, "fp8_block_sm90_bf16"),
        (256 * 8, 256, "fp8_block_sm90_few_bf16"),
    ] {
        let plan = Fp8GroupedMm { rows, experts, ..problem() }.plan(&DeviceInfo::h200());
        let plan = plan.expect("plan");
        assert_eq!(plan.variant().symbol, chosen, "{rows} rows, {experts} experts");
    }
    let some = Fp8GroupedMm { rows: 32 * 16, ..problem() }.plan(&DeviceInfo::h200());
    let some = some.expect("plan").explain();
    assert!(some.contains("refused: made for at most 8 rows an expert on average"), "{some}");
}

/// Hopper's kernel for 129 to 192 rows serves them unless its tiles, half as large again, leave multiprocessors idle; where there
/// are many tiles, also rows that at random are more than 128 for some experts.
#[test]
fn tall_tiles_are_for_up_to_192_rows_an_expert() {
    let [flat, tall, wide] =
        ["fp8_block_sm90_bf16", "fp8_block_sm90_tall_bf16", "fp8_block_sm90_wide_bf16"];
    for (rows, experts, chosen) in [
        (9, 1, flat),
        (32 * 118, 32, flat),
        (32 * 128, 32, wide),
        (32 * 128 + 1, 32, tall),
        (32 * 192, 32, tall),
        (8 * 192, 8, tall),
        (256 * 160, 256, tall),
        (48 * 118, 48, flat),
        (48 * 119, 48, tall),
        (48 * 128, 48, tall),
        (47 * 128, 47, wide),
        // 32 tall tiles, or 64 others: either is one wave.
        (192, 1, flat),
        (2 * 192, 2, flat),
        // 96 tall tiles are one wave, 192 others are two.
        (3 * 192, 3, tall),
    ] {
        let plan = Fp8GroupedMm { rows, experts, ..problem() }.plan(&DeviceInfo::h200());
        let plan = plan.expect("plan");
        assert_eq!(plan.variant().symbol, chosen, "{rows} rows, {experts} experts");
    }
    let explain = |rows| {
        let problem = Fp8GroupedMm { rows, ..problem() };
        problem.plan(&DeviceInfo::h200()).expect("plan").explain()
    };
    let (some, many, few) = (explain(32 * 160), explain(32 * 193), explain(32));
    assert!(some.contains("192 x 128 x 128") && some.contains("for 119 to 192 rows"), "{some}");
    assert!(many.contains("refused: made for at most 192 rows an expert on average"), "{many}");
    assert!(few.contains("refused: made for more than 118 rows an expert on average"), "{few}");
    let f16 = Fp8GroupedMm { output: ElementType::F16, rows: 32 * 160, ..problem() };
    let f16 = f16.plan(&DeviceInfo::h200()).expect("plan");
    assert_eq!(f16.variant().symbol, "fp8_block_sm90_tall_f16");
}

/// Hopper's kernel of 128 x 192 serves where its tiles, which take 1.42 times as long, or 1.54 without a partner, fill the device;
/// for up to 192 rows an expert that is in few rounds of tiles.
#[test]
fn wide_tiles_are_for_many_rows_or_few_rounds() {
    let [flat, tall, wide] =
        ["fp8_block_sm90_bf16", "fp8_block_sm90_tall_bf16", "fp8_block_sm90_wide_bf16"];
    let of = |n, k| Fp8GroupedMm { n, k, ..problem() };
    let (gate_up, down, narrow) = (of(4096, 7168), of(7168, 2048), of(2048, 768));
    for (shape, rows, experts, chosen) in [
        (gate_up, 32 * 192, 32, tall),
        // 1,408 tiles in 11 rounds, others 2,048 in 16.
        (gate_up, 32 * 192 + 1, 32, wide),
        (gate_up, 32 * 1024, 32, wide),
        (gate_up, 32 * 4096, 32, wide),
        (down, 32 * 224, 32, wide),
        (narrow, 128 * 512, 128, wide),
        // 3 and 4 rounds; with 300 rows, of which every third tile has no partner, 4 and 6.
        (gate_up, 8 * 256, 8, flat),
        (gate_up, 8 * 300, 8, wide),
        // One round of each.
        (gate_up, 512, 1, flat),
        // Half of the columns of its second tile would be nobody's.
        (of(256, 1024), 32 * 1024, 32, flat),
        // One round of wide tiles, and one and a half; from 129 rows on two, and three.
        (of(3072, 4096), 8 * 95, 8, flat),
        (of(3072, 4096), 8 * 95 + 1, 8, flat),
        (of(3072, 4096), 8 * 128, 8, flat),
        (of(3072, 4096), 8 * 128 + 1, 8, wide),
        (of(3072, 4096), 8 * 192, 8, wide),
        // The same, but halves would have less than a fifth of the device at work.
        (of(4608, 7168), 4 * 95, 4, flat),
        (of(4608, 7168), 4 * 96, 4, wide),
        (of(4608, 7168), 4 * 128, 4, wide),
        // 16 rounds and 24.
        (of(3072, 4096), 128 * 112, 128, flat),
        // 6 rounds and 8, 3 and 3 and a half, 2 and 2: at random many experts have a few rows more than a tile of the others holds.
        (gate_up, 32 * 119, 32, wide),
        (down, 8 * 128, 8, flat),
        (gate_up, 8 * 128, 8, flat),
        (narrow, 32 * 128, 32, wide),
        (narrow, 128 * 128, 128, tall),
    ] {
        let plan = Fp8GroupedMm { rows, experts, ..shape }.plan(&DeviceInfo::h200());
        let plan = plan.expect("plan");
        assert_eq!(plan.variant().symbol, chosen, "{rows} rows, {experts} experts, {shape:?}");
    }
    let many = Fp8GroupedMm { rows: 32 * 1024, ..problem() };
    let explained = many.plan(&DeviceInfo::h200()).expect("plan").explain();
    assert!(explained.contains("128 x 192 x 128"), "{explained}");
    let f16 = Fp8GroupedMm { output: ElementType::F16, ..many };
    let f16 = f16.plan(&DeviceInfo::h200()).expect("plan");
    assert_eq!(f16.variant().symbol, "fp8_block_sm90_wide_f16");
}

/// Whoever makes room for many rows and expects few gets the kernel for few, with a grid for all.
#[test]
fn a_plan_for_expected_rows_has_their_kernel_and_room_for_all() {
    let [few, flat, tall, wide] = [
        "fp8_block_sm90_few_bf16",
        "fp8_block_sm90_bf16",
        "fp8_block_sm90_tall_bf16",
        "fp8_block_sm90_wide_bf16",
    ];
    let room = Fp8GroupedMm { rows: 32 * 1024, ..problem() };
    let device = DeviceInfo::h200();
    let all = room.plan(&device).expect("plan");
    for (expected, chosen) in [
        (0, flat),
        (1, few),
        (32 * 8, few),
        (32 * 9, flat),
        (32 * 160, tall),
        (32 * 1024 - 1, wide),
        (32 * 1024, wide),
    ] {
        let plan = room.plan_expecting(expected, &device).expect("plan");
        assert_eq!(plan.variant().symbol, chosen, "{expected} rows");
        assert_eq!(plan.expected_rows(), expected);
        assert_eq!((plan.problem(), plan.grid()), (&room, all.grid()));
        let says = format!("expected  {expected} of 32768 rows");
        assert_eq!(plan.explain().contains(&says), expected < room.rows, "{}", plan.explain());
    }
    assert_eq!(room.plan_expecting(room.rows, &device), Ok(all));
    assert_eq!(
        room.plan_expecting(room.rows + 1, &device).expect_err("too many").to_string(),
        "`expected_rows` is 32769, but it must be between 0 and 32768: expect no more than there is room for, or make room",
    );
    let odd = Fp8GroupedMm { k: 192, ..room };
    assert_eq!(odd.plan_expecting(8, &device).err(), odd.plan(&device).err());
}

#[test]
fn mxfp8_plans_know_expected_rows_too() {
    let room = Mxfp8GroupedMm { rows: 32 * 1024, experts: 32, scale_rows: 64 * 1024, ..MM };
    let device = DeviceInfo::h200();
    let [few, many] = ["mxfp8_gemm_sm90_few_bf16", "mxfp8_gemm_sm90_bf16"];
    assert_eq!(room.plan(&device).expect("plan").variant().symbol, many);
    assert_eq!(room.plan_expecting(32 * 8, &device).expect("plan").variant().symbol, few);
}

/// The grid is for all tiles that there can be: of an expert with many rows only the last tile is a tall one.
#[test]
fn a_grid_for_tall_tiles_has_room_for_the_others() {
    // At most 6 row tiles of 128 in any split, which are 72 clusters: more than there are. Of 192 rows there would be 5, and 60.
    let problem = Fp8GroupedMm { rows: 3 * 129, experts: 3, n: 128 * 24, ..problem() };
    let plan = problem.plan(&DeviceInfo::h200()).expect("plan");
    assert_eq!(plan.variant().symbol, "fp8_block_sm90_tall_bf16");
    assert_eq!(problem.max_row_tiles(), 6);
    assert_eq!(plan.grid(), 132);
}

#[test]
fn explanations_speak_of_their_operation() {
    let of_products =
        ["N 4096", "12160 scale rows", "gemm_90_bf16", "multiply-adds", "clusters of 2"];
    let of_the_quantiser = ["rule sgl", "bf16 to e4m3", "elements with padding", "a warp takes"];
    let product = made_up(MM, &DeviceInfo::b200()).expect("plan").explain();
    let quantiser = made_up(QUANT, &DeviceInfo::h200()).expect("plan").explain();
    for (words, text) in [(&of_products[..], &product), (&of_the_quantiser, &quantiser)] {
        for word in words {
            assert!(text.contains(word), "{word} in\n{text}");
        }
    }
    for (words, text) in [
        (&["at most 64 rows", "rule"][..], &product),
        (&["clusters", "multiply", "at most 64 rows", ", N "], &quantiser),
    ] {
        for word in words {
            assert!(!text.contains(word), "{word} in\n{text}");
        }
    }
}

/// Every kernel that the real table has for an operation can be planned on a device of its family.
#[test]
fn every_shipped_kernel_is_planned_on_its_family() {
    for variant in crate::abi::VARIANTS {
        let devices = [DeviceInfo::h200(), DeviceInfo::b200(), DeviceInfo::b300()];
        for device in devices.iter().filter(|device| variant.arch.runs_on(device.capability)) {
            let served = match variant.op {
                crate::abi::Op::Mxfp8GroupedMm => {
                    let rows = MM.experts * u64::from(variant.more_rows_than + 1);
                    let plan = Mxfp8GroupedMm { rows, output: variant.output, ..MM }.plan(device);
                    plan.map(|plan| assert_eq!(plan.variant(), variant))
                }
                crate::abi::Op::Mxfp8GroupedQuant => {
                    Mxfp8GroupedQuant { input: variant.input, ..QUANT }.plan(device).map(drop)
                }
                _ => Ok(()),
            };
            assert_eq!(served, Ok(()), "{} on {device}", variant.symbol);
        }
    }
}
