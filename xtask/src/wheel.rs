//! NVIDIA's assembler and disassembler, pinned. They come from the Python package index as wheels,
//! so neither a CUDA toolkit nor administrator rights are needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// A program inside a pinned wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wheel {
    package: &'static str,
    /// The pinned version.
    pub(crate) version: &'static str,
    /// The program wanted from it.
    pub(crate) program: &'static str,
}

/// The assembler that the project's numbers refer to.
pub(crate) const PTXAS: Wheel =
    Wheel { package: "nvidia-cuda-nvcc", version: "13.0.88", program: "ptxas" };

/// Assemblers that must accept the same PTX: the last of CUDA 12, and the newest.
pub(crate) const OTHER_PTXAS: [Wheel; 2] = [
    Wheel { package: "nvidia-cuda-nvcc-cu12", version: "12.9.86", program: "ptxas" },
    Wheel { package: "nvidia-cuda-nvcc", version: "13.5.37", program: "ptxas" },
];

/// The disassembler. It reads what every assembler above writes.
pub(crate) const NVDISASM: Wheel =
    Wheel { package: "nvidia-cuda-nvdisasm", version: "13.5.37", program: "nvdisasm" };

impl Wheel {
    /// The program, if it is already here.
    pub(crate) fn installed(self) -> Option<PathBuf> {
        find_program(&self.folder(), self.program)
    }

    /// The program, fetched first if it is not here yet.
    pub(crate) fn fetch(self) -> Result<PathBuf> {
        if let Some(path) = self.installed() {
            return Ok(path);
        }
        self.download().with_context(|| {
            format!(
                "cannot fetch {} {}; it needs python3 with pip and a way to the package index \
                 (`cargo xtask doctor` says what is missing)",
                self.program, self.version
            )
        })?;
        self.installed().with_context(|| {
            format!("the wheel {} {} holds no {}", self.package, self.version, self.program)
        })
    }

    fn folder(self) -> PathBuf {
        tools().join(format!("{}-{}", self.package, self.version))
    }

    fn download(self) -> Result<()> {
        unpack(&[(self.package, self.version)], &self.folder())
    }
}

/// Downloads wheels, given by package and version, and unpacks them into one folder.
pub(crate) fn unpack(wheels: &[(&str, &str)], folder: &Path) -> Result<()> {
    // Under a private name and renamed in one step: an interrupted or a second simultaneous run never leaves half a tool
    // behind.
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let scratch = tools().join(format!(".{name}-{}", std::process::id()));
    let unpacked = scratch.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    let result = wheels
        .iter()
        .try_for_each(|wheel| download(*wheel, &scratch, &unpacked))
        .and_then(|()| match fs::rename(&unpacked, folder) {
            Err(_) if folder.exists() => Ok(()),
            other => Ok(other?),
        });
    fs::remove_dir_all(&scratch)?;
    result
}

fn download((package, version): (&str, &str), scratch: &Path, unpacked: &Path) -> Result<()> {
    let requirement = format!("{package}=={version}");
    let own = scratch.join(package);
    let mut pip = workspace::program("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--dest"]).arg(&own).arg(&requirement);
    process::capture(&mut pip, &format!("downloading {requirement}"))?;

    let Some(wheel) = files(&own).find(|path| path.extension().is_some_and(|e| e == "whl")) else {
        bail!("pip reported success but left no wheel for {requirement}");
    };
    let mut unzip = workspace::program("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(unpacked);
    process::capture(&mut unzip, &format!("unpacking {requirement}"))?;
    make_executable(unpacked)
}

/// Python's zipfile drops the permission bits: those of every program in a folder `bin`.
fn make_executable(folder: &Path) -> Result<()> {
    for path in files(folder) {
        if path.is_dir() {
            make_executable(&path)?;
        } else if folder.ends_with("bin") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Where everything lies that is fetched or made for the project's own commands.
pub(crate) fn tools() -> PathBuf {
    workspace::root().join(".tools")
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Finds `bin/<name>` anywhere under a folder: wheels of CUDA 12 and 13 nest it differently.
fn find_program(folder: &Path, name: &str) -> Option<PathBuf> {
    let candidate = folder.join("bin").join(name);
    if candidate.is_file() {
        return Some(candidate);
    }
    files(folder).filter(|path| path.is_dir()).find_map(|path| find_program(&path, name))
}
