//! wgmma with A in registers: when they may be touched (PTX ISA 9.7.15.5.2 and 9.7.15.7.1).

use super::{TIMINGS, clean, found, run_with};
use crate::machine::Program;
use crate::report::ReportKind;

const REGISTERS: &str = ".reg .f32 %f<8>; .reg .b32 %a<8>; .reg .b64 %b;\n";
/// Ones in all of B, and its descriptor; ones in the registers of A.
const B: &str = "mov.b32 %a0, 0x3F803F80; mov.b32 %a1, %a0; mov.b32 %a2, %a0; mov.b32 %a3, %a0; mov.b32 %a4, %a0;\n\
    st.shared.u32 [%r4], %a0; st.shared.u32 [%r4+512], %a0; fence.proxy.async; bar.sync 0;\n\
    bfe.u32 %r5, %r0, 4, 14; cvt.u64.u32 %b, %r5; or.b64 %b, %b, 4611686293305294848;\n";
const FENCE: &str = "wgmma.fence.sync.aligned;\n";
const MMA: &str = "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, \
    {%a0, %a1, %a2, %a3}, %b, 0, 1, 1, 0;\n";
const WAIT: &str = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n";
const STORE: &str = "st.global.f32 [%d2], %f3;\n";

#[test]
fn a_comes_from_registers() {
    let words = clean(128, &format!("{REGISTERS}{B}{FENCE}{MMA}{WAIT}{STORE}"));
    assert!(words.iter().all(|&bits| bits == 16f32.to_bits()));
    // The sign of an operand, and a chain.
    let more = MMA.replace("0, 1, 1, 0", "1, -1, 1, 0").repeat(3);
    let words = clean(128, &format!("{REGISTERS}{B}{FENCE}{MMA}{more}{WAIT}{STORE}"));
    assert!(words.iter().all(|&bits| bits == (-32f32).to_bits()));
}

/// The bits 0x3F80, a 1 of bf16, are 1.875 as f16.
#[test]
fn the_type_decides_what_the_bits_mean() {
    let f16 = MMA.replace("bf16", "f16");
    let from_shared = f16.replace("{%a0, %a1, %a2, %a3}", "%b").replace(", 0;", ", 0, 0;");
    // A has eight times the rows of B, and begins where B does.
    let rows: Vec<String> =
        (2..16).map(|i| format!("st.shared.u32 [%r4+{}], %a0;\n", i * 512)).collect();
    let rows = rows.concat();
    let b = B.replace("fence.proxy.async;", &format!("{rows}fence.proxy.async;"));
    for mma in [f16, from_shared] {
        let words = clean(128, &format!("{REGISTERS}{b}{FENCE}{mma}{WAIT}{STORE}"));
        assert!(words.iter().all(|&bits| bits == (16.0 * 1.875 * 1.875f32).to_bits()), "{mma}");
    }
}

#[test]
fn registers_of_a_are_left_alone_until_the_wait() {
    let touched = |before: &str, after: &str| {
        found(128, 1, &format!("{REGISTERS}{B}{before}{MMA}{after}{WAIT}{STORE}"))
    };
    assert_eq!(touched(FENCE, ""), []);
    // Neither written nor read; after the wait both.
    assert_eq!(touched(FENCE, "mov.b32 %a2, 0;"), [ReportKind::Wgmma]);
    assert_eq!(touched(FENCE, "mov.b32 %r6, %a2;"), [ReportKind::Wgmma]);
    assert_eq!(touched(FENCE, &format!("{WAIT} mov.b32 %a2, 0;")), []);
    // Other registers may be touched, and another wgmma may read the same.
    assert_eq!(touched(FENCE, "mov.b32 %a4, 0;"), []);
    assert_eq!(touched(FENCE, &MMA.replace("0, 1, 1", "1, 1, 1")), []);
}

