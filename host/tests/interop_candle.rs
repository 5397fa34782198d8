//! candle's tensors on the CPU: the same numbers as the CPU backend, and every refusal.

mod candle_tensors;
#[path = "../examples/common/mod.rs"]
mod common;

use candle_core::{DType, Device, Tensor, WithDType};
use candle_tensors::{Tensors, codes, values};
use common::{Operands, PROBLEM};
use expert_gemm::interop::ForeignError;
use expert_gemm::interop::candle::{Fp8Tensors, Grouped, Mxfp8Tensors, QuantTensors};
use expert_gemm::{ElementType, Error, Mxfp8GroupedMm, Mxfp8GroupedQuant, ScaleRule, scales};
use float8::F8E4M3;
use half::{bf16, f16};

fn tensor<T: WithDType>(data: &[T], shape: &[u64]) -> Tensor {
    candle_tensors::tensor(data, shape, &Device::Cpu)
}

#[test]
fn the_product_is_that_of_the_cpu_backend() {
    let (tensors, operands) = (Tensors::on(&Device::Cpu), Operands::new());
    let grouped = Grouped::new(PROBLEM, &Device::Cpu).expect("valid");
    let product = grouped.forward(&tensors.fp8()).expect("product");
    assert_eq!((product.dims(), product.dtype()), (&[40, 256][..], DType::BF16));
    common::compare(&values::<bf16>(&product), &operands.on_cpu().expect("CPU")).expect("equal");

    // A part of a larger tensor is where its offset says.
    let larger = Tensor::cat(&[&tensors.a, &tensors.a], 0).expect("cat");
    let part = larger.narrow(0, 40, 40).expect("narrow");
    let same = grouped.forward(&Fp8Tensors { a: &part, ..tensors.fp8() }).expect("product");
    assert_eq!(values::<bf16>(&same), values::<bf16>(&product));

    let half = expert_gemm::Fp8GroupedMm { output: ElementType::F16, ..PROBLEM };
    let half = Grouped::new(half, &Device::Cpu).expect("valid").forward(&tensors.fp8());
    let half: Vec<f16> = values(&half.expect("product"));
    assert!(
        half.iter()
            .zip(values::<bf16>(&product))
            .all(|(h, b)| (h.to_f32() - b.to_f32()).abs() <= b.to_f32().abs() / 128.0)
    );
}

#[test]
fn rows_are_quantised_and_multiplied() {
    let (rows, experts, n, k) = (40, 3, 128, 256);
    let scale_rows = Mxfp8GroupedQuant::max_scale_rows(rows, experts);
    let (input, rule) = (ElementType::Bf16, ScaleRule::Sgl);
    let quant = Mxfp8GroupedQuant { rows, experts, k, scale_rows, input, rule };
    let sizes = tensor(&[29, 128, 256, 0, 128, 256, 11, 128, 256], &[3, 3]);
    let (offsets, scale_offsets) = (tensor(&[0, 29, 29], &[3]), tensor(&[0, 128, 128], &[3]));
    let x = Tensor::full(bf16::from_f32(3.0), (40, 256), &Device::Cpu).expect("tensor");
    let tensors = QuantTensors {
        input: &x,
        problem_sizes: &sizes,
        expert_offsets: &offsets,
        blockscale_offsets: &scale_offsets,
    };
    let quant = Grouped::new(quant, &Device::Cpu).expect("valid");
    let quantised = quant.forward(&tensors).expect("quantised");
    // 3 is 384 * 2^-7.
    let (code, scale) = (values::<F8E4M3>(&quantised.codes)[0], values::<u8>(&quantised.scales)[0]);
    assert_eq!((code.to_bits(), scale), (0x7c, 120));

    let mut sfb = vec![0; 3 * 128 * 8];
    scales::swizzle(3 * 128, k, &[126; 3 * 128 * 8], &mut sfb).expect("atoms");
    let product = Mxfp8GroupedMm { rows, experts, n, k, scale_rows, output: ElementType::Bf16 };
    let product = Grouped::new(product, &Device::Cpu).expect("valid");
    let product = product.forward(&Mxfp8Tensors {
        a: &quantised.codes,
        b: &tensor(&codes(&vec![0x38; 3 * 128 * 256]), &[3, 128, 256]),
        sfa: &quantised.scales,
        sfb: &tensor(&sfb, &[3, 128, 8]),
        problem_sizes: &sizes,
        expert_offsets: &offsets,
        blockscale_offsets: &scale_offsets,
    });
    let product: Vec<bf16> = values(&product.expect("product"));
    assert!(product.iter().all(|value| *value == bf16::from_f32(256.0 * 3.0 * 0.5)));

    let wrong = x.to_dtype(DType::F16).expect("f16");
    let refused = quant.forward(&QuantTensors { input: &wrong, ..tensors }).map(drop);
    assert!(matches!(refused, Err(Error::Foreign(ForeignError::Tensor { field: "dtype", .. }))));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let tensors = Tensors::on(&Device::Cpu);
    let grouped = Grouped::new(PROBLEM, &Device::Cpu).expect("valid");
    let refused = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = Tensors::on(&Device::Cpu);
        change(&mut tensors);
        grouped.forward(&tensors.fp8()).map(drop)
    };
    let field_of = |result: expert_gemm::Result<()>| match result {
        Err(Error::Foreign(ForeignError::Tensor { owner, field, .. })) => (owner, field),
        other => panic!("{other:?}"),
    };
    let to = |tensor: &Tensor, dtype| tensor.to_dtype(dtype).expect("converted");
    assert_eq!(field_of(refused(&|t| t.b = to(&t.b, DType::U8))), ("b", "dtype"));
    assert_eq!(
        field_of(refused(&|t| t.offsets = to(&t.offsets, DType::I64))),
        ("expert_offsets", "dtype")
    );
    assert_eq!(
        field_of(refused(&|t| {
            let transposed = t.scales_a.t().and_then(|t| t.contiguous()).and_then(|t| t.t());
            t.scales_a = transposed.expect("transposed");
        })),
        ("scales_a", "strides")
    );
    let rank = refused(&|t| t.a = t.a.unsqueeze(0).expect("rank 3"));
    assert!(matches!(rank, Err(Error::WrongRank { tensor: "a", given: 3, .. })));
    let shape = refused(&|t| t.sizes = tensor(&[0; 12], &[4, 3]));
    assert!(matches!(shape, Err(Error::WrongShape { tensor: "problem_sizes", dim: 0, .. })));
    assert!(grouped.forward(&tensors.fp8()).is_ok());
    let invalid = expert_gemm::Fp8GroupedMm { k: 100, ..PROBLEM };
    assert!(matches!(Grouped::new(invalid, &Device::Cpu), Err(Error::NotMultiple { .. })));
}
