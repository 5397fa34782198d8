//! One instruction for the lanes of a warp that are at it.

use super::alu;
use super::cluster::{Cluster, Flow, Step};
use super::warp::{Row, Warp, each};
use crate::ir::{Bin, Fence, Inst, Kind, Logic, Op, Src, Tri, Ty};
use crate::report::ReportKind;

impl Cluster<'_> {
    /// Executes an instruction for `lanes`.
    pub(crate) fn step(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let next = Flow::Advance(lanes);
        match &inst.op {
            Op::Tri { op: Tri::Fma, ty: Ty { bits: 32, .. }, d, a, b, c } => {
                self.fma(w, lanes, *d, [*a, *b, *c]);
            }
            Op::Mov { d, a } => {
                let row = self.row(w, *a);
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Bin { op, ty, d, a, b } => {
                let (a, b) = (self.row(w, *a), self.row(w, *b));
                if matches!(op, Bin::Div | Bin::Rem) && ty.kind != Kind::Float {
                    self.check_divisors(inst, lanes, &b)?;
                }
                let row: Row = match (op, ty.bits, ty.kind) {
                    (Bin::Add, 32, Kind::Signed | Kind::Unsigned) => {
                        std::array::from_fn(|i| a[i].wrapping_add(b[i]) & 0xFFFF_FFFF)
                    }
                    _ => std::array::from_fn(|i| alu::bin(*op, *ty, a[i], b[i])),
                };
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Tri { op, ty, d, a, b, c } => {
                let (a, b, c) = (self.row(w, *a), self.row(w, *b), self.row(w, *c));
                let row = std::array::from_fn(|i| alu::tri(*op, *ty, a[i], b[i], c[i]));
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Un { op, ty, d, a } => {
                let row = self.row(w, *a).map(|a| alu::un(*op, *ty, a));
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Bfi { ty, d, a, b, c, len } => {
                let (a, b) = (self.row(w, *a), self.row(w, *b));
                let (c, len) = (self.row(w, *c), self.row(w, *len));
                let row = std::array::from_fn(|i| alu::bfi(*ty, a[i], b[i], c[i], len[i]));
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Setp { cmp, ty, d, q, a, b, with } => {
                let (a, b) = (self.row(w, *a), self.row(w, *b));
                let mut bits = 0;
                for lane in 0..32 {
                    bits |= u32::from(alu::compare(*cmp, *ty, a[lane], b[lane])) << lane;
                }
                let warp = &mut self.warps[w];
                let (mut p, mut not) = (bits, !bits);
                if let Some((op, with)) = with {
                    let with = warp.predicate(*with);
                    (p, not) = (logic(*op, p, with), logic(*op, not, with));
                }
                warp.set_predicate(*d, lanes, p);
                if let Some(q) = q {
                    warp.set_predicate(*q, lanes, not);
                }
            }
            Op::LogicPred { op, d, a, b } => {
                let warp = &mut self.warps[w];
                let value = logic(*op, warp.predicate(*a), warp.predicate(*b));
                warp.set_predicate(*d, lanes, value);
            }
            Op::MovPred { d, a } => {
                let warp = &mut self.warps[w];
                let value = warp.predicate(*a);
                warp.set_predicate(*d, lanes, value);
            }
            Op::Selp { ty, d, a, b, p } => {
                let (a, b) = (self.row(w, *a), self.row(w, *b));
                let p = self.warps[w].predicate(*p);
                let pick = |i: usize| ty.mask(if p >> i & 1 == 1 { a[i] } else { b[i] });
                let row = std::array::from_fn(pick);
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Cvt { to, from, round, sat, d, a } => {
                let mut row = self.row(w, *a).map(|a| alu::convert(*to, *from, *round, *sat, a));
                if to.kind == Kind::Signed && to.bits < 32 {
                    row = row.map(|x| to.signed(x) as u64 & 0xFFFF_FFFF);
                }
                self.warps[w].set(*d, lanes, &row);
            }
            Op::CvtPack { to, d, high, low } => {
                let (high, low) = (self.row(w, *high), self.row(w, *low));
                let half = |bits: u64| alu::narrow(*to, f32::from_bits(bits as u32));
                let row = std::array::from_fn(|i| half(high[i]) << 16 | half(low[i]));
                self.warps[w].set(*d, lanes, &row);
            }
            Op::CvtPair { how, d, a, b } => {
                let (a, b) = (self.row(w, *a), self.row(w, *b));
                let row = std::array::from_fn(|i| alu::pair(*how, a[i] as u32, b[i] as u32));
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Unpack { d, a, bits } => {
                let row = self.row(w, *a);
                for (i, d) in d.iter().enumerate() {
                    if let Some(d) = d {
                        let mask = (1u64 << bits) - 1;
                        let part = row.map(|x| x >> (bits * i as u32) & mask);
                        self.warps[w].set(*d, lanes, &part);
                    }
                }
            }
            Op::Pack { d, a, bits } => {
                let mut row = [0; 32];
                for (i, a) in a.iter().enumerate() {
                    let mask = (1u64 << bits) - 1;
                    for (to, from) in row.iter_mut().zip(self.row(w, *a)) {
                        *to |= (from & mask) << (bits * i as u32);
                    }
                }
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Cvta { space, to, d, a } => {
                let window = self.window(*space);
                let change =
                    |x: u64| if *to { x.wrapping_sub(window) } else { x.wrapping_add(window) };
                let row = self.row(w, *a).map(change);
                self.warps[w].set(*d, lanes, &row);
            }
            Op::Ld { space, ty, d, m } => self.load_op(w, inst, lanes, (*space, *ty), d, *m)?,
            Op::St { space, ty, a, m } => self.store_op(w, inst, lanes, (*space, *ty), a, *m)?,
            Op::Atom { space, op, ty, d, m, a, b } => {
                self.atomic_op(w, inst, lanes, (*space, *op, *ty), *d, (*m, *a, *b))?;
            }
            // `.uni` promises that the lanes that are here agree, and an unconditional branch cannot split.
            Op::Bra { target } => return Ok(Flow::Jump { target: *target, taken: lanes }),
            Op::Exit => return self.exit(w, inst, lanes),
            Op::Trap => return self.fatal(ReportKind::Trap, inst.line, "trap".to_owned()),
            Op::Nop => {}
            Op::Activemask { d } => {
                self.warps[w].set(*d, lanes, &[u64::from(lanes); 32]);
            }
            Op::Mapa { d, a, rank } => {
                let (a, rank) = (self.row(w, *a), self.row(w, *rank));
                for lane in each(lanes) {
                    if rank[lane] as u32 as usize >= self.ctas.len() {
                        let message = format!("mapa to rank {} of {}", rank[lane], self.ctas.len());
                        return self.fatal(ReportKind::OutOfBounds, inst.line, message);
                    }
                }
                let map = |i: usize| a[i] & 0xFF_FFFF | ((rank[i] & 0xFF) + 1) << 24;
                self.warps[w].set(*d, lanes, &std::array::from_fn(map));
            }
            Op::Fence(fence) => self.fence(w, lanes, *fence),
            Op::SetMaxNreg { .. }
            | Op::Shfl { .. }
            | Op::Vote { .. }
            | Op::Redux { .. }
            | Op::Elect { .. }
            | Op::BarWarp { .. }
            | Op::Stmatrix { .. }
            | Op::Ldmatrix { .. } => return self.collective(w, inst, lanes),
            Op::Bar { .. } | Op::ClusterArrive { .. } | Op::ClusterWait { .. } => {
                return self.barrier_op(w, inst, lanes);
            }
            Op::MbarInit { .. }
            | Op::MbarInval { .. }
            | Op::MbarArrive { .. }
            | Op::MbarExpectTx { .. }
            | Op::MbarCompleteTx { .. }
            | Op::MbarWait { .. } => return self.mbarrier_op(w, inst, lanes),
            Op::CpAsync { .. }
            | Op::CpAsyncCommit
            | Op::CpAsyncWait { .. }
            | Op::CpAsyncArrive { .. }
            | Op::Bulk { .. }
            | Op::Tma { .. } => return self.copy_op(w, inst, lanes),
            Op::WgmmaFence | Op::WgmmaCommit | Op::WgmmaWait { .. } | Op::Wgmma { .. } => {
                return self.tensor_op(w, inst, lanes);
            }
            Op::Half { op, half, pair, d, a, b, c } => {
                self.half_op(w, lanes, (*op, *half, *pair), *d, [*a, *b, *c]);
            }
            Op::MmaSync(op) => return self.mma_sync_op(w, inst, op, lanes),
            Op::BulkStore(op) => return self.bulk_store_op(w, inst, op, lanes),
            Op::Tcgen05(op) => return self.tcgen05_op(w, inst, op, lanes),
        }
        Ok(next)
    }

    fn check_divisors(&mut self, inst: &Inst, lanes: u32, divisors: &Row) -> Step<()> {
        match each(lanes).find(|&lane| divisors[lane] == 0) {
            None => Ok(()),
            Some(lane) => {
                let message = format!("a division by 0 in lane {lane}");
                self.report(ReportKind::Division, vec![inst.line], message)
            }
        }
    }

    fn fma(&mut self, w: usize, lanes: u32, d: u32, [a, b, c]: [Src; 3]) {
        let (a, b, c) = (self.row(w, a), self.row(w, b), self.row(w, c));
        let ty = Ty { kind: Kind::Float, bits: 32 };
        let row = std::array::from_fn(|i| alu::tri(Tri::Fma, ty, a[i], b[i], c[i]));
        self.warps[w].set(d, lanes, &row);
    }

    fn fence(&mut self, w: usize, lanes: u32, fence: Fence) {
        let warp: &mut Warp = &mut self.warps[w];
        for lane in each(lanes) {
            let actor = warp.actor + lane as u32;
            match fence {
                Fence::ProxyAsync => {
                    let time = &mut warp.time[lane];
                    time.proxy.join(&time.base);
                    time.proxy.raise(actor, time.own);
                    time.own += 1;
                }
                Fence::MbarrierInit => {
                    for barrier in self.ctas[warp.cta].barriers.values_mut() {
                        barrier.published |= barrier.init.actor == actor;
                    }
                }
                Fence::Memory | Fence::Other => {}
            }
        }
    }
}

const fn logic(op: Logic, a: u32, b: u32) -> u32 {
    match op {
        Logic::And => a & b,
        Logic::Or => a | b,
        Logic::Xor => a ^ b,
    }
}
