//! The tensor core of the fifth generation, in kernels by hand: what they compute, bit for bit, and which faults
//! are found. The truth is the published rule of one product (`semantics::tensor::blackwell`) and nothing measured.

mod fixture;

use fixture::{Matrix, Mxf8, TIMINGS, kinds};
use ptx_emulator::ReportKind;

const PAIRS: &str = include_str!("../fixtures/mxf8_pairs.ptx");
const TILES: &str = include_str!("../fixtures/mxf8_tiles.ptx");

/// Every bit under every timing, and nothing reported.
fn is_right(problem: &Mxf8) {
    let truth = problem.truth();
    for timing in TIMINGS {
        let (output, reports) = problem.run(timing);
        assert!(reports.is_empty(), "{timing:?}: {}", reports[0]);
        assert!(
            output == truth,
            "{} tiles, {} blocks, {timing:?}",
            problem.tiles,
            problem.k_blocks
        );
    }
}

#[test]
fn every_bit_of_a_pipelined_product_under_every_timing() {
    for (tiles, k_blocks) in [(1, 1), (1, 4), (3, 2), (2, 3)] {
        is_right(&Mxf8 { tiles, k_blocks, ..Mxf8::new(TILES, &[]) });
    }
}

/// The distribution over a pair is that of CUTLASS (`machine::tcgen05::facts`).
#[test]
fn every_bit_of_a_product_over_a_pair() {
    for (tiles, k_blocks) in [(1, 1), (1, 3), (3, 2)] {
        is_right(&Mxf8 { tiles, k_blocks, ..Mxf8::pair(PAIRS, &[]) });
    }
}

/// The fixture is what its own checks say only if its numbers matter.
#[test]
fn the_truth_depends_on_every_operand() {
    let problem = Mxf8::new(TILES, &[]);
    let truth = problem.truth();
    for which in [Matrix::A, Matrix::B, Matrix::ScalesA, Matrix::ScalesB] {
        let changed = problem.with_other(which);
        assert_ne!(changed.truth(), truth, "{which:?}");
    }
}

/// The lines of a wait for the mbarrier in a register.
fn wait(register: &str, label: &str) -> String {
    format!(
        "mbarrier.try_wait.parity.shared::cta.b64 %p3, [{register}], %r24;\n    @!%p3 bra {label};\n"
    )
}

/// What is wrong, the lines that go, and what every timing must report. Nothing there: something, which may depend
/// on what came first.
type Fault<'a> = (&'a str, &'a str, &'a [ReportKind]);

fn all_found(faults: &[Fault<'_>]) {
    for (what, dropped, expected) in faults {
        for (kinds, timing) in kinds(&Mxf8::new(TILES, &[(dropped, "")])).iter().zip(TIMINGS) {
            let found = !kinds.is_empty() && expected.iter().all(|kind| kinds.contains(kind));
            assert!(found, "without {what}, {timing:?}: {kinds:?}, not {expected:?}");
        }
    }
}

/// Faults of the order. The rules are those of PTX ISA 9.7.16.6.
#[test]
fn order() {
    use ReportKind::{ExitOutstanding, ProxyFence, Race, Tcgen05, TensorFence, Uninitialised};
    all_found(&[
        (
            "the loads' fence",
            "tcgen05.fence::before_thread_sync;       // loads are complete",
            &[Race],
        ),
        (
            "the fence after the wait for the accumulator",
            "tcgen05.fence::after_thread_sync;        // accumulator is free",
            &[TensorFence],
        ),
        (
            "the fence after the wait for the products",
            "tcgen05.fence::after_thread_sync;        // products are complete",
            &[TensorFence],
        ),
        // Registers that are not there yet, and loads that nothing completes.
        ("the wait for the loads", "tcgen05.wait::ld.sync.aligned;", &[Tcgen05, ExitOutstanding]),
        ("the wait for the products", &wait("%r3", "STORE_WAIT"), &[Uninitialised]),
        // The next tile's first product overwrites what is still being loaded.
        ("the wait for the accumulator", &wait("%r4", "MULTIPLY_ACCUMULATOR"), &[Race]),
        // The copies of the third stage overwrite what the products of the first still read.
        ("the wait for an empty stage", &wait("%r26", "COPY_WAIT"), &[]),
        ("the wait for a full stage", &wait("%r27", "MULTIPLY_WAIT"), &[]),
        ("the fence of the barriers", "fence.proxy.async.shared::cta;", &[ProxyFence]),
    ]);
}
