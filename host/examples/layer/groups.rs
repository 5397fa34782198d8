//! Which rows belong to which expert.

/// Which rows belong to which expert, and where the scales of each begin.
pub struct Groups {
    pub rows: u64,
    /// Rows of MXFP8 scales; the FP8 product does not ask.
    pub scale_rows: u64,
    pub rows_of: Vec<i32>,
    pub offsets: Vec<i32>,
    pub scale_offsets: Vec<i32>,
}

impl Groups {
    /// Experts one behind the other; the scales of each take whole atoms of 128 rows.
    pub fn new(rows_of: &[u64]) -> Self {
        let sums = |padded: u64| {
            let mut sum = 0;
            let firsts = rows_of.iter().map(|rows| {
                let first = sum as i32;
                sum += rows.next_multiple_of(padded);
                first
            });
            (firsts.collect::<Vec<_>>(), sum)
        };
        let ((offsets, rows), (scale_offsets, scale_rows)) = (sums(1), sums(128));
        let rows_of = rows_of.iter().map(|&rows| rows as i32).collect();
        Self { rows, scale_rows, rows_of, offsets, scale_offsets }
    }

    pub fn experts(&self) -> u64 {
        self.rows_of.len() as u64
    }

    /// `(M, N, K)` of each expert; the quantiser does not look at N.
    pub fn sizes(&self, n: usize, k: usize) -> Vec<[i32; 3]> {
        self.rows_of.iter().map(|&m| [m, n as i32, k as i32]).collect()
    }
}
