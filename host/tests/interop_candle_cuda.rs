//! candle's tensors on a GPU, on candle's stream and among candle's own operations: the bits of the CPU backend.

mod candle_tensors;
#[path = "../examples/common/mod.rs"]
mod common;
mod driver;

use candle_core::{DType, Device, Tensor};
use candle_tensors::{Tensors, codes, tensor, values};
use common::{EXPERTS, K, N, Operands, PROBLEM, ROWS};
use expert_gemm::ElementType::{self, Bf16, F16};
use expert_gemm::interop::ForeignError;
use expert_gemm::interop::candle::{Fp8Tensors, Grouped, Mxfp8Tensors, QuantTensors, Quantised};
use expert_gemm::{Error, Fp8GroupedMm, Mxfp8GroupedMm, Mxfp8GroupedQuant, ScaleRule, scales};
use float8::F8E4M3;
use half::{bf16, f16};

const SCALE_ROWS: u64 = Mxfp8GroupedQuant::max_scale_rows(ROWS, EXPERTS);

/// The first GPU as candle opens it, on the stream of the thread and on one of its own, unless it lacks the kernels.
fn gpus() -> Option<driver::Turn<[Device; 2]>> {
    driver::required(|| {
        // Of a machine without a GPU candle has a code to tell, and this a reason.
        expert_gemm::Device::open(0)?;
        let opened = Device::new_cuda(0).and_then(|on_threads_stream| {
            Ok([on_threads_stream, Device::new_cuda_with_stream(0)?])
        });
        let gpus = opened.map_err(|error| ForeignError::Library {
            library: "candle",
            message: error.to_string(),
        })?;
        Grouped::new(PROBLEM, &gpus[0])?;
        Ok(gpus)
    })
}

/// What MXFP8 multiplies: rows of few bits, so that every sum is exact, and the weights.
struct Mx {
    quant: Grouped<Mxfp8GroupedQuant>,
    product: Grouped<Mxfp8GroupedMm>,
    x: Tensor,
    b: Tensor,
    sfb: Tensor,
    sizes: Tensor,
    offsets: Tensor,
    scale_offsets: Tensor,
}

impl Mx {
    /// From rows and to a product of this element type.
    fn on(device: &Device, element: ElementType) -> candle_core::Result<Self> {
        let operands = Operands::new();
        // Another scale for each of three neighbours.
        let power = |block: usize| [0.5, 1.0, 2.0][block % 3];
        let x: Vec<f32> = codes(&operands.a)
            .iter()
            .enumerate()
            .map(|(at, code)| code.to_f32() * power(at / 32))
            .collect();
        let dtype = if element == F16 { DType::F16 } else { DType::BF16 };
        let row_major: Vec<u8> =
            (0..EXPERTS * N * K / 32).map(|block| 126 + (block % 3) as u8).collect();
        let mut sfb = vec![0; row_major.len()];
        scales::swizzle(EXPERTS * N, K, &row_major, &mut sfb).expect("atoms");
        let quant = Mxfp8GroupedQuant {
            rows: ROWS,
            experts: EXPERTS,
            k: K,
            scale_rows: SCALE_ROWS,
            input: element,
            rule: ScaleRule::Sgl,
        };
        let product = Mxfp8GroupedMm {
            rows: ROWS,
            experts: EXPERTS,
            n: N,
            k: K,
            scale_rows: SCALE_ROWS,
            output: element,
        };
        Ok(Self {
            quant: Grouped::new(quant, device).expect("quantiser"),
            product: Grouped::new(product, device).expect("product"),
            x: tensor(&x, &[ROWS, K], device).to_dtype(dtype)?,
            b: tensor(&codes(&operands.b), &[EXPERTS, N, K], device),
            sfb: tensor(&sfb, &[EXPERTS, N, K / 32], device),
            sizes: tensor(&operands.sizes.concat(), &[EXPERTS, 3], device),
            offsets: tensor(&operands.offsets, &[EXPERTS], device),
            scale_offsets: tensor(&[0, 128, 128], &[EXPERTS], device),
        })
    }

    /// Quantises rows and multiplies them.
    fn forward(&self, x: &Tensor) -> expert_gemm::Result<(Quantised, Tensor)> {
        let quantised = self.quant.forward(&QuantTensors {
            input: x,
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
            blockscale_offsets: &self.scale_offsets,
        })?;
        let product = self.product.forward(&Mxfp8Tensors {
            a: &quantised.codes,
            b: &self.b,
            sfa: &quantised.scales,
            sfb: &self.sfb,
            problem_sizes: &self.sizes,
            expert_offsets: &self.offsets,
            blockscale_offsets: &self.scale_offsets,
        })?;
        Ok((quantised, product))
    }
}

/// The elements as they are stored.
fn bits(tensor: &Tensor) -> Vec<u32> {
    match tensor.dtype() {
        DType::F32 => values::<f32>(tensor).into_iter().map(f32::to_bits).collect(),
        DType::BF16 => values::<bf16>(tensor).iter().map(|value| value.to_bits().into()).collect(),
        DType::F16 => values::<f16>(tensor).iter().map(|value| value.to_bits().into()).collect(),
        DType::F8E4M3 => {
            values::<F8E4M3>(tensor).iter().map(|code| code.to_bits().into()).collect()
        }
        _ => values::<u8>(tensor).into_iter().map(u32::from).collect(),
    }
}

