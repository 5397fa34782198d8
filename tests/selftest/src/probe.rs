//! A tile of the tensor-memory probe, and the operands that most questions share.

use crate::bench::Bench;
use expert_gemm::driver::{L2Promotion, LaunchSpec, OutOfBounds, Stream, Swizzle, TensorMapSpec};
use expert_gemm::{Dims, ElementType, Result};
use expert_gemm_kernels::abi::tensor_probe::{
    BOX, COLUMNS, COPY, LANES, OUTPUT_WORDS, PRODUCT, SHARED_BYTES, TensorProbeParams, VIEW_LANES,
};
use expert_gemm_kernels::abi::{Op, ProbeStep, TensorMap, VARIANTS, Variant};
use expert_gemm_kernels::tile::umma;
use expert_gemm_tests::rng::Rng;

/// Bytes of a row of an operand, and of a step of K.
pub const ROW: usize = 128;
/// Elements of a step of K.
pub const STEP: usize = 32;
/// Rows of A: always as many as lanes.
pub const M: usize = 128;
/// Most rows of B.
pub const MAX_N: usize = 256;

/// Where the operands and the atoms of scales begin in shared memory.
pub const A: u32 = 0;
/// See [`A`].
pub const B: u32 = A + (M * ROW) as u32;
/// See [`A`].
pub const ATOMS: u32 = B + (MAX_N * ROW) as u32;
const _: () = assert!(ATOMS + 8 * 512 == SHARED_BYTES);

/// Columns of tensor memory where the scales of A and of B begin, behind the sums.
pub const SCALES_A: u32 = 384;
/// See [`SCALES_A`].
pub const SCALES_B: u32 = 388;

/// One tile: what memory holds, what happens, and what is shown.
#[derive(Clone)]
pub struct Probe {
    /// Shared memory.
    pub shared: Vec<u8>,
    /// Tensor memory, `[lane][column]`.
    pub tensor: Vec<u32>,
    /// What happens.
    pub steps: Vec<ProbeStep>,
    /// What is shown; see [`expert_gemm_kernels::abi::tensor_probe`].
    pub view: u32,
    /// Rows of 128 bytes in device memory, and how many of them a box has.
    pub rows: Option<(Vec<u8>, u64)>,
}

impl Probe {
    /// Noise everywhere, nothing happens, and tensor memory is shown lane by lane.
    pub fn new(seed: u64) -> Self {
        let rng = &mut Rng::stream(seed, 77);
        Self {
            shared: (0..SHARED_BYTES / 8).flat_map(|_| rng.bits().to_le_bytes()).collect(),
            tensor: (0..OUTPUT_WORDS).map(|_| rng.bits() as u32).collect(),
            steps: Vec::new(),
            view: VIEW_LANES,
            rows: None,
        }
    }

    /// Puts rows of 128 codes to shared memory as the kernels' tensor copies do.
    pub fn operand(&mut self, at: u32, rows: &[[u8; ROW]]) {
        for (row, codes) in rows.iter().enumerate() {
            for (k, &code) in codes.iter().enumerate() {
                self.shared[at as usize + swizzled(row * ROW + k)] = code;
            }
        }
    }

    /// Puts scales to tensor memory: byte `step` of the word of row `i` is `scales[i][step]`.
    pub fn scales(&mut self, column: u32, scales: &[[u8; 4]]) {
        for (row, scales) in scales.iter().enumerate() {
            for quarter in 0..4 {
                let (lane, column) = (row % 32 + 32 * quarter, column as usize + row / 32);
                self.tensor[lane * COLUMNS as usize + column] = u32::from_le_bytes(*scales);
            }
        }
    }

    /// The same scale for every row of both operands.
    pub fn equal_scales(&mut self, scale: u8) {
        self.scales(SCALES_A, &[[scale; 4]; M]);
        self.scales(SCALES_B, &[[scale; 4]; MAX_N]);
    }

