//! Nouns and verbs that kernels are made of. Pure modules compile for the host and are tested there.

pub mod descriptor;
pub mod fragment;
pub mod raster;
pub mod ring;

#[cfg(target_arch = "nvptx64")]
pub(crate) mod output;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod schedule;
#[cfg(target_arch = "nvptx64")]
pub(crate) mod work;
