//! What the lanes of a warp do together.

use super::access::Place;
use super::alu;
use super::cluster::{Cluster, Flow, Step};
use super::warp::{Wait, each};
use crate::ir::{Inst, Op, Shuffle, Vote};
use crate::race::Clock;

impl Cluster<'_> {
    /// Lets lanes wait for others of their warp; the lanes together once all that are required are here.
    pub(crate) fn gather(
        &mut self,
        w: usize,
        inst: &Inst,
        lanes: u32,
        required: u32,
    ) -> Option<u32> {
        let code = self.env.code;
        let warp = &mut self.warps[w];
        let any_place = matches!(inst.op, Op::BarWarp { .. });
        let first = each(lanes).next()?;
        let pc = warp.pc[first];
        let mut here = lanes;
        for lane in each(warp.waiting & warp.live & required) {
            // bar.warp.sync may be another one of the text with the same mask (PTX ISA 9.7.13.2).
            let at = &code.insts[warp.pc[lane] as usize];
            let same = warp.pc[lane] == pc || any_place && matches!(at.op, Op::BarWarp { .. });
            if warp.wait[lane] == Wait::Converge && same {
                here |= 1 << lane;
            }
        }
        if required & warp.live & !here != 0 {
            warp.block(lanes, Wait::Converge);
            return None;
        }
        warp.wake(here & !lanes);
        Some(here)
    }

    pub(crate) fn collective(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let live = self.warps[w].live;
        let mask = match &inst.op {
            Op::Shfl { mask, .. }
            | Op::Vote { mask, .. }
            | Op::Redux { mask, .. }
            | Op::Elect { mask, .. }
            | Op::BarWarp { mask } => {
                let row = self.row(w, *mask);
                let first = each(lanes).next().unwrap_or(0);
                let mask = row[first] as u32;
                if lanes & !mask != 0 || each(lanes).any(|lane| row[lane] as u32 != mask) {
                    let message = format!("lanes {lanes:#x} execute it with the mask {mask:#x}");
                    self.report(crate::ReportKind::Divergence, vec![inst.line], message)?;
                }
                mask
            }
            _ => live,
        };
        let Some(here) = self.gather(w, inst, lanes, mask) else { return Ok(Flow::Advance(0)) };
        match &inst.op {
            Op::BarWarp { .. } => {
                let mut clock = Clock::default();
                let mut proxy = Clock::default();
                let warp = &mut self.warps[w];
                warp.release(here, &mut clock, &mut proxy);
                warp.join(here, &clock, &proxy);
                let Some(first) = each(lanes).next() else { return Ok(Flow::Advance(here)) };
                let pc = warp.pc[first];
                // Lanes that wait elsewhere go on from there.
                let mut together = 0;
                for lane in each(here) {
                    if warp.pc[lane] == pc {
                        together |= 1 << lane;
                    } else {
                        warp.pc[lane] += 1;
                    }
                }
                return Ok(Flow::Advance(together));
            }
            Op::Shfl { how, d, p, a, b, c, .. } => {
                let (a, b, c) = (self.row(w, *a), self.row(w, *b), self.row(w, *c));
                let mut out = [0; 32];
                let mut inside = 0;
                let mut absent = false;
                for lane in each(here) {
                    // PTX ISA 9.7.9.6: c holds the clamp in bits 0-4 and the segment mask in bits 8-12.
                    let (segment, clamp) = (c[lane] as u32 >> 8 & 31, c[lane] as u32 & 31);
                    let (by, own) = (b[lane] as u32 & 31, lane as u32);
                    let (max, min) = (own & segment | clamp & !segment, own & segment);
                    let (j, ok) = match how {
                        Shuffle::Up => (own.wrapping_sub(by), own as i32 - by as i32 >= max as i32),
                        Shuffle::Down => (own + by, own + by <= max),
                        Shuffle::Bfly => (own ^ by, own ^ by <= max),
                        Shuffle::Idx => (min | by & !segment, min | by & !segment <= max),
                    };
                    let source = if ok { j & 31 } else { own };
                    inside |= u32::from(ok) << lane;
                    absent |= here >> source & 1 == 0;
                    out[lane] = a[source as usize] & 0xFFFF_FFFF;
                }
                if absent {
                    let message = "a lane reads from one that does not take part".to_owned();
                    self.report(crate::ReportKind::Divergence, vec![inst.line], message)?;
                }
                self.warps[w].set(*d, here, &out);
                if let Some(p) = p {
                    self.warps[w].set_predicate(*p, here, inside);
                }
            }
            Op::Vote { how, d, a, .. } => {
                let warp = &mut self.warps[w];
                let ballot = warp.predicate(*a) & here;
                match how {
                    Vote::Ballot => warp.set(*d, here, &[u64::from(ballot); 32]),
                    Vote::All => {
                        warp.set_predicate(*d, here, if ballot == here { here } else { 0 });
                    }
                    Vote::Any => warp.set_predicate(*d, here, if ballot == 0 { 0 } else { here }),
                    Vote::Uni => {
                        let same = ballot == 0 || ballot == here;
                        warp.set_predicate(*d, here, if same { here } else { 0 });
                    }
                }
            }
            Op::Redux { op, ty, d, a, .. } => {
                let values = self.row(w, *a);
                let values = each(here).map(|lane| values[lane]);
                let result = values.reduce(|x, y| alu::bin(*op, *ty, x, y)).unwrap_or(0);
                self.warps[w].set(*d, here, &[result & 0xFFFF_FFFF; 32]);
            }
            Op::Elect { d, p, .. } => {
                // The lowest lane, as measured on an H200 for the full mask.
                let leader = here.trailing_zeros();
                if let Some(d) = d {
                    self.warps[w].set(*d, here, &[u64::from(leader); 32]);
                }
                self.warps[w].set_predicate(*p, here, 1 << leader);
            }
            Op::Stmatrix { m, a, transposed } => {
                let addresses = self.addresses(w, *m);
                let rows: Vec<_> = a.iter().map(|&a| self.row(w, a)).collect();
                for (matrix, values) in rows.iter().enumerate() {
                    for row in 0..8 {
                        let lane = matrix * 8 + row;
                        let mut bytes = [0; 16];
                        for column in 0..8 {
                            let (r, c) = if *transposed { (column, row) } else { (row, column) };
                            let word = values[r * 4 + c / 2] >> (16 * (c % 2));
                            bytes[2 * column..][..2].copy_from_slice(&(word as u16).to_le_bytes());
                        }
                        let place = self.shared_place(w, addresses[lane]);
                        self.store(w, lane, place, &bytes, inst.line)?;
                    }
                }
            }
            Op::Ldmatrix { m, d, transposed } => {
                let addresses = self.addresses(w, *m);
                for (matrix, d) in d.iter().enumerate() {
                    let mut out = [0u64; 32];
                    for row in 0..8 {
                        let lane = matrix * 8 + row;
                        let mut bytes = [0; 16];
                        let place: Place = self.shared_place(w, addresses[lane]);
                        self.load(w, lane, place, &mut bytes, inst.line)?;
                        for column in 0..8 {
                            let value = u64::from(bytes[2 * column])
                                | u64::from(bytes[2 * column + 1]) << 8;
                            let (r, c) = if *transposed { (column, row) } else { (row, column) };
                            out[r * 4 + c / 2] |= value << (16 * (c % 2));
                        }
                    }
                    self.warps[w].set(*d, here, &out);
                }
            }
            Op::SetMaxNreg { count, increase } => {
                self.set_budget(w, inst.line, *count, *increase)?;
            }
            _ => {}
        }
        Ok(Flow::Advance(here))
    }

    /// `setmaxnreg`: all warps of a warpgroup execute the same ones (PTX ISA 9.7.19.5).
    fn set_budget(&mut self, w: usize, line: u32, count: u32, increase: bool) -> Step<()> {
        let before = self.warps[w].budgets.last().copied();
        if before.is_some_and(|before| if increase { count < before } else { count > before }) {
            let message = format!("{count} registers where {before:?} were given");
            self.report(crate::ReportKind::Registers, vec![line], message)?;
        }
        self.warps[w].budgets.push(count);
        let at = self.warps[w].budgets.len() - 1;
        let (cta, group) = (self.warps[w].cta, self.warps[w].index / 4);
        let differs = self.warps.iter().any(|other| {
            let same_group = other.cta == cta && other.index / 4 == group;
            same_group && other.budgets.get(at).is_some_and(|&other| other != count)
        });
        if differs {
            let message = "the warps of a warpgroup ask for different register counts".to_owned();
            self.report(crate::ReportKind::Registers, vec![line], message)?;
        }
        // The counts of all warpgroups together fit what the CTA has.
        let first = self.warps.iter().filter(|other| other.cta == cta && other.index % 4 == 0);
        let total: u32 =
            first.filter_map(|other| other.budgets.last()).map(|count| count * 128).sum();
        self.judge_registers(total, line)
    }

    /// Judges, as the CTA leaves, whether `setmaxnreg` could have been served: an increase waits until the CTA's pool
    /// suffices (PTX ISA 9.7.19.5), and a warpgroup that gave none back keeps what it was launched with.
    pub(super) fn check_register_file(&mut self, cta: usize, line: u32) -> Step<()> {
        let groups = || self.warps.iter().filter(|warp| warp.cta == cta && warp.index % 4 == 0);
        if groups().all(|warp| warp.budgets.is_empty()) {
            return Ok(());
        }
        let launched = self.env.code.launch_registers(self.threads());
        let total = groups().map(|warp| warp.budgets.last().unwrap_or(&launched) * 128).sum();
        self.judge_registers(total, line)
    }

    /// The pool is what the CTA was launched with, not the whole register file: what the launch left over belongs to
    /// nobody.
    fn judge_registers(&mut self, total: u32, line: u32) -> Step<()> {
        let pool = self.env.code.launch_registers(self.threads()) * self.threads();
        if total <= pool {
            return Ok(());
        }
        let message = format!(
            "setmaxnreg waits for ever: the warpgroups hold {total} registers, the CTA was launched with {pool}"
        );
        self.report(crate::ReportKind::Registers, vec![line], message)
    }

    fn threads(&self) -> u32 {
        self.env.block.iter().product()
    }
}
