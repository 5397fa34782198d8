//! Boxes of tensor copies: which bytes of shared memory belong to which of global memory.

use super::cluster::{Cluster, Step};
use crate::report::ReportKind;
use crate::semantics::tma::{BoxRow, TmaError};
use crate::tensor_map::TensorMap;

/// A piece of a box inside of its tensor, in both memories.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) shared: u64,
    pub(crate) global: u64,
    pub(crate) bytes: usize,
}

impl Cluster<'_> {
    /// What a load writes to shared memory, in chunks that the swizzle keeps whole.
    pub(crate) fn load_box(
        &mut self,
        map: &TensorMap,
        coordinates: &[i32],
        to: u64,
        line: u32,
    ) -> Step<Vec<(u64, Vec<u8>)>> {
        let fill = if map.fill_nan { 0xFF } else { 0 };
        let rows = self.rows_of(map.tile().rows(coordinates), line)?;
        let mut chunks = Vec::new();
        for BoxRow { packed, global, before, bytes, after } in rows {
            let mut data = vec![fill; (before + bytes + after) as usize];
            let inside = &mut data[before as usize..(before + bytes) as usize];
            self.global(map.address.wrapping_add(global), inside, line)?;
            for (chunk, at) in data.chunks(16).zip((to as u32 + packed..).step_by(16)) {
                chunks.push((u64::from(map.swizzle.apply(at)), chunk.to_vec()));
            }
        }
        Ok(chunks)
    }

    /// What a store moves. Parts outside of the tensor are left out.
    pub(crate) fn store_box(
        &mut self,
        map: &TensorMap,
        coordinates: &[i32],
        from: u64,
        line: u32,
    ) -> Step<Vec<Piece>> {
        let rows = self.rows_of(map.tile().store_rows(coordinates), line)?;
        let pieces = rows.into_iter().flat_map(|row| row.pieces(from as u32, map.swizzle));
        let inside = pieces.filter_map(|(shared, global, bytes)| {
            let global = map.address.wrapping_add(global?);
            Some(Piece { shared: shared.into(), global, bytes: bytes as usize })
        });
        Ok(inside.collect())
    }

    fn rows_of<I: Iterator<Item = BoxRow>>(
        &mut self,
        rows: Result<I, TmaError>,
        line: u32,
    ) -> Step<Vec<BoxRow>> {
        match rows {
            Ok(rows) => Ok(rows.collect()),
            Err(error) => self.fatal(ReportKind::TensorMap, line, error.to_string()),
        }
    }
}
