//! The entry points that a PTX module exports: shims that read the by-value parameter.
//!
//! A shim never takes the parameter's address in Rust, because rustc would copy it to local memory
//! first; the address of the tensor maps comes from the parameter's own PTX symbol.

/// An entry with tensor maps: its parameter, and the kernel that reads it.
#[cfg(any(
    gpu_module = "fp8_block_sm90",
    gpu_module = "fp8_block_sm90_few",
    gpu_module = "fp8_block_sm90_tall",
    gpu_module = "fp8_block_sm90_wide",
    gpu_module = "mxfp8_gemm_sm90",
    gpu_module = "mxfp8_gemm_sm90_few",
    gpu_module = "mxfp8_gemm_sm100",
    gpu_module = "mxfp8_gemm_sm100_pair",
    gpu_module = "tensor_probe_sm100",
    gpu_module = "lessons_sm90"
))]
macro_rules! entry {
    ($symbol:ident, $params:ty, $($choice:ty),+) => {
        entry!($symbol, $params, |p, base| kernel::<$($choice),+>(&Args::new(&p, base)));
    };
    ($symbol:ident, $params:ty, |$p:ident, $base:ident| $call:expr) => {
        /// Launch: as the variant table says; `p` and what it points to as the contract says.
        #[unsafe(no_mangle)]
        unsafe extern "ptx-kernel" fn $symbol($p: $params) {
            let $base: u64;
            // SAFETY: the symbol is this entry's parameter; the host kept the contract.
            unsafe {
                core::arch::asm!(
                    concat!("mov.b64 {base}, ", stringify!($symbol), "_param_0;"),
                    "cvta.param.u64 {base}, {base};",
                    base = out(reg64) $base,
                    options(pure, nomem, nostack)
                );
                $call;
            }
        }
    };
}

#[cfg(gpu_module = "fp8_block_sm90")]
mod fp8_block_sm90 {
    use crate::abi::Fp8BlockParams;
    use crate::gemm::fp8_block_sm90::{Args, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(fp8_block_sm90_bf16, Fp8BlockParams, Bf16);
    entry!(fp8_block_sm90_f16, Fp8BlockParams, F16);
}

#[cfg(gpu_module = "fp8_block_sm90_few")]
mod fp8_block_sm90_few {
    use crate::abi::Fp8BlockParams;
    use crate::gemm::fp8_block_sm90::{Args, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(fp8_block_sm90_few_bf16, Fp8BlockParams, Bf16);
    entry!(fp8_block_sm90_few_f16, Fp8BlockParams, F16);
}

#[cfg(gpu_module = "fp8_block_sm90_tall")]
mod fp8_block_sm90_tall {
    use crate::abi::Fp8BlockParams;
    use crate::gemm::fp8_block_sm90::{Args, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(fp8_block_sm90_tall_bf16, Fp8BlockParams, Bf16);
    entry!(fp8_block_sm90_tall_f16, Fp8BlockParams, F16);
}

#[cfg(gpu_module = "fp8_block_sm90_wide")]
mod fp8_block_sm90_wide {
    use crate::abi::Fp8BlockParams;
    use crate::gemm::fp8_block_sm90::{Args, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(fp8_block_sm90_wide_bf16, Fp8BlockParams, Bf16);
    entry!(fp8_block_sm90_wide_f16, Fp8BlockParams, F16);
}

#[cfg(gpu_module = "mxfp8_gemm_sm90")]
mod mxfp8_gemm_sm90 {
    use crate::abi::Mxfp8GemmParams;
    use crate::gemm::mxfp8_gemm_sm90::{Args, Large, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(mxfp8_gemm_sm90_bf16, Mxfp8GemmParams, Bf16, Large);
    entry!(mxfp8_gemm_sm90_f16, Mxfp8GemmParams, F16, Large);
}

#[cfg(gpu_module = "mxfp8_gemm_sm90_few")]
mod mxfp8_gemm_sm90_few {
    use crate::abi::Mxfp8GemmParams;
    use crate::gemm::mxfp8_gemm_sm90::{Args, Few, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(mxfp8_gemm_sm90_few_bf16, Mxfp8GemmParams, Bf16, Few);
    entry!(mxfp8_gemm_sm90_few_f16, Mxfp8GemmParams, F16, Few);
}

#[cfg(gpu_module = "mxfp8_gemm_sm100")]
mod mxfp8_gemm_sm100 {
    use crate::abi::Mxfp8GemmParams;
    use crate::gemm::mxfp8_gemm_sm100::{Args, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(mxfp8_gemm_sm100_bf16, Mxfp8GemmParams, Bf16);
    entry!(mxfp8_gemm_sm100_f16, Mxfp8GemmParams, F16);
}

#[cfg(gpu_module = "mxfp8_gemm_sm100_pair")]
mod mxfp8_gemm_sm100_pair {
    use crate::abi::Mxfp8GemmParams;
    use crate::gemm::mxfp8_gemm_sm100_pair::{Args, kernel};
    use crate::tile::output::{Bf16, F16};

