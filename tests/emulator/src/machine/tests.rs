//! Small kernels, by hand: what runs, and what each check finds.

use super::{Emulator, Launch, Program};
use crate::options::{Options, Timing};
use crate::report::{Report, ReportKind};

mod collective;
mod reports;
mod scalar;
mod wgmma;

const HEAD: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n\
    .extern .shared .align 1024 .b8 smem[];\n";
const REGISTERS: &str = ".reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<32>; .reg .b64 %d<16>;\n\
    mov.u32 %r0, smem; mov.u32 %r1, %tid.x; ld.param.u64 %d0, [out]; mul.wide.u32 %d1, %r1, 4;\n\
    add.s64 %d2, %d0, %d1; setp.eq.u32 %p0, %r1, 0; add.s32 %r2, %r0, 4096; mov.b32 %r3, 1;\n\
    shl.b32 %r4, %r1, 2; add.s32 %r4, %r4, %r0;\n";
const TIMINGS: [Timing; 4] = [Timing::Early, Timing::Late, Timing::Random(1), Timing::Random(2)];

/// `%d0` is a buffer of 64 Ki words, `%d2` the thread's own; `%r0` shared memory, `%r4` the thread's word of
/// it, `%r1` the thread, `%r2` room for mbarriers, `%r3` is 1 and `%p0` the first thread.
fn run_with(timing: Timing, threads: u32, ctas: u32, body: &str) -> (Vec<u32>, Vec<Report>) {
    let cluster =
        if ctas > 1 { format!(".reqnctapercluster {ctas}, 1, 1\n") } else { String::new() };
    let text = format!(
        "{HEAD}.visible .entry k(.param .u64 out)\n{cluster}{{\n{REGISTERS}{body}\nret;\n}}\n"
    );
    let program = Program::parse(&text).expect("the text is known");
    let mut emulator = Emulator::new(Options { timing, ..Options::default() });
    let out = emulator.memory.alloc(1 << 18);
    let first: Vec<u8> = (0..1u32 << 15).flat_map(u32::to_le_bytes).collect();
    emulator.memory.write(out, &first).expect("memory");
    let launch = Launch {
        grid: [ctas, 1, 1],
        block: [threads, 1, 1],
        cluster: [1; 3],
        smem_bytes: 32_768,
        params: &out.to_le_bytes(),
    };
    let (reports, _) = emulator.launch(&program, "k", &launch).expect("launch");
    let mut bytes = vec![0; threads as usize * 4];
    emulator.memory.read(out, &mut bytes).expect("memory");
    let words = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    (words.collect(), reports)
}

fn clean(threads: u32, body: &str) -> Vec<u32> {
    let mut last = Vec::new();
    for timing in TIMINGS {
        let (words, reports) = run_with(timing, threads, 1, body);
        assert!(reports.is_empty(), "{timing:?}: {}", reports[0]);
        last = words;
    }
    last
}

/// The kinds that every timing finds.
fn found(threads: u32, ctas: u32, body: &str) -> Vec<ReportKind> {
    let kinds = TIMINGS.map(|timing| {
        let (_, reports) = run_with(timing, threads, ctas, body);
        let mut kinds: Vec<ReportKind> = reports.iter().map(|report| report.kind).collect();
        kinds.dedup();
        kinds
    });
    assert!(kinds.iter().all(|k| *k == kinds[0]), "{kinds:?}");
    kinds[0].clone()
}

#[test]
fn lanes_diverge_and_meet_again() {
    let body = "and.b32 %r5, %r1, 3; mov.b32 %r6, 0;\nLOOP: setp.eq.u32 %p1, %r5, 0; @%p1 bra DONE;\n\
        add.s32 %r6, %r6, 10; sub.s32 %r5, %r5, 1; bra.uni LOOP;\nDONE: bar.warp.sync -1;\n\
        shfl.sync.idx.b32 %r7, %r6, 3, 31, -1; add.s32 %r7, %r7, %r6; st.global.u32 [%d2], %r7;";
    let words = clean(32, body);
    assert!((0..32).all(|i| words[i] == 30 + 10 * (i as u32 % 4)));
}

#[test]
fn unknown_text_names_its_line() {
    for (body, line) in
        [("add.s32.sat %r1, %r1, 1;", 5), ("frob.b32 %r1;", 5), ("mov.u32 %r1, %q;", 5)]
    {
        let text = format!(
            ".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry k() {{ .reg .b32 %r<4>;\n{body}\n}}"
        );
        let error = Program::parse(&text).expect_err("unknown");
        assert_eq!(error.line, line, "{error}");
    }
}

