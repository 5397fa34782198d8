//! wgmma: a queue for each warpgroup, in order (PTX ISA 9.7.15).

use super::cluster::{Cluster, Flow, Step};
use super::warp::{POISON, Row, Wait};
use crate::ir::{Inst, MmaA, MmaElement, Op, Src};
use crate::options::Timing;
use crate::race::{Clock, Epoch, Time, View};
use crate::report::ReportKind;
use crate::semantics::descriptor::WgmmaDescriptor;
use crate::semantics::{fragment, tensor};
use std::collections::{HashMap, VecDeque};

/// Columns of the reduction of one instruction, in bytes.
const K: usize = 32;

/// The first operand of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
enum A {
    Descriptor(u64),
    /// From registers: rows of [`K`] bytes. Each warp brings its own 16 at its issue, and any access to the registers
    /// before the wait is reported, so that it does not matter when the tensor core reads them.
    Rows(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Mma {
    line: u32,
    element: MmaElement,
    n: u32,
    a: A,
    b: u64,
    scale_d: bool,
    negate: [bool; 2],
    d: Vec<u32>,
    clocks: Vec<(Clock, Clock)>,
}

impl Mma {
    /// Takes in what another warp of the warpgroup issues; false if it is another operation.
    fn join(&mut self, other: Self, quarter: usize) -> bool {
        let same = match (&mut self.a, &other.a) {
            (A::Descriptor(a), A::Descriptor(b)) => a == b,
            (A::Rows(a), A::Rows(b)) => {
                let own = quarter * 16 * K..(quarter + 1) * 16 * K;
                a[own.clone()].copy_from_slice(&b[own]);
                true
            }
            _ => false,
        };
        self.clocks.extend(other.clocks);
        same && (self.b, self.n, self.scale_d, self.line, self.negate)
            == (other.b, other.n, other.scale_d, other.line, other.negate)
    }
}

/// The tensor core of a warpgroup.
#[derive(Debug)]
pub(crate) struct Warpgroup {
    pub(crate) actor: u32,
    /// Number of the first of `queue`.
    first: u64,
    /// Issued by some warp, oldest first. Those before `ready` were issued by all four.
    queue: VecDeque<Mma>,
    ready: u64,
    /// Accumulators while the tensor core owns them, by warp and register.
    accumulators: HashMap<(usize, u32), Row>,
}

impl Warpgroup {
    pub(crate) fn new(actor: u32) -> Self {
        Self { actor, first: 0, queue: VecDeque::new(), ready: 0, accumulators: HashMap::new() }
    }

    pub(crate) const fn ready(&self) -> u64 {
        self.ready
    }
}

impl Cluster<'_> {
    pub(crate) fn group_of(&self, w: usize) -> usize {
        let per_cta = self.groups.len() / self.ctas.len();
        self.warps[w].cta * per_cta + self.warps[w].index as usize / 4
    }

    pub(crate) fn tensor_op(&mut self, w: usize, inst: &Inst, lanes: u32) -> Step<Flow> {
        let live = self.warps[w].live;
        let Some(here) = self.gather(w, inst, lanes, live) else { return Ok(Flow::Advance(0)) };
        if here != u32::MAX {
            let message = "a warp that is not whole".to_owned();
            return self.fatal(ReportKind::Wgmma, inst.line, message);
        }
        match &inst.op {
            Op::WgmmaFence => self.warps[w].fenced = self.warps[w].sequence,
            Op::WgmmaCommit => {
                let warp = &mut self.warps[w];
                warp.commits.push(warp.issued);
            }
            Op::WgmmaWait { left } => return self.wait_group(w, here, *left),
            Op::Wgmma { .. } => self.issue(w, inst)?,
            _ => {}
        }
        Ok(Flow::Advance(here))
    }

    /// A value that all lanes of a warp must agree on.
    pub(crate) fn uniform(
        &mut self,
        w: usize,
        src: Src,
        line: u32,
        kind: ReportKind,
        what: &str,
    ) -> Step<u64> {
        let row = self.row(w, src);
        if row.iter().any(|&x| x != row[0]) {
            return self.fatal(kind, line, format!("the {what} differs between lanes"));
        }
        Ok(row[0])
    }

    fn issue(&mut self, w: usize, inst: &Inst) -> Step<()> {
        let Op::Wgmma { element, n, d, a, b, scale_d, negate } = &inst.op else { return Ok(()) };
        let line = inst.line;
        let uniform = |cluster: &mut Self, src| {
            cluster.uniform(w, src, line, ReportKind::Wgmma, "descriptor")
        };
        let (a, fragment) = match *a {
            MmaA::Shared(a) => (A::Descriptor(uniform(self, a)?), &[][..]),
            MmaA::Registers(ref registers) => (A::Rows(self.rows(w, registers)), &registers[..]),
        };
        let b = uniform(self, *b)?;
        let scale = self.warps[w].predicate(*scale_d);
        if scale != 0 && scale != u32::MAX {
            let message = "scale-d differs between lanes".to_owned();
            return self.fatal(ReportKind::Wgmma, line, message);
        }
        let g = self.group_of(w);
        let clocks = if self.env.options.check_races {
            self.warp_clock(w)
        } else {
            (Clock::default(), Clock::default())
        };
        let (element, n, negate, scale_d) = (*element, *n, *negate, scale != 0);
        let clocks = vec![clocks];
        let mma = Mma { line, element, n, a, b, scale_d, negate, d: d.clone(), clocks };
        let warp = &mut self.warps[w];
        let number = warp.issued;
        warp.issued += 1;
        let mut unfenced = warp.fenced == 0;
        let mut in_use = false;
        for &register in fragment {
            let r = register as usize;
            unfenced |= warp.touched[r] > warp.fenced;
            in_use |= warp.in_flight[r] > warp.waited;
            warp.lent[r] = number + 1;
        }
        for &register in d {
            let r = register as usize;
            in_use |= warp.lent[r] > warp.waited;
            if warp.in_flight[r] <= warp.waited {
                unfenced |= warp.touched[r] > warp.fenced;
                let row = std::mem::replace(&mut warp.registers[r], [POISON & 0xFFFF_FFFF; 32]);
                self.groups[g].accumulators.insert((w, register), row);
            }
            warp.in_flight[r] = number + 1;
        }
        let quarter = warp.index as usize % 4;
        let group = &mut self.groups[g];
        let index = (number - group.first) as usize;
        let same = match group.queue.get_mut(index) {
            None => {
                group.queue.push_back(mma);
                true
            }
            Some(found) => found.join(mma, quarter),
        };
        let complete = group.queue[index].clocks.len() == 4;
        if complete {
            group.ready = number + 1;
        }
        if unfenced {
            let message =
                "no wgmma.fence between the last use of its registers and this".to_owned();
            self.report(ReportKind::Wgmma, vec![line], message)?;
        }
        if in_use {
            let message = "registers of A are accumulators of a wgmma that runs".to_owned();
            self.report(ReportKind::Wgmma, vec![line], message)?;
        }
        if !same {
            let message = "the warps of a warpgroup issue different operations".to_owned();
            return self.fatal(ReportKind::Wgmma, line, message);
        }
        let now = match self.env.options.timing {
            Timing::Early => true,
            Timing::Late => false,
            Timing::Random(_) => self.dice().is_multiple_of(2),
        };
        if complete && now { self.execute(g, number + 1) } else { Ok(()) }
    }

    /// The rows of A that a warp holds in registers, among 64 of [`K`] bytes.
    fn rows(&self, w: usize, registers: &[u32; 4]) -> Vec<u8> {
        let warp = &self.warps[w];
        let mut rows = vec![0; 64 * K];
        for lane in 0..32 {
            for (i, &register) in registers.iter().enumerate() {
                let value = warp.registers[register as usize][lane] as u32;
                let thread = warp.index % 4 * 32 + lane as u32;
                for (byte, value) in value.to_le_bytes().into_iter().enumerate() {
                    let (row, k) = fragment::wgmma_a(thread, i as u32, byte as u32);
                    rows[row as usize * K + k as usize] = value;
                }
            }
        }
        rows
    }

    fn wait_group(&mut self, w: usize, lanes: u32, left: u32) -> Step<Flow> {
        let g = self.group_of(w);
        let warp = &self.warps[w];
        let groups = warp.commits.len();
        let target = groups.checked_sub(left as usize + 1).map_or(0, |index| warp.commits[index]);
        if self.groups[g].ready < target {
            self.warps[w].block(lanes, Wait::Warpgroup(target));
            return Ok(Flow::Advance(0));
        }
        self.execute(g, target)?;
        let (actor, group) = (self.groups[g].actor, &mut self.groups[g]);
        let warp = &mut self.warps[w];
        for (register, number) in warp.in_flight.iter().enumerate() {
            if *number > warp.waited
                && *number <= target
                && let Some(row) = group.accumulators.remove(&(w, register as u32))
            {
                warp.registers[register] = row;
            }
        }
        warp.waited = warp.waited.max(target);
        let mut clock = Clock::default();
        clock.raise(actor, target as u32);
        warp.join(lanes, &clock, &Clock::default());
        Ok(Flow::Advance(lanes))
    }

    /// Executes what is queued up to a number.
    fn execute(&mut self, g: usize, target: u64) -> Step<()> {
        while self.groups[g].first < target {
            let Some(mma) = self.groups[g].queue.pop_front() else { return Ok(()) };
            self.groups[g].first += 1;
            let clock = self.groups[g].first as u32;
            self.multiply(g, &mma, clock)?;
        }
        Ok(())
    }

    fn multiply(&mut self, g: usize, mma: &Mma, clock: u32) -> Step<()> {
        let start = std::time::Instant::now();
        let per_cta = self.groups.len() / self.ctas.len();
        let cta = g / per_cta;
        let first = self.warps.len() / self.ctas.len() * cta + g % per_cta * 4;
        let n = mma.n as usize;
        let view = self.common_view(mma);
        let now = Epoch {
            actor: self.groups[g].actor,
            clock,
            line: mma.line,
            asynchronous: true,
            atomic: false,
        };
        let mut a = match &mma.a {
            A::Descriptor(descriptor) => self.operand(cta, *descriptor, 64, &view, now)?,
            A::Rows(rows) => rows.clone(),
        };
        let mut b = self.operand(cta, mma.b, n, &view, now)?;
        for (operand, negate) in [&mut a, &mut b].into_iter().zip(mma.negate) {
            if negate {
                flip_signs(operand, mma.element);
            }
        }
        let mut d = vec![0f32; 64 * n];
        let place = |thread: u32, i: usize| {
            let (row, column) = fragment::wgmma_d(thread, i as u32);
            row as usize * n + column as usize
        };
        let accumulators = &mut self.groups[g].accumulators;
        for q in 0..4u32 {
            for (i, &register) in mma.d.iter().enumerate() {
                if let Some(row) = accumulators.get(&(first + q as usize, register)) {
                    for lane in 0..32 {
                        d[place(q * 32 + lane, i)] = f32::from_bits(row[lane as usize] as u32);
                    }
                }
            }
        }
        match mma.element {
            MmaElement::E4m3 => tensor::wgmma_e4m3(&mut d, n, &a, &b, mma.scale_d),
            MmaElement::Half(half) => {
                tensor::wgmma_half(half, &mut d, n, &halves(&a), &halves(&b), mma.scale_d);
            }
        }
        for q in 0..4u32 {
            for (i, &register) in mma.d.iter().enumerate() {
                let row: Row = std::array::from_fn(|lane| {
                    u64::from(d[place(q * 32 + lane as u32, i)].to_bits())
                });
                accumulators.insert((first + q as usize, register), row);
            }
        }
        self.stats.macs += (64 * K / mma.element.bytes() * n) as u64;
        self.stats.tensor_wall += start.elapsed();
        Ok(())
    }

    /// What every warp of the warpgroup knew at issue.
    fn common_view(&self, mma: &Mma) -> View {
        let mut clocks = mma.clocks.iter();
        let (mut base, mut proxy) = clocks.next().cloned().unwrap_or_default();
        if self.env.options.check_races {
            for (clock, other) in clocks {
                base.meet(clock);
                proxy.meet(other);
            }
        }
        View { issuer: u32::MAX, time: Time { base, proxy, own: 0 }, asynchronous: true }
    }

    /// Reads an operand of so many rows of 32 bytes.
    fn operand(
        &mut self,
        cta: usize,
        descriptor: u64,
        rows: usize,
        view: &View,
        now: Epoch,
    ) -> Step<Vec<u8>> {
        let decoded = match WgmmaDescriptor::decode(descriptor) {
            Ok(decoded) => decoded,
            Err(error) => {
                let message = format!("{descriptor:#018x}: {error}");
                return self.fatal(ReportKind::Descriptor, now.line, message);
            }
        };
        let out = self.read_rows(cta, decoded.0, (rows, K), view, now, "wgmma's read")?;
        Ok(out)
    }
}

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().copied().map(u16::from_le_bytes).collect()
}

/// Negates every element: the sign is the top bit of its last byte.
fn flip_signs(bytes: &mut [u8], element: MmaElement) {
    let size = element.bytes();
    for byte in bytes.iter_mut().skip(size - 1).step_by(size) {
        *byte ^= 0x80;
    }
}
