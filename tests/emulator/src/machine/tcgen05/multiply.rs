//! Copies of scale factors and products, when they happen.

use super::facts::{PAIR_COPIES_ITS_OWN, PAIR_HAS_ALL_SCALES_OF_B, PAIR_PARTS_OF_B, PAIR_ROWS};
use super::{Area, Seen, facts};
use crate::machine::cluster::{Cluster, Step};
use crate::race::{Epoch, View};
use crate::report::ReportKind;
use crate::semantics::descriptor::{InstructionDescriptor, Layout};
use crate::semantics::tensor::{K, tcgen05_e4m3, tcgen05_e4m3_block_scaled};
use crate::semantics::tmem::{LANES, cp_32x128b_warpx4_lanes, scale_columns, scale_word};

/// `cp.32x128b.warpx4`
#[derive(Debug)]
pub(super) struct ScaleCopy {
    pub(super) ctas: Vec<usize>,
    pub(super) column: u32,
    pub(super) layout: Layout,
    pub(super) view: View,
    pub(super) seen: Seen,
    pub(super) now: Epoch,
}

/// First columns of the scale factors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    pub(super) a: u32,
    pub(super) b: u32,
}

/// `mma`
#[derive(Debug)]
pub(super) struct Product {
    pub(super) ctas: Vec<usize>,
    pub(super) d: u32,
    pub(super) a: Layout,
    pub(super) b: Layout,
    pub(super) shape: InstructionDescriptor,
    pub(super) scales: Option<Scales>,
    pub(super) accumulate: bool,
    pub(super) view: View,
    pub(super) seen: Seen,
    pub(super) now: Epoch,
}

/// Rows of a `cp.32x128b.warpx4`, and words in each.
const COPY_ROWS: u32 = 32;
const COPY_WORDS: u32 = 4;

