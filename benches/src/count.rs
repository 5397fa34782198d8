//! What a case needs at least.

/// Bytes per second that the ideal kernel moves on an H200: a little above what reading alone reaches.
pub const IDEAL_BYTES_PER_S: f64 = 4.65e12;
/// Operations per second that the ideal kernel does on an H200.
pub const IDEAL_FLOPS_PER_S: f64 = 1.5e15;
/// Microseconds of a kernel that does nothing, as the method of the records times it.
pub const FLOOR_US: f64 = 4.0;

/// What has to be computed and moved.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes: every input read once, every output written once.
    pub bytes: f64,
}

impl Cost {
    /// Microseconds of a kernel that reaches both ceilings.
    pub fn ideal_us(&self) -> f64 {
        (self.bytes / IDEAL_BYTES_PER_S).max(self.flops / IDEAL_FLOPS_PER_S) * 1e6
    }

    /// TFLOP/s at a time in microseconds.
    pub fn tflops(&self, us: f64) -> f64 {
        self.flops / us * 1e-6
    }

    /// GB/s at a time in microseconds.
    pub fn gbps(&self, us: f64) -> f64 {
        self.bytes / us * 1e-3
    }
}

/// Sizes of a grouped operation.
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
    /// The FP8 product with block scales. Weights count only where their expert has rows.
    pub fn fp8(&self) -> Cost {
        let Self { n, k, .. } = *self;
        self.product(n * k + (n / 128) * (k / 128) * 4, k + k / 128 * 4)
    }

    /// The MXFP8 product.
    pub fn mxfp8(&self) -> Cost {
        let Self { n, k, .. } = *self;
        self.product(n * (k + k / 32), k + k / 32)
    }

    /// The MXFP8 quantiser: two bytes of an element in, a code and its share of a scale out. No operations are
    /// counted: the ceiling is memory.
    pub fn mxfp8_quant(&self) -> Cost {
        let Self { rows, k, .. } = *self;
        Cost { flops: 0.0, bytes: (rows * (3 * k + k / 32)) as f64 }
    }

    /// A product with so many bytes of weights for an expert and of activations for a row.
    fn product(&self, weights: u64, activations: u64) -> Cost {
        let Self { rows, live_experts, n, k } = *self;
        let bytes = live_experts * weights + rows * activations + rows * n * 2;
        Cost { flops: 2.0 * rows as f64 * n as f64 * k as f64, bytes: bytes as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work { rows: 256, live_experts: 32, n: 4096, k: 7168 };

    #[test]
    fn counts_of_a_known_case() {
        let cost = WORK.fp8();
        let weights = 32.0 * (4096.0 * 7168.0 + 32.0 * 56.0 * 4.0);
        let rest = 256.0 * (7168.0 + 56.0 * 4.0) + 256.0 * 4096.0 * 2.0;
        assert!((cost.bytes - weights - rest).abs() < 0.5);
        assert!((cost.flops - 15_032_385_536.0).abs() < 0.5);
        assert!((cost.ideal_us() - (weights + rest) / 4.65e6).abs() < 1e-6);
        assert!((cost.tflops(100.0) - 150.323_855_36).abs() < 1e-6);
    }

    #[test]
    fn mxfp8_has_a_byte_of_scale_for_32_elements() {
        let product = WORK.mxfp8();
        let bytes = (32 * 4096 + 256) * (7168 + 224) + 256 * 4096 * 2;
        assert!((product.bytes - f64::from(bytes)).abs() < 0.5);
        assert!((product.flops - WORK.fp8().flops).abs() < 0.5);
        let quant = WORK.mxfp8_quant();
        assert!((quant.bytes - f64::from(256 * (3 * 7168 + 224))).abs() < 0.5);
    }
}
