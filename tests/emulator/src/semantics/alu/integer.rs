//! Integer and bit operations whose meaning is not just Rust's (PTX ISA 9.7.1 and 9.7.8).

/// `mul.hi.u32`.
pub const fn mul_hi_u32(x: u32, y: u32) -> u32 {
    (mul_wide_u32(x, y) >> 32) as u32
}

/// `mul.hi.s32`.
pub const fn mul_hi_s32(x: i32, y: i32) -> i32 {
    (mul_wide_s32(x, y) >> 32) as i32
}

/// `mul.hi.u64`.
pub const fn mul_hi_u64(x: u64, y: u64) -> u64 {
    ((x as u128 * y as u128) >> 64) as u64
}

/// `mul.hi.s64`.
pub const fn mul_hi_s64(x: i64, y: i64) -> i64 {
    ((x as i128 * y as i128) >> 64) as i64
}

/// `mul.wide.u32`.
pub const fn mul_wide_u32(x: u32, y: u32) -> u64 {
    x as u64 * y as u64
}

/// `mul.wide.s32`.
pub const fn mul_wide_s32(x: i32, y: i32) -> i64 {
    x as i64 * y as i64
}

/// `mul.wide.u16`.
pub const fn mul_wide_u16(x: u16, y: u16) -> u32 {
    x as u32 * y as u32
}

/// `mul.wide.s16`.
pub const fn mul_wide_s16(x: i16, y: i16) -> i32 {
    x as i32 * y as i32
}

/// `mad.lo.u32` and `.s32`.
pub const fn mad_lo_32(x: u32, y: u32, z: u32) -> u32 {
    x.wrapping_mul(y).wrapping_add(z)
}

/// `mad.lo.u64` and `.s64`.
pub const fn mad_lo_64(x: u64, y: u64, z: u64) -> u64 {
    x.wrapping_mul(y).wrapping_add(z)
}

/// `mad.hi.u32`.
pub const fn mad_hi_u32(x: u32, y: u32, z: u32) -> u32 {
    mul_hi_u32(x, y).wrapping_add(z)
}

/// `mad.hi.s32`.
pub const fn mad_hi_s32(x: i32, y: i32, z: i32) -> i32 {
    mul_hi_s32(x, y).wrapping_add(z)
}

/// `mad.wide.u32`.
pub const fn mad_wide_u32(x: u32, y: u32, z: u64) -> u64 {
    mul_wide_u32(x, y).wrapping_add(z)
}

/// `mad.wide.s32`.
pub const fn mad_wide_s32(x: i32, y: i32, z: i64) -> i64 {
    mul_wide_s32(x, y).wrapping_add(z)
}

/// `add.cc.u32` and `addc.cc.u32`: the sum and the carry out.
pub const fn add_carry_u32(x: u32, y: u32, carry: bool) -> (u32, bool) {
    let sum = x as u64 + y as u64 + carry as u64;
    (sum as u32, sum >> 32 != 0)
}

/// `sub.cc.u32` and `subc.cc.u32`: the difference and the borrow out.
pub const fn sub_borrow_u32(x: u32, y: u32, borrow: bool) -> (u32, bool) {
    let difference = (x as u64).wrapping_sub(y as u64).wrapping_sub(borrow as u64);
    (difference as u32, difference >> 63 != 0)
}

/// `div.u32`. By zero the ISA leaves the value open; nothing is returned.
pub const fn div_u32(x: u32, y: u32) -> Option<u32> {
    x.checked_div(y)
}

/// `div.s32`; nothing by zero. The one overflow wraps.
pub const fn div_s32(x: i32, y: i32) -> Option<i32> {
    if y == 0 { None } else { Some(x.wrapping_div(y)) }
}

/// `div.u64`; nothing by zero.
pub const fn div_u64(x: u64, y: u64) -> Option<u64> {
    x.checked_div(y)
}

