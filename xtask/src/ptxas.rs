//! `cargo xtask ptxas`: what the assembler makes of the committed PTX, held to budgets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use expert_gemm_kernels::abi::{Arch, Variant};

use crate::collections::{self, Collection};
use crate::golden::{self, Counts};
use crate::ptxas_log::{self, Report, Usage};
use crate::sass::{self, Function};
use crate::wheel::{self, Wheel};
use crate::{cfg, process, ui, workspace};

/// Arguments of `ptxas`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also assemble with the other pinned versions of ptxas
    #[arg(long)]
    all_versions: bool,
    /// Accept the counts of machine instructions as they are now
    #[arg(long)]
    bless: bool,
}

impl Args {
    /// Every pinned version.
    pub(crate) fn all() -> Self {
        Self { all_versions: true, bless: false }
    }
}

/// Machine instructions whose number is held to the golden table: tensor core and bulk copies.
const fn golden_opcodes(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::Sm90a => &["QGMMA", "HGMMA", "UTMALDG"],
        // Products, copies of scales and commits, and those for a pair of CTAs; loads of tensor memory; tensor copies
        // and bulk copies.
        Arch::Sm100f => &[
            "UTCQMMA",
            "UTCQMMA.2CTA",
            "UTCCP",
            "UTCCP.T.S.2CTA",
            "UTCBAR",
            "UTCBAR.2CTA",
            "LDTM",
            "UTMALDG",
            "UBLKCP",
        ],
    }
}

/// The opcodes of main loops.
const fn products(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::Sm90a => &["QGMMA", "HGMMA"],
        Arch::Sm100f => &["UTCQMMA"],
    }
}

/// Bytes of an instruction.
const INSTRUCTION: usize = 16;

/// Bytes of code within which all products of each kernel of a module lie. On an H200 a form of the FP8 kernel that lay beyond
/// 64 KiB took about 1 us more, 5 % of its smallest calls, and even below that less code is faster
/// (`docs/notes/fp8_block_sm90.md`). In the MXFP8 kernel it is about 2, for which there is one for few rows
/// (`docs/notes/mxfp8_gemm_sm90.md`). `fp8_block_sm90_tall` and `_wide` have none: their calls are not small ones.
fn reach(module: &str) -> Option<usize> {
    match module {
        "fp8_block_sm90" => Some(61 << 10),
        "fp8_block_sm90_few" => Some(32 << 10),
        "mxfp8_gemm_sm90_few" => Some(64 << 10),
        _ => None,
    }
}

/// The GPUs that a family's PTX is assembled for: the first one's outcome is held to the golden table, and every one
/// must keep the budgets.
const fn targets(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::Sm90a => &["sm_90a"],
        // The family's own target is what the driver is given; B200 and B300 are what it runs on.
        Arch::Sm100f => &["sm_100f", "sm_100a", "sm_103a"],
    }
}

/// Machine instructions that the table shows.
const SHOWN: [&str; 12] = [
    "QGMMA",
    "UTCQMMA",
    "UTCCP",
    "LDTM",
    "UTMALDG",
    "UBLKCP",
    "WARPGROUP.DEPBAR",
    "MEMBAR",
    "LDGSTS",
    "STSM",
    "STG",
    "BRA",
];

/// Assembles every module with every wanted version and judges the outcome.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut counts = Counts::new();
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    let others = if args.all_versions { &wheel::OTHER_PTXAS[..] } else { &[] };
    for &assembler in [wheel::PTXAS].iter().chain(others) {
        for (collection, arch, module) in modules() {
            let targets = if args.all_versions { targets(arch) } else { &targets(arch)[..1] };
            for &target in targets {
                let ptx = collection.folder(arch).join(format!("{module}.ptx"));
                let (report, functions) = assemble(assembler, &ptx, module, target)?;
                let version = assembler.version;
                let here = |fault: &String| format!("ptxas {version}, {module}, {target}: {fault}");
                faults.extend(report.messages.iter().map(here));
                for variant in collection.kernels(arch, module) {
                    let (usage, function) = find(variant, &report, &functions)?;
                    rows.push(row(variant, (version, target), usage, function));
                    faults.extend(judge(variant, usage, function).iter().map(here));
                    if assembler == wheel::PTXAS && target == targets[0] {
                        let key = format!("{}/{}", arch.name(), variant.symbol);
                        counts.insert(key, golden_counts(arch, function));
                    }
                }
            }
        }
    }
    let header = ["kernel", "ptxas", "target", "registers", "spill", "stack", "barriers"];
    print!("{}", ui::table(&[&header[..], &SHOWN[..]].concat(), &rows));
    if !faults.is_empty() {
        bail!("the assembled kernels break their budgets:\n  {}", faults.join("\n  "));
    }
    golden::hold("sass", &counts, args.bless, "ptxas")
}