#[test]
fn memory_rules() {
    assert_eq!(found(32, 1, "ld.global.u32 %r5, [%d0+262144];"), [ReportKind::OutOfBounds]);
    assert_eq!(found(1, 1, "ld.global.u32 %r5, [%d0+200000];"), [ReportKind::Uninitialised]);
    assert_eq!(found(1, 1, "ld.global.u32 %r5, [%d0+2];"), [ReportKind::Misaligned]);
    assert_eq!(found(1, 1, "ld.shared.u32 %r5, [%r0];"), [ReportKind::Uninitialised]);
    assert_eq!(found(1, 1, "st.shared.u32 [%r0+32768], %r1;"), [ReportKind::OutOfBounds]);
    assert_eq!(found(32, 1, "st.global.u32 [%d0], %r1;"), [ReportKind::Race]);
}

#[test]
fn races_between_lanes_need_a_barrier() {
    let neighbour = "xor.b32 %r5, %r4, 4; ld.shared.u32 %r6, [%r5]; st.global.u32 [%d2], %r6;";
    let write = "st.shared.u32 [%r4], %r1;";
    assert_eq!(found(32, 1, &format!("{write}{neighbour}")), [ReportKind::Race]);
    let words = clean(32, &format!("{write} bar.warp.sync -1; {neighbour}"));
    assert!((0..32).all(|i| words[i] == i as u32 ^ 1));
    let far = "xor.b32 %r5, %r4, 128; ld.shared.u32 %r6, [%r5]; st.global.u32 [%d2], %r6;";
    assert_eq!(
        found(64, 1, &format!("{write} bar.warp.sync -1; {far}")).last(),
        Some(&ReportKind::Race)
    );
    let words = clean(64, &format!("{write} bar.sync 0; {far}"));
    assert!((0..64).all(|i| words[i] == i as u32 ^ 32));
}

const INIT: &str = "@!%p0 bra GO; mbarrier.init.shared::cta.b64 [%r2], %r3;\n\
    fence.mbarrier_init.release.cluster; fence.proxy.async;\nGO: bar.sync 0;\n";
const WAIT: &str =
    "WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0; @!%p1 bra WAIT;\n";
const COPY: &str = "@!%p0 bra WAIT; mov.b32 %r5, 256; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], %r5;\n\
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%d0+1024], %r5, [%r2];\n";
/// The cluster meets without a release.
const MEET: &str = "barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.aligned;\n";
/// `%r9` is the peer's mbarrier.
const FAR: &str =
    "mov.u32 %r8, %cluster_ctarank; xor.b32 %r8, %r8, 1; mapa.shared::cluster.u32 %r9, %r2, %r8;\n";
const READ: &str = "ld.shared.u32 %r6, [%r4]; st.global.u32 [%d2], %r6;";

#[test]
fn a_bulk_copy_is_waited_for() {
    let words = clean(64, &format!("{INIT}{COPY}{WAIT}{READ}"));
    assert!((0..64).all(|i| words[i] == 256 + i as u32));
    let no_fence = INIT.replace("fence.proxy.async;", "");
    let kinds = found(64, 1, &format!("{no_fence}{COPY}{WAIT}{READ}"));
    assert_eq!(kinds, [ReportKind::ProxyFence]);
    // Too many bytes, too few, and none at all.
    for (given, kind) in [("272", ReportKind::Deadlock), ("240", ReportKind::Deadlock)] {
        let copy = COPY.replacen(
            "expect_tx.shared::cta.b64 _, [%r2], %r5",
            &format!("expect_tx.shared::cta.b64 _, [%r2], {given}"),
            1,
        );
        assert_eq!(found(64, 1, &format!("{INIT}{copy}{WAIT}{READ}")), [kind]);
    }
    // A read that does not wait races, whether the bytes are there or not.
    for timing in TIMINGS {
        let body = format!(
            "{INIT}{}{READ} bar.sync 0;WAIT:{}",
            COPY.replace("bra WAIT", "bra SKIP") + "SKIP:",
            WAIT.replace("WAIT", "AGAIN")
        );
        let (_, reports) = run_with(timing, 64, 1, &body);
        assert!(reports.iter().any(|r| r.kind == ReportKind::Race), "{timing:?} {reports:?}");
    }
}

