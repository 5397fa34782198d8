//! `cargo xtask build-ptx`: device crate -> rustc's nvptx64 target -> text pass -> `host/ptx`,
//! and `docs/lessons/ptx` for the kernels of the lessons.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use expert_gemm_kernels::abi::{ABI_VERSION, Arch};

use crate::golden::{self, Counts};
use crate::manifest::{Manifest, Module};
use crate::stamp::Stamp;
use crate::{collections, post, process, stamp, toolchain, wheel, workspace};

/// Arguments of `build-ptx`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build this GPU family only, such as `sm_90a`
    #[arg(long)]
    arch: Option<String>,
    /// Change nothing; fail if the committed PTX is not what the sources give
    #[arg(long)]
    check: bool,
    /// Accept the counts of collective instructions as they are now
    #[arg(long, conflicts_with_all = ["check", "arch"])]
    bless: bool,
}

impl Args {
    /// Compares only.
    pub(crate) fn check() -> Self {
        Self { arch: None, check: true, bless: false }
    }
}

/// Builds every module of every collection.
pub(crate) fn run(args: &Args) -> Result<()> {
    toolchain::ensure_rust_src()?;
    let rustc = toolchain::version()?;
    let source = stamp::source_hash()?;
    let mut counts = Counts::new();
    let mut outputs = Vec::new();
    let wanted = args.arch.as_deref().map(collections::family).transpose()?;
    let pairs =
        collections::ALL.into_iter().flat_map(|c| c.families().into_iter().map(move |f| (c, f)));
    for (collection, arch) in pairs.filter(|(_, arch)| wanted.is_none_or(|wanted| wanted == *arch))
    {
        let mut modules = Vec::new();
        for name in collection.modules(arch) {
            let variants = collection.kernels(arch, name);
            let body = post::process(&compile(arch, name)?, &variants)
                .with_context(|| format!("module {name} for {}", arch.name()))?;
            for (symbol, collectives) in body.collectives {
                counts.insert(format!("{}/{symbol}", arch.name()), collectives);
            }
            let stamp = Stamp { arch, module: name, rustc: &rustc, source: &source };
            let (version, text) = lowest_version(&stamp, &body.text)?;
            modules.push(Module {
                name: name.to_owned(),
                file: format!("{name}.ptx"),
                sha256: stamp::sha256(&text),
                ptx_version: format!("{}.{}", version.0, version.1),
                symbols: variants.iter().map(|variant| variant.symbol.to_owned()).collect(),
            });
            outputs.push((collection.folder(arch).join(format!("{name}.ptx")), text));
        }
        let manifest = Manifest {
            abi_version: ABI_VERSION,
            arch: arch.name().to_owned(),
            rustc: rustc.clone(),
            source_sha256: source.clone(),
            modules,
        };
        outputs.push((collection.folder(arch).join("manifest.json"), manifest.to_text()?));
    }
    golden::hold("collectives", &counts, args.bless, "build-ptx")?;
    if args.check { check(&outputs) } else { write(&outputs) }
}

/// The oldest PTX version that can hold a family's instructions. Drivers refuse a version newer than
/// themselves, so a module says the lowest that assembles.
const fn oldest_version(arch: Arch) -> (u32, u32) {
    match arch {
        Arch::Sm90a => (8, 0),
        // The first that knows the family target.
        Arch::Sm100f => (8, 8),
    }
}

/// Finds the lowest version by asking the assembler, which names what each refused feature needs.
fn lowest_version(stamp: &Stamp, body: &str) -> Result<((u32, u32), String)> {
    let ptxas = wheel::PTXAS.fetch()?;
    let folder = workspace::root().join("target/ptx/version").join(stamp.arch.name());
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.ptx", stamp.module));
    let mut version = oldest_version(stamp.arch);
    loop {
        let text = stamp.module(version, body);
        fs::write(&path, &text)?;
        let mut command = Command::new(&ptxas);
        command.arg(format!("-arch={}", stamp.arch.name())).arg(&path);
        command.arg("-o").arg(path.with_extension("cubin"));
        let doing = format!("assembling {} as PTX {}.{}", stamp.module, version.0, version.1);
        match process::capture(&mut command, &doing) {
            Ok(_) => return Ok((version, text)),
            Err(error) => match required_version(&format!("{error:#}")) {
                Some(needed) if needed > version => version = needed,
                _ => return Err(error),
            },
        }
    }
}

