//! Loads, stores and atomics of threads.

use super::cluster::{Cluster, Step};
use super::warp::{Row, each};
use super::{CONST_WINDOW, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::ir::{Inst, Mem, Rmw, Space, Special, Src, Ty};
use crate::machine::alu;
use crate::race::{Clock, Epoch};
use crate::report::ReportKind;

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
    /// The values of a source.
    pub(crate) fn row(&self, w: usize, src: Src) -> Row {
        let warp = &self.warps[w];
        if let Some(row) = warp.plain(src) {
            return row;
        }
        let Src::Special(special) = src else { return [0; 32] };
        let env = &self.env;
        let cta = &self.ctas[warp.cta];
        let [x, y, _] = env.block;
        let thread = |lane: usize| warp.index * 32 + lane as u32;
        let counts: [u32; 3] = std::array::from_fn(|i| env.grid[i] / env.cluster[i]);
        let at = |lane: usize| match special {
            Special::Tid(0) => thread(lane) % x,
            Special::Tid(1) => thread(lane) / x % y,
            Special::Tid(_) => thread(lane) / x / y,
            Special::Ntid(i) => env.block[i],
            Special::Ctaid(i) => cta.index[i],
            Special::Nctaid(i) => env.grid[i],
            Special::ClusterId(i) => self.place[i],
            Special::NclusterId(i) => counts[i],
            Special::ClusterCtaid(i) => cta.index[i] % env.cluster[i],
            Special::ClusterNctaid(i) => env.cluster[i],
            Special::ClusterCtarank => cta.rank,
            Special::ClusterNctarank => self.ctas.len() as u32,
            Special::LaneId => lane as u32,
            Special::WarpId => warp.index,
            Special::NwarpId => env.block.iter().product::<u32>().div_ceil(32),
            Special::SmId => (self.id * self.ctas.len() as u32 + cta.rank) % env.options.sm_count,
            Special::NsmId => env.options.sm_count,
            Special::LanemaskEq => 1 << lane,
            Special::LanemaskLt => (1 << lane) - 1,
            Special::LanemaskLe => ((2u64 << lane) - 1) as u32,
            Special::LanemaskGt => !(((2u64 << lane) - 1) as u32),
            Special::LanemaskGe => !((1 << lane) - 1),
            Special::Clock => self.stats.warp_instructions as u32,
            Special::DynamicSmemSize => env.smem_bytes,
        };
        std::array::from_fn(|lane| u64::from(at(lane)))
    }

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
                self.aligned(address, bytes, line)?;
                self.in_shared(cta, address, bytes, line, "read")?;
                self.touch(w, lane, cta, line);
                to.copy_from_slice(self.ctas[cta].shared.get(address, to.len()));
                if !self.ctas[cta].shared.known(address, to.len()) {
                    let message = format!("read of {bytes} bytes at shared {address:#x}");
                    self.report(ReportKind::Uninitialised, vec![line], message)?;
                }
                if self.env.options.check_races {
                    let view = self.warps[w].view(lane);
                    let now = Epoch {
                        actor: view.issuer,
                        clock: view.time.own,
                        line,
                        ..Epoch::default()
                    };
                    let found = self.ctas[cta].shared.shadow.read(address, bytes, &view, now);
                    self.conflict(found, line, "read", address)?;
                }
                Ok(())
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
                self.aligned(address, bytes, line)?;
                self.in_shared(cta, address, bytes, line, "write")?;
                self.touch(w, lane, cta, line);
                let barriers = &self.ctas[cta].barriers;
                let low = (address as u32).saturating_sub(7);
                if barriers.range(low..(address + bytes) as u32).next().is_some() {
                    let message = format!("store to shared {address:#x}, which holds an mbarrier");
                    self.report(ReportKind::Barrier, vec![line], message)?;
                }
                self.ctas[cta].shared.put(address, from);
                if self.env.options.check_races {
                    let view = self.warps[w].view(lane);
                    let now = Epoch {
                        actor: view.issuer,
                        clock: view.time.own,
                        line,
                        ..Epoch::default()
                    };
                    let found = self.ctas[cta].shared.shadow.write(address, bytes, &view, now);
                    self.conflict(found, line, "write", address)?;
                }
                Ok(())
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
        let addresses = self.addresses(w, m);
        let size = ty.bytes() as usize;
        let mut buffer = [0u8; 64];
        let mut rows = vec![[0u64; 32]; d.len()];
        for lane in each(lanes) {
            let place = self.place(w, space, addresses[lane]);
            let buffer = &mut buffer[..size * d.len()];
            self.load(w, lane, place, buffer, inst.line)?;
            for (row, bytes) in rows.iter_mut().zip(buffer.chunks_exact(size)) {
                let mut word = [0; 8];
                word[..size].copy_from_slice(bytes);
                let value = u64::from_le_bytes(word);
                // Narrow signed loads widen to the register (PTX ISA 9.7.9.8).
                let signed = ty.kind == crate::ir::Kind::Signed && ty.bits < 32;
                row[lane] = if signed { ty.signed(value) as u64 & 0xFFFF_FFFF } else { value };
            }
        }
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
        let addresses = self.addresses(w, m);
        let rows: Vec<Row> = a.iter().map(|&a| self.row(w, a)).collect();
        let size = ty.bytes() as usize;
        for lane in each(lanes) {
            let mut buffer = [0u8; 64];
            for (to, row) in buffer.chunks_exact_mut(size).zip(&rows) {
                to.copy_from_slice(&row[lane].to_le_bytes()[..size]);
            }
            let place = self.place(w, space, addresses[lane]);
            self.store(w, lane, place, &buffer[..size * a.len()], inst.line)?;
        }
        Ok(())
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
        let (addresses, a) = (self.addresses(w, m), self.row(w, a));
        let b = b.map_or([0; 32], |b| self.row(w, b));
        let (line, bytes) = (inst.line, ty.bytes());
        let mut out = [0; 32];
        for lane in each(lanes) {
            let address = addresses[lane];
            let mut change = |old: u64| alu::rmw(op, ty, old, a[lane], b[lane]);
            out[lane] = match self.place(w, space, address) {
                Place::Global(address) => {
                    self.aligned(address, bytes, line)?;
                    match self.env.memory.update(address, bytes, &mut change) {
                        Ok((old, true)) => old,
                        Ok((old, false)) => {
                            let message = format!("atomic on {bytes} bytes at global {address:#x}");
                            self.report(ReportKind::Uninitialised, vec![line], message)?;
                            old
                        }
                        Err(fault) => return self.fatal(fault.kind, line, fault.message),
                    }
                }
                Place::Shared(cta, address) => {
                    self.aligned(address, bytes, line)?;
                    self.in_shared(cta, address, bytes, line, "atomic")?;
                    self.touch(w, lane, cta, line);
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
                    if self.env.options.check_races {
                        let view = self.warps[w].view(lane);
                        let (actor, clock) = (view.issuer, view.time.own);
                        let now = Epoch { actor, clock, line, asynchronous: false, atomic: true };
                        let found = self.ctas[cta].shared.shadow.write(address, bytes, &view, now);
                        self.conflict(found, line, "atomic", address)?;
                    }
                    old
                }
                _ => {
                    let message = format!("atomic at {address:#x}, neither global nor shared");
                    return self.fatal(ReportKind::OutOfBounds, line, message);
                }
            };
        }
        if let Some(d) = d {
            self.warps[w].set(d, lanes, &out);
        }
        Ok(())
    }
}
