//! `host/ptx/<arch>/manifest.json`: what lies beside it and where it came from.

use serde::{Deserialize, Serialize};

/// The manifest of one GPU family.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Manifest {
    /// Version of the host/device contract.
    pub(crate) abi_version: u32,
    /// The GPU family.
    pub(crate) arch: String,
    /// Version of rustc.
    pub(crate) rustc: String,
    /// Hash of the device crate's sources.
    pub(crate) source_sha256: String,
    /// The modules, by name.
    pub(crate) modules: Vec<Module>,
}

/// One PTX file.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Module {
    /// Name of the module.
    pub(crate) name: String,
    /// File beside the manifest.
    pub(crate) file: String,
    /// Hash of that file.
    pub(crate) sha256: String,
    /// The `.version` it declares.
    pub(crate) ptx_version: String,
    /// Its kernels.
    pub(crate) symbols: Vec<String>,
}

impl Manifest {
    /// The file's text.
    pub(crate) fn to_text(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}
