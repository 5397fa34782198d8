//! What the lanes of a warp say to each other (PTX ISA 9.7.13: `vote.sync`, `redux.sync`).

use super::{HEAD, clean, found};
use crate::machine::Program;
use crate::report::ReportKind;

/// The value of each lane in `%r5`: 33 times a number that is negative in odd lanes.
const VALUES: &str = "and.b32 %r6, %r1, 31; add.s32 %r5, %r6, 3; mul.lo.s32 %r5, %r5, 33; and.b32 %r7, %r6, 1;\n\
    setp.eq.u32 %p1, %r7, 1; @%p1 neg.s32 %r5, %r5;\n";
const STORE: &str = "st.global.u32 [%d2], %r8;\n";

fn values() -> impl Iterator<Item = i32> + Clone {
    (0..32).map(|lane| 33 * (lane + 3) * if lane % 2 == 1 { -1 } else { 1 })
}

/// What `redux` leaves in the lanes that take part.
fn redux(operation: &str, mask: u32) -> Vec<u32> {
    let body = format!(
        "{VALUES}mov.b32 %r8, 7; mov.u32 %r9, %lanemask_eq; and.b32 %r9, %r9, {mask}; setp.ne.u32 %p2, %r9, 0;\n\
         @!%p2 bra OUT; redux.sync.{operation} %r8, %r5, {mask}; OUT: {STORE}"
    );
    clean(64, &body)
}

#[test]
fn redux_reduces_over_the_lanes_of_the_mask() {
    type Reduce = fn(i32, i32) -> i32;
    let unsigned: [Reduce; 2] =
        [|x, y| (x as u32).max(y as u32) as i32, |x, y| (x as u32).min(y as u32) as i32];
    let operations: [(&str, Reduce); 9] = [
        ("add.u32", i32::wrapping_add),
        ("add.s32", i32::wrapping_add),
        ("max.u32", unsigned[0]),
        ("min.u32", unsigned[1]),
        ("max.s32", i32::max),
        ("min.s32", i32::min),
        ("and.b32", |x, y| x & y),
        ("or.b32", |x, y| x | y),
        ("xor.b32", |x, y| x ^ y),
    ];
    for (operation, reduce) in operations {
        for mask in [u32::MAX, 0x0F0F_1200, 0x8000_0001, 0x10] {
            let taking_part = values().enumerate().filter(|(lane, _)| mask >> lane & 1 == 1);
            let want = taking_part.map(|(_, x)| x).reduce(reduce).expect("a lane") as u32;
            for (thread, &got) in redux(operation, mask).iter().enumerate() {
                let want = if mask >> (thread % 32) & 1 == 1 { want } else { 7 };
                assert_eq!(got, want, "{operation} {mask:#x}, thread {thread}");
            }
        }
    }
}

#[test]
fn a_lane_outside_of_its_mask_is_reported() {
    let body = format!("{VALUES}redux.sync.or.b32 %r8, %r5, 0x7FFFFFFF; {STORE}");
    assert_eq!(found(32, 1, &body).first(), Some(&ReportKind::Divergence));
    // Who is in the mask is waited for, unless it has exited.
    let body = |meet: &str| {
        format!("{VALUES}@%p0 bra OUT; redux.sync.or.b32 %r8, %r5, -1; {STORE} OUT: {meet}")
    };
    assert_eq!(found(32, 1, &body("bar.warp.sync -1;")), [ReportKind::Divergence]);
    assert_eq!(found(32, 1, &body("")), []);
}

#[test]
fn votes_count_the_lanes_of_the_mask() {
    // Lanes 8 to 15 say yes, of warp 1 all.
    let yes = "shr.u32 %r5, %r1, 3; setp.eq.u32 %p1, %r5, 1; setp.ge.u32 %p2, %r1, 32; or.pred %p1, %p1, %p2;\n";
    for (how, first) in [("any", 1), ("all", 0), ("uni", 0)] {
        let body =
            format!("{yes}vote.sync.{how}.pred %p3, %p1, -1; selp.b32 %r8, 1, 0, %p3; {STORE}");
        let words = clean(64, &body);
        for (thread, &got) in words.iter().enumerate() {
            assert_eq!(got, if thread < 32 { first } else { 1 }, "{how}, thread {thread}");
        }
    }
    // Among the lanes that say yes all do, and with their negation none does.
    let few = format!(
        "{yes}mov.b32 %r8, 9; @!%p1 bra OUT; mov.b32 %r9, 0xFF00; @%p2 mov.b32 %r9, -1;\n\
         vote.sync.all.pred %p3, %p1, %r9; vote.sync.any.pred %p4, !%p1, %r9;\n\
         selp.b32 %r8, 1, 0, %p3; @%p4 add.u32 %r8, %r8, 2; OUT: {STORE}"
    );
    for (thread, &got) in clean(64, &few).iter().enumerate() {
        assert_eq!(got, if thread / 8 == 1 || thread >= 32 { 1 } else { 9 }, "thread {thread}");
    }
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let parse = |instruction: &str| {
        let text = format!(
            "{HEAD}.visible .entry k()\n{{\n.reg .b32 %r<4>; .reg .pred %p<2>;\n{instruction};\nret;\n}}\n"
        );
        Program::parse(&text)
    };
    for good in ["redux.sync.or.b32 %r1, %r2, -1", "redux.sync.min.s32 %r1, %r2, %r3"] {
        assert!(parse(good).is_ok(), "{good}: {:?}", parse(good).err());
    }
    // As the assembler refuses them.
    for bad in [
        "redux.sync.or.u32 %r1, %r2, -1",
        "redux.sync.max.b32 %r1, %r2, -1",
        "redux.sync.add.b32 %r1, %r2, -1",
        "redux.sync.max.u32 %r1, %r2",
        "redux.or.b32 %r1, %r2, -1",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
