//! What a case needs at least.

/// Bytes per second that the ideal kernel moves on an H200: a little above what reading alone reaches.
pub const IDEAL_BYTES_PER_S: f64 = 4.65e12;
/// Operations per second that the ideal kernel does on an H200.
pub const IDEAL_FLOPS_PER_S: f64 = 1.5e15;

/// Sizes of a grouped product.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Rows of all experts.
    pub rows: u64,
    /// Experts that have rows.
    pub live_experts: u64,
    /// Columns of the output.
    pub n: u64,
    /// Elements of the reduction.
    pub k: u64,
}

impl Work {
    /// Floating-point operations: a multiply and an add for each pair of operands.
    pub fn flops(&self) -> f64 {
        2.0 * self.rows as f64 * self.n as f64 * self.k as f64
    }

    /// Every input byte read once, every output byte written once; weights only of experts with rows.
    pub fn min_bytes(&self) -> f64 {
        let Self { rows, live_experts, n, k } = *self;
        let weights = n * k + (n / 128) * (k / 128) * 4;
        let activations = k + k / 128 * 4;
        (live_experts * weights + rows * activations + rows * n * 2) as f64
    }

    /// Microseconds of a kernel that reaches both ceilings.
    pub fn ideal_us(&self) -> f64 {
        (self.min_bytes() / IDEAL_BYTES_PER_S).max(self.flops() / IDEAL_FLOPS_PER_S) * 1e6
    }

    /// TFLOP/s at a time in microseconds.
    pub fn tflops(&self, us: f64) -> f64 {
        self.flops() / us * 1e-6
    }

    /// GB/s at a time in microseconds, of the bytes that have to move.
    pub fn gbps(&self, us: f64) -> f64 {
        self.min_bytes() / us * 1e-3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_known_case() {
        let work = Work { rows: 256, live_experts: 32, n: 4096, k: 7168 };
        let weights = 32.0 * (4096.0 * 7168.0 + 32.0 * 56.0 * 4.0);
        let rest = 256.0 * (7168.0 + 56.0 * 4.0) + 256.0 * 4096.0 * 2.0;
        assert!((work.min_bytes() - weights - rest).abs() < 0.5);
        assert!((work.flops() - 15_032_385_536.0).abs() < 0.5);
        assert!((work.ideal_us() - (weights + rest) / 4.65e6).abs() < 1e-6);
        assert!((work.tflops(100.0) - 150.323_855_36).abs() < 1e-6);
    }
}
