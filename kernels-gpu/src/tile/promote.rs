//! Promotion: the sum over one scale block joins the sum over all, with its scale.

/// `a * b + c`, rounded once.
#[inline(always)]
pub(crate) fn fma(a: f32, b: f32, c: f32) -> f32 {
    core::intrinsics::fmaf32(a, b, c)
}

/// `sum += block * scale` on a 64 x N accumulator with activations on its rows: `upper` and `lower` are `sa * sb` of the
/// thread's two rows.
#[inline(always)]
pub(crate) fn promote_rows<const R: usize>(
    sum: &mut [f32; R],
    block: &[f32; R],
    [upper, lower]: [f32; 2],
) {
    let mut i = 0;
    while i < R {
        sum[i] = fma(block[i], upper, sum[i]);
        sum[i + 1] = fma(block[i + 1], upper, sum[i + 1]);
        sum[i + 2] = fma(block[i + 2], lower, sum[i + 2]);
        sum[i + 3] = fma(block[i + 3], lower, sum[i + 3]);
        i += 4;
    }
}

/// The same with activations on the columns: `scales` are those of the thread's two columns in each group of 8, of which the
/// first `R / 4` count.
#[inline(always)]
pub(crate) fn promote_columns<const R: usize>(
    sum: &mut [f32; R],
    block: &[f32; R],
    scales: &[[f32; 2]; R],
) {
    let mut group = 0;
    while group < R / 4 {
        let [even, odd] = scales[group];
        let i = group * 4;
        sum[i] = fma(block[i], even, sum[i]);
        sum[i + 1] = fma(block[i + 1], odd, sum[i + 1]);
        sum[i + 2] = fma(block[i + 2], even, sum[i + 2]);
        sum[i + 3] = fma(block[i + 3], odd, sum[i + 3]);
        group += 1;
    }
}
