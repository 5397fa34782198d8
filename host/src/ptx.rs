//! The embedded PTX modules, and what their headers say.

use crate::abi::{ABI_VERSION, Arch, Variant};
use crate::device::Version;
use crate::error::Result;
use crate::module_error::ModuleError;
use std::borrow::Cow;
use std::path::Path;

/// Environment variable for kernel authors: a folder laid out as `host/ptx` whose modules are used
/// instead of the embedded ones.
pub const PTX_DIR_VARIABLE: &str = "EXPERT_GEMM_PTX_DIR";

/// The variable that carries the contract's version in every module.
const STAMP: &str = "EXPERT_GEMM_ABI";

/// Every module that is shipped: GPU family, file stem, text.
const EMBEDDED: &[(Arch, &str, &str)] = &[
    (Arch::Sm90a, "fp8_block_sm90", include_str!("../ptx/sm_90a/fp8_block_sm90.ptx")),
    (Arch::Sm90a, "fp8_block_sm90_few", include_str!("../ptx/sm_90a/fp8_block_sm90_few.ptx")),
    (Arch::Sm90a, "fp8_block_sm90_tall", include_str!("../ptx/sm_90a/fp8_block_sm90_tall.ptx")),
    (Arch::Sm90a, "fp8_block_sm90_wide", include_str!("../ptx/sm_90a/fp8_block_sm90_wide.ptx")),
    (Arch::Sm90a, "mxfp8_gemm_sm90", include_str!("../ptx/sm_90a/mxfp8_gemm_sm90.ptx")),
    (Arch::Sm90a, "mxfp8_gemm_sm90_few", include_str!("../ptx/sm_90a/mxfp8_gemm_sm90_few.ptx")),
    (Arch::Sm90a, "mxfp8_quant_sm90", include_str!("../ptx/sm_90a/mxfp8_quant_sm90.ptx")),
    (Arch::Sm100f, "mxfp8_quant_sm100", include_str!("../ptx/sm_100f/mxfp8_quant_sm100.ptx")),
    (Arch::Sm90a, "bulk_read_sm90", include_str!("../ptx/sm_90a/bulk_read_sm90.ptx")),
    (Arch::Sm100f, "mxfp8_gemm_sm100", include_str!("../ptx/sm_100f/mxfp8_gemm_sm100.ptx")),
    (Arch::Sm100f, "tensor_probe_sm100", include_str!("../ptx/sm_100f/tensor_probe_sm100.ptx")),
    (
        Arch::Sm100f,
        "mxfp8_gemm_sm100_pair",
        include_str!("../ptx/sm_100f/mxfp8_gemm_sm100_pair.ptx"),
    ),
];

/// A PTX module as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PtxModule {
    /// File stem.
    pub name: &'static str,
    /// GPU family that it is built for.
    pub arch: Arch,
    /// The text.
    pub text: Cow<'static, str>,
}

/// What the header of a PTX module says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PtxHeader {
    /// `.version`.
    pub version: Version,
    /// `.target`.
    pub target: String,
    /// The version of the host/device contract that it was built against.
    pub abi: u32,
}

impl PtxModule {
    /// The module that holds `variant`: from the folder in [`PTX_DIR_VARIABLE`], or else embedded.
    ///
    /// # Errors
    ///
    /// [`ModuleError::File`] if that folder lacks it, [`ModuleError::NotEmbedded`] if it is not embedded.
    pub fn of(variant: &Variant) -> Result<Self> {
        match std::env::var_os(PTX_DIR_VARIABLE) {
            Some(folder) if !folder.is_empty() => Self::from_folder(Path::new(&folder), variant),
            _ => Self::embedded(variant),
        }
    }

    /// The embedded module that holds `variant`.
    ///
    /// # Errors
    ///
    /// [`ModuleError::NotEmbedded`].
    pub fn embedded(variant: &Variant) -> Result<Self> {
        EMBEDDED
            .iter()
            .find(|(arch, name, _)| *arch == variant.arch && *name == variant.module)
            .map(|&(arch, name, text)| Self { name, arch, text: Cow::Borrowed(text) })
            .ok_or_else(|| {
                ModuleError::NotEmbedded {
                    module: variant.module.to_owned(),
                    arch: variant.arch.name(),
                }
                .into()
            })
    }

    /// The module that holds `variant`, read from `<folder>/<arch>/<module>.ptx`.
    ///
    /// # Errors
    ///
    /// [`ModuleError::File`].
    pub fn from_folder(folder: &Path, variant: &Variant) -> Result<Self> {
        let path = folder.join(variant.arch.name()).join(format!("{}.ptx", variant.module));
        let text = std::fs::read_to_string(&path).map_err(|error| ModuleError::File {
            path: path.display().to_string(),
            kind: error.kind(),
        })?;
        Ok(Self { name: variant.module, arch: variant.arch, text: Cow::Owned(text) })
    }

    /// Reads the header.
    ///
    /// # Errors
    ///
    /// [`ModuleError::Malformed`] with what is missing.
    pub fn header(&self) -> Result<PtxHeader> {
        let malformed = |missing| ModuleError::Malformed { module: self.name.to_owned(), missing };
        let version = directive(&self.text, ".version")
            .and_then(Version::parse)
            .ok_or_else(|| malformed(".version"))?;
        let target = directive(&self.text, ".target").ok_or_else(|| malformed(".target"))?;
        let abi = stamp(&self.text).ok_or_else(|| malformed("stamp EXPERT_GEMM_ABI"))?;
        Ok(PtxHeader { version, target: target.to_owned(), abi })
    }

