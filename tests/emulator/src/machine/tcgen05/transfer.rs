//! Loads and stores of tensor memory, and their waits (PTX ISA 9.7.16.8).

use super::{Area, Seen};
use crate::ir::{Mem, Src};
use crate::machine::cluster::{Cluster, Step};
use crate::machine::warp::{POISON, Row, Warp, each};
use crate::options::Timing;
use crate::race::{Clock, Epoch};
use crate::report::ReportKind;
use crate::semantics::fragment::{TmemShape, first_lane};
use crate::semantics::tmem::place;
use std::collections::BTreeSet;

/// Instructions of one kind that a warp has issued.
#[derive(Debug)]
struct Issued {
    actor: u32,
    count: u32,
    /// Those that are waited for.
    done: u32,
}

impl Default for Issued {
    fn default() -> Self {
        Self { actor: u32::MAX, count: 0, done: 0 }
    }
}

/// A load or store that is not complete.
#[derive(Debug)]
struct Transfer {
    shape: TmemShape,
    lane: u32,
    column: u32,
    seen: Seen,
    now: Epoch,
    registers: usize,
    /// Where a load goes.
    to: Vec<u32>,
    /// What a store writes, or a load has read.
    rows: Vec<Row>,
    performed: bool,
}

impl Transfer {
    /// By register and lane of the warp, (lane, column) of tensor memory.
    fn places(&self) -> impl Iterator<Item = [(u32, u32); 32]> + use<> {
        let (shape, first_lane, first) = (self.shape, self.lane, self.column);
        (0..self.registers as u32).map(move |register| {
            std::array::from_fn(|l| {
                let (lane, column) = shape.place(l as u32, register);
                (first_lane + lane, first + column)
            })
        })
    }
}

/// What a warp has to do with tensor memory.
#[derive(Debug, Default)]
pub(crate) struct WarpState {
    /// By lane, what asynchronous instructions may rely on; nothing before the first fence.
    fenced: Vec<Clock>,
    loads: Issued,
    stores: Issued,
    loading: Vec<Transfer>,
    storing: Vec<Transfer>,
}

impl WarpState {
    /// What asynchronous instructions of a lane may rely on: fences, and its own waits.
    pub(super) fn known(&self, lane: usize) -> Clock {
        let mut known = self.fenced.get(lane).cloned().unwrap_or_default();
        self.add_waited(&mut known);
        known
    }

    fn add_waited(&self, clock: &mut Clock) {
        for issued in [&self.loads, &self.stores] {
            if issued.done > 0 {
                clock.raise(issued.actor, issued.done);
            }
        }
    }

    /// Whether a load that is not waited for writes one of these registers.
    pub(crate) fn is_loading(&self, registers: &[u32]) -> bool {
        self.loading.iter().any(|load| load.to.iter().any(|d| registers.contains(d)))
    }

    /// What was issued and not waited for.
    pub(super) fn outstanding(&self) -> Option<&'static str> {
        match (self.loads.count > self.loads.done, self.stores.count > self.stores.done) {
            (true, _) => Some("ld"),
            (_, true) => Some("st"),
            _ => None,
        }
    }
}

impl Warp {
    /// `fence::before_thread_sync`: what is complete becomes known to whoever synchronises with this thread.
    pub(super) fn fence_before(&mut self, lanes: u32) {
        for lane in each(lanes) {
            self.tensor.add_waited(&mut self.time[lane].base);
        }
    }

    /// `fence::after_thread_sync`: asynchronous instructions come after what the thread knows.
    pub(super) fn fence_after(&mut self, lanes: u32) {
        self.tensor.fenced.resize(32, Clock::default());
        for lane in each(lanes) {
            self.tensor.fenced[lane].join(&self.time[lane].base);
        }
    }
}

