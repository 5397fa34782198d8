//! A grouped product: tiles of segments and column blocks, on all threads of the pool.

use super::groups::Segment;
use super::kernel::{BLOCK, Product, Scales, Scratch, Simd};
use super::output::{HostOutput, Output, Shared};
use rayon::prelude::*;

/// Computes the rows of every segment. The output has been checked; segments are disjoint and lie inside it.
pub(super) fn run<const WIDTH: usize, S: Scales<WIDTH>>(
    product: &Product<'_, S>,
    segments: &[Segment],
    output: HostOutput<'_>,
) {
    match output {
        HostOutput::Bf16(output) => write(product, segments, output),
        HostOutput::F16(output) => write(product, segments, output),
    }
}

fn write<const WIDTH: usize, S: Scales<WIDTH>, O: Output>(
    product: &Product<'_, S>,
    segments: &[Segment],
    output: &mut [O],
) {
    let n_blocks = product.n / BLOCK;
    let shared = Shared::new(output, product.n);
    let simd = Simd::detect();
    (0..segments.len() * n_blocks).into_par_iter().for_each_init(
        Scratch::<WIDTH, S>::default,
        |scratch, task| {
            let Some(segment) = segments.get(task / n_blocks) else { return };
            let nb = task % n_blocks;
            simd.tile(product, *segment, nb, scratch);
            for (row, sums) in scratch.rows(segment.rows) {
                // SAFETY: segments are disjoint and lie inside the output (`groups::segments`), blocks of one
                // row are disjoint, and `output` is borrowed until all tasks are done.
                let to = unsafe { shared.block(segment.first_row + row, nb) };
                for (to, &sum) in to.iter_mut().zip(sums) {
                    *to = O::from_f32(sum);
                }
            }
        },
    );
}
