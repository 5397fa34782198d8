//! The program from end to end: what it answers, how it ends, and that kernels which do something else are found out.

use expert_gemm_selftest::fact::Verdict;
use expert_gemm_selftest::report::Report;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of this test's own, which goes away with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program's exit code, report and text.
fn selftest(folder: &Folder, arguments: &[&str]) -> (i32, Option<Report>, String) {
    let json = folder.0.join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_selftest"));
    command.args(arguments).arg("--json").arg(&json);
    if folder.0.join("ptx").exists() {
        command.env("EXPERT_GEMM_PTX_DIR", folder.0.join("ptx"));
    }
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    let report = fs::read_to_string(json).ok();
    let report = report.map(|text| serde_json::from_str(&text).expect("a report"));
    (status.code().expect("an exit code"), report, text)
}

/// The names of the facts with a verdict.
fn names(report: &Report, wanted: fn(&Verdict) -> bool) -> BTreeSet<&str> {
    let facts = report.facts.iter().filter(|answer| wanted(&answer.verdict));
    facts.map(|answer| answer.id.as_str()).collect()
}

#[test]
fn an_emulated_gpu_confirms_what_it_can_be_asked() {
    let folder = Folder::new("confirmed");
    for (family, least) in [("sm_90", 14), ("sm_100", 30), ("sm_103", 30)] {
        let (code, report, text) = selftest(&folder, &["--emulated", family]);
        assert_eq!(code, 0, "{text}");
        let report = report.expect("JSON");
        assert!(names(&report, Verdict::is_confirmed).len() >= least, "{text}");
        assert!(names(&report, Verdict::is_refuted).is_empty());
        assert!(report.head.device.starts_with("emulated ") && !report.head.modules.is_empty());
        // What the other family would be asked is named, with the reason.
        let others = names(
            &report,
            |verdict| matches!(verdict, Verdict::NotRun { why } if why.starts_with("needs sm_")),
        );
        assert!(!others.is_empty() && text.contains("0 refuted"), "{text}");
    }
}

#[test]
fn nothing_to_ask_is_not_a_success() {
    let folder = Folder::new("nothing");
    assert_eq!(selftest(&folder, &["--emulated", "sm_100", "--only", "no such fact"]).0, 2);
    let (code, report, text) = selftest(&folder, &["--emulated", "sm_90", "--only", "scale-byte"]);
    assert_eq!((code, report.expect("JSON").facts.len()), (2, 1), "{text}");
    assert_eq!(selftest(&folder, &["--emulated", "sm_80"]).0, 2);
}

/// Copies the shipped PTX and replaces text in one module, wherever it stands.
fn changed(name: &str, module: &str, from: &str, to: &str) -> Folder {
    let folder = Folder::new(name);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/ptx/sm_100f");
    let to_folder = folder.0.join("ptx/sm_100f");
    fs::create_dir_all(&to_folder).expect("a folder");
    for entry in fs::read_dir(shipped).expect("the shipped PTX").flatten() {
        let mut text = fs::read_to_string(entry.path()).expect("text");
        if entry.path().file_stem().is_some_and(|stem| stem == module) {
            assert!(text.contains(from), "{module} has no `{from}`");
            text = text.replace(from, to);
        }
        fs::write(to_folder.join(entry.file_name()), text).expect("a copy");
    }
    folder
}

/// The facts of the emulated GPU that are refuted with such a module; all others must be confirmed.
fn refuted(name: &str, module: &str, from: &str, to: &str) -> (BTreeSet<String>, String) {
    let folder = changed(name, module, from, to);
    let (code, report, text) = selftest(&folder, &["--emulated", "sm_100"]);
    assert_eq!(code, 1, "{text}");
    let report = report.expect("JSON");
    let refuted = names(&report, Verdict::is_refuted);
    let confirmed = names(&report, Verdict::is_confirmed);
    assert_eq!(refuted.len() + confirmed.len(), 33, "{text}");
    (refuted.into_iter().map(str::to_owned).collect(), text)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_quantiser_that_exchanges_codes_is_found_out() {
    let (refuted, text) = refuted("quantiser", "mxfp8_quant_sm100", "{l, h}", "{h, l}");
    let all = set(&["quantise-bf16", "quantise-f16", "quantise-problems"]);
    assert_eq!(refuted, all, "{text}");
}

#[test]
fn a_product_that_forgets_its_sum_is_found_out() {
    let (from, to) = ("setp.ne.u32 accumulate", "setp.eq.u32 accumulate");
    let (refuted, text) = refuted("product", "mxfp8_gemm_sm100", from, to);
    let all = ["narrow-tiles", "shared-tokens", "many-tiles", "nan-scale", "problems"];
    assert_eq!(
        refuted,
        set(&all.map(|name| format!("mxfp8-{name}")).each_ref().map(String::as_str)),
        "{text}"
    );
}

/// A fault takes the device away from its process; the facts after it are asked all the same.
#[test]
fn a_fault_costs_the_facts_that_fault_and_no_other() {
    let (from, to) = ("tcgen05.cp.", "trap; tcgen05.cp.");
    let (refuted, text) = refuted("fault", "tensor_probe_sm100", from, to);
    let all = ["copy-before-product", "pair-copy-before-product", "product-before-copy"];
    let all = set(&[&all[..], &["scale-copy", "pair-scale-copy"]].concat());
    assert_eq!(refuted, all, "{text}");
    assert!(text.contains("719"), "{text}");
}

#[test]
fn a_kernel_that_never_ends_is_given_up() {
    let to = "{ FOREVER: bra FOREVER; } tcgen05.cp.";
    let folder = changed("hang", "tensor_probe_sm100", "tcgen05.cp.", to);
    let arguments = ["--emulated", "sm_100", "--only", "scale-copy", "--patience", "3"];
    let (code, report, text) = selftest(&folder, &arguments);
    assert_eq!(code, 1, "{text}");
    let answer = report.expect("JSON").facts[0].verdict.to_string();
    assert_eq!(answer, "no answer in time: the kernel hangs", "{text}");
}
