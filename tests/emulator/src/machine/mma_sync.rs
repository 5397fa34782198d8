//! `mma.sync` m16n8k32 with E4M3 operands: a warp's own product, at once (PTX ISA 9.7.14.5).

use super::cluster::{Cluster, Flow, Step};
use super::warp::Row;
use crate::ir::{Inst, MmaSync};
use crate::report::ReportKind;
use crate::semantics::fragment::{mma_a, mma_b, mma_c};
use crate::semantics::tensor::{K, mma_e4m3};

/// Rows and columns of the result.
const SHAPE: (usize, usize) = (16, 8);

impl Cluster<'_> {
    pub(crate) fn mma_sync_op(
        &mut self,
        w: usize,
        inst: &Inst,
        op: &MmaSync,
        lanes: u32,
    ) -> Step<Flow> {
        let live = self.warps[w].live;
        let Some(here) = self.gather(w, inst, lanes, live) else { return Ok(Flow::Advance(0)) };
        if here != u32::MAX {
            let message = "mma.sync by a warp that is not whole".to_owned();
            return self.fatal(ReportKind::Divergence, inst.line, message);
        }
        let (rows, columns) = SHAPE;
        let (mut a, mut b) = (vec![0; rows * K], vec![0; columns * K]);
        let mut d = vec![0.0; rows * columns];
        let bytes = |lane: usize, row: &Row| (row[lane] as u32).to_le_bytes();
        for lane in 0..32 {
            for (register, &source) in (0..).zip(&op.a) {
                for (byte, code) in (0..).zip(bytes(lane, &self.row(w, source))) {
                    let (row, k) = mma_a(lane as u32, register, byte);
                    a[row as usize * K + k as usize] = code;
                }
            }
            for (register, &source) in (0..).zip(&op.b) {
                for (byte, code) in (0..).zip(bytes(lane, &self.row(w, source))) {
                    let (k, column) = mma_b(lane as u32, register, byte);
                    b[column as usize * K + k as usize] = code;
                }
            }
            for (register, &source) in (0..).zip(&op.c) {
                let (row, column) = mma_c(lane as u32, register);
                let value = f32::from_le_bytes(bytes(lane, &self.row(w, source)));
                d[row as usize * columns + column as usize] = value;
            }
        }
        mma_e4m3(op.family, &mut d, &a, &b);
        for (register, &to) in (0..).zip(&op.d) {
            let row: Row = std::array::from_fn(|lane| {
                let (row, column) = mma_c(lane as u32, register);
                d[row as usize * columns + column as usize].to_bits().into()
            });
            self.warps[w].set(to, u32::MAX, &row);
        }
        self.stats.macs += (rows * columns * K) as u64;
        Ok(Flow::Advance(u32::MAX))
    }
}
