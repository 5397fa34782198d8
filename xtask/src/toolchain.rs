//! The Rust side of the tools: which rustc this is, and the source of `core`, which a device build
//! compiles for the GPU.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// What `rustc --version` says after the program's name, such as `1.95.0 (59807616e 2026-04-14)`.
pub(crate) fn version() -> Result<String> {
    let (out, _) = process::capture(rustc().arg("--version"), "asking rustc for its version")?;
    Ok(out.trim().trim_start_matches("rustc ").to_owned())
}

/// The folder of the toolchain.
pub(crate) fn sysroot() -> Result<PathBuf> {
    let (out, _) =
        process::capture(rustc().args(["--print", "sysroot"]), "asking rustc for its sysroot")?;
    Ok(PathBuf::from(out.trim()))
}

/// Whether the source of `core` is where cargo's build-std looks for it.
pub(crate) fn has_rust_src() -> Result<bool> {
    Ok(library(&sysroot()?).join("core/src/lib.rs").is_file())
}

/// Makes the source of `core` available: by rustup, else from Debian's package of the same version.
pub(crate) fn ensure_rust_src() -> Result<()> {
    if has_rust_src()? {
        return Ok(());
    }
    let mut rustup = workspace::program("rustup");
    rustup.args(["component", "add", "rust-src"]);
    let by_rustup = process::capture(&mut rustup, "adding rust-src");
    if by_rustup.is_ok() && has_rust_src()? {
        return Ok(());
    }
    by_debian().with_context(|| match by_rustup {
        Ok(_) => "rustup reported success but rust-src is still missing".to_owned(),
        Err(error) => format!("rust-src is missing and rustup could not add it ({error:#})"),
    })?;
    if has_rust_src()? { Ok(()) } else { bail!("rust-src is still missing from the sysroot") }
}

fn rustc() -> std::process::Command {
    workspace::program(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn by_debian() -> Result<()> {
    let version = version()?;
    let release = version.split(' ').next().unwrap_or_default();
    let folder = workspace::root().join(".tools").join(format!("rust-src-{release}"));
    let source = folder.join(format!("usr/src/rustc-{release}/library"));
    // Both packages carry the library; which one has the wanted version depends on Debian's release.
    for package in ["rust-src", "rust-web-src"] {
        if source.is_dir() {
            break;
        }
        let known = process::capture(
            workspace::program("apt-cache").args(["madison", package]),
            &format!("asking Debian for {package}"),
        );
        let listed = known.map(|(out, _)| out).unwrap_or_default();
        let Some(exact) = debian_version(&listed, release) else { continue };
        fs::create_dir_all(&folder)?;
        let mut apt = workspace::program("apt-get");
        apt.arg("download").arg(format!("{package}={exact}")).current_dir(&folder);
        process::capture(&mut apt, &format!("downloading Debian's {package} {exact}"))?;
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                let mut dpkg = workspace::program("dpkg");
                dpkg.arg("-x").arg(&path).arg(&folder);
                process::capture(&mut dpkg, &format!("unpacking {package}"))?;
                fs::remove_file(&path)?;
            }
        }
    }
    if !source.is_dir() {
        bail!("no Debian package holds the library source of Rust {release}");
    }
    let link = library(&sysroot()?);
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    std::os::unix::fs::symlink(&source, &link)
        .with_context(|| format!("cannot link the library source to {}", link.display()))
}

/// The package version of a Rust release in what `apt-cache madison` lists.
fn debian_version<'a>(listed: &'a str, release: &str) -> Option<&'a str> {
    listed
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim)
        .find(|version| version.split(['+', '-', '~']).next() == Some(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_release_will_do() {
        let listed = "  rust-src | 1.95.0+dfsg1-2 | somewhere\n  rust-src | 1.63.0-1 | elsewhere\n";
        assert_eq!(debian_version(listed, "1.95.0"), Some("1.95.0+dfsg1-2"));
        assert_eq!(debian_version(listed, "1.63.0"), Some("1.63.0-1"));
        assert_eq!(debian_version(listed, "1.9"), None);
        assert_eq!(debian_version("", "1.95.0"), None);
    }
}
