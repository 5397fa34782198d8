//! The tensor core of the fifth generation, in kernels by hand: what they compute, bit for bit, and which faults
//! are found. The truth is the published rule of one product (`semantics::tensor::blackwell`) and nothing measured.

mod fixture;

use fixture::{Matrix, Mxf8, TIMINGS, kinds};
use ptx_emulator::{Program, ReportKind};

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

/// Faults of allocation, descriptors and protocol. The rules are those of PTX ISA 9.7.16.4 to 9.7.16.7.
#[test]
fn guards() {
    use ReportKind::{Barrier, Deadlock, Descriptor, OutOfBounds, Race, Tcgen05, Uninitialised};
    let alloc = "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r5], 128;";
    let other = alloc.replace("[%r5], 128", "[%r5], 32");
    let relinquish = "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;";
    let dealloc = "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r11, 128;";
    let mma = "block32 [%r11], %d7, %d8, %r35, [%r12], [%r13], %p5;";
    let after = |first: &str, second: &str| format!("{first}\n{second}");
    let cases: &[(&str, &str, &str, ReportKind)] = &[
        ("a leak", dealloc, "", Tcgen05),
        ("half given back", dealloc, &dealloc.replace("128", "64"), Tcgen05),
        ("another column given back", "%r11, 128;", "%r12, 128;", Tcgen05),
        ("no power of two", alloc, &alloc.replace("128", "96"), Tcgen05),
        ("growing", alloc, &after(&other, alloc), Tcgen05),
        ("allocation after the permit", relinquish, &after(relinquish, &other), Tcgen05),
        ("nothing left", alloc, &after(&alloc.replace("128", "512"), alloc), Deadlock),
        ("another warp", "@%p1 bra END;", "setp.ne.u32 %p1, %r7, 3;\n@%p1 bra END;", Tcgen05),
        ("two groups", relinquish, &relinquish.replace("::1", "::2"), Tcgen05),
        ("scales beyond", "add.u32 %r13, %r11, 68;", "add.u32 %r13, %r11, 126;", OutOfBounds),
        ("another quarter", "shl.b32 %r37, %r36, 21;", "shl.b32 %r37, %r36, 22;", Tcgen05),
        ("D in the middle", "block32 [%r11],", "block32 [%r11+1048576],", Tcgen05),
        ("a reserved bit", "%r35, 0x08900000;", "%r35, 0x08900001;", Descriptor),
        ("sparse", "%r35, 0x08900000;", "%r35, 0x08900004;", Descriptor),
        ("scales of another type", "%r35, 0x08900000;", "%r35, 0x08100000;", Descriptor),
        ("no M", "%r35, 0x08900000;", "%r35, 0x00900000;", Descriptor),
        ("a Hopper descriptor", "0x4000404000000000", "0x4000004000000000", Descriptor),
        ("a reserved bit of an operand", "0x4000404000000000", "0x4020404000000000", Descriptor),
        ("scales with a swizzle", "0x0000400800000000", "0x4000400800000000", Descriptor),
        ("D over the scales", "%r35, 0x08900000;", "%r35, 0x08A00000;", Race),
        (
            "a whole warp multiplies",
            "setp.eq.u32 %p2, %r6, 32;",
            "setp.eq.u32 %p2, %r7, 1;",
            Tcgen05,
        ),
        ("no scales", "tcgen05.cp.cta_group::1.32x128b.warpx4 [%r13], %d10;", "", Uninitialised),
        ("both scales in one place", "warpx4 [%r13], %d10;", "warpx4 [%r12], %d10;", Race),
        ("adding to nothing", mma, &mma.replace("%p5", "1"), Uninitialised),
        (
            "no commit of the stage",
            "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%r26];",
            "",
            Deadlock,
        ),
        (
            "no commit of the tile",
            "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%r3];",
            "",
            Deadlock,
        ),
        (
            "a commit to nowhere",
            "shared::cluster.b64 [%r3];",
            "shared::cluster.b64 [%r3+64];",
            Barrier,
        ),
    ];
    for (what, from, to, expected) in cases {
        for (kinds, timing) in kinds(&Mxf8::new(TILES, &[(from, to)])).iter().zip(TIMINGS) {
            assert!(kinds.contains(expected), "{what}, {timing:?}: {kinds:?}, not {expected:?}");
        }
    }
}

