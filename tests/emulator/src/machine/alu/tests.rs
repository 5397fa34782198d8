//! Which function an opcode and its type mean: values on which the types differ. What the functions compute is tested
//! beside them.

use super::*;

fn ty(name: &str) -> Ty {
    Ty::parse(name).expect("a type")
}

#[test]
fn integers_of_every_width_and_sign() {
    let all = u64::MAX;
    for (op, name, a, b, want) in [
        (Bin::MulHi, "u16", 0xFFFF, 0xFFFF, 0xFFFE),
        (Bin::MulHi, "s16", 0xFFFF, 0xFFFF, 0),
        (Bin::MulHi, "u32", 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFE),
        (Bin::MulHi, "s32", 0xFFFF_FFFF, 2, 0xFFFF_FFFF),
        (Bin::MulHi, "u64", all, all, all - 1),
        (Bin::MulHi, "s64", all, 2, all),
        (Bin::MulWide, "u16", 0xFFFF, 2, 0x1_FFFE),
        (Bin::MulWide, "s16", 0xFFFF, 2, 0xFFFF_FFFE),
        (Bin::MulWide, "u32", 0xFFFF_FFFF, 2, 0x1_FFFF_FFFE),
        (Bin::MulWide, "s32", 0xFFFF_FFFF, 2, all - 1),
        (Bin::Div, "u16", 0xFFFE, 2, 0x7FFF),
        (Bin::Div, "s16", 0xFFFE, 2, 0xFFFF),
        (Bin::Div, "s16", 0x8000, 0xFFFF, 0x8000),
        (Bin::Div, "u32", 0xFFFF_FFFE, 2, 0x7FFF_FFFF),
        (Bin::Div, "s32", 0xFFFF_FFFE, 2, 0xFFFF_FFFF),
        (Bin::Div, "u64", all - 1, 2, all >> 1),
        (Bin::Div, "s64", all - 1, 2, all),
        (Bin::Div, "u32", 7, 0, 0xFFFF_FFFF),
        (Bin::Rem, "s32", 0xFFFF_FFFD, 2, 0xFFFF_FFFF),
        (Bin::Rem, "u32", 0xFFFF_FFFD, 2, 1),
        (Bin::Rem, "s64", 7, 0, 7),
        (Bin::Min, "s32", 0xFFFF_FFFF, 1, 0xFFFF_FFFF),
        (Bin::Min, "u32", 0xFFFF_FFFF, 1, 1),
        (Bin::Max, "s64", all, 1, 1),
        (Bin::Shl, "b16", 0x8001, 1, 2),
        (Bin::Shl, "b16", 1, 16, 0),
        (Bin::Shl, "b32", 1, 32, 0),
        (Bin::Shl, "b64", 1, 63, 1 << 63),
        (Bin::Shr, "u16", 0x8000, 15, 1),
        (Bin::Shr, "s16", 0x8000, 40, 0xFFFF),
        (Bin::Shr, "s32", 0x8000_0000, 99, 0xFFFF_FFFF),
        (Bin::Shr, "u32", 0x8000_0000, 99, 0),
        (Bin::Shr, "s64", 1 << 63, 64, all),
    ] {
        assert_eq!(bin(op, ty(name), a, b), want, "{op:?} {name} {a:#x} {b:#x}");
    }
    assert_eq!(tri(Tri::MadHi, ty("u32"), 1 << 31, 4, 5), 7);
    assert_eq!(tri(Tri::MadWide, ty("s32"), 0xFFFF_FFFF, 3, 10), 7);
    assert_eq!(tri(Tri::Bfe, ty("s32"), 0xF0, 4, 4), 0xFFFF_FFFF);
    assert_eq!(tri(Tri::Bfe, ty("u64"), 0xF0 << 32, 36, 4), 0xF);
    assert_eq!(un(Un::Clz, ty("b64"), 1), 63);
    assert_eq!(un(Un::Clz, ty("b32"), 1), 31);
    assert_eq!(un(Un::Brev, ty("b32"), 1), 1 << 31);
    assert_eq!(un(Un::Bfind, ty("s32"), 0xFFFF_FFFE), 0);
    assert_eq!(un(Un::Bfind, ty("u64"), 0), 0xFFFF_FFFF);
    assert_eq!(un(Un::Abs, ty("s16"), 0xFFFF), 1);
}

#[test]
fn floats_of_both_widths() {
    let single = |x: f32| u64::from(x.to_bits());
    assert_eq!(bin(Bin::MulLo, ty("f32"), single(1.5), single(3.0)), single(4.5));
    assert_eq!(bin(Bin::MulLo, ty("f64"), 1.5f64.to_bits(), 3f64.to_bits()), 4.5f64.to_bits());
    // The forms that let NaN win order zeros like the others.
    for (op, want) in [(Bin::Min, -0.0), (Bin::MinNan, -0.0), (Bin::Max, 0.0), (Bin::MaxNan, 0.0)] {
        assert_eq!(bin(op, ty("f32"), single(0.0), single(-0.0)), single(want), "{op:?}");
        assert_eq!(bin(op, ty("f32"), single(-0.0), single(0.0)), single(want), "{op:?}");
    }
    assert_eq!(un(Un::Neg, ty("f32"), single(2.0)), single(-2.0));
    assert_eq!(un(Un::Neg, ty("f64"), 2f64.to_bits()), (-2f64).to_bits());
    assert_eq!(un(Un::Abs, ty("f64"), (-2f64).to_bits()), 2f64.to_bits());
    assert_eq!(un(Un::Sqrt, ty("f32"), single(-2.0)), 0x7FFF_FFFF);
    assert_eq!(tri(Tri::Fma, ty("f32"), single(2.0), single(3.0), single(1.0)), single(7.0));
    let bf16 = ty("bf16");
    assert_eq!(convert(bf16, ty("f32"), Round::Rn, false, single(1.0)), 0x3F80);
    assert_eq!(convert(ty("f64"), bf16, Round::None, false, 0xC000), (-2f64).to_bits());
    assert_eq!(convert(ty("s32"), ty("f32"), Round::Rzi, false, single(-2.7)), 0xFFFF_FFFE);
}