#[test]
fn registers_of_a_are_fenced_after_their_last_use() {
    let body =
        |fence: &str| format!("{REGISTERS}{B}{FENCE}mov.b32 %a1, %a0;\n{fence}{MMA}{WAIT}{STORE}");
    assert_eq!(found(128, 1, &body("")), [ReportKind::Wgmma]);
    assert_eq!(found(128, 1, &body(FENCE)), []);
}

#[test]
fn registers_of_a_are_no_accumulators_of_the_same_time() {
    let over_a = MMA.replace("%f1", "%a1");
    let from_d = MMA.replace("%a1", "%f1").replace("{%f0, %f1, %f2", "{%f0, %f4, %f2");
    for other in [over_a, from_d] {
        let kinds = found(128, 1, &format!("{REGISTERS}{B}{FENCE}{MMA}{other}{WAIT}{STORE}"));
        assert_eq!(kinds, [ReportKind::Wgmma], "{other}");
    }
}

#[test]
fn every_warp_brings_its_own_rows() {
    let own = "shr.u32 %r6, %r1, 5; add.u32 %r6, %r6, 127; shl.b32 %r7, %r6, 7; shl.b32 %r6, %r6, 23;\n\
        or.b32 %a0, %r6, %r7; mov.b32 %a1, %a0; mov.b32 %a2, %a0; mov.b32 %a3, %a0;\n";
    let words = clean(128, &format!("{REGISTERS}{B}{own}{FENCE}{MMA}{WAIT}{STORE}"));
    for (thread, &bits) in words.iter().enumerate() {
        assert_eq!(bits, (16.0 * [1f32, 2.0, 4.0, 8.0][thread / 32]).to_bits());
    }
    for timing in TIMINGS {
        let one = "setp.ge.u32 %p1, %r1, 32; @%p1 bra OUT;\n";
        let (_, reports) = run_with(
            timing,
            128,
            1,
            &format!("{REGISTERS}{B}{one}{FENCE}{MMA}{WAIT}OUT: bar.warp.sync -1;"),
        );
        assert_eq!(reports[0].kind, ReportKind::Deadlock);
    }
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let descriptor = MMA.replace("{%a0, %a1, %a2, %a3}", "%b").replace(", 0;", ", 0, 0;");
    let parse = |mma: &str| {
        let head = super::HEAD;
        Program::parse(&format!("{head}.visible .entry k()\n{{\n{REGISTERS}{mma}ret;\n}}\n"))
    };
    let both = [MMA, &descriptor];
    for good in
        both.map(str::to_owned).into_iter().chain(both.map(|mma| mma.replace("bf16", "f16")))
    {
        assert!(parse(&good).is_ok(), "{:?}", parse(&good).err());
    }
    // Every N that kernels use, with its accumulators.
    for n in [8, 16, 32, 64, 128, 192, 256] {
        let list: Vec<String> = (0..n / 2).map(|i| format!("%c{i}")).collect();
        let accumulators = format!("{{{}}}", list.join(", "));
        for mma in both {
            for element in ["bf16", "f16"] {
                let mma = mma
                    .replace("n8k16", &format!("n{n}k16"))
                    .replace("{%f0, %f1, %f2, %f3}", &accumulators)
                    .replace("bf16", element);
                assert!(parse(&format!(".reg .f32 %c<{}>;\n{mma}", n / 2)).is_ok(), "{mma}");
                assert!(
                    parse(&format!(".reg .f32 %c<{}>;\n{}", n / 2, mma.replace("%c0, ", "")))
                        .is_err()
                );
            }
        }
    }
    for bad in [
        MMA.replace(", 0;", ";"),
        MMA.replace(", 0;", ", 1;"),
        MMA.replace(", %a3}", "}"),
        MMA.replace("k16", "k32"),
        MMA.replace("bf16.bf16", "bf16.f16"),
        MMA.replace("f32.bf16.bf16", "f16.f16.f16"),
        descriptor.replace(", 0, 0;", ", 0;"),
        descriptor.replace(", 0, 0;", ", 1, 0;"),
    ] {
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
