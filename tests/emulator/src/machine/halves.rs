//! Arithmetic on f16 and bf16: the tested functions, on each lane.

use super::cluster::Cluster;
use super::warp::Row;
use crate::ir::{HalfOp, Src};
use crate::semantics::alu::float::Half;

impl Cluster<'_> {
    pub(crate) fn half_op(
        &mut self,
        w: usize,
        lanes: u32,
        (op, half, pair): (HalfOp, Half, bool),
        d: u32,
        [a, b, c]: [Src; 3],
    ) {
        let (a, b, c) = (self.row(w, a), self.row(w, b), self.row(w, c));
        let value = |i: usize| {
            let (a, b, c) = (a[i] as u32, b[i] as u32, c[i] as u32);
            let both = match op {
                HalfOp::Add => half.pairwise(a, b, Half::add),
                HalfOp::Sub => half.pairwise(a, b, Half::sub),
                HalfOp::Mul => half.pairwise(a, b, Half::mul),
                HalfOp::Fma => half.fma_pair(a, b, c),
                HalfOp::Min => half.pairwise(a, b, Half::min),
                HalfOp::Max => half.pairwise(a, b, Half::max),
                HalfOp::MinNan => half.pairwise(a, b, Half::min_nan),
                HalfOp::MaxNan => half.pairwise(a, b, Half::max_nan),
                HalfOp::MaxUnsigned => half.pairwise(a, b, |_, x, y| x.max(y)),
                HalfOp::MinUnsigned => half.pairwise(a, b, |_, x, y| x.min(y)),
                HalfOp::Neg => half.pairwise(a, a, |half, x, _| half.neg(x)),
                HalfOp::Abs => half.pairwise(a, a, |half, x, _| half.abs(x)),
            };
            u64::from(if pair { both } else { both & 0xFFFF })
        };
        let row: Row = std::array::from_fn(value);
        self.warps[w].set(d, lanes, &row);
    }
}
