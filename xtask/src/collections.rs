//! The two collections of kernels: those that the host crate holds, and those of the lessons.

use std::path::PathBuf;

use anyhow::{Context, Result};
use expert_gemm_kernels::abi::{Arch, LESSONS, VARIANTS, Variant};

use crate::workspace;

/// Kernels whose PTX lies in one folder, by GPU family, with a manifest for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collection {
    variants: &'static [Variant],
    folder: &'static str,
}

/// All of them.
pub(crate) const ALL: [Collection; 2] = [
    Collection { variants: VARIANTS, folder: "host/ptx" },
    Collection { variants: LESSONS, folder: "docs/lessons/ptx" },
];

impl Collection {
    /// The folder of a family's committed PTX.
    pub(crate) fn folder(self, arch: Arch) -> PathBuf {
        workspace::root().join(self.folder).join(arch.name())
    }

    /// The families that it has kernels for.
    pub(crate) fn families(self) -> Vec<Arch> {
        distinct(self.variants.iter().map(|variant| variant.arch))
    }

    /// The modules of a family, in the order of the table.
    pub(crate) fn modules(self, arch: Arch) -> Vec<&'static str> {
        distinct(self.variants.iter().filter(|v| v.arch == arch).map(|variant| variant.module))
    }

    /// The kernels of a module.
    pub(crate) fn kernels(self, arch: Arch, module: &str) -> Vec<&'static Variant> {
        self.variants.iter().filter(|v| v.arch == arch && v.module == module).collect()
    }
}

/// The family of this name, of those that kernels are built for.
pub(crate) fn family(name: &str) -> Result<Arch> {
    let all = distinct(ALL.into_iter().flat_map(Collection::families));
    let known: Vec<&str> = all.iter().map(|arch| arch.name()).collect();
    all.iter()
        .copied()
        .find(|arch| arch.name() == name)
        .with_context(|| format!("no kernel is built for {name}; known: {}", known.join(", ")))
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_found_by_name() {
        assert_eq!(family("sm_90a").expect("known"), Arch::Sm90a);
        assert!(family("sm_1").expect_err("unknown").to_string().contains("sm_90a"));
    }

    #[test]
    fn no_kernel_and_no_module_is_in_two_collections() {
        let symbols = |all: &'static [Variant]| all.iter().flat_map(|v| [v.symbol, v.module]);
        assert!(symbols(LESSONS).all(|name| !symbols(VARIANTS).any(|other| other == name)));
        assert_eq!(ALL[1].modules(Arch::Sm90a), ["lessons_sm90"]);
        assert_eq!(ALL[1].kernels(Arch::Sm90a, "lessons_sm90").len(), LESSONS.len());
    }
}