/// The highest version that the assembler asks for.
fn required_version(message: &str) -> Option<(u32, u32)> {
    message
        .split("requires PTX ISA .version ")
        .skip(1)
        .filter_map(|tail| {
            let (major, minor) = tail.split_whitespace().next()?.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .max()
}

/// Compiles one module and returns rustc's assembly.
fn compile(arch: Arch, module: &str) -> Result<String> {
    let output = workspace::root().join("target/ptx").join(arch.name()).join(format!("{module}.s"));
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    build(arch, module, &output)?;
    if !output.exists() {
        // Cargo tracks the library, not our extra output: if someone deleted the latter, the build
        // counts as fresh and writes nothing.
        let mut clean = workspace::cargo();
        clean.args(["clean", "--quiet", "--profile", "device", "--target", TARGET]);
        clean.args(["-p", PACKAGE, "--target-dir", TARGET_DIR]);
        process::capture(&mut clean, "starting the device build afresh")?;
        build(arch, module, &output)?;
    }
    fs::read_to_string(&output).with_context(|| format!("rustc wrote no {}", output.display()))
}

const TARGET: &str = "nvptx64-nvidia-cuda";
const TARGET_DIR: &str = "target/ptx";
const PACKAGE: &str = "expert-gemm-kernels";

fn build(arch: Arch, module: &str, output: &Path) -> Result<()> {
    let mut emit = OsString::from("--emit=asm=");
    emit.push(output);
    let mut command = workspace::cargo();
    // The pinned stable compiler knows the target; only its feature gates have to open, and only
    // for the device crate.
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_INCREMENTAL", "0");
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(arch)?);
    command.args(["rustc", "--quiet", "-p", PACKAGE, "--lib", "--profile", "device"]);
    command.args(["-Zbuild-std=core", "--target", TARGET, "--target-dir", TARGET_DIR, "--"]);
    command.arg(emit).arg("--cfg").arg(format!("gpu_module=\"{module}\""));
    // A module uses only its part of the lower rungs; the rest is not dead.
    command.arg("-Adead_code");
    let (_, said) =
        process::capture(&mut command, &format!("compiling {module} for {}", arch.name()))?;
    eprint!("{said}");
    Ok(())
}

/// Flags for `core` and the device crate alike, separated as cargo wants them.
fn rustflags(arch: Arch) -> Result<OsString> {
    let mut flags = OsString::from(format!("-Ctarget-cpu={}", arch.name()));
    // Accumulators are arrays. Unless every loop over them is unrolled they land in local memory.
    flags.push("\u{1f}-Cllvm-args=-unroll-threshold=100000");
    // A jump by table is an indirect branch, of which neither ptxas nor the emulator sees what it closes.
    flags.push("\u{1f}-Cjump-tables=no");
    for (path, name) in [(toolchain::sysroot()?, "/rust"), (workspace::root(), "/expert-gemm")] {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(path);
        flags.push(format!("={name}"));
    }
    Ok(flags)
}

fn write(outputs: &[(PathBuf, String)]) -> Result<()> {
    for (path, text) in outputs {
        let same = fs::read_to_string(path).is_ok_and(|old| old == *text);
        if !same {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
            println!("wrote {}", workspace::shown(path));
        }
    }
    Ok(())
}

fn check(outputs: &[(PathBuf, String)]) -> Result<()> {
    let mut stale = String::new();
    for (path, text) in outputs {
        let committed = fs::read_to_string(path).unwrap_or_default();
        if committed != *text {
            let lines = first_difference(&committed, text);
            write!(stale, "\n{}:\n{lines}", workspace::shown(path))?;
        }
    }
    if stale.is_empty() {
        println!("the committed PTX is what the sources give");
        return Ok(());
    }
    bail!("the committed PTX is not what the sources give; run `cargo xtask build-ptx`{stale}")
}

fn first_difference(committed: &str, built: &str) -> String {
    let mut lines = Vec::new();
    let (mut old, mut new) = (committed.lines(), built.lines());
    for number in 1.. {
        let (a, b) = (old.next(), new.next());
        if (a.is_none() && b.is_none()) || lines.len() == 4 {
            break;
        }
        if a != b {
            let text = |line: Option<&str>| line.unwrap_or("(end of file)").trim().to_owned();
            lines.push(format!("  line {number}: committed `{}`, built `{}`", text(a), text(b)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_wanted_version_counts() {
        let message = "line 1; error : Feature 'x' requires PTX ISA .version 8.3 or later\n\
                       line 2; error : Modifier 'y' requires PTX ISA .version 8.10 or later";
        assert_eq!(required_version(message), Some((8, 10)));
        assert_eq!(required_version("syntax error"), None);
    }

    #[test]
    fn the_first_differing_lines_are_shown() {
        let text = first_difference("a\nb\nc\n", "a\nx\nc\nd\n");
        assert_eq!(
            text,
            "  line 2: committed `b`, built `x`\n  line 4: committed `(end of file)`, built `d`"
        );
    }
}