#[test]
fn generic_writes_before_a_copy_need_the_proxy_fence() {
    let write = "st.shared.u32 [%r4], %r1;";
    let kinds = found(64, 1, &format!("{write}{INIT}{COPY}{WAIT}{READ}"));
    // The first thread's own words are fenced, those of the others are not.
    assert_eq!(kinds, [ReportKind::ProxyFence]);
    clean(64, &format!("{write} fence.proxy.async;{INIT}{COPY}{WAIT}{READ}"));
}

#[test]
fn mbarrier_rules() {
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [%r2];";
    assert_eq!(found(1, 1, arrive), [ReportKind::Barrier]);
    assert_eq!(
        found(32, 1, &format!("{INIT} st.shared.u32 [%r2], %r1;")).first(),
        Some(&ReportKind::Race)
    );
    assert_eq!(
        found(1, 1, &format!("{INIT} mbarrier.init.shared::cta.b64 [%r2], %r3;")),
        [ReportKind::Barrier]
    );
    assert_eq!(found(1, 1, &format!("{INIT}{WAIT}")), [ReportKind::Deadlock]);
    clean(1, &format!("{INIT}{arrive}{WAIT}"));
}

#[test]
fn late_waits_give_up_once_each() {
    let tries = |register: u32, label: &str| {
        format!(
            "{label}: add.u32 %r{register}, %r{register}, 1;\n\
             mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0; @!%p1 bra {label};\n"
        )
    };
    let arrive = "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2]; mov.b32 %r5, 0;\n";
    // Both lanes wait together, then each in a loop of its own.
    let body = format!(
        "{INIT}{arrive}{} @%p0 bra OTHER;\n{} bra DONE;\nOTHER:\n{}DONE: st.global.u32 [%d2], %r5;",
        tries(5, "BOTH"),
        tries(5, "SECOND"),
        tries(5, "FIRST"),
    );
    for (timing, wanted) in [(Timing::Early, 2), (Timing::Late, 4)] {
        let (words, reports) = run_with(timing, 2, 1, &body);
        assert!(reports.is_empty(), "{timing:?}: {}", reports[0]);
        assert_eq!(words, [wanted; 2], "{timing:?}");
    }
}

#[test]
fn divisions_by_zero_are_reported_for_lanes_that_divide() {
    assert_eq!(found(32, 1, "rem.u32 %r6, %r3, %r1;"), [ReportKind::Division]);
    clean(32, "setp.ne.u32 %p1, %r1, 0; @%p1 div.u32 %r6, %r3, %r1;");
}

#[test]
fn clusters_reach_each_other() {
    let sync = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n";
    let arrive = "@%p0 mbarrier.arrive.shared::cluster.b64 _, [%r9];\n";
    for timing in TIMINGS {
        let (_, reports) =
            run_with(timing, 32, 2, &format!("{INIT}{FAR}{sync}{arrive}{WAIT}{sync}"));
        assert!(reports.is_empty(), "{}", reports[0]);
    }
    assert_eq!(found(32, 2, &format!("{INIT}{FAR}{sync}{arrive}")), [ReportKind::PeerExited]);
    let unpublished = INIT.replace("fence.mbarrier_init.release.cluster;", "");
    let kinds = found(32, 2, &format!("{unpublished}{FAR}{sync}{arrive}{WAIT}{sync}"));
    assert_eq!(kinds, [ReportKind::Barrier]);
}

