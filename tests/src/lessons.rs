//! The kernels of the lessons (`docs/lessons`): loaded, launched like the shipped kernel, and what each promises.

use crate::cpu;
use crate::judge::Judged;
use crate::metrics::{BitDifference, compare_bits};
use crate::problem::HostProblem;
use crate::routing::Tables;
use expert_gemm::driver::{Function, L2Promotion, LaunchSpec, OutOfBounds, Swizzle, TensorMapSpec};
use expert_gemm::ptx::PtxModule;
use expert_gemm::{
    Device, Dims, ElementType, Error, Fp8GroupedMm, Fp8GroupedMmTensors, ModuleError, Result,
    Stream,
};
use expert_gemm_kernels::abi::{Fp8BlockParams, LESSONS, LessonParams, TensorMap, Variant, lesson};
use std::borrow::Cow;

/// The module of the lessons, which the host crate does not hold.
const PTX: &str = include_str!("../../docs/lessons/ptx/sm_90a/lessons_sm90.ptx");

/// A kernel of a lesson, loaded.
#[derive(Clone, Debug)]
pub struct Lesson {
    device: Device,
    variant: &'static Variant,
    function: Function,
}

/// All lessons, in their order.
///
/// # Errors
/// If the device does not run them, or what the driver answers.
pub fn load(device: &Device) -> Result<Vec<Lesson>> {
    load_text(device, PTX)
}

/// The module as text, for tests that change it.
pub const fn text() -> &'static str {
    PTX
}

/// All lessons from another text of the module.
///
/// # Errors
/// As [`load`].
pub fn load_text(device: &Device, text: &str) -> Result<Vec<Lesson>> {
    let driver = device.driver();
    let info = device.info();
    let Variant { module: name, arch, .. } = LESSONS[0];
    if !arch.runs_on(info.capability) {
        return Err(Error::UnsupportedDevice {
            op: "the kernels of the lessons",
            needs: "sm_90a (compute capability 9.0)".to_owned(),
            capability: info.capability,
            name: info.name.clone(),
        });
    }
    PtxModule { name, arch, text: Cow::Owned(text.to_owned()) }.check(info.driver_version)?;
    let module = driver.load_module(name, text)?;
    LESSONS
        .iter()
        .map(|variant| {
            let function = driver.function(module, variant.symbol)?.ok_or_else(|| {
                let (module, symbol) = (name.to_owned(), variant.symbol.to_owned());
                ModuleError::KernelMissing { module, symbol }
            })?;
            driver.set_max_dynamic_smem(function, variant.smem_bytes)?;
            Ok(Lesson { device: device.clone(), variant, function })
        })
        .collect()
}

impl Lesson {
    /// The kernel.
    pub const fn variant(&self) -> &'static Variant {
        self.variant
    }

    /// Puts one launch into a stream: a CTA for each tile that these rows and experts may make. The status word is left alone.
    ///
    /// # Errors
    /// What the tensors' checks or the driver answer.
    ///
    /// # Panics
    /// If the output is not bf16, or the tiles are 2^32 or more.
    pub fn launch(
        &self,
        stream: Stream,
        shape: &Fp8GroupedMm,
        tensors: &Fp8GroupedMmTensors<'_>,
    ) -> Result<()> {
        let Self { device, variant, function } = self;
        assert_eq!(shape.output, ElementType::Bf16, "lessons write bf16");
        tensors.validate_memory(shape, &**device.driver())?;
        let Fp8GroupedMm { rows, experts, n, k, .. } = *shape;
        let height = u64::from(variant.tile[0]);
        let tiles = (rows + experts * (height - 1)) / height * (n / u64::from(lesson::TILE));
        if shape.is_empty() {
            return Ok(());
        }
        let (a, b) = (tensors.a.address(), tensors.b.address());
        let [small @ .., weights, _] = variant.box_rows.map(u64::from);
        let [b8, b16, b32, b64] = small.map(|tall| self.map(a, &[k, rows], &[k], &[128, tall]));
        let gemm = Fp8BlockParams {
            tokens: [b8?, b16?, b32?, b64?],
            weights: self.map(b, &[k, n, experts], &[k, k * n], &[128, weights, 1])?,
            half_weights: TensorMap::EMPTY,
            scales_a: tensors.scales_a.address(),
            scales_b: tensors.scales_b.address(),
            output: tensors.output.address(),
            problem_sizes: tensors.problem_sizes.address(),
            expert_offsets: tensors.expert_offsets.address(),
            status: 0,
            rows: rows as u32,
            experts: experts as u32,
            n: n as u32,
            k: k as u32,
        };
        let params = LessonParams { gemm, a, b };
        let start = std::ptr::from_ref(&params).cast::<u8>();
        // SAFETY: `repr(C)` without padding: its size is the sum of its fields (asserted beside it), as is that of `gemm`.
        let params = unsafe { std::slice::from_raw_parts(start, size_of::<LessonParams>()) };
        let spec = LaunchSpec {
            function: *function,
            grid: [u32::try_from(tiles).expect("fewer than 2^32 tiles"), 1, 1],
            block: [variant.threads, 1, 1],
            cluster: [1, 1, 1],
            smem_bytes: variant.smem_bytes,
            stream,
            params,
        };
        // SAFETY: the bytes are the kernel's parameter, and the tensors were checked; whoever made them keeps their memory.
        unsafe { device.driver().launch(&spec) }
    }

    /// A tensor map as the shipped kernel's.
    fn map(&self, address: u64, dims: &[u64], strides: &[u64], boxes: &[u64]) -> Result<TensorMap> {
        self.device.driver().encode_tensor_map(&TensorMapSpec {
            element: ElementType::U8,
            address,
            dims: Dims::new(dims),
            strides_bytes: Dims::new(strides),
            box_dims: Dims::new(boxes),
            swizzle: Swizzle::Bytes128,
            l2_promotion: L2Promotion::None,
            out_of_bounds: OutOfBounds::Zero,
        })
    }

    /// Whether the kernel adds in f32, `k` ascending, as the CPU backend does; else the tensor core adds.
    pub fn adds_in_f32(&self) -> bool {
        self.variant.symbol < "lesson_3"
    }

    /// Compares an output in every bit with what the lesson promises: the CPU backend's, or the model of the tensor core.
    ///
    /// # Errors
    /// What the CPU backend refuses.
    pub fn compare(
        &self,
        problem: &HostProblem,
        tables: &Tables,
        got: &[u16],
        untouched: u16,
    ) -> Result<BitDifference> {
        if self.adds_in_f32() {
            let (want, _) = cpu::run(problem, tables, untouched)?;
            Ok(compare_bits(problem, got, &want))
        } else {
            Ok(Judged::new(problem, tables).compare(problem, got, untouched))
        }
    }
}