/// Nothing is against a rule here, but the numbers are wrong.
#[test]
fn wrong_numbers_are_seen_in_the_output() {
    let wrong = [
        ("the scale id of B", "%r35, %r35, 0x20000010;", "%r35, %r35, 0x20000000;"),
        ("both scale ids", "%r35, %r35, 0x20000010;", "%r35, %r35, 0x20000020;"),
        ("exchanged scales", "%r35, [%r12], [%r13]", "%r35, [%r13], [%r12]"),
        ("the same slice of A", "add.s64 %d7, %d7, 2;", ""),
        ("no sum", "setp.eq.u32 %p5, %r0, %r0;", ""),
        ("half the columns", "%r35, 0x08900000;", "%r35, 0x08880000;"),
    ];
    for (what, from, to) in wrong {
        let problem = Mxf8::new(TILES, &[(from, to)]);
        let (output, reports) = problem.run(TIMINGS[1]);
        let uninitialised = reports.iter().any(|r| r.kind == ReportKind::Uninitialised);
        assert!(output != problem.truth() || uninitialised, "{what}");
    }
}

/// Faults that only a pair can have.
#[test]
fn guards_of_pairs() {
    use ReportKind::{Barrier, Deadlock, PeerExited, Tcgen05, Unsupported};
    let end =
        "barrier.cluster.arrive.aligned;\n    barrier.cluster.wait.aligned;\n    @%p1 bra END;";
    let cases: &[(&str, &str, &str, &[ReportKind])] = &[
        // It waits for a stage that nobody says is full.
        ("the odd CTA multiplies", "@%p7 setp.ne.u32 %p2, %r6, %r6;", "", &[Deadlock]),
        (
            "the odd CTA issues",
            "COPY:",
            "COPY:\n    @%p7 tcgen05.cp.cta_group::2.32x128b.warpx4 [%r12], 0;",
            &[Tcgen05],
        ),
        ("no peer", ".reqnctapercluster 2, 1, 1\n", "", &[]),
        (
            "the stage is free for one only",
            "shared::cluster.multicast::cluster.b64 [%r26], %h0;",
            "shared::cluster.b64 [%r26];",
            &[Deadlock],
        ),
        (
            "a copy for itself signals the peer",
            "complete_tx::bytes.cta_group::2 [%r28]",
            "complete_tx::bytes [%r28]",
            &[Barrier],
        ),
        ("too few bytes", "[%r40], 43008;", "[%r40], 42496;", &[]),
        ("rows of one CTA", "%r35, 0x10900000;", "%r35, 0x08900000;", &[Unsupported]),
        // The last commit is known to have arrived, but not those before it at other barriers.
        ("no wait for the last commits", &wait("%r26", "TAIL_WAIT"), "", &[PeerExited]),
        // The odd CTA gives its memory back, or leaves, while the even one multiplies from it.
        ("no meeting at the end", end, "@%p1 bra END;", &[]),
    ];
    for (what, from, to, expected) in cases {
        for (kinds, timing) in kinds(&Mxf8::pair(PAIRS, &[(from, to)])).iter().zip(TIMINGS) {
            let found = !kinds.is_empty() && expected.iter().all(|kind| kinds.contains(kind));
            assert!(found, "{what}, {timing:?}: {kinds:?}, not {expected:?}");
        }
    }
}

/// The spellings of the block size, and the kind without scales (PTX ISA 9.7.16.10).
#[test]
fn other_forms_of_the_product() {
    is_right(&Mxf8::new(TILES, &[(".block_scale.block32", ".block_scale")]));
    let exact = [(".target sm_100f", ".target sm_103a"), (".block32", ".scale_vec::1X")];
    is_right(&Mxf8::new(TILES, &exact));
    let plain = [
        ("mov.b32 %r35, 0x08900000;", "mov.b32 %r35, 0;\n    mov.b32 %r41, 0x08100010;"),
        (
            "kind::mxf8f6f4.block_scale.block32 [%r11], %d7, %d8, %r35, [%r12], [%r13], %p5;",
            "kind::f8f6f4 [%r11], %d7, %d8, %r41, %p5;",
        ),
    ];
    is_right(&Mxf8 { scaled: false, ..Mxf8::new(TILES, &plain) });
}

/// PTX ISA 9.7.16: the family exists on targets with `a` or `f` only.
#[test]
fn targets_without_tensor_memory() {
    for target in ["sm_90a", "sm_100", "sm_120a"] {
        let text = TILES.replace("sm_100f", target);
        let error = Program::parse(&text).expect_err(target);
        assert!(error.to_string().contains("no tcgen05"), "{error}");
    }
}
