//! Tensor maps, from the driver's arguments.

use crate::api::{put, refuse};
use crate::world::current;
use cudarc::driver::sys::{
    CUtensorMapDataType_enum as DataType, CUtensorMapFloatOOBfill_enum as Fill,
    CUtensorMapInterleave_enum as Interleave, CUtensorMapL2promotion_enum as Promotion,
    CUtensorMapSwizzle_enum as SwizzleMode,
};
use expert_gemm::abi::ElementType;
use expert_gemm::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use expert_gemm::{Dims, Driver, Result};
use std::ffi::c_void;

/// The meaning of a number of the driver.
fn meaning<T: Copy>(table: &[(u32, T)], number: u32) -> Result<T> {
    match table.iter().find(|(known, _)| *known == number) {
        Some((_, meaning)) => Ok(*meaning),
        None => refuse("cuTensorMapEncodeTiled", 801),
    }
}

driver_api! {
    fn cuTensorMapEncodeTiled(
        map: *mut [u8; 128],
        element: u32,
        rank: u32,
        address: *const c_void,
        dims: *const u64,
        strides_bytes: *const u64,
        box_dims: *const u32,
        steps: *const u32,
        interleave: u32,
        swizzle: u32,
        promotion: u32,
        fill: u32,
    ) {
        let rank = rank as usize;
        if !(1..=5).contains(&rank)
            || interleave != Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE as u32
            || std::slice::from_raw_parts(steps, rank).iter().any(|&step| step != 1)
        {
            return refuse("cuTensorMapEncodeTiled", 801);
        }
        let box_dims = std::slice::from_raw_parts(box_dims, rank).iter().map(|&side| u64::from(side));
        let spec = TensorMapSpec {
            element: meaning(&[
                (DataType::CU_TENSOR_MAP_DATA_TYPE_UINT8 as u32, ElementType::U8),
                (DataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 as u32, ElementType::Bf16),
                (DataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16 as u32, ElementType::F16),
                (DataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32 as u32, ElementType::F32),
                (DataType::CU_TENSOR_MAP_DATA_TYPE_INT32 as u32, ElementType::I32),
                (DataType::CU_TENSOR_MAP_DATA_TYPE_UINT32 as u32, ElementType::U32),
            ], element)?,
            address: address as usize as u64,
            dims: Dims::new(std::slice::from_raw_parts(dims, rank)),
            strides_bytes: Dims::new(std::slice::from_raw_parts(strides_bytes, rank - 1)),
            box_dims: Dims::new(&box_dims.collect::<Vec<_>>()),
            swizzle: meaning(&[
                (SwizzleMode::CU_TENSOR_MAP_SWIZZLE_NONE as u32, Swizzle::None),
                (SwizzleMode::CU_TENSOR_MAP_SWIZZLE_32B as u32, Swizzle::Bytes32),
                (SwizzleMode::CU_TENSOR_MAP_SWIZZLE_64B as u32, Swizzle::Bytes64),
                (SwizzleMode::CU_TENSOR_MAP_SWIZZLE_128B as u32, Swizzle::Bytes128),
            ], swizzle)?,
            l2_promotion: meaning(&[
                (Promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE as u32, L2Promotion::None),
                (Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_64B as u32, L2Promotion::Bytes64),
                (Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B as u32, L2Promotion::Bytes128),
                (Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B as u32, L2Promotion::Bytes256),
            ], promotion)?,
            out_of_bounds: meaning(&[
                (Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE as u32, OutOfBounds::Zero),
                (
                    Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA as u32,
                    OutOfBounds::NaN,
                ),
            ], fill)?,
        };
        put(map, current()?.encode_tensor_map(&spec)?.bytes)
    }
}
