//! The text pass over rustc's PTX: launch bounds and parameter alignment, which rustc cannot say,
//! and a text that is the same on every machine.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use expert_gemm_kernels::abi::Variant;

use crate::items::{self, Item, Kind};

/// Instructions that several threads execute together, or that order their memory accesses. The
/// compiler may legally copy an `asm!` holding one into both arms of a branch, which hangs or
/// corrupts; their number per kernel is therefore held to a golden table.
const COLLECTIVES: [&str; 21] = [
    "activemask",
    "bar.",
    "barrier.",
    "clusterlaunchcontrol.",
    "cp.async.",
    "cp.reduce.async.",
    "elect.",
    "fence.",
    "griddepcontrol.",
    "ldmatrix.",
    "match.",
    "mbarrier.",
    "membar.",
    "mma.",
    "redux.",
    "setmaxnreg.",
    "shfl.",
    "stmatrix.",
    "tcgen05.",
    "vote.",
    "wgmma.",
];

/// A module's body after the pass: no header yet.
#[derive(Debug)]
pub(crate) struct Body {
    /// Every item, entries last and in the order of the variant table.
    pub(crate) text: String,
    /// Collective instructions of each kernel, by symbol and mnemonic.
    pub(crate) collectives: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Runs the pass: `variants` are the kernels that the module must hold, no more and no fewer.
pub(crate) fn process(ptx: &str, variants: &[&Variant]) -> Result<Body> {
    let items = items::parse(ptx);
    check_entries(&items, variants)?;
    let roots: Vec<&str> = variants.iter().map(|variant| variant.symbol).collect();
    let kept = items::reachable(&items, &roots);
    check_externs(&kept)?;
    let names = local_names(&kept);

    let mut text = String::new();
    for item in &kept {
        let renamed = items::rename(&item.text, &names);
        let variant = variants.iter().find(|variant| variant.symbol == item.name);
        text += &match variant {
            Some(variant) => {
                entry(&renamed, variant).with_context(|| format!("kernel {}", variant.symbol))?
            }
            None => local(&renamed).to_owned(),
        };
        text += "\n\n";
    }

    let collectives = roots
        .iter()
        .map(|root| {
            let mut counts = BTreeMap::new();
            for item in items::reachable(&items, &[root]) {
                count_collectives(&item.text, &mut counts);
            }
            ((*root).to_owned(), counts)
        })
        .collect();
    Ok(Body { text, collectives })
}

fn check_entries(items: &[Item], variants: &[&Variant]) -> Result<()> {
    for variant in variants {
        ensure!(
            items.iter().any(|item| item.kind == Kind::Entry && item.name == variant.symbol),
            "the variant table names the kernel {}, but the device crate defines no such entry",
            variant.symbol
        );
    }
    for item in items.iter().filter(|item| item.kind == Kind::Entry) {
        ensure!(
            variants.iter().any(|variant| variant.symbol == item.name),
            "the device crate defines the kernel {}, which the variant table does not name",
            item.name
        );
    }
    Ok(())
}

/// An unresolved function is a panic path or a part of `core` that was not inlined.
fn check_externs(kept: &[&Item]) -> Result<()> {
    let mut lines = Vec::new();
    for item in kept.iter().filter(|item| item.kind == (Kind::Declaration { external: true })) {
        let callers: Vec<String> = kept
            .iter()
            .filter(|other| other.name != item.name && calls(&other.text, &item.name))
            .map(|other| demangled(&other.name))
            .collect();
        lines.push(format!("  {} called from {}", demangled(&item.name), callers.join(", ")));
    }
    if lines.is_empty() {
        return Ok(());
    }
    bail!(
        "the module calls functions that do not exist on the device:\n{}\n\
         A panic path (index, division, slice, overflow) is the usual reason: index by constants, \
         or tell the compiler what cannot happen.",
        lines.join("\n")
    )
}

fn calls(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$').any(|w| w == name)
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// New names for mangled symbols: they carry hashes that depend on the checkout's folder.
fn local_names(kept: &[&Item]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for item in kept {
        let mangled = ["_R", "_ZN", "anon_", "__unnamed", "switch_table", "alloc_"]
            .iter()
            .any(|prefix| item.name.starts_with(prefix));
        if mangled && item.kind != Kind::Entry && !names.contains_key(&item.name) {
            names.insert(item.name.clone(), format!("local_{}", names.len()));
        }
    }
    names
}

/// Only kernels and the stamp are visible from outside a module.
fn local(text: &str) -> &str {
    text.trim_start_matches(".visible ").trim_start_matches(".weak ")
}

/// Adds the launch bounds and raises the parameter's alignment.
fn entry(text: &str, variant: &Variant) -> Result<String> {
    let close = text.find(')').context("the entry has no parameter list")?;
    let (head, tail) = text.split_at(close + 1);
    let body = tail.find('{').map(|i| &tail[i..]).context("the entry has no body")?;

    ensure!(
        head.matches(".param").count() == 1,
        "a kernel takes exactly one parameter, a struct by value"
    );
    let size = format!("[{}]", variant.param_bytes);
    ensure!(
        head.contains(&size),
        "the parameter is not {} bytes, as the variant table says:\n{head}",
        variant.param_bytes
    );
    // TMA descriptors must be 64-byte aligned; rustc refuses to align a parameter above 16.
    let (before, after) = head.split_once(".align ").context("the parameter is not a struct")?;
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    // Without both bounds the assembler cannot know the registers at entry and ignores setmaxnreg.
    let (threads, ctas) = (variant.threads, variant.ctas_per_sm);
    let bounds = format!(".maxntid {threads}, 1, 1\n.minnctapersm {ctas}\n");
    let cluster = match variant.cluster {
        1 => String::new(),
        ctas => format!(".reqnctapercluster {ctas}, 1, 1\n"),
    };
    Ok(format!("{before}.align 64{after}\n{bounds}{cluster}{body}"))
}

fn count_collectives(text: &str, counts: &mut BTreeMap<String, u64>) {
    for mnemonic in mnemonics(text) {
        if COLLECTIVES.iter().any(|prefix| mnemonic.starts_with(prefix)) {
            *counts.entry(mnemonic.to_owned()).or_default() += 1;
        }
    }
}

/// The instructions of a text. Inline assembly may put several on a line, with labels, predicates
/// and its own scope.
fn mnemonics(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '{', '}', '\n']).filter_map(|piece| {
        let mut words = piece.split_whitespace();
        words.by_ref().find(|word| !word.ends_with(':') && !word.starts_with('@'))
    })
}