impl Cluster<'_> {
    pub(super) fn issue_load(
        &mut self,
        w: usize,
        (shape, d, m): (TmemShape, &[u32], Mem),
        line: u32,
    ) -> Step<()> {
        let mut load = self.transfer(w, shape, m, true, line)?;
        for &register in d {
            self.warps[w].set(register, u32::MAX, &[POISON & 0xFFFF_FFFF; 32]);
        }
        load.to = d.to_vec();
        load.registers = d.len();
        self.check_transfer(w, &load, true)?;
        if self.at_once() {
            self.perform_load(w, &mut load)?;
        }
        self.warps[w].tensor.loading.push(load);
        Ok(())
    }

    pub(super) fn issue_store(
        &mut self,
        w: usize,
        (shape, a, m): (TmemShape, &[Src], Mem),
        line: u32,
    ) -> Step<()> {
        let mut store = self.transfer(w, shape, m, false, line)?;
        store.rows = a.iter().map(|&a| self.row(w, a)).collect();
        store.registers = a.len();
        self.check_transfer(w, &store, false)?;
        if self.at_once() {
            self.perform_store(w, &mut store);
        }
        self.warps[w].tensor.storing.push(store);
        Ok(())
    }

    /// Whether what may happen at once or later happens at once.
    pub(super) fn at_once(&mut self) -> bool {
        match self.env.options.timing {
            Timing::Early => true,
            Timing::Late => false,
            Timing::Random(_) => self.dice().is_multiple_of(2),
        }
    }

    /// Checks a load or store, and gives it its number.
    fn transfer(
        &mut self,
        w: usize,
        shape: TmemShape,
        m: Mem,
        loads: bool,
        line: u32,
    ) -> Step<Transfer> {
        let base = self.uniform(w, m.base, line, ReportKind::Tcgen05, "address")?;
        let (lane, column) = place(base.wrapping_add(m.offset as u64) as u32);
        let first = first_lane(self.warps[w].index);
        // PTX ISA 9.7.16.8.1: a warp reaches its quarter of the lanes. Shapes of 16 lanes may begin in its middle.
        let whole = shape == TmemShape::B32x32;
        if lane != first && (whole || lane != first + 16) {
            let message = format!(
                "warp {} reaches lanes {first} to {}, and the address says lane {lane}",
                self.warps[w].index,
                first + 31
            );
            return self.fatal(ReportKind::Tcgen05, line, message);
        }
        // Lanes of a warp may know different things; the instruction may rely on what all of them know.
        let mut seen = self.seen(w, 0);
        for other in 1..32 {
            seen.view.time.base.meet(&self.warps[w].tensor.known(other));
            seen.base.meet(&self.warps[w].time[other].base);
        }
        seen.view.issuer = self.warps[w].actor;
        let next = self.actors;
        let state = &mut self.warps[w].tensor;
        let issued = if loads { &mut state.loads } else { &mut state.stores };
        if issued.actor == u32::MAX {
            issued.actor = next;
            self.actors += 1;
        }
        issued.count += 1;
        let now = Epoch {
            actor: issued.actor,
            clock: issued.count,
            line,
            asynchronous: true,
            atomic: false,
        };
        let (to, rows) = (Vec::new(), Vec::new());
        Ok(Transfer { shape, lane, column, seen, now, registers: 0, to, rows, performed: false })
    }

    /// Checks the places of a transfer, and its order, which is the same whenever it happens.
    fn check_transfer(&mut self, w: usize, work: &Transfer, loads: bool) -> Step<()> {
        let (cta, line) = (self.warps[w].cta, work.now.line);
        let what = if loads { "tcgen05.ld" } else { "tcgen05.st" };
        let columns: BTreeSet<u32> = work.places().flatten().map(|(_, column)| column).collect();
        for column in columns {
            let area = Area { cta, column, columns: 1 };
            self.in_tensor(area, &work.seen, line, what)?;
        }
        let (view, tensor) = (&work.seen.view, &mut self.ctas[cta].tensor);
        let mut found = None;
        for (lane, column) in work.places().flatten() {
            let conflict = if loads {
                tensor.note_read(lane, column, 1, view, work.now)
            } else {
                tensor.note_write(lane, column, 1, view, work.now)
            };
            found = found.or(conflict);
        }
        self.tensor_conflict(found, &work.seen, line, what)
    }

    fn perform_load(&mut self, w: usize, load: &mut Transfer) -> Step<()> {
        let tensor = &self.ctas[self.warps[w].cta].tensor;
        let mut known = true;
        let mut value = |(lane, column)| {
            let word = tensor.get(lane, column);
            known &= word.is_some();
            u64::from(word.unwrap_or(POISON as u32))
        };
        load.rows = load.places().map(|places| places.map(&mut value)).collect();
        load.performed = true;
        if known {
            return Ok(());
        }
        let message = "tcgen05.ld reads tensor memory that nothing has written".to_owned();
        self.report(ReportKind::Uninitialised, vec![load.now.line], message)
    }

    fn perform_store(&mut self, w: usize, store: &mut Transfer) {
        let tensor = &mut self.ctas[self.warps[w].cta].tensor;
        for (places, row) in store.places().zip(&store.rows) {
            for ((lane, column), value) in places.into_iter().zip(row) {
                tensor.put(lane, column, *value as u32);
            }
        }
        store.performed = true;
    }

    /// `wait::ld`: the registers hold what was loaded.
    pub(super) fn wait_loads(&mut self, w: usize) -> Step<()> {
        for mut load in std::mem::take(&mut self.warps[w].tensor.loading) {
            if !load.performed {
                self.perform_load(w, &mut load)?;
            }
            for (&d, row) in load.to.iter().zip(&load.rows) {
                self.warps[w].set(d, u32::MAX, row);
            }
        }
        let loads = &mut self.warps[w].tensor.loads;
        loads.done = loads.count;
        Ok(())
    }

    /// `wait::st`: the stores are complete.
    pub(super) fn wait_stores(&mut self, w: usize) {
        for mut store in std::mem::take(&mut self.warps[w].tensor.storing) {
            if !store.performed {
                self.perform_store(w, &mut store);
            }
        }
        let stores = &mut self.warps[w].tensor.stores;
        stores.done = stores.count;
    }
}
