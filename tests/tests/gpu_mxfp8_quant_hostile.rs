//! Hostile group tables for the MXFP8 quantiser on a GPU: nothing is written outside of the outputs, rows and scales of
//! refused groups stay as they were, and the status word says what was wrong.

use expert_gemm::{DeviceInfo, GroupStatus};
use expert_gemm_tests::gpu::{Gpu, say};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::quant_device::{DeviceQuant, shape};
use expert_gemm_tests::mx::quant_problem::QuantSpec;
use expert_gemm_tests::mx::routing::MxTables;
use expert_gemm_tests::rng::Rng;
use expert_gemm_tests::routing::Tables;

const PROBLEMS: u64 = 250;
const ROUNDS: u64 = 3;

fn open() -> Option<Gpu> {
    let any = QuantSpec::PLAIN.build();
    Gpu::open_for(|info: &DeviceInfo| shape(&any).plan(info).map(drop))
}

#[test]
fn random_hostile_tables() {
    let Some(gpu) = open() else { return };
    let mut seen = GroupStatus::OK;
    for seed in 0..PROBLEMS {
        // Every tenth has more blocks than start at once.
        let elements = if seed % 10 == 0 { 9_000_000 } else { 200_000 };
        let problem = QuantSpec::random(seed, elements, 512).build();
        let on_device = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("ordinary tables");
        let rng = &mut Rng::stream(seed, 7);
        for round in 0..ROUNDS {
            let routing = &problem.routing;
            let tables = problem.tables().hostile(routing.rows.rows, routing.scale_rows, rng);
            on_device.reset(&tables).expect("reset");
            match on_device.run().expect("no fault").judge(&problem, &tables) {
                Ok(status) => seen = seen.union(status),
                Err(complaint) => panic!("{complaint}\n  round {round} of {problem}\n  {tables:?}"),
            }
        }
    }
    say(&format!("{} hostile tables: status bits seen {:#x}", PROBLEMS * ROUNDS, seen.0));
    assert_eq!(seen.0, 0xFF, "every bit of the status word was asked for");
}

/// Name, sizes, offsets, scale offsets, and the bits that the status word must hold.
type Named = (&'static str, [[i32; 3]; 4], [i32; 4], [i32; 4], GroupStatus);

/// Tables for 4 experts, 40 rows and 512 scale rows.
fn named_tables(k: i32) -> Vec<Named> {
    let ten = [10, 0, k];
    let sizes = |index: usize, size| {
        let mut sizes = [ten; 4];
        sizes[index] = size;
        sizes
    };
    let (packed, scales) = ([0, 10, 20, 30], [0, 128, 256, 384]);
    let wrong_k = sizes(1, [10, 0, k - 128]);
    let (offset, past) = (GroupStatus::SCALE_OFFSET, GroupStatus::SCALES_PAST_THE_END);
    let shared = GroupStatus::SCALES_OVERLAP;
    vec![
        ("ordinary", [ten; 4], packed, scales, GroupStatus::OK),
        ("any N", sizes(1, [10, -77, k]), packed, scales, GroupStatus::OK),
        ("all empty", [[0, 0, k]; 4], packed, scales, GroupStatus::OK),
        (
            "empty with nonsense",
            sizes(1, [0, -7, i32::MAX]),
            [0, i32::MIN, 20, 30],
            [0, -1, 256, 384],
            GroupStatus::OK,
        ),
        ("negative count", sizes(2, [-1, 0, k]), packed, scales, GroupStatus::NEGATIVE_ROWS),
        ("negative offset", [ten; 4], [0, 10, -1, 30], scales, GroupStatus::NEGATIVE_OFFSET),
        ("one row past", sizes(3, [11, 0, k]), packed, scales, GroupStatus::PAST_THE_END),
        ("wrong depth", wrong_k, packed, scales, GroupStatus::WRONG_SHAPE),
        ("same rows", [ten; 4], [0, 10, 20, 29], scales, GroupStatus::OVERLAP),
        ("negative scales", [ten; 4], packed, [-128, 128, 256, 384], offset),
        ("least scales", [ten; 4], packed, [0, i32::MIN, 256, 384], offset),
        ("odd scales", [ten; 4], packed, [0, 128, 257, 384], offset),
        ("half an atom", [ten; 4], packed, [0, 128, 320, 384], offset),
        ("scales at the end", [ten; 4], packed, [0, 128, 256, 512], past),
        ("largest scales", [ten; 4], packed, [0, 128, 256, i32::MAX - 127], past),
        ("same scales", [ten; 4], packed, [0, 128, 128, 384], shared),
        (
            "everything at once",
            [[-1, 0, k], [10, 0, 7], [50, 0, k], ten],
            packed,
            [3, 128, 256, 384],
            GroupStatus::NEGATIVE_ROWS
                .union(GroupStatus::WRONG_SHAPE)
                .union(GroupStatus::PAST_THE_END)
                .union(offset),
        ),
    ]
}

#[test]
fn named_hostile_tables() {
    let Some(gpu) = open() else { return };
    let problem = QuantSpec { total_rows: 40, k: 384, ..QuantSpec::PLAIN }.build();
    let on_device = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("ordinary tables");
    for (name, sizes, offsets, scale_offsets, status) in named_tables(384) {
        let groups = Tables { sizes: sizes.to_vec(), offsets: offsets.to_vec() };
        let tables = MxTables { groups, scale_offsets: scale_offsets.to_vec() };
        on_device.reset(&tables).expect("reset");
        let outcome = on_device.run().expect("no fault");
        assert_eq!(outcome.judge(&problem, &tables), Ok(status), "{name}");
    }
}

#[test]
fn the_status_word_keeps_what_it_held() {
    let Some(gpu) = open() else { return };
    let problem = QuantSpec { total_rows: 40, k: 384, ..QuantSpec::PLAIN }.build();
    let on_device = DeviceQuant::new(&gpu, &problem, Around::Guards).expect("ordinary tables");
    let mut tables = problem.tables();
    tables.scale_offsets[0] = 1;
    on_device.reset(&tables).expect("reset");
    on_device.launch(expert_gemm::Stream::DEFAULT).expect("launch");
    tables.scale_offsets[0] = 0;
    tables.groups.offsets[1] = -1;
    on_device.replace_tables(&tables).expect("tables");
    let outcome = on_device.run().expect("no fault");
    let both = GroupStatus::SCALE_OFFSET.union(GroupStatus::NEGATIVE_OFFSET);
    assert_eq!(outcome.status, both, "kernels only set bits");
}