/// `div.s64`; nothing by zero. The one overflow wraps.
pub const fn div_s64(x: i64, y: i64) -> Option<i64> {
    if y == 0 { None } else { Some(x.wrapping_div(y)) }
}

/// `rem.u32`; nothing by zero.
pub const fn rem_u32(x: u32, y: u32) -> Option<u32> {
    x.checked_rem(y)
}

/// `rem.s32`: the sign of the dividend, as in Rust; nothing by zero. By -1 it is 0.
pub const fn rem_s32(x: i32, y: i32) -> Option<i32> {
    if y == 0 { None } else { Some(x.wrapping_rem(y)) }
}

/// `rem.u64`; nothing by zero.
pub const fn rem_u64(x: u64, y: u64) -> Option<u64> {
    x.checked_rem(y)
}

/// `rem.s64`; nothing by zero.
pub const fn rem_s64(x: i64, y: i64) -> Option<i64> {
    if y == 0 { None } else { Some(x.wrapping_rem(y)) }
}

/// `shl.b32`: amounts above 31 clear the register.
pub const fn shl_32(x: u32, amount: u32) -> u32 {
    if amount > 31 { 0 } else { x << amount }
}

/// `shl.b64`: amounts above 63 clear the register.
pub const fn shl_64(x: u64, amount: u32) -> u64 {
    if amount > 63 { 0 } else { x << amount }
}

/// `shr.u32`: amounts above 31 clear the register.
pub const fn shr_u32(x: u32, amount: u32) -> u32 {
    if amount > 31 { 0 } else { x >> amount }
}

/// `shr.u64`: amounts above 63 clear the register.
pub const fn shr_u64(x: u64, amount: u32) -> u64 {
    if amount > 63 { 0 } else { x >> amount }
}

/// `shr.s32`: amounts above 31 leave the sign everywhere.
pub const fn shr_s32(x: i32, amount: u32) -> i32 {
    x >> if amount > 31 { 31 } else { amount }
}

/// `shr.s64`: amounts above 63 leave the sign everywhere.
pub const fn shr_s64(x: i64, amount: u32) -> i64 {
    x >> if amount > 63 { 63 } else { amount }
}

/// How `shf` treats an amount above 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShiftMode {
    /// Amounts above 32 count as 32.
    Clamp,
    /// Amounts count modulo 32.
    Wrap,
}

impl ShiftMode {
    const fn amount(self, c: u32) -> u32 {
        match self {
            Self::Clamp if c > 32 => 32,
            Self::Clamp => c,
            Self::Wrap => c & 31,
        }
    }
}

/// `shf.l.b32 d, a, b, c`: the high half of `b:a << c` (`b` is the high word).
pub const fn shf_l(a: u32, b: u32, c: u32, mode: ShiftMode) -> u32 {
    let both = (b as u64) << 32 | a as u64;
    ((both << mode.amount(c)) >> 32) as u32
}

/// `shf.r.b32 d, a, b, c`: the low half of `b:a >> c` (`b` is the high word).
pub const fn shf_r(a: u32, b: u32, c: u32, mode: ShiftMode) -> u32 {
    let both = (b as u64) << 32 | a as u64;
    (both >> mode.amount(c)) as u32
}

/// `bfe.u32 d, a, position, length`: only the low bytes of position and length count; bits beyond the
/// register are zero.
pub const fn bfe_u32(a: u32, position: u32, length: u32) -> u32 {
    bfe_u64(a as u64, position, length) as u32
}

/// `bfe.s32`: as [`bfe_u32`], but beyond the field comes its highest bit, or the register's where the
/// field reaches past it.
pub const fn bfe_s32(a: i32, position: u32, length: u32) -> i32 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    if length == 0 {
        return 0;
    }
    // Past the register there are copies of its sign.
    let shifted = shr_s32(a, position);
    if length > 31 { shifted } else { shifted << (32 - length) >> (32 - length) }
}

