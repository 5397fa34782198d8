//! `cargo xtask setup`: everything that a kernel author needs, fetched once.

use anyhow::Result;

use crate::{toolchain, wheel};

/// Fetches what is missing; says nothing when nothing is.
pub(crate) fn run() -> Result<()> {
    if !toolchain::has_rust_src()? {
        toolchain::ensure_rust_src()?;
        println!("rust-src: added");
    }
    for tool in [wheel::PTXAS, wheel::NVDISASM].into_iter().chain(wheel::OTHER_PTXAS) {
        if tool.installed().is_none() {
            tool.fetch()?;
            println!("{} {}: fetched", tool.program, tool.version);
        }
    }
    Ok(())
}
