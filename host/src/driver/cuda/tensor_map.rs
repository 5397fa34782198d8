//! A tensor map, by the driver's encoder.

use crate::abi::{ElementType, TensorMap};
use crate::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use crate::error::Result;
use cudarc::driver::sys;
use cudarc::driver::sys::{
    CUtensorMapDataType_enum as DataType, CUtensorMapFloatOOBfill_enum as Fill,
    CUtensorMapL2promotion_enum as Promotion, CUtensorMapSwizzle_enum as SwizzleMode,
};
use std::ptr;

/// Encodes what the hardware can express; `judge` makes errors of the driver's codes.
pub(super) fn encode(
    spec: &TensorMapSpec,
    judge: impl FnOnce(sys::CUresult) -> Result<()>,
) -> Result<TensorMap> {
    spec.validate()?;
    let element = match spec.element {
        ElementType::U8 | ElementType::E4m3 | ElementType::E8m0 => {
            DataType::CU_TENSOR_MAP_DATA_TYPE_UINT8
        }
        ElementType::Bf16 => DataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        ElementType::F16 => DataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        ElementType::F32 => DataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        ElementType::I32 => DataType::CU_TENSOR_MAP_DATA_TYPE_INT32,
        ElementType::U32 => DataType::CU_TENSOR_MAP_DATA_TYPE_UINT32,
    };
    let swizzle = match spec.swizzle {
        Swizzle::None => SwizzleMode::CU_TENSOR_MAP_SWIZZLE_NONE,
        Swizzle::Bytes32 => SwizzleMode::CU_TENSOR_MAP_SWIZZLE_32B,
        Swizzle::Bytes64 => SwizzleMode::CU_TENSOR_MAP_SWIZZLE_64B,
        Swizzle::Bytes128 => SwizzleMode::CU_TENSOR_MAP_SWIZZLE_128B,
    };
    let promotion = match spec.l2_promotion {
        L2Promotion::None => Promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE,
        L2Promotion::Bytes64 => Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_64B,
        L2Promotion::Bytes128 => Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
        L2Promotion::Bytes256 => Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
    };
    let fill = match spec.out_of_bounds {
        OutOfBounds::Zero => Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        OutOfBounds::NaN => Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA,
    };
    let mut box_dims = [1u32; crate::tensor::MAX_RANK];
    for (to, from) in box_dims.iter_mut().zip(spec.box_dims.as_slice()) {
        *to = *from as u32;
    }
    let steps = [1u32; crate::tensor::MAX_RANK];
    let mut map = sys::CUtensorMap { opaque: [0; 16] };
    // SAFETY: the slices are as long as the rank (validated above) or longer; the map is a local with the
    // alignment that the encoder wants.
    let code = unsafe {
        sys::cuTensorMapEncodeTiled(
            &raw mut map,
            element,
            spec.dims.rank() as u32,
            ptr::without_provenance_mut(spec.address as usize),
            spec.dims.as_slice().as_ptr(),
            spec.strides_bytes.as_slice().as_ptr(),
            box_dims.as_ptr(),
            steps.as_ptr(),
            sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            promotion,
            fill,
        )
    };
    judge(code)?;
    let mut bytes = [0; 128];
    for (to, from) in bytes.chunks_exact_mut(8).zip(map.opaque) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    Ok(TensorMap { bytes })
}