/// Every module, with its family and the collection that it is of.
fn modules() -> impl Iterator<Item = (Collection, Arch, &'static str)> {
    collections::ALL.into_iter().flat_map(|collection| {
        let families = collection.families().into_iter();
        families.flat_map(move |arch| {
            collection.modules(arch).into_iter().map(move |module| (collection, arch, module))
        })
    })
}

fn assemble(
    assembler: Wheel,
    ptx: &Path,
    module: &str,
    target: &str,
) -> Result<(Report, Vec<Function>)> {
    if !ptx.exists() {
        bail!("{} is missing; `cargo xtask build-ptx` writes it", workspace::shown(ptx));
    }
    let cubin = cubin(assembler, target, module)?;
    let doing = format!("assembling {module} for {target} with ptxas {}", assembler.version);
    let mut command = Command::new(assembler.fetch()?);
    command.arg(format!("-arch={target}")).arg("-v").arg(ptx).arg("-o").arg(&cubin);
    let (stdout, stderr) = process::capture(&mut command, &doing)?;
    let report = ptxas_log::parse(&(stdout + &stderr));
    Ok((report, disassemble(&cubin)?))
}

fn cubin(assembler: Wheel, target: &str, module: &str) -> Result<PathBuf> {
    let folder = workspace::root().join("target/ptx/cubin").join(assembler.version);
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{module}.cubin")))
}

fn disassemble(cubin: &Path) -> Result<Vec<Function>> {
    let mut command = Command::new(wheel::NVDISASM.fetch()?);
    command.arg("-c").arg(cubin);
    let (listing, _) = process::capture(&mut command, "disassembling")?;
    // Beside the cubin, for whoever wants to read it.
    fs::write(cubin.with_extension("sass"), &listing)?;
    Ok(sass::parse(&listing))
}

fn find<'a>(
    variant: &Variant,
    report: &'a Report,
    functions: &'a [Function],
) -> Result<(&'a Usage, &'a Function)> {
    let usage = report.functions.iter().find(|usage| usage.name == variant.symbol);
    // A kernel without an EXIT was not read to its end, and every check on it would pass.
    let whole =
        |function: &&Function| function.name == variant.symbol && function.count("EXIT") > 0;
    let function = functions.iter().find(whole);
    usage
        .zip(function)
        .with_context(|| format!("ptxas or nvdisasm says nothing usable about {}", variant.symbol))
}

/// The innermost loops around products: a K block or several each.
fn main_loops(arch: Arch, function: &Function) -> Vec<BTreeSet<usize>> {
    products(arch).iter().flat_map(|product| cfg::innermost_loops(function, product)).collect()
}

fn golden_counts(arch: Arch, function: &Function) -> BTreeMap<String, u64> {
    let count = |opcode: &&str| ((*opcode).to_owned(), function.count(opcode));
    let mut counts: BTreeMap<_, _> = golden_opcodes(arch).iter().map(count).collect();
    // How much there is beside the products, how many promotions, and how many registers of lanes become a warp's: beside every
    // product if ptxas takes a loop as divergent (`docs/notes/fp8_block_sm90.md`: 12 % slower).
    let body: Vec<usize> = main_loops(arch, function).into_iter().flatten().collect();
    let looped = |opcode| body.iter().filter(|&&i| function.code[i].is(opcode)).count() as u64;
    counts.insert("instructions in main loops".to_owned(), body.len() as u64);
    counts.insert("FFMA in main loops".to_owned(), looped("FFMA"));
    counts.insert("R2UR in main loops".to_owned(), looped("R2UR"));
    counts
}

fn row(
    variant: &Variant,
    (version, target): (&str, &str),
    usage: &Usage,
    function: &Function,
) -> Vec<String> {
    let mut row = vec![variant.symbol.to_owned(), version.to_owned(), target.to_owned()];
    let spill = usage.spill_stores + usage.spill_loads;
    row.extend([usage.registers, spill, usage.stack, usage.barriers].map(|n| n.to_string()));
    row.extend(SHOWN.iter().map(|opcode| function.count(opcode).to_string()));
    row
}