#[test]
fn relaxed_arrivals_publish_initialisations_alone() {
    let arrive = "@%p0 mbarrier.arrive.shared::cluster.b64 _, [%r9];\n";
    let init = INIT.replace("bar.sync 0;", MEET);
    // The other warp's wait sees the initialisation, a peer's arrival does, and a copy does.
    for timing in TIMINGS {
        let body = format!("{init}{FAR}{arrive}{WAIT}{MEET}");
        let (_, reports) = run_with(timing, 64, 2, &body);
        assert!(reports.is_empty(), "{timing:?}: {}", reports[0]);
    }
    let copy = COPY.replace("@!%p0 bra WAIT;", "setp.ne.u32 %p1, %r1, 32; @%p1 bra WAIT;");
    clean(64, &format!("{init}{copy}{WAIT}{READ}"));
    let no_proxy = init.replace("fence.proxy.async;", "");
    let kinds = found(64, 1, &format!("{no_proxy}{copy}{WAIT}{READ}"));
    assert_eq!(kinds, [ReportKind::ProxyFence]);
    // Without the fence, or with one that comes later, nobody else sees it; and the fence publishes nothing else.
    let racy = |body: &str| {
        for timing in TIMINGS {
            let (_, reports) = run_with(timing, 64, 1, body);
            assert!(reports.iter().any(|r| r.kind == ReportKind::Race), "{timing:?} {reports:?}");
        }
    };
    let fence = "fence.mbarrier_init.release.cluster;";
    let arrive = "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];\n";
    let no_fence = init.replace(fence, "");
    racy(&format!("{no_fence}{arrive}{WAIT}"));
    racy(&format!("{no_fence}@%p0 {fence}\n{arrive}{WAIT}"));
    let read = "xor.b32 %r5, %r4, 128; ld.shared.u32 %r6, [%r5]; st.global.u32 [%d2], %r6;";
    racy(&format!("st.shared.u32 [%r4], %r1;\n{init}{read}"));
}

#[test]
fn a_cta_may_leave_once_it_has_waited_for_its_peers_copies() {
    let init = INIT.replace("bar.sync 0;", MEET);
    let copy = "mov.u32 %r8, %cluster_ctarank; setp.ne.u32 %p2, %r8, 0; mov.b32 %r5, 256;\n\
        @!%p0 bra WAIT; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], %r5;\n\
        PEER @%p2 bra WAIT; mov.b16 %h0, 3;\n\
        cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r0], [%d0+1024], %r5, [%r2], %h0;\n";
    for timing in TIMINGS {
        let body = format!("{init}{}{WAIT}", copy.replace("PEER ", ""));
        let (_, reports) = run_with(timing, 32, 2, &body);
        assert!(reports.is_empty(), "{timing:?}: {}", reports[0]);
        let leaves = copy.replace("PEER ", "@%p2 bra OUT;");
        let (_, reports) = run_with(timing, 1, 2, &format!("{init}{leaves}{WAIT}OUT:"));
        let too_early = [ReportKind::PeerExited, ReportKind::ExitOutstanding];
        assert!(reports.iter().any(|r| too_early.contains(&r.kind)), "{timing:?} {reports:?}");
    }
}

#[test]
fn lane_copies_are_waited_for() {
    let copy = "cp.async.ca.shared.global [%r4], [%d2], 4;";
    clean(32, &format!("{copy} cp.async.wait_all; {READ}"));
    for timing in TIMINGS {
        let (_, reports) = run_with(timing, 32, 1, &format!("{copy}{READ} cp.async.wait_all;"));
        assert!(reports.iter().any(|r| r.kind == ReportKind::Race), "{timing:?} {reports:?}");
    }
    // The group that may be left pending is the one that is read.
    let pending = format!("{copy} cp.async.commit_group; cp.async.wait_group 1; {READ}");
    for timing in TIMINGS {
        let (_, reports) = run_with(timing, 32, 1, &pending);
        assert!(!reports.is_empty(), "{timing:?}");
    }
}

#[test]
fn lanes_that_do_not_come_are_reported() {
    let body = "@%p0 bra OUT; bar.warp.sync -1; OUT: bar.warp.sync 1;";
    assert!(found(32, 1, body).contains(&ReportKind::Divergence));
}

#[test]
fn registers_that_nobody_gives_back_are_waited_for_in_vain() {
    let raise = "setp.lt.u32 %p1, %r1, 256; @%p1 bra MATH;\nGIVE setmaxnreg.dec.sync.aligned.u32 40;\n\
        bra.uni OUT;\nMATH: setmaxnreg.inc.sync.aligned.u32 232;\nOUT: bar.warp.sync -1;";
    assert_eq!(found(384, 1, &raise.replace("GIVE ", "")), []);
    let kept = raise.replace("GIVE setmaxnreg.dec.sync.aligned.u32 40;\n", "");
    assert_eq!(found(384, 1, &kept), [ReportKind::Registers]);
    // 240 + 240 + 24 are the 504 that 3 * 168 give; 240 + 240 + 32 fit the register file, but not what was launched.
    let counts =
        |give: &str| raise.replace("GIVE ", "").replace("232", "240").replace("u32 40", give);
    assert_eq!(found(384, 1, &counts("u32 24")), []);
    assert_eq!(found(384, 1, &counts("u32 32")), [ReportKind::Registers]);
}