    entry!(mxfp8_gemm_sm100_pair_bf16, Mxfp8GemmParams, Bf16);
    entry!(mxfp8_gemm_sm100_pair_f16, Mxfp8GemmParams, F16);
}

#[cfg(any(gpu_module = "mxfp8_quant_sm90", gpu_module = "mxfp8_quant_sm100"))]
mod mxfp8_quant {
    use crate::abi::Mxfp8QuantParams;
    use crate::quant::mxfp8::{Args, Bf16, F16, kernel};

    macro_rules! entry {
        ($module:literal, $symbol:ident, $input:ty) => {
            /// Launch: as the variant table says; `p` and what it points to as the contract says.
            #[cfg(gpu_module = $module)]
            #[unsafe(no_mangle)]
            unsafe extern "ptx-kernel" fn $symbol(p: Mxfp8QuantParams) {
                // SAFETY: the host kept the contract.
                unsafe { kernel::<$input>(&Args::new(&p)) }
            }
        };
    }

    entry!("mxfp8_quant_sm90", mxfp8_quant_sm90_bf16, Bf16);
    entry!("mxfp8_quant_sm90", mxfp8_quant_sm90_f16, F16);
    entry!("mxfp8_quant_sm100", mxfp8_quant_sm100_bf16, Bf16);
    entry!("mxfp8_quant_sm100", mxfp8_quant_sm100_f16, F16);
}

#[cfg(gpu_module = "bulk_read_sm90")]
mod bulk_read_sm90 {
    use crate::abi::BulkReadParams;
    use crate::probe;

    /// Launch: as the variant table says; `p` and what it points to as the contract says.
    #[unsafe(no_mangle)]
    unsafe extern "ptx-kernel" fn bulk_read_sm90(p: BulkReadParams) {
        // SAFETY: the host kept the contract.
        unsafe { probe::bulk_read_sm90::kernel(p) }
    }
}

#[cfg(gpu_module = "tensor_probe_sm100")]
mod tensor_probe_sm100 {
    use crate::abi::TensorProbeParams;
    use crate::probe::tensor_sm100::kernel;
    use crate::ptx::tcgen05::{ONE_CTA, PAIR};

    entry!(tensor_probe_sm100, TensorProbeParams, |p, base| kernel::<ONE_CTA>(&p, base));
    entry!(tensor_probe_sm100_pair, TensorProbeParams, |p, base| kernel::<PAIR>(&p, base));
}

#[cfg(gpu_module = "lessons_sm90")]
mod lessons_sm90 {
    use crate::abi::LessonParams;
    use crate::lessons::*;

    entry!(lesson_1_naive, LessonParams, |p, base| lesson_1::kernel(&Args::new(&p, base)));
    entry!(lesson_2_shared_tile, LessonParams, |p, base| lesson_2::kernel(&Args::new(&p, base)));
    entry!(lesson_3_wgmma, LessonParams, |p, base| lesson_3::kernel(&Args::new(&p, base)));
    entry!(lesson_4_tma, LessonParams, |p, base| lesson_4::kernel(&Args::new(&p, base)));
    entry!(lesson_5_producer, LessonParams, |p, base| lesson_5::kernel(&Args::new(&p, base)));
    entry!(lesson_6_promotion, LessonParams, |p, base| lesson_6::kernel(&Args::new(&p, base)));
    entry!(lesson_7_swapped, LessonParams, |p, base| lesson_7::kernel(&Args::new(&p, base)));
}
