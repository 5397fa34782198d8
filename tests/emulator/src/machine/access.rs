//! Loads, stores and atomics of threads.

use super::cluster::{Cluster, Step};
use super::warp::{Row, each};
use super::{CONST_WINDOW, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::ir::{Inst, Mem, Rmw, Space, Src, Ty};
use crate::machine::alu;
use crate::race::{Clock, Epoch};
use crate::report::ReportKind;

/// What an access is called in reports.
const READ: &str = "read";
const WRITE: &str = "write";
const ATOMIC: &str = "atomic";

/// Where an address points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Global(u64),
    /// CTA rank, and address in its window.
    Shared(usize, u64),
    Param(u64),
    Local(u64),
    Const(u64),
}

impl Cluster<'_> {
    /// The address of each lane.
    pub(crate) fn addresses(&self, w: usize, m: Mem) -> Row {
        self.row(w, m.base).map(|base| base.wrapping_add(m.offset as u64))
    }

    /// Where an address of shared memory points: the top byte is the rank plus one, or 0 for the own CTA.
    pub(crate) fn shared_place(&self, w: usize, address: u64) -> Place {
        let address = address & 0xFFFF_FFFF;
        let own = self.warps[w].cta;
        let rank = (address >> 24) as usize;
        Place::Shared(if rank == 0 { own } else { rank - 1 }, address & 0xFF_FFFF)
    }

    pub(crate) fn place(&self, w: usize, space: Space, address: u64) -> Place {
        match space {
            Space::Global => Place::Global(address),
            Space::Shared => self.shared_place(w, address),
            Space::Param => Place::Param(address),
            Space::Local => Place::Local(address),
            Space::Const => Place::Const(address),
            Space::Generic => match address >> 44 {
                1 => self.shared_place(w, address - SHARED_WINDOW),
                2 => {
                    let base = PARAM_WINDOW + self.env.code.param_align;
                    Place::Param(address.wrapping_sub(base))
                }
                3 => Place::Local(address - LOCAL_WINDOW),
                4 => Place::Const(address - CONST_WINDOW),
                _ => Place::Global(address),
            },
        }
    }

    /// What a space's window adds to an address.
    pub(crate) fn window(&self, space: Space) -> u64 {
        match space {
            Space::Shared => SHARED_WINDOW,
            Space::Param => PARAM_WINDOW + self.env.code.param_align,
            Space::Local => LOCAL_WINDOW,
            Space::Const => CONST_WINDOW,
            Space::Global | Space::Generic => 0,
        }
    }

    fn aligned(&mut self, address: u64, bytes: u64, line: u32) -> Step<()> {
        if address.is_multiple_of(bytes) {
            return Ok(());
        }
        let message = format!("the address {address:#x} is not a multiple of {bytes}");
        self.fatal(ReportKind::Misaligned, line, message)
    }

    /// Checks that a range lies in the shared memory of a CTA that is still there.
    pub(crate) fn in_shared(
        &mut self,
        cta: usize,
        address: u64,
        bytes: u64,
        line: u32,
        what: &str,
    ) -> Step<()> {
        let Some(owner) = self.ctas.get(cta) else {
            let message =
                format!("{what} of the shared memory of rank {cta}, which does not exist");
            return self.fatal(ReportKind::OutOfBounds, line, message);
        };
        if !owner.shared.holds(address, bytes) {
            let end = owner.shared.end();
            let message = format!(
                "{what} of {bytes} bytes at shared {address:#x}; shared memory is {:#x} to {end:#x}",
                crate::lower::SHARED_BASE
            );
            return self.fatal(ReportKind::OutOfBounds, line, message);
        }
        if owner.live == 0 {
            let message = format!("{what} of the shared memory of rank {cta}, which has exited");
            return self.fatal(ReportKind::PeerExited, line, message);
        }
        Ok(())
    }

    /// Notes that a lane uses a peer's shared memory.
    pub(crate) fn touch(&mut self, w: usize, lane: usize, cta: usize, line: u32) {
        let warp = &self.warps[w];
        if warp.cta != cta {
            let actor = warp.actor + lane as u32;
            let epoch = Epoch { actor, clock: warp.time[lane].own, line, ..Epoch::default() };
            self.ctas[cta].touched.insert(actor, epoch);
        }
    }

    /// The checks that every access of a lane to shared memory begins with.
    fn enter_shared(
        &mut self,
        w: usize,
        lane: usize,
        (cta, address, bytes): (usize, u64, u64),
        line: u32,
        what: &str,
    ) -> Step<()> {
        self.aligned(address, bytes, line)?;
        self.in_shared(cta, address, bytes, line, what)?;
        self.touch(w, lane, cta, line);
        Ok(())
    }

    /// Enters an access of a lane to shared memory into the happens-before order.
    fn order_shared(
        &mut self,
        w: usize,
        lane: usize,
        (cta, address, bytes): (usize, u64, u64),
        line: u32,
        what: &str,
    ) -> Step<()> {
        if !self.env.options.check_races {
            return Ok(());
        }
        let view = self.warps[w].view(lane);
        let atomic = what == ATOMIC;
        let now =
            Epoch { actor: view.issuer, clock: view.time.own, line, asynchronous: false, atomic };
        let shadow = &mut self.ctas[cta].shared.shadow;
        let found = if what == READ {
            shadow.read(address, bytes, &view, now)
        } else {
            shadow.write(address, bytes, &view, now)
        };
        self.conflict(found, line, what, address)
    }

    /// Visits the place that each lane's address names.
    fn each_place(
        &mut self,
        w: usize,
        lanes: u32,
        (space, m): (Space, Mem),
        mut visit: impl FnMut(&mut Self, usize, Place) -> Step<()>,
    ) -> Step<()> {
        let addresses = self.addresses(w, m);
        each(lanes).try_for_each(|lane| {
            let place = self.place(w, space, addresses[lane]);
            visit(self, lane, place)
        })
    }

    /// Reads for a lane.
    pub(crate) fn load(
        &mut self,
        w: usize,
        lane: usize,
        place: Place,
        to: &mut [u8],
        line: u32,
    ) -> Step<()> {
        let bytes = to.len() as u64;
        match place {
            Place::Global(address) => {
                self.aligned(address, bytes, line)?;
                match self.env.memory.read(address, to) {
                    Ok(true) => {}
                    Ok(false) => {
                        let message = format!("read of {bytes} bytes at global {address:#x}");
                        self.report(ReportKind::Uninitialised, vec![line], message)?;
                    }
                    Err(fault) => return self.fatal(fault.kind, line, fault.message),
                }
                self.global_read(w, lane, address, line)
            }
            Place::Shared(cta, address) => {
                let range = (cta, address, bytes);
                self.enter_shared(w, lane, range, line, READ)?;
                to.copy_from_slice(self.ctas[cta].shared.get(address, to.len()));
                if !self.ctas[cta].shared.known(address, to.len()) {
                    let message = format!("read of {bytes} bytes at shared {address:#x}");
                    self.report(ReportKind::Uninitialised, vec![line], message)?;
                }
                self.order_shared(w, lane, range, line, READ)
            }
            Place::Param(address) => self.bytes(self.env.params, address, to, line, "parameters"),
            Place::Const(address) => {
                let code = self.env.code;
                self.bytes(&code.constants, address, to, line, "constants")
            }
            Place::Local(address) => {
                let local = std::mem::take(&mut self.warps[w].local[lane]);
                let result = self.bytes(&local, address, to, line, "local memory");
                self.warps[w].local[lane] = local;
                result
            }
        }
    }

    fn bytes(
        &mut self,
        from: &[u8],
        address: u64,
        to: &mut [u8],
        line: u32,
        what: &str,
    ) -> Step<()> {
        self.aligned(address, to.len() as u64, line)?;
        let end = address.wrapping_add(to.len() as u64);
        if let Some(from) = from.get(address as usize..end as usize) {
            to.copy_from_slice(from);
            return Ok(());
        }
        let message = format!("{} bytes at {address:#x} of {what}", to.len());
        self.fatal(ReportKind::OutOfBounds, line, message)
    }

    /// Writes for a lane.
    pub(crate) fn store(
        &mut self,
        w: usize,
        lane: usize,
        place: Place,
        from: &[u8],
        line: u32,
    ) -> Step<()> {
        let bytes = from.len() as u64;
        match place {
            Place::Global(address) => {
                self.aligned(address, bytes, line)?;
                if let Err(fault) = self.env.memory.write(address, from) {
                    return self.fatal(fault.kind, line, fault.message);
                }
                self.global_write(w, lane, address, bytes, line)
            }
            Place::Shared(cta, address) => {
                let range = (cta, address, bytes);
                self.enter_shared(w, lane, range, line, WRITE)?;
                let barriers = &self.ctas[cta].barriers;
                let low = (address as u32).saturating_sub(7);
                if barriers.range(low..(address + bytes) as u32).next().is_some() {
                    let message = format!("store to shared {address:#x}, which holds an mbarrier");
                    self.report(ReportKind::Barrier, vec![line], message)?;
                }
                self.ctas[cta].shared.put(address, from);
                self.order_shared(w, lane, range, line, WRITE)
            }
            Place::Param(_) | Place::Const(_) => {
                self.fatal(ReportKind::OutOfBounds, line, "store to read-only memory".to_owned())
            }
            Place::Local(address) => {
                self.aligned(address, bytes, line)?;
                let local = &mut self.warps[w].local[lane];
                let end = address.wrapping_add(bytes);
                if let Some(to) = local.get_mut(address as usize..end as usize) {
                    to.copy_from_slice(from);
                    return Ok(());
                }
                let message = format!("{bytes} bytes at {address:#x} of local memory");
                self.fatal(ReportKind::OutOfBounds, line, message)
            }
        }
    }

    /// Checks a read of global memory against the writes of this launch.
    pub(crate) fn global_read(
        &mut self,
        w: usize,
        lane: usize,
        address: u64,
        line: u32,
    ) -> Step<()> {
        if !self.env.options.check_races {
            return Ok(());
        }
        if let Some(&earlier) = self.written.get(&(address / 4)) {
            let warp = &self.warps[w];
            let own = earlier.actor == warp.actor + lane as u32;
            if !own && warp.time[lane].base.get(earlier.actor) < earlier.clock {
                let message = format!("read of global {address:#x} is not ordered after its write");
                return self.report(ReportKind::Race, vec![line, earlier.line], message);
            }
        } else if let Some(other) = self.env.memory.writer(address, self.env.launch)
            && other != self.id
        {
            let message = format!("read of global {address:#x}, which cluster {other} writes");
            return self.report(ReportKind::Race, vec![line], message);
        }
        Ok(())
    }

    fn global_write(
        &mut self,
        w: usize,
        lane: usize,
        address: u64,
        bytes: u64,
        line: u32,
    ) -> Step<()> {
        let warp = &self.warps[w];
        let actor = warp.actor + lane as u32;
        let (clock, base) = (warp.time[lane].own, warp.time[lane].base.clone());
        let now = Epoch { actor, clock, line, ..Epoch::default() };
        self.note_global_write(address, bytes, now, &base)
    }

    /// Checks a write of global memory against earlier ones, of which those in `base` come first.
    pub(crate) fn note_global_write(
        &mut self,
        address: u64,
        bytes: u64,
        now: Epoch,
        base: &Clock,
    ) -> Step<()> {
        if !self.env.options.check_races {
            return Ok(());
        }
        if self.env.options.check_cross_cluster
            && let Some(other) = self.env.memory.mark(address, bytes, self.env.launch, self.id)
        {
            let message =
                format!("clusters {} and {other} both write global {address:#x}", self.id);
            self.report(ReportKind::Race, vec![now.line], message)?;
        }
        let mut found = None;
        for word in address / 4..(address + bytes).div_ceil(4) {
            // A thread's own writes are in order, its asynchronous ones are not.
            if let Some(earlier) = self.written.insert(word, now)
                && (earlier.actor != now.actor || now.asynchronous && earlier != now)
                && base.get(earlier.actor) < earlier.clock
            {
                found = Some(earlier);
            }
        }
        if let Some(earlier) = found {
            let message = format!("two writes of global {address:#x} without an order");
            self.report(ReportKind::Race, vec![now.line, earlier.line], message)?;
        }
        Ok(())
    }

    pub(crate) fn load_op(
        &mut self,
        w: usize,
        inst: &Inst,
        lanes: u32,
        (space, ty): (Space, Ty),
        d: &[Option<u32>],
        m: Mem,
    ) -> Step<()> {
        let size = ty.bytes() as usize;
        let mut buffer = [0u8; 64];
        let mut rows = vec![[0u64; 32]; d.len()];
        self.each_place(w, lanes, (space, m), |cluster, lane, place| {
            let buffer = &mut buffer[..size * d.len()];
            cluster.load(w, lane, place, buffer, inst.line)?;
            for (row, bytes) in rows.iter_mut().zip(buffer.chunks_exact(size)) {
                let mut word = [0; 8];
                word[..size].copy_from_slice(bytes);
                let value = u64::from_le_bytes(word);
                // Narrow signed loads widen to the register (PTX ISA 9.7.9.8).
                let signed = ty.kind == crate::ir::Kind::Signed && ty.bits < 32;
                row[lane] = if signed { ty.signed(value) as u64 & 0xFFFF_FFFF } else { value };
            }
            Ok(())
        })?;
        for (d, row) in d.iter().zip(&rows) {
            if let Some(d) = d {
                self.warps[w].set(*d, lanes, row);
            }
        }
        Ok(())
    }

    pub(crate) fn store_op(
        &mut self,
        w: usize,
        inst: &Inst,
        lanes: u32,
        (space, ty): (Space, Ty),
        a: &[Src],
        m: Mem,
    ) -> Step<()> {
        let rows: Vec<Row> = a.iter().map(|&a| self.row(w, a)).collect();
        let size = ty.bytes() as usize;
        self.each_place(w, lanes, (space, m), |cluster, lane, place| {
            let mut buffer = [0u8; 64];
            for (to, row) in buffer.chunks_exact_mut(size).zip(&rows) {
                to.copy_from_slice(&row[lane].to_le_bytes()[..size]);
            }
            cluster.store(w, lane, place, &buffer[..size * a.len()], inst.line)
        })
    }

    pub(crate) fn atomic_op(
        &mut self,
        w: usize,
        inst: &Inst,
        lanes: u32,
        (space, op, ty): (Space, Rmw, Ty),
        d: Option<u32>,
        (m, a, b): (Mem, Src, Option<Src>),
    ) -> Step<()> {
        let a = self.row(w, a);
        let b = b.map_or([0; 32], |b| self.row(w, b));
        let mut out = [0; 32];
        self.each_place(w, lanes, (space, m), |cluster, lane, place| {
            let change = |old: u64| alu::rmw(op, ty, old, a[lane], b[lane]);
            out[lane] = cluster.update(w, lane, (place, ty.bytes()), inst.line, change)?;
            Ok(())
        })?;
        if let Some(d) = d {
            self.warps[w].set(d, lanes, &out);
        }
        Ok(())
    }

    /// Changes memory for a lane, and returns what was there.
    fn update(
        &mut self,
        w: usize,
        lane: usize,
        (place, bytes): (Place, u64),
        line: u32,
        mut change: impl FnMut(u64) -> u64,
    ) -> Step<u64> {
        match place {
            Place::Global(address) => {
                self.aligned(address, bytes, line)?;
                match self.env.memory.update(address, bytes, &mut change) {
                    Ok((old, known)) => {
                        if !known {
                            let message = format!("atomic on {bytes} bytes at global {address:#x}");
                            self.report(ReportKind::Uninitialised, vec![line], message)?;
                        }
                        Ok(old)
                    }
                    Err(fault) => self.fatal(fault.kind, line, fault.message),
                }
            }
            Place::Shared(cta, address) => {
                let range = (cta, address, bytes);
                self.enter_shared(w, lane, range, line, ATOMIC)?;
                let shared = &mut self.ctas[cta].shared;
                let known = shared.known(address, bytes as usize);
                let mut word = [0; 8];
                word[..bytes as usize].copy_from_slice(shared.get(address, bytes as usize));
                let old = u64::from_le_bytes(word);
                shared.put(address, &change(old).to_le_bytes()[..bytes as usize]);
                if !known {
                    let message = format!("atomic on {bytes} bytes at shared {address:#x}");
                    self.report(ReportKind::Uninitialised, vec![line], message)?;
                }
                self.order_shared(w, lane, range, line, ATOMIC)?;
                Ok(old)
            }
            Place::Param(address) | Place::Local(address) | Place::Const(address) => {
                let message = format!("atomic at {address:#x}, neither global nor shared");
                self.fatal(ReportKind::OutOfBounds, line, message)
            }
        }
    }
}
