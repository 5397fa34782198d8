//! Nouns and verbs that kernels are made of. Pure modules compile for the host and are tested there.

pub mod atoms;
pub mod descriptor;
pub mod e8m0;
pub mod f16_frame;
pub mod fragment;
pub mod raster;
pub mod ring;
pub mod tail;
pub mod token_tiles;
pub mod umma;

#[cfg(target_arch = "nvptx64")]
pub(crate) mod e4m3_half;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod output;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod pair_schedule;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod promote;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod scale_chunk;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod scaled_schedule;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod scaled_tables;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod schedule;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod token_boxes;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod token_store;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod work;