fn assert_same(what: &str, gpu: &Tensor, cpu: &Tensor) {
    assert!(gpu.device().is_cuda() && cpu.device().is_cpu(), "{what}");
    assert_eq!((gpu.dims(), gpu.dtype()), (cpu.dims(), cpu.dtype()), "{what}");
    let (got, want) = (bits(gpu), bits(cpu));
    let differ = got.iter().zip(&want).filter(|(got, want)| got != want).count();
    assert_eq!(differ, 0, "{what}: of {}", want.len());
    assert!(want.iter().any(|&bits| bits != 0), "{what}: nothing but zeros");
}

#[test]
fn fp8_products_have_the_bits_of_the_cpu() {
    let Some(gpus) = gpus() else { return };
    for (gpu, output) in gpus.iter().flat_map(|gpu| [(gpu, Bf16), (gpu, F16)]) {
        let [got, want] = [gpu, &Device::Cpu].map(|device| {
            let grouped = Grouped::new(Fp8GroupedMm { output, ..PROBLEM }, device).expect("loaded");
            grouped.forward(&Tensors::on(device).fp8()).expect("product")
        });
        assert_same(output.name(), &got, &want);
    }
}

#[test]
fn a_part_of_a_tensor_is_where_its_offset_says() -> candle_core::Result<()> {
    let Some(gpus) = gpus() else { return Ok(()) };
    let [on_gpu, on_cpu] = [&gpus[0], &Device::Cpu].map(Tensors::on);
    // Behind rows that would give another product: those of the tensor, from the last to the first.
    let behind = |tensor: &Tensor| {
        let rows = tensor.dim(0)?;
        let reversed: Vec<Tensor> =
            (0..rows).rev().map(|row| tensor.narrow(0, row, 1)).collect::<Result<_, _>>()?;
        Tensor::cat(&[&Tensor::cat(&reversed, 0)?, tensor], 0)?.narrow(0, rows, rows)
    };
    let parts = Tensors {
        a: behind(&on_gpu.a)?,
        b: behind(&on_gpu.b)?,
        scales_a: behind(&on_gpu.scales_a)?,
        scales_b: behind(&on_gpu.scales_b)?,
        ..on_gpu
    };
    let got = Grouped::new(PROBLEM, &gpus[0]).and_then(|grouped| grouped.forward(&parts.fp8()));
    let want = Grouped::new(PROBLEM, &Device::Cpu).and_then(|cpu| cpu.forward(&on_cpu.fp8()));
    assert_same("parts", &got.expect("on the GPU"), &want.expect("on the CPU"));
    Ok(())
}

#[test]
fn mxfp8_rows_and_products_have_the_bits_of_the_cpu() -> candle_core::Result<()> {
    let Some(gpus) = gpus() else { return Ok(()) };
    for (gpu, element) in gpus.iter().flat_map(|gpu| [(gpu, Bf16), (gpu, F16)]) {
        let (on_gpu, on_cpu) = (Mx::on(gpu, element)?, Mx::on(&Device::Cpu, element)?);
        let (got, product) = on_gpu.forward(&on_gpu.x).expect("on the GPU");
        let (want, wanted) = on_cpu.forward(&on_cpu.x).expect("on the CPU");
        assert_same("codes", &got.codes, &want.codes);
        assert_same("scales", &got.scales, &want.scales);
        assert_same(element.name(), &product, &wanted);
    }
    Ok(())
}

/// Ours between operations of candle, and nothing that waits between them. Each round's rows depend on the last element
/// that a slow operation writes, so that a launch that did not wait for it would read what is not there yet.
fn rounds(device: &Device) -> candle_core::Result<Tensor> {
    const SLOW: usize = 1 << 24;
    let (tensors, mx) = (Tensors::on(device), Mx::on(device, Bf16)?);
    let fp8 = Grouped::new(PROBLEM, device).expect("loaded");
    let mut slow = Tensor::zeros(SLOW, DType::F32, device)?;
    let mut sum = Tensor::zeros((ROWS as usize, N as usize), DType::F32, device)?;
    // FP8 holds the rows times 1 to 6 without rounding.
    for _ in 0..6 {
        slow = (slow + 1.0)?;
        let round = slow.narrow(0, SLOW - 1, 1)?;
        let x = mx.x.to_dtype(DType::F32)?.broadcast_mul(&round)?.to_dtype(DType::BF16)?;
        let (_, product) = mx.forward(&x).expect("MXFP8");
        sum = (sum + product.to_dtype(DType::F32)?)?;

        let scales_a = tensors.scales_a.broadcast_mul(&round)?;
        let product = fp8.forward(&Fp8Tensors { scales_a: &scales_a, ..tensors.fp8() });
        sum = (sum + product.expect("FP8").to_dtype(DType::F32)?)?;
    }
    Ok(sum)
}

#[test]
fn launches_keep_their_place_among_candles_operations() -> candle_core::Result<()> {
    let Some(gpus) = gpus() else { return Ok(()) };
    let want = rounds(&Device::Cpu)?;
    for gpu in gpus.iter() {
        assert_same("the sum of all rounds", &rounds(gpu)?, &want);
    }
    Ok(())
}

#[test]
fn tensors_of_another_device_are_refused() {
    let Some(gpus) = gpus() else { return };
    let grouped = Grouped::new(PROBLEM, &gpus[0]).expect("loaded");
    let tensors = Tensors::on(&gpus[0]);
    // The other one is the same GPU, but its stream is another.
    for elsewhere in [&Device::Cpu, &gpus[1]].map(Tensors::on) {
        let refused = grouped.forward(&Fp8Tensors { b: &elsewhere.b, ..tensors.fp8() }).map(drop);
        let Err(Error::Foreign(ForeignError::Tensor { owner, field, .. })) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((owner, field), ("b", "device"));
    }
}
