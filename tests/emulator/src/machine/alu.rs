//! Scalar arithmetic on the bits of registers (PTX ISA 9.7.1 to 9.7.9).

use crate::ir::{Bin, Compare, Kind, Pair, Rmw, Round, Tri, Ty, Un};
use half::{bf16, f16};

/// The NaN that arithmetic answers (H200 measurement, for mul and max).
const NAN32: u32 = 0x7FFF_FFFF;

fn f(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn canonical(x: f32) -> u64 {
    u64::from(if x.is_nan() { NAN32 } else { x.to_bits() })
}

fn d(bits: u64) -> f64 {
    f64::from_bits(bits)
}

/// `fma.rn`, `mad` and the rest of the operations of three sources.
pub(super) fn tri(op: Tri, ty: Ty, a: u64, b: u64, c: u64) -> u64 {
    let (ma, mb, mc) = (ty.mask(a), ty.mask(b), ty.mask(c));
    let result = match op {
        Tri::Fma if ty.bits == 64 => d(a).mul_add(d(b), d(c)).to_bits(),
        Tri::Fma => canonical(f(a).mul_add(f(b), f(c))),
        Tri::MadLo => ma.wrapping_mul(mb).wrapping_add(mc),
        Tri::MadHi => bin(Bin::MulHi, ty, a, b).wrapping_add(mc),
        Tri::MadWide => return bin(Bin::MulWide, ty, a, b).wrapping_add(c),
        Tri::Bfe => bfe(ty, ma, b as u32 & 0xFF, c as u32 & 0xFF),
        Tri::Prmt => {
            let bytes = (mb << 32 | ma).to_le_bytes();
            let mut out = 0u64;
            for i in 0..4 {
                let selector = mc >> (4 * i) & 0xF;
                let byte = bytes[(selector & 7) as usize];
                let byte = if selector & 8 == 0 { byte } else { (byte as i8 >> 7) as u8 };
                out |= u64::from(byte) << (8 * i);
            }
            out
        }
        Tri::ShfLeftWrap | Tri::ShfLeftClamp => {
            let by = if op == Tri::ShfLeftWrap { mc & 31 } else { mc.min(32) };
            ((mb << 32 | ma) << by) >> 32
        }
        Tri::ShfRightWrap | Tri::ShfRightClamp => {
            let by = if op == Tri::ShfRightWrap { mc & 31 } else { mc.min(32) };
            (mb << 32 | ma) >> by
        }
        Tri::Lop3(table) => {
            let mut out = 0;
            for (i, [x, y, z]) in [
                [false, false, false],
                [false, false, true],
                [false, true, false],
                [false, true, true],
                [true, false, false],
                [true, false, true],
                [true, true, false],
                [true, true, true],
            ]
            .into_iter()
            .enumerate()
            {
                if table >> i & 1 == 1 {
                    let pick = |on: bool, v: u64| if on { v } else { !v };
                    out |= pick(x, a) & pick(y, b) & pick(z, c);
                }
            }
            out
        }
    };
    ty.mask(result)
}

fn bfe(ty: Ty, a: u64, pos: u32, len: u32) -> u64 {
    let msb = ty.bits - 1;
    let signed = ty.kind == Kind::Signed;
    let sign = match len {
        0 => false,
        _ if signed => a >> (pos + len - 1).min(msb) & 1 == 1,
        _ => false,
    };
    let mut out = if pos > msb { 0 } else { a >> pos };
    let kept = len.min((msb + 1).saturating_sub(pos));
    if kept < 64 {
        out &= (1 << kept) - 1;
        if sign {
            out |= u64::MAX << kept;
        }
    }
    ty.mask(out)
}

/// `bfi`
pub(super) fn bfi(ty: Ty, a: u64, b: u64, pos: u64, len: u64) -> u64 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    if pos >= u64::from(ty.bits) || len == 0 {
        return ty.mask(b);
    }
    let ones = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    let field = ty.mask(ones << pos);
    ty.mask(b) & !field | a << pos & field
}