    /// Checks the header against this crate and a driver, before the driver sees the module.
    ///
    /// # Errors
    ///
    /// [`ModuleError::Malformed`], [`ModuleError::WrongTarget`], [`ModuleError::AbiMismatch`] or [`ModuleError::TooNew`].
    pub fn check(&self, driver: Version) -> Result<PtxHeader> {
        let header = self.header()?;
        let module = || self.name.to_owned();
        if header.target != self.arch.name() {
            let expected = self.arch.name();
            return Err(ModuleError::WrongTarget {
                module: module(),
                given: header.target,
                expected,
            }
            .into());
        }
        if header.abi != ABI_VERSION {
            let (given, expected) = (header.abi, ABI_VERSION);
            return Err(ModuleError::AbiMismatch { module: module(), given, expected }.into());
        }
        let max = newest_ptx(driver);
        if header.version > max {
            let ptx = header.version;
            return Err(ModuleError::TooNew { module: module(), ptx, driver, max }.into());
        }
        Ok(header)
    }

    /// The SHA-256 of the sources that the module was built from, as its header has it.
    pub fn source_hash(&self) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (_, hash) = line.strip_prefix("// source")?.split_once("sha256 ")?;
            Some(hash.trim())
        })
    }

    /// A 64-bit FNV-1a hash of the text, to tell builds apart.
    pub fn fingerprint(&self) -> u64 {
        self.text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

/// The newest PTX version that the compiler of a driver understands.
pub const fn newest_ptx(driver: Version) -> Version {
    let (major, minor) = match (driver.major, driver.minor) {
        (..=11, _) => (7, 8),
        (12, minor @ 0..=5) => (8, minor),
        (12, 6) => (8, 5),
        (12, 7) => (8, 6),
        (12, 8) => (8, 7),
        (12, _) => (8, 8),
        (13, 0) => (9, 0),
        // Newer than this table: such a driver understands at least this.
        _ => (9, 1),
    };
    Version { major, minor }
}

/// The first word after a directive, comments aside.
fn directive<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(line))
        .find_map(|line| line.trim_start().strip_prefix(name))
        .and_then(|rest| rest.split([' ', '\t', ',']).find(|word| !word.is_empty()))
        .map(str::trim_end)
}

/// The number that initialises the stamp: `.const .u32 EXPERT_GEMM_ABI = 1;`, or `[4] = {1, 0, 0, 0};`.
fn stamp(text: &str) -> Option<u32> {
    let declares = |line: &&str| line.contains(".const") || line.contains(".global");
    text.lines().filter(declares).find_map(|line| {
        let (_, after) = line.split_once(STAMP)?;
        let (_, value) = after.split_once('=')?;
        let digits = value.trim_start_matches([' ', '\t', '{']);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::VARIANTS;
    use crate::error::Error;

    fn module(text: impl Into<Cow<'static, str>>) -> PtxModule {
        PtxModule { name: "fp8_block_sm90", arch: Arch::Sm90a, text: text.into() }
    }

    const GOOD: &str = "// comment\n.version 8.0\n.target sm_90a // hopper\n.address_size 64\n\
                        .visible .const .align 4 .u32 EXPERT_GEMM_ABI = 1;\n";

    #[test]
    fn every_variant_has_an_embedded_module_that_passes_its_checks() {
        for variant in VARIANTS {
            let module = PtxModule::embedded(variant).expect("embedded");
            // The oldest driver that knows the family and compiles the PTX that it takes.
            let (major, minor) = match variant.arch {
                Arch::Sm90a => (12, 4),
                Arch::Sm100f => (12, 9),
            };
            module.check(Version { major, minor }).expect("header");
        }
    }

    #[test]
    fn headers_are_read() {
        let header = module(GOOD).header().expect("header");
        assert_eq!(header.version, Version { major: 8, minor: 0 });
        assert_eq!((header.target.as_str(), header.abi), ("sm_90a", 1));
        assert_eq!(stamp(".global .align 4 .b8 EXPERT_GEMM_ABI[4] = {7, 0, 0, 0};"), Some(7));
        assert_eq!(stamp(".global .align 4 .u32 EXPERT_GEMM_ABI;"), None);
        assert_ne!(module(GOOD).fingerprint(), module("x").fingerprint());
    }

    #[test]
    fn newer_ptx_than_the_driver_is_refused() {
        let text = format!(
            ".version 9.0\n.target sm_90a\n.visible .global .u32 EXPERT_GEMM_ABI = {ABI_VERSION};"
        );
        let have = Version { major: 12, minor: 8 };
        assert!(matches!(
            module(text.clone()).check(have),
            Err(Error::Module(ModuleError::TooNew { .. }))
        ));
        assert!(module(text).check(Version { major: 13, minor: 0 }).is_ok());
    }

    #[test]
    fn the_driver_table_is_monotonic() {
        let drivers =
            [(11, 8), (12, 0), (12, 5), (12, 6), (12, 7), (12, 9), (13, 0), (13, 2), (14, 0)];
        let newest = drivers.map(|(major, minor)| newest_ptx(Version { major, minor }));
        assert!(newest.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
