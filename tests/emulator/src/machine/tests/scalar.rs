//! Arithmetic on packed halves, and the moves around it: that each form calls the function for it. What the functions
//! compute is tested beside them, in [`crate::semantics`].

use super::clean;
use crate::semantics::alu::float::Half;
use crate::semantics::alu::integer::prmt;
use crate::semantics::convert as c;

/// Words that hold numbers of every kind in both halves, and E4M3 codes in every byte.
fn word(thread: u32) -> u32 {
    thread.wrapping_mul(0x9E37_79B9).rotate_left(thread % 31)
}

/// The results of `instruction`, which makes `%r8` of the words `%r5`, `%r6` and `%r7` of each thread.
fn results(instruction: &str) -> Vec<u32> {
    let word = |register: u32, index: &str| {
        format!(
            "{index} mul.lo.u32 %r{register}, %r9, 0x9E3779B9; rem.u32 %r10, %r9, 31;\n\
             shf.l.wrap.b32 %r{register}, %r{register}, %r{register}, %r10;\n"
        )
    };
    let words = [
        word(5, "mov.b32 %r9, %r1;"),
        word(6, "add.u32 %r9, %r1, 1000;"),
        word(7, "add.u32 %r9, %r1, 2000;"),
    ]
    .concat();
    clean(1024, &format!("{words}{instruction}\nst.global.u32 [%d2], %r8;"))
}

fn check(instruction: &str, want: impl Fn(u32, u32, u32) -> u32) {
    for (thread, got) in (0..).zip(results(instruction)) {
        let (a, b, c) = (word(thread), word(thread + 1000), word(thread + 2000));
        assert_eq!(got, want(a, b, c), "{instruction} {a:#x} {b:#x} {c:#x}");
    }
}

#[test]
fn arithmetic_on_pairs_of_floats() {
    let (f16, bf16) = (Half::F16, Half::Bf16);
    for (text, half) in [("f16x2", f16), ("bf16x2", bf16)] {
        for name in ["mul", "mul.rn"] {
            check(&format!("{name}.{text} %r8, %r5, %r6;"), |a, b, _| {
                half.pairwise(a, b, Half::mul)
            });
        }
        check(&format!("add.rn.{text} %r8, %r5, %r6;"), |a, b, _| half.pairwise(a, b, Half::add));
        check(&format!("sub.{text} %r8, %r5, %r6;"), |a, b, _| half.pairwise(a, b, Half::sub));
        check(&format!("fma.rn.{text} %r8, %r5, %r6, %r7;"), |a, b, c| half.fma_pair(a, b, c));
        check(&format!("min.{text} %r8, %r5, %r6;"), |a, b, _| half.pairwise(a, b, Half::min));
        check(&format!("max.NaN.{text} %r8, %r5, %r6;"), |a, b, _| {
            half.pairwise(a, b, Half::max_nan)
        });
    }
}

#[test]
fn the_larger_and_the_smaller_of_pairs_of_integers() {
    let each = |a: u32, b: u32, of: fn(u16, u16) -> u16| {
        u32::from(of(a as u16, b as u16)) | u32::from(of((a >> 16) as u16, (b >> 16) as u16)) << 16
    };
    check("max.u16x2 %r8, %r5, %r6;", |a, b, _| each(a, b, u16::max));
    check("min.u16x2 %r8, %r5, %r6;", |a, b, _| each(a, b, u16::min));
}

#[test]
fn conversions_of_pairs_and_halves() {
    check("mov.b32 {%h0, %h1}, %r5; cvt.rn.f16x2.e4m3x2 %r8, %h1;", |a, _, _| {
        c::f16x2_from_e4m3x2((a >> 16) as u16)
    });
    check("mov.b32 {%h0, _}, %r5; cvt.f32.f16 %r8, %h0;", |a, _, _| {
        c::f32_from_f16(a as u16).to_bits()
    });
    check("mov.b32 {_, %h0}, %r5; cvt.f32.bf16 %r8, %h0;", |a, _, _| {
        c::f32_from_bf16((a >> 16) as u16).to_bits()
    });
    check("cvt.rn.bf16x2.f32 %r8, %r5, %r6;", |a, b, _| {
        c::bf16x2_from_f32(f32::from_bits(a), f32::from_bits(b))
    });
    check("cvt.rn.f16x2.f32 %r8, %r5, %r6;", |a, b, _| {
        c::f16x2_from_f32(f32::from_bits(a), f32::from_bits(b))
    });
}

#[test]
fn packing_unpacking_and_permuting() {
    check("mov.b32 {%h0, %h1}, %r5; mov.b32 %r8, {%h1, %h0};", |a, _, _| a.rotate_left(16));
    check(
        "mov.b32 {%h0, %h1}, %r5; mov.b32 {%h2, %h3}, %r6; mov.b32 %r8, {%h3, %h0};",
        |a, b, _| b >> 16 | a << 16,
    );
    check("prmt.b32 %r8, %r5, %r6, %r7;", prmt);
    check("mad.lo.u32 %r8, %r5, %r6, %r7;", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
}