/// Operations of two sources.
pub(super) fn bin(op: Bin, ty: Ty, a: u64, b: u64) -> u64 {
    match ty.kind {
        Kind::Float if ty.bits == 32 => return float(op, f(a), f(b)),
        Kind::Float => return double(op, d(a), d(b)),
        Kind::Bf | Kind::Unsigned | Kind::Signed => {}
    }
    let (a, b) = (ty.mask(a), ty.mask(b));
    let signed = ty.kind == Kind::Signed;
    let (sa, sb) = (ty.signed(a), ty.signed(b));
    let wide = || {
        if signed {
            i128::from(sa) * i128::from(sb)
        } else {
            (u128::from(a) * u128::from(b)) as i128
        }
    };
    let result = match op {
        Bin::Add => a.wrapping_add(b),
        Bin::Sub => a.wrapping_sub(b),
        Bin::MulLo => a.wrapping_mul(b),
        Bin::MulHi => (wide() >> ty.bits) as u64,
        Bin::MulWide => {
            return Ty { bits: ty.bits * 2, ..ty }.mask(wide() as u64);
        }
        // Division by zero has no defined result (PTX ISA 9.7.1.9); all ones is what GPUs answer.
        Bin::Div if b == 0 => u64::MAX,
        Bin::Rem if b == 0 => a,
        Bin::Div if signed => sa.wrapping_div(sb) as u64,
        Bin::Rem if signed => sa.wrapping_rem(sb) as u64,
        Bin::Div => a / b,
        Bin::Rem => a % b,
        Bin::Min | Bin::MinNan => {
            if signed {
                sa.min(sb) as u64
            } else {
                a.min(b)
            }
        }
        Bin::Max | Bin::MaxNan => {
            if signed {
                sa.max(sb) as u64
            } else {
                a.max(b)
            }
        }
        Bin::And => a & b,
        Bin::Or => a | b,
        Bin::Xor => a ^ b,
        Bin::Shl => {
            let by = b as u32;
            if by >= ty.bits { 0 } else { a << by }
        }
        Bin::Shr => {
            let by = (b as u32).min(ty.bits);
            if signed {
                (sa >> by.min(63)) as u64
            } else if by >= ty.bits {
                0
            } else {
                a >> by
            }
        }
    };
    ty.mask(result)
}

fn float(op: Bin, a: f32, b: f32) -> u64 {
    canonical(match op {
        Bin::Add => a + b,
        Bin::Sub => a - b,
        Bin::MulLo => a * b,
        Bin::Div => a / b,
        // +0 is larger than -0 (PTX ISA 9.7.3.11).
        Bin::Min | Bin::Max if a == 0.0 && b == 0.0 => {
            let negative = a.is_sign_negative();
            let other = b.is_sign_negative();
            let minus = if op == Bin::Min { negative || other } else { negative && other };
            if minus { -0.0 } else { 0.0 }
        }
        Bin::MinNan | Bin::MaxNan if a.is_nan() || b.is_nan() => f32::NAN,
        Bin::Min | Bin::MinNan => a.min(b),
        Bin::Max | Bin::MaxNan => a.max(b),
        _ => f32::NAN,
    })
}

fn double(op: Bin, a: f64, b: f64) -> u64 {
    match op {
        Bin::Add => a + b,
        Bin::Sub => a - b,
        Bin::MulLo => a * b,
        Bin::Div => a / b,
        Bin::Min | Bin::MinNan => a.min(b),
        Bin::Max | Bin::MaxNan => a.max(b),
        _ => f64::NAN,
    }
    .to_bits()
}

/// Operations of one source.
pub(super) fn un(op: Un, ty: Ty, a: u64) -> u64 {
    let float = ty.kind == Kind::Float;
    let m = ty.mask(a);
    let result = match op {
        Un::Abs if float => u64::from(f(a).abs().to_bits()),
        Un::Neg if float => u64::from((-f(a)).to_bits()),
        Un::Abs => ty.signed(a).unsigned_abs(),
        Un::Neg => m.wrapping_neg(),
        Un::Not => !m,
        Un::Popc => u64::from(m.count_ones()),
        Un::Clz => u64::from(m.leading_zeros() - (64 - ty.bits)),
        Un::Brev => m.reverse_bits() >> (64 - ty.bits),
        Un::Bfind => {
            let x = if ty.kind == Kind::Signed && ty.signed(a) < 0 { ty.mask(!m) } else { m };
            x.checked_ilog2().map_or(0xFFFF_FFFF, u64::from)
        }
        Un::Rcp => canonical(1.0 / f(a)),
        Un::Sqrt => canonical(f(a).sqrt()),
        Un::Ex2 => canonical(f(a).exp2()),
    };
    if matches!(op, Un::Popc | Un::Clz | Un::Bfind) { result } else { ty.mask(result) }
}

/// `setp`
pub(super) fn compare(cmp: Compare, ty: Ty, a: u64, b: u64) -> bool {
    let order = match ty.kind {
        Kind::Float if ty.bits == 32 => f(a).partial_cmp(&f(b)),
        Kind::Float => d(a).partial_cmp(&d(b)),
        Kind::Signed => Some(ty.signed(a).cmp(&ty.signed(b))),
        _ => Some(ty.mask(a).cmp(&ty.mask(b))),
    };
    let Some(order) = order else {
        return matches!(
            cmp,
            Compare::Equ
                | Compare::Neu
                | Compare::Ltu
                | Compare::Leu
                | Compare::Gtu
                | Compare::Geu
                | Compare::Nan
        );
    };
    match cmp {
        Compare::Eq | Compare::Equ => order.is_eq(),
        Compare::Ne | Compare::Neu => order.is_ne(),
        Compare::Lt | Compare::Ltu => order.is_lt(),
        Compare::Le | Compare::Leu => order.is_le(),
        Compare::Gt | Compare::Gtu => order.is_gt(),
        Compare::Ge | Compare::Geu => order.is_ge(),
        Compare::Num => true,
        Compare::Nan => false,
    }
}

