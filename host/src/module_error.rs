//! What can be wrong with a PTX module.

use crate::device::Version;

/// A PTX module that cannot be used: damaged, of another version or GPU family, or refused by the driver's compiler.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The PTX is newer than the driver's compiler.
    #[error(
        "module `{module}` is PTX {ptx}, but the driver (CUDA {driver}) compiles up to {max}: update the NVIDIA driver"
    )]
    TooNew {
        /// The module.
        module: String,
        /// PTX version of the module.
        ptx: Version,
        /// CUDA version of the driver.
        driver: Version,
        /// The newest PTX version that the driver compiles.
        max: Version,
    },
    /// The PTX has no readable header.
    #[error(
        "module `{module}` is not PTX: its {missing} is missing; build it with `cargo xtask build-ptx`"
    )]
    Malformed {
        /// The module.
        module: String,
        /// What the header lacks.
        missing: &'static str,
    },
    /// The PTX is built for another GPU family than the plan's.
    #[error(
        "module `{module}` is built for {given}, but the plan needs {expected}: rebuild it with `cargo xtask build-ptx`"
    )]
    WrongTarget {
        /// The module.
        module: String,
        /// Its target.
        given: String,
        /// The target needed.
        expected: &'static str,
    },
    /// The PTX was built against another version of the host/device contract.
    #[error(
        "module `{module}` follows contract version {given}, but this crate follows {expected}: rebuild it with `cargo xtask build-ptx`"
    )]
    AbiMismatch {
        /// The module.
        module: String,
        /// Its contract version.
        given: u32,
        /// This crate's contract version.
        expected: u32,
    },
    /// No PTX of this name is embedded.
    #[error("no PTX module `{module}` for {arch} is embedded: build it by `cargo xtask build-ptx`")]
    NotEmbedded {
        /// The module.
        module: String,
        /// The GPU family.
        arch: &'static str,
    },
    /// The file that `EXPERT_GEMM_PTX_DIR` names cannot be read.
    #[error("`{path}` cannot be read ({kind}): check EXPERT_GEMM_PTX_DIR, or unset it")]
    File {
        /// The file.
        path: String,
        /// Why.
        kind: std::io::ErrorKind,
    },
    /// The driver refused to compile the PTX.
    #[error("the driver refused module `{module}` ({name}, code {code}): {log}")]
    Jit {
        /// The module.
        module: String,
        /// The driver's code.
        code: u32,
        /// The code's name.
        name: String,
        /// What the driver's compiler wrote.
        log: String,
    },
    /// The module has no such kernel.
    #[error("module `{module}` has no kernel `{symbol}`: rebuild it with `cargo xtask build-ptx`")]
    KernelMissing {
        /// The module.
        module: String,
        /// The kernel.
        symbol: String,
    },
}