    /// A product of step `step` of A and of B, `n` rows of B, into column `d`.
    pub fn multiply(&mut self, d: u32, n: usize, step: u32, accumulate: bool) -> &mut ProbeStep {
        self.steps.push(ProbeStep {
            kind: PRODUCT,
            d,
            instruction: umma::instruction(1, n as u32),
            accumulate: accumulate.into(),
            a: umma::operand(A) + u64::from(step) * umma::K_STEP,
            b: umma::operand(B) + u64::from(step) * umma::K_STEP,
            scales_a: SCALES_A,
            scales_b: SCALES_B,
            ..ProbeStep::default()
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// A copy of an atom of scales, from byte `source` of shared memory to column `d`.
    pub fn copy(&mut self, d: u32, source: u32) {
        let a = umma::scales(source);
        self.steps.push(ProbeStep { kind: COPY, d, a, ..ProbeStep::default() });
    }

    /// A copy of the box at row `row` of [`rows`](Self::rows) to byte `d` of shared memory.
    pub fn copy_box(&mut self, d: u32, row: u32, bytes: u32) {
        let (instruction, accumulate) = (row, bytes);
        self.steps.push(ProbeStep { kind: BOX, d, instruction, accumulate, ..Default::default() });
    }

    /// Tensor memory before, to be changed to what it should be.
    pub fn image(&self) -> Tensor {
        Tensor(self.tensor.clone())
    }

    /// Makes the products of a pair of CTAs: M = 256.
    pub fn over_a_pair(&mut self) {
        for step in self.steps.iter_mut().filter(|step| step.kind == PRODUCT) {
            step.instruction += umma::instruction(2, 0) - umma::instruction(1, 0);
        }
    }

    /// Runs the tile, and returns what it shows.
    ///
    /// # Errors
    /// What the host crate or the driver answers.
    pub fn run(&self, bench: &Bench) -> Result<Vec<u32>> {
        self.launch(bench, variant(1), &self.shared, &self.tensor)
    }

    /// Runs the tile in a pair of CTAs, with memory of its own in the other one, and returns what both show.
    ///
    /// # Errors
    /// What the host crate or the driver answers.
    pub fn run_beside(&self, odd: &Self, bench: &Bench) -> Result<Vec<u32>> {
        let shared = [&self.shared[..], &odd.shared].concat();
        let tensor = [&self.tensor[..], &odd.tensor].concat();
        self.launch(bench, variant(2), &shared, &tensor)
    }

    fn launch(
        &self,
        bench: &Bench,
        variant: &'static Variant,
        shared: &[u8],
        tensor: &[u32],
    ) -> Result<Vec<u32>> {
        let device = &bench.device;
        let driver = device.driver();
        let kernel = device.load(variant)?;
        let output = device.upload(&vec![0u32; tensor.len()])?;
        let (shared, tensor) = (device.upload(shared)?, device.upload(tensor)?);
        let steps = device.upload(&words(&self.steps))?;
        let (mut map, mut source) = (TensorMap::EMPTY, None);
        if let Some((rows, box_rows)) = &self.rows {
            let buffer = device.upload(rows)?;
            map = driver.encode_tensor_map(&TensorMapSpec {
                element: ElementType::E4m3,
                address: buffer.address(),
                dims: Dims::new(&[ROW as u64, (rows.len() / ROW) as u64]),
                strides_bytes: Dims::new(&[ROW as u64]),
                box_dims: Dims::new(&[ROW as u64, *box_rows]),
                swizzle: Swizzle::Bytes128,
                l2_promotion: L2Promotion::None,
                out_of_bounds: OutOfBounds::Zero,
            })?;
            source = Some(buffer);
        }
        let mut params = map.bytes.to_vec();
        for buffer in [&shared, &tensor, &steps, &output] {
            params.extend(buffer.address().to_le_bytes());
        }
        for word in [self.steps.len() as u32, self.view, COLUMNS, SHARED_BYTES / 4] {
            params.extend(word.to_le_bytes());
        }
        let spec = LaunchSpec {
            function: kernel.function,
            grid: [variant.cluster, 1, 1],
            block: [variant.threads, 1, 1],
            cluster: [variant.cluster, 1, 1],
            smem_bytes: variant.smem_bytes,
            stream: Stream::DEFAULT,
            params: &params,
        };
        // SAFETY: the bytes are the parameter, field by field, and all buffers outlive the wait.
        unsafe { driver.launch(&spec)? };
        device.synchronize()?;
        drop(source);
        output.to_vec()
    }
}

const _: () = assert!(size_of::<TensorProbeParams>() == 128 + 4 * 8 + 4 * 4);

/// The kernel for so many CTAs. The variant table has both, or this does not compile.
fn variant(ctas: u32) -> &'static Variant {
    const fn of(ctas: u32) -> Variant {
        let mut i = 0;
        while !matches!(VARIANTS[i].op, Op::TensorProbe) || VARIANTS[i].cluster != ctas {
            i += 1;
        }
        VARIANTS[i]
    }
    const ONE: Variant = of(1);
    const PAIR: Variant = of(2);
    if ctas == 1 { &ONE } else { &PAIR }
}

/// Steps as the kernel reads them.
fn words(steps: &[ProbeStep]) -> Vec<u32> {
    let halves = |x: u64| [x as u32, (x >> 32) as u32];
    let step = |s: &ProbeStep| {
        let (a, b) = (halves(s.a), halves(s.b));
        let head = [s.kind, s.d, s.instruction, s.accumulate, a[0], a[1], b[0], b[1]];
        [&head[..], &[s.scales_a, s.scales_b, 0, 0]].concat()
    };
    // Not empty: a list of no steps still has an address.
    steps.iter().chain([&ProbeStep::default()]).flat_map(step).collect()
}

/// Where the byte at `offset` of an operand lies, if it begins at a multiple of 1024.
pub const fn swizzled(offset: usize) -> usize {
    offset ^ ((offset >> 7 & 7) << 4)
}

/// Tensor memory, `[lane][column]`.
#[derive(Clone)]
pub struct Tensor(pub Vec<u32>);

impl Tensor {
    /// A word.
    pub fn at(&self, lane: usize, column: usize) -> u32 {
        self.0[lane * COLUMNS as usize + column]
    }

    /// Replaces a word.
    pub fn set(&mut self, lane: usize, column: usize, word: u32) {
        self.0[lane * COLUMNS as usize + column] = word;
    }

    /// Replaces the sums of a product: row `i` of A in lane `i`, row `j` of B in column `d + j`.
    pub fn sums(&mut self, d: u32, n: usize, sum: impl Fn(usize, usize) -> f32) {
        for i in 0..LANES as usize {
            for j in 0..n {
                self.set(i, d as usize + j, sum(i, j).to_bits());
            }
        }
    }

    /// Names a place.
    pub fn place(at: usize) -> String {
        let columns = COLUMNS as usize;
        format!("tensor memory, lane {}, column {}", at / columns, at % columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_as_long_as_the_contract_says() {
        let symbols = [variant(1).symbol, variant(2).symbol];
        assert_eq!(symbols, ["tensor_probe_sm100", "tensor_probe_sm100_pair"]);
        let step = ProbeStep { a: 0x1_0000_0002, scales_b: 9, ..ProbeStep::default() };
        let words = words(&[step]);
        assert_eq!(words.len() * 4, 2 * size_of::<ProbeStep>());
        assert_eq!((words[4], words[5], words[9]), (2, 1, 9));
    }
}
