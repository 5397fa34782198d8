//! Operands of the tensor core in shared memory.

use super::cluster::{Cluster, Step};
use crate::race::{Epoch, View};
use crate::report::ReportKind;
use crate::semantics::descriptor::Layout;

impl Cluster<'_> {
    /// Reads so many rows of so many bytes, in chunks of 16, which a swizzle keeps whole.
    pub(crate) fn read_rows(
        &mut self,
        cta: usize,
        layout: Layout,
        (rows, width): (usize, usize),
        view: &View,
        now: Epoch,
        what: &str,
    ) -> Step<Vec<u8>> {
        let line = now.line;
        let mut out = Vec::with_capacity(rows * width);
        let mut known = true;
        let mut conflict = None;
        for row in 0..rows {
            for first in (0..width).step_by(16) {
                let address = u64::from(layout.address(row as u32, first as u32));
                self.in_shared(cta, address, 16, line, what)?;
                let shared = &mut self.ctas[cta].shared;
                out.extend_from_slice(shared.get(address, 16));
                known &= shared.known(address, 16);
                if self.env.options.check_races && conflict.is_none() {
                    conflict =
                        shared.shadow.read(address, 16, view, now).map(|found| (found, address));
                }
            }
        }
        if !known {
            let message = format!("{what} of shared memory that nothing has written");
            self.report(ReportKind::Uninitialised, vec![line], message)?;
        }
        if let Some((found, address)) = conflict {
            self.conflict(Some(found), line, what, address)?;
        }
        Ok(out)
    }
}
