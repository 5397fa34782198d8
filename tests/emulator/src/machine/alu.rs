//! Scalar arithmetic on the bits of registers: which function of [`crate::semantics::alu`] an opcode and its type mean.
//!
//! Written out here is only what is the same in Rust.

use crate::ir::{Bin, Compare, Kind, Pair, Rmw, Round, Tri, Ty, Un};
use crate::semantics::alu::float::{self, canonical};
use crate::semantics::alu::integer::{self as int, ShiftMode};
use crate::semantics::convert::{bf16_from_f32, f16_from_f32, f32_from_bf16, f32_from_f16};

fn f(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn bits(x: f32) -> u64 {
    u64::from(x.to_bits())
}

fn d(bits: u64) -> f64 {
    f64::from_bits(bits)
}

/// A signed result of 32 bits; the caller cuts it to the type.
const fn of_s32(x: i32) -> u64 {
    x as u32 as u64
}

/// `fma.rn`, `mad` and the rest of the operations of three sources.
pub(super) fn tri(op: Tri, ty: Ty, a: u64, b: u64, c: u64) -> u64 {
    let (a32, b32, c32) = (a as u32, b as u32, c as u32);
    let result = match op {
        Tri::Fma if ty.bits == 64 => d(a).mul_add(d(b), d(c)).to_bits(),
        Tri::Fma => bits(float::fma(f(a), f(b), f(c))),
        // The low bits of a product depend on neither signs nor higher bits.
        Tri::MadLo => int::mad_lo_64(a, b, c),
        Tri::MadHi => bin(Bin::MulHi, ty, a, b).wrapping_add(c),
        Tri::MadWide => return bin(Bin::MulWide, ty, a, b).wrapping_add(c),
        Tri::Bfe => match (ty.kind, ty.bits) {
            (Kind::Signed, 64) => int::bfe_s64(a as i64, b32, c32) as u64,
            (Kind::Signed, _) => of_s32(int::bfe_s32(a as i32, b32, c32)),
            (_, 64) => int::bfe_u64(a, b32, c32),
            _ => u64::from(int::bfe_u32(a32, b32, c32)),
        },
        Tri::Prmt => u64::from(int::prmt(a32, b32, c32)),
        Tri::ShfLeftWrap => u64::from(int::shf_l(a32, b32, c32, ShiftMode::Wrap)),
        Tri::ShfLeftClamp => u64::from(int::shf_l(a32, b32, c32, ShiftMode::Clamp)),
        Tri::ShfRightWrap => u64::from(int::shf_r(a32, b32, c32, ShiftMode::Wrap)),
        Tri::ShfRightClamp => u64::from(int::shf_r(a32, b32, c32, ShiftMode::Clamp)),
        Tri::Lop3(table) => u64::from(int::lop3(a32, b32, c32, u32::from(table))),
    };
    ty.mask(result)
}

/// `bfi`
pub(super) fn bfi(ty: Ty, a: u64, b: u64, position: u64, length: u64) -> u64 {
    let (position, length) = (position as u32, length as u32);
    if ty.bits == 64 {
        int::bfi_64(a, b, position, length)
    } else {
        u64::from(int::bfi_32(a as u32, b as u32, position, length))
    }
}

/// Operations of two sources.
pub(super) fn bin(op: Bin, ty: Ty, a: u64, b: u64) -> u64 {
    match ty.kind {
        Kind::Float if ty.bits == 32 => return bits(single(op, f(a), f(b))),
        Kind::Float => return double(op, d(a), d(b)).to_bits(),
        Kind::Bf | Kind::Unsigned | Kind::Signed => {}
    }
    let (a, b) = (ty.mask(a), ty.mask(b));
    let signed = ty.kind == Kind::Signed;
    let (sa, sb) = (ty.signed(a), ty.signed(b));
    let result = match op {
        Bin::Add => a.wrapping_add(b),
        Bin::Sub => a.wrapping_sub(b),
        Bin::MulLo => a.wrapping_mul(b),
        Bin::MulHi => match (ty.bits, signed) {
            (64, true) => int::mul_hi_s64(sa, sb) as u64,
            (64, false) => int::mul_hi_u64(a, b),
            (32, true) => of_s32(int::mul_hi_s32(sa as i32, sb as i32)),
            (32, false) => u64::from(int::mul_hi_u32(a as u32, b as u32)),
            _ => wide(ty, a, b) >> 16,
        },
        Bin::MulWide => return wide(ty, a, b),
        Bin::Div | Bin::Rem => divide(op, ty, (a, b), (sa, sb)),
        Bin::Min | Bin::MinNan if signed => sa.min(sb) as u64,
        Bin::Min | Bin::MinNan => a.min(b),
        Bin::Max | Bin::MaxNan if signed => sa.max(sb) as u64,
        Bin::Max | Bin::MaxNan => a.max(b),
        Bin::And => a & b,
        Bin::Or => a | b,
        Bin::Xor => a ^ b,
        // Types of 16 bits are shifted in 32: what leaves them is cut off below.
        Bin::Shl if ty.bits == 64 => int::shl_64(a, b as u32),
        Bin::Shl => u64::from(int::shl_32(a as u32, b as u32)),
        Bin::Shr => match (ty.bits, signed) {
            (64, true) => int::shr_s64(sa, b as u32) as u64,
            (64, false) => int::shr_u64(a, b as u32),
            (_, true) => of_s32(int::shr_s32(sa as i32, b as u32)),
            (_, false) => u64::from(int::shr_u32(a as u32, b as u32)),
        },
    };
    ty.mask(result)
}

/// `mul.wide`: twice as many bits.
fn wide(ty: Ty, a: u64, b: u64) -> u64 {
    match (ty.bits, ty.kind == Kind::Signed) {
        (32, true) => int::mul_wide_s32(a as i32, b as i32) as u64,
        (32, false) => int::mul_wide_u32(a as u32, b as u32),
        (_, true) => of_s32(int::mul_wide_s16(a as i16, b as i16)),
        (_, false) => u64::from(int::mul_wide_u16(a as u16, b as u16)),
    }
}

/// Types of 16 bits are divided in 32.
fn divide(op: Bin, ty: Ty, (a, b): (u64, u64), (sa, sb): (i64, i64)) -> u64 {
    let signed = ty.kind == Kind::Signed;
    let result = match (op == Bin::Div, ty.bits, signed) {
        (true, 64, true) => int::div_s64(sa, sb).map(|x| x as u64),
        (true, 64, false) => int::div_u64(a, b),
        (true, _, true) => int::div_s32(sa as i32, sb as i32).map(of_s32),
        (true, _, false) => int::div_u32(a as u32, b as u32).map(u64::from),
        (false, 64, true) => int::rem_s64(sa, sb).map(|x| x as u64),
        (false, 64, false) => int::rem_u64(a, b),
        (false, _, true) => int::rem_s32(sa as i32, sb as i32).map(of_s32),
        (false, _, false) => int::rem_u32(a as u32, b as u32).map(u64::from),
    };
    // Division by zero has no defined result (PTX ISA 9.7.1.9); this is what GPUs answer.
    result.unwrap_or(if op == Bin::Div { u64::MAX } else { a })
}

fn single(op: Bin, a: f32, b: f32) -> f32 {
    match op {
        Bin::Add => float::add(a, b),
        Bin::Sub => float::sub(a, b),
        Bin::MulLo => float::mul(a, b),
        Bin::Div => float::div(a, b),
        Bin::Min => float::min(a, b),
        Bin::Max => float::max(a, b),
        Bin::MinNan => float::min_nan(a, b),
        Bin::MaxNan => float::max_nan(a, b),
        _ => canonical(f32::NAN),
    }
}

fn double(op: Bin, a: f64, b: f64) -> f64 {
    match op {
        Bin::Add => a + b,
        Bin::Sub => a - b,
        Bin::MulLo => a * b,
        Bin::Div => a / b,
        Bin::Min | Bin::MinNan => a.min(b),
        Bin::Max | Bin::MaxNan => a.max(b),
        _ => f64::NAN,
    }
}

/// Operations of one source.
pub(super) fn un(op: Un, ty: Ty, a: u64) -> u64 {
    let is_float = ty.kind == Kind::Float;
    let m = ty.mask(a);
    let result = match op {
        Un::Abs if is_float && ty.bits == 64 => d(a).abs().to_bits(),
        Un::Neg if is_float && ty.bits == 64 => (-d(a)).to_bits(),
        Un::Abs if is_float => bits(float::abs(f(a))),
        Un::Neg if is_float => bits(float::neg(f(a))),
        Un::Abs => ty.signed(a).unsigned_abs(),
        Un::Neg => m.wrapping_neg(),
        Un::Not => !m,
        Un::Popc => return u64::from(int::popc_64(m)),
        Un::Clz => return u64::from(int::clz_64(m) - (64 - ty.bits)),
        Un::Brev => int::brev_64(m) >> (64 - ty.bits),
        Un::Bfind => {
            let negative = ty.kind == Kind::Signed && ty.signed(a) < 0;
            return u64::from(int::bfind_u64(if negative { ty.mask(!m) } else { m }));
        }
        Un::Rcp => bits(float::rcp(f(a))),
        Un::Sqrt => bits(float::sqrt(f(a))),
        Un::Ex2 => bits(canonical(f(a).exp2())),
    };
    ty.mask(result)
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
        (Kind::Bf, _) => f64::from(f32_from_bf16(a as u16)),
        (Kind::Float, 16) => f64::from(f32_from_f16(a as u16)),
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
            32 => bits(canonical(to_f64(from, a) as f32)),
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

/// f32 to bf16 or f16, to nearest even.
pub(super) fn narrow(to: Ty, x: f32) -> u64 {
    u64::from(if to.kind == Kind::Bf { bf16_from_f32(x) } else { f16_from_f32(x) })
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

#[cfg(test)]
mod tests;