fn to_f64(ty: Ty, a: u64) -> f64 {
    match (ty.kind, ty.bits) {
        (Kind::Bf, _) => bf16::from_bits(a as u16).to_f64(),
        (Kind::Float, 16) => f16::from_bits(a as u16).to_f64(),
        (Kind::Float, 32) => f64::from(f(a)),
        _ => d(a),
    }
}

/// `cvt`
pub(super) fn convert(to: Ty, from: Ty, round: Round, sat: bool, a: u64) -> u64 {
    let to_float = matches!(to.kind, Kind::Float | Kind::Bf);
    let from_float = matches!(from.kind, Kind::Float | Kind::Bf);
    match (from_float, to_float) {
        (false, false) => {
            let value = if from.kind == Kind::Signed {
                i128::from(from.signed(a))
            } else {
                i128::from(from.mask(a))
            };
            let value = if sat { value.clamp(low(to), high(to)) } else { value };
            to.mask(value as u64)
        }
        (false, true) => match (to.bits, from.kind == Kind::Signed) {
            (32, true) => u64::from((from.signed(a) as f32).to_bits()),
            (32, false) => u64::from((from.mask(a) as f32).to_bits()),
            (64, true) => (from.signed(a) as f64).to_bits(),
            (64, false) => (from.mask(a) as f64).to_bits(),
            (_, true) => narrow(to, from.signed(a) as f32),
            (_, false) => narrow(to, from.mask(a) as f32),
        },
        (true, false) => {
            let x = to_f64(from, a);
            let x = match round {
                Round::Rzi => x.trunc(),
                Round::Rmi => x.floor(),
                Round::Rpi => x.ceil(),
                _ => x.round_ties_even(),
            };
            // Out-of-range values are clamped and NaN is 0 (PTX ISA 9.7.9.21).
            let value = (x as i128).clamp(low(to), high(to));
            to.mask(value as u64)
        }
        (true, true) => match to.bits {
            64 => to_f64(from, a).to_bits(),
            32 if from.bits == 64 => canonical(d(a) as f32),
            32 => canonical(to_f64(from, a) as f32),
            _ => narrow(to, to_f64(from, a) as f32),
        },
    }
}

fn low(ty: Ty) -> i128 {
    if ty.kind == Kind::Signed { -(1 << (ty.bits - 1)) } else { 0 }
}

fn high(ty: Ty) -> i128 {
    if ty.kind == Kind::Signed { (1 << (ty.bits - 1)) - 1 } else { (1 << ty.bits) - 1 }
}

/// f32 to bf16 or f16, to nearest even; NaN is `0x7FFF` (H200 measurement).
pub(super) fn narrow(to: Ty, x: f32) -> u64 {
    if x.is_nan() {
        return 0x7FFF;
    }
    u64::from(if to.kind == Kind::Bf {
        bf16::from_f32(x).to_bits()
    } else {
        f16::from_f32(x).to_bits()
    })
}

/// Conversions of pairs.
pub(super) fn pair(how: Pair, a: u32, b: u32) -> u64 {
    use crate::semantics::convert as c;
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    u64::from(match how {
        Pair::E4m3FromF32 => u32::from(c::e4m3x2_from_f32(x, y)),
        Pair::E5m2FromF32 => u32::from(c::e5m2x2_from_f32(x, y)),
        Pair::E4m3FromF16 => u32::from(c::e4m3x2_from_f16x2(a)),
        Pair::E5m2FromF16 => u32::from(c::e5m2x2_from_f16x2(a)),
        Pair::F16FromE4m3 => c::f16x2_from_e4m3x2(a as u16),
        Pair::F16FromE5m2 => c::f16x2_from_e5m2x2(a as u16),
        Pair::Ue8m0FromF32 => u32::from(c::ue8m0x2_from_f32(x, y)),
        Pair::Bf16FromUe8m0 => c::bf16x2_from_ue8m0x2(a as u16),
    })
}

/// What an atomic leaves in memory.
pub(super) fn rmw(op: Rmw, ty: Ty, old: u64, a: u64, b: u64) -> u64 {
    let (x, y) = (ty.mask(a), ty.mask(b));
    match op {
        Rmw::Add => bin(Bin::Add, ty, old, a),
        Rmw::Min => bin(Bin::Min, ty, old, a),
        Rmw::Max => bin(Bin::Max, ty, old, a),
        Rmw::And => old & x,
        Rmw::Or => old | x,
        Rmw::Xor => old ^ x,
        Rmw::Exch => x,
        Rmw::Cas => {
            if old == x {
                y
            } else {
                old
            }
        }
        Rmw::Inc => {
            if old >= x {
                0
            } else {
                old + 1
            }
        }
        Rmw::Dec => {
            if old == 0 || old > x {
                x
            } else {
                old - 1
            }
        }
    }
}