/// What is wrong with one kernel.
fn judge(variant: &Variant, usage: &Usage, function: &Function) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("{} {text}", variant.symbol));
    // setmaxnreg moves registers between warps out of what the CTA got at launch. With fewer than
    // planned at launch, the last warpgroup to ask would wait for ever: the number must be exact.
    let exact = function.count("USETMAXREG") > 0;
    let (used, budget) = (usage.registers, variant.registers);
    if used > budget || (exact && used != budget) {
        fault(format!("uses {used} registers, its budget is {budget}"));
    }
    if usage.spill_stores + usage.spill_loads > 0 {
        fault(format!("spills: {} bytes stored, {} loaded", usage.spill_stores, usage.spill_loads));
    }
    if usage.stack > 0 {
        fault(format!("has a stack frame of {} bytes", usage.stack));
    }
    for opcode in ["LDL", "STL"] {
        if function.count(opcode) > 0 {
            fault(format!("touches local memory: {} {opcode}", function.count(opcode)));
        }
    }
    let loops = main_loops(variant.arch, function);
    for product in products(variant.arch) {
        let looped = loops.iter().flatten().any(|&i| function.code[i].is(product));
        if !looped && function.count(product) > 0 {
            let unchecked = "so its main loop could not be checked";
            fault(format!("has no loop around its {product}, {unchecked}"));
        }
        let last = function.code.iter().rposition(|instruction| instruction.is(product));
        if let (Some(last), Some(reach)) = (last, reach(variant.module))
            && last * INSTRUCTION >= reach
        {
            let (at, reach) = ((last * INSTRUCTION) >> 10, reach >> 10);
            fault(format!("has a {product} at {at} KiB of code, its budget is {reach} KiB"));
        }
    }
    // A fence for the CTA's own memory is cheap, and needed where threads write what the tensor core reads.
    let waits = |i: usize| function.code[i].is("MEMBAR") && !function.code[i].is("MEMBAR.ALL.CTA");
    let fences: usize = loops.iter().map(|body| body.iter().filter(|&&i| waits(i)).count()).sum();
    if fences > 0 {
        fault(format!("waits for all of memory inside its main loop: {fences} MEMBAR"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use expert_gemm_kernels::abi::VARIANTS;

    use super::*;

    fn usage() -> Usage {
        Usage { name: "k".into(), registers: VARIANTS[0].registers, ..Usage::default() }
    }

    fn function(code: &str) -> Function {
        let line = |text: &str| format!("/*0000*/ {text} ;\n");
        let lines: String = code.lines().map(line).collect::<Vec<_>>().concat();
        let listing = format!(".section .text.k,\"ax\"\n.L_0:\n{lines}");
        sass::parse(&listing).remove(0)
    }

    #[test]
    fn a_good_kernel_has_no_faults() {
        let code = function("USETMAXREG\nQGMMA\nR2UR\n@P0 BRA `(.L_0)\nR2UR\nMEMBAR.ALL.GPU\nEXIT");
        assert!(judge(&VARIANTS[0], &usage(), &code).is_empty());
        let counts = golden_counts(Arch::Sm90a, &code);
        assert_eq!(counts["QGMMA"], 1);
        assert_eq!(counts["instructions in main loops"], 4);
        assert_eq!(counts["R2UR in main loops"], 1);
    }

    #[test]
    fn each_broken_budget_is_named() {
        let code = function(
            "QGMMA\nMEMBAR.ALL.CTA\nMEMBAR.ALL.GPU\n@P0 BRA `(.L_0)\nLDL R1\nSTL R1\nEXIT",
        );
        let bad = Usage { registers: 255, stack: 8, spill_stores: 4, ..usage() };
        let faults = judge(&VARIANTS[0], &bad, &code).join("\n");
        for word in ["255 registers", "spills: 4", "8 bytes", "1 LDL", "1 STL", "1 MEMBAR"] {
            assert!(faults.contains(word), "{word} in {faults}");
        }
    }

    #[test]
    fn products_far_into_the_code_are_a_fault() {
        let far = |nops: usize| {
            let code = "NOP\n".repeat(nops) + "QGMMA\n@P0 BRA `(.L_0)\nEXIT";
            judge(&VARIANTS[0], &usage(), &function(&code))
        };
        assert_eq!(VARIANTS[0].module, "fp8_block_sm90");
        assert!(far(3903).is_empty());
        assert!(far(3904)[0].contains("QGMMA at 61 KiB"), "{:?}", far(3904));
    }

    #[test]
    fn a_main_loop_that_is_not_found_is_a_fault() {
        let faults = judge(&VARIANTS[0], &usage(), &function("QGMMA\nEXIT"));
        assert!(faults.len() == 1 && faults[0].contains("no loop"), "{faults:?}");
    }

    #[test]
    fn a_kernel_that_could_not_be_read_is_an_error_not_a_pass() {
        let report = Report {
            functions: vec![Usage { name: VARIANTS[0].symbol.into(), ..usage() }],
            ..Report::default()
        };
        let named = |code: &str| Function { name: VARIANTS[0].symbol.into(), ..function(code) };
        assert!(find(&VARIANTS[0], &report, &[named("EXIT")]).is_ok());
        assert!(find(&VARIANTS[0], &report, &[named("")]).is_err());
        assert!(find(&VARIANTS[0], &report, &[]).is_err());
    }

    #[test]
    fn registers_must_be_exact_where_warps_trade_them() {
        let fewer = Usage { registers: VARIANTS[0].registers - 8, ..usage() };
        assert!(judge(&VARIANTS[0], &fewer, &function("EXIT")).is_empty());
        assert_eq!(judge(&VARIANTS[0], &fewer, &function("USETMAXREG\nEXIT")).len(), 1);
    }
}
