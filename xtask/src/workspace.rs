//! Where things lie, and how cargo is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

/// The workspace root. Cargo names this package's folder at run time, which stays right when a
/// checkout is moved together with its build folder.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// The cargo that runs this program, started in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A program of the pinned toolchain (or of the system), started in the workspace root.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// A list of folders of the environment, such as `PATH`, with others before it.
pub(crate) fn folders_before(variable: &str, mut folders: Vec<PathBuf>) -> Result<OsString> {
    // Of an empty list nothing is taken: an empty name in it would be the current folder.
    if let Some(list) = std::env::var_os(variable).filter(|list| !list.is_empty()) {
        folders.extend(std::env::split_paths(&list));
    }
    Ok(std::env::join_paths(folders)?)
}

/// A path for messages: relative to the workspace root where it lies inside.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