impl Cluster<'_> {
    pub(super) fn copy_scales(&mut self, copy: &ScaleCopy) -> Step<()> {
        let ScaleCopy { ctas, column, layout, view, seen, now } = copy;
        for &cta in ctas {
            let source = if PAIR_COPIES_ITS_OWN { cta } else { ctas[0] };
            let area = Area { cta, column: *column, columns: COPY_WORDS };
            self.in_tensor(area, seen, now.line, "tcgen05.cp")?;
            let rows = COPY_ROWS as usize;
            let data = self.read_rows(source, *layout, (rows, 16), view, *now, "tcgen05.cp")?;
            let mut found = None;
            for row in 0..COPY_ROWS {
                let words = data[row as usize * 16..].chunks_exact(4);
                for lane in cp_32x128b_warpx4_lanes(row) {
                    let tensor = &mut self.ctas[cta].tensor;
                    for (column, word) in (*column..).zip(words.clone().take(4)) {
                        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                        tensor.put(lane, column, word);
                    }
                    let conflict = tensor.note_write(lane, *column, COPY_WORDS, &seen.view, *now);
                    found = found.or(conflict);
                }
            }
            self.tensor_conflict(found, seen, now.line, "tcgen05.cp's write")?;
        }
        Ok(())
    }

    pub(super) fn multiply_tensor(&mut self, product: &Product) -> Step<()> {
        let start = std::time::Instant::now();
        let (n, pair) = (product.shape.n as usize, product.ctas.len() > 1);
        let rows = if pair { PAIR_ROWS } else { product.shape.m as usize };
        let part = if pair { n / PAIR_PARTS_OF_B } else { n };
        let (view, now) = (&product.view, product.now);
        let mut b = Vec::with_capacity(n * K);
        for &cta in &product.ctas {
            b.extend(self.read_rows(
                cta,
                product.b,
                (part, K),
                view,
                now,
                "tcgen05.mma's read of B",
            )?);
        }
        for &cta in &product.ctas {
            let a =
                self.read_rows(cta, product.a, (rows, K), view, now, "tcgen05.mma's read of A")?;
            let mut d = self.accumulator(cta, product, rows)?;
            match product.scales {
                None => tcgen05_e4m3(&mut d, n, &a, &b, product.accumulate),
                Some(Scales { a: of_a, b: of_b }) => {
                    let shape = &product.shape;
                    let scales_a =
                        self.scales(cta, product, (of_a, rows as u32), shape.scale_id_a, "A")?;
                    let home = if PAIR_HAS_ALL_SCALES_OF_B { cta } else { product.ctas[0] };
                    let scales_b =
                        self.scales(home, product, (of_b, shape.n), shape.scale_id_b, "B")?;
                    tcgen05_e4m3_block_scaled(
                        &mut d,
                        n,
                        &a,
                        &b,
                        &scales_a,
                        &scales_b,
                        product.accumulate,
                    );
                }
            }
            for (row, values) in (0..).zip(d.chunks_exact(n)) {
                let lane = lane_of(row, rows);
                for (column, value) in (product.d..).zip(values) {
                    self.ctas[cta].tensor.put(lane, column, value.to_bits());
                }
            }
        }
        self.stats.macs += u64::from(product.shape.m) * (n * K) as u64;
        self.stats.tensor_wall += start.elapsed();
        Ok(())
    }

    /// What D holds before the product, which is about to write it.
    fn accumulator(&mut self, cta: usize, product: &Product, rows: usize) -> Step<Vec<f32>> {
        let (n, line) = (product.shape.n, product.now.line);
        let area = Area { cta, column: product.d, columns: n };
        self.in_tensor(area, &product.seen, line, "tcgen05.mma's D")?;
        let mut d = vec![0.0; rows * n as usize];
        let (mut known, mut found) = (true, None);
        let tensor = &mut self.ctas[cta].tensor;
        for (row, values) in (0..).zip(d.chunks_exact_mut(n as usize)) {
            let lane = lane_of(row, rows);
            if product.accumulate {
                for (column, value) in (product.d..).zip(values) {
                    let word = tensor.get(lane, column);
                    known &= word.is_some();
                    *value = f32::from_bits(word.unwrap_or(u32::MAX));
                }
            }
            let conflict = tensor.note_write(lane, product.d, n, &product.seen.view, product.now);
            found = found.or(conflict);
        }
        if !known {
            let message = "tcgen05.mma adds to tensor memory that nothing has written".to_owned();
            self.report(ReportKind::Uninitialised, vec![line], message)?;
        }
        self.tensor_conflict(found, &product.seen, line, "tcgen05.mma's write").map(|()| d)
    }

    /// The scale factors of so many rows: one byte of each word, the same in all quarters of the lanes.
    fn scales(
        &mut self,
        cta: usize,
        product: &Product,
        (first, rows): (u32, u32),
        id: u32,
        of: &str,
    ) -> Step<Vec<u8>> {
        let line = product.now.line;
        let columns = scale_columns(rows);
        let what = format!("tcgen05.mma's read of the scales of {of}");
        self.in_tensor(Area { cta, column: first, columns }, &product.seen, line, &what)?;
        let (mut known, mut same, mut found) = (true, true, None);
        let mut out = Vec::with_capacity(rows as usize);
        let tensor = &mut self.ctas[cta].tensor;
        for row in 0..rows {
            let (lane, column) = scale_word(row);
            let word = tensor.get(lane, first + column);
            known &= word.is_some();
            // PTX ISA 9.7.16.10.7: the scales are there for each of the four sub-partitions.
            for quarter in 1..LANES / 32 {
                same &= tensor.get(lane + 32 * quarter, first + column) == word;
            }
            out.push(word.unwrap_or(u32::MAX).to_le_bytes()[id as usize]);
        }
        for lane in 0..LANES {
            let conflict = tensor.note_read(lane, first, columns, &product.seen.view, product.now);
            found = found.or(conflict);
        }
        if !known {
            let message = format!("{what}, which nothing has written");
            self.report(ReportKind::Uninitialised, vec![line], message)?;
        } else if !same {
            let message = format!("{what}, which differ between the four quarters of the lanes");
            self.report(ReportKind::Tcgen05, vec![line], message)?;
        }
        self.tensor_conflict(found, &product.seen, line, &what).map(|()| out)
    }
}

/// The lane that holds a row of D, of so many in its CTA.
const fn lane_of(row: u32, rows: usize) -> u32 {
    if rows == 64 { facts::lane_of_m64(row) } else { row }
}