#[cfg(test)]
mod tests {
    use expert_gemm_kernels::abi::VARIANTS;

    use super::*;

    fn module(body: &str) -> String {
        let variant = &VARIANTS[0];
        format!(
            ".version 8.0\n.target sm_90a\n.address_size 64\n\
             .extern .shared .align 1024 .b8 smem[];\n{body}\n\
             .visible .entry {0}(\n\t.param .align 16 .b8 {0}_param_0[{1}]\n)\n{{\n\
             \tld.param.b32 \t%r1, [{0}_param_0];\n\tmov.u32 \t%r2, smem;\n\
             \t{{ .reg .pred p; W: mbarrier.try_wait.b64 p, [%r1], 0; @p bra D; bra W; D: }}\n\
             \t@%p1 bar.sync \t0;\n\tbar.sync \t0;\n\tret;\n}}\n",
            variant.symbol, variant.param_bytes
        )
    }

    #[test]
    fn an_entry_gets_bounds_and_alignment() {
        let body = process(&module(""), &[&VARIANTS[0]]).expect("a good module");
        let symbol = VARIANTS[0].symbol;
        assert!(body.text.contains(&format!(
            ".visible .entry {symbol}(\n\t.param .align 64 .b8 {symbol}_param_0[{}]\n)\n\
             .maxntid {}, 1, 1\n.minnctapersm 1\n.reqnctapercluster 2, 1, 1\n{{\n",
            VARIANTS[0].param_bytes, VARIANTS[0].threads
        )));
        assert!(body.text.starts_with(".extern .shared .align 1024 .b8 smem[];"));
    }

    #[test]
    fn collectives_are_counted_wherever_they_stand_on_a_line() {
        let body = process(&module(""), &[&VARIANTS[0]]).expect("a good module");
        let counts = &body.collectives[VARIANTS[0].symbol];
        assert_eq!(counts["bar.sync"], 2);
        assert_eq!(counts["mbarrier.try_wait.b64"], 1);
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn unused_functions_and_their_externs_are_dropped() {
        let unused = ".extern .func _RNgone\n(\n)\n;\n.visible .func _RNfmt()\n{\n\
                      \tcall.uni _RNgone, ();\n\tret;\n}";
        let body = process(&module(unused), &[&VARIANTS[0]]).expect("nothing needs them");
        assert!(!body.text.contains("_RN"));
    }

    #[test]
    fn a_used_extern_is_refused_by_name() {
        let symbol = "_RNvNtNtCsijM4ZkS1VEs_4core9panicking11panic_const23panic_const_div_by_zero";
        let panics = module(&format!(".extern .func {symbol}\n(\n)\n;"))
            .replace("\tret;", &format!("\tcall.uni {symbol}, ();\n\tret;"));
        let error = process(&panics, &[&VARIANTS[0]]).expect_err("a panic path").to_string();
        assert!(error.contains("core::panicking::panic_const::panic_const_div_by_zero"), "{error}");
        assert!(error.contains(VARIANTS[0].symbol), "{error}");
    }

    #[test]
    fn names_with_hashes_do_not_survive() {
        let text = |hash: &str| {
            let function = format!(
                ".global .align 1 .b8 anon_$_{hash}_$_0[1] = {{1}};\n\
                 .visible .func _RNv{hash}_f()\n{{\n\tmov.b64 %rd1, anon_$_{hash}_$_0;\n\tret;\n}}"
            );
            let call = format!("\tcall.uni _RNv{hash}_f, ();\n\tret;\n}}\n");
            let base = module("");
            let at = base.rfind("\tret;").expect("the entry returns");
            let whole = format!("{function}\n{}{call}", &base[..at]);
            process(&whole, &[&VARIANTS[0]]).expect("a good module").text
        };
        assert_eq!(text("Csabc"), text("Cszyx"));
        assert!(text("Csabc").contains("call.uni local_1, ();"));
        assert!(text("Csabc").contains("\n.func local_1()"));
    }

    #[test]
    fn table_and_module_must_agree() {
        let both: Vec<&Variant> = VARIANTS.iter().take(2).collect();
        let missing = process(&module(""), &both).expect_err("one is missing").to_string();
        assert!(missing.contains(VARIANTS[1].symbol), "{missing}");
        let extra = process(&module(""), &[]).expect_err("one too many").to_string();
        assert!(extra.contains(VARIANTS[0].symbol), "{extra}");
        let wrong = Variant { param_bytes: 8, ..VARIANTS[0] };
        let size = process(&module(""), &[&wrong]).expect_err("another size");
        assert!(format!("{size:#}").contains("8 bytes"));
    }
}