/// `bfe.u64`; see [`bfe_u32`].
pub const fn bfe_u64(a: u64, position: u32, length: u32) -> u64 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    shr_u64(a, position) & shl_64(1, length).wrapping_sub(1)
}

/// `bfe.s64`; see [`bfe_s32`].
pub const fn bfe_s64(a: i64, position: u32, length: u32) -> i64 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    if length == 0 {
        return 0;
    }
    let shifted = shr_s64(a, position);
    if length > 63 { shifted } else { shifted << (64 - length) >> (64 - length) }
}

/// `bfi.b32 f, a, b, position, length`: the low bits of `a` into `b`; only the low bytes of position and
/// length count, bits beyond the register are dropped.
pub const fn bfi_32(a: u32, b: u32, position: u32, length: u32) -> u32 {
    bfi_64(a as u64, b as u64, position, length) as u32
}

/// `bfi.b64`; see [`bfi_32`].
pub const fn bfi_64(a: u64, b: u64, position: u32, length: u32) -> u64 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    let mask = shl_64(shl_64(1, length).wrapping_sub(1), position);
    (b & !mask) | (shl_64(a, position) & mask)
}

/// `prmt.b32 d, a, b, c` in the default mode: each nibble of `c` picks one of the eight bytes of `b:a`;
/// with its highest bit set, that byte's sign is repeated instead.
pub const fn prmt(a: u32, b: u32, c: u32) -> u32 {
    let bytes = (b as u64) << 32 | a as u64;
    let mut d = 0;
    let mut i = 0;
    while i < 4 {
        let nibble = c >> (4 * i) & 15;
        let byte = (bytes >> (8 * (nibble & 7)) & 0xFF) as u32;
        let byte = match (nibble & 8 != 0, byte & 0x80 != 0) {
            (true, true) => 0xFF,
            (true, false) => 0,
            _ => byte,
        };
        d |= byte << (8 * i);
        i += 1;
    }
    d
}

/// `lop3.b32 d, a, b, c, table`: the table's bit at `a << 2 | b << 1 | c`, for each bit position.
pub const fn lop3(a: u32, b: u32, c: u32, table: u32) -> u32 {
    let mut d = 0;
    let mut i = 0;
    while i < 8 {
        if table >> i & 1 != 0 {
            d |= (if i & 4 != 0 { a } else { !a })
                & (if i & 2 != 0 { b } else { !b })
                & (if i & 1 != 0 { c } else { !c });
        }
        i += 1;
    }
    d
}

/// `popc.b32`.
pub const fn popc_32(x: u32) -> u32 {
    x.count_ones()
}

/// `popc.b64`; the result has 32 bits.
pub const fn popc_64(x: u64) -> u32 {
    x.count_ones()
}

/// `clz.b32`; 32 for zero.
pub const fn clz_32(x: u32) -> u32 {
    x.leading_zeros()
}

/// `clz.b64`; 64 for zero, the result has 32 bits.
pub const fn clz_64(x: u64) -> u32 {
    x.leading_zeros()
}

/// `brev.b32`.
pub const fn brev_32(x: u32) -> u32 {
    x.reverse_bits()
}

/// `brev.b64`.
pub const fn brev_64(x: u64) -> u64 {
    x.reverse_bits()
}

/// `bfind.u32`: the position of the highest set bit, or `0xFFFF_FFFF`.
pub const fn bfind_u32(x: u32) -> u32 {
    31u32.wrapping_sub(x.leading_zeros())
}

/// `bfind.s32`: the position of the highest bit that differs from the sign, or `0xFFFF_FFFF`.
pub const fn bfind_s32(x: i32) -> u32 {
    bfind_u32((if x < 0 { !x } else { x }) as u32)
}

/// `bfind.u64`: the position of the highest set bit, or `0xFFFF_FFFF`.
pub const fn bfind_u64(x: u64) -> u32 {
    63u32.wrapping_sub(x.leading_zeros())
}
