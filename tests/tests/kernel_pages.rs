//! The numbers on the pages of docs/kernels are those of the table of kernels, and their barriers those of the PTX.

use expert_gemm::abi::variant::VARIANTS;
use expert_gemm::abi::{Op, Variant};
use std::collections::BTreeMap;
use std::path::Path;

/// Rows of the table below a heading, as cells without backticks, thousands without commas.
fn table(page: &str, heading: &str) -> Option<Vec<Vec<String>>> {
    let mut lines = page.lines().skip_while(|line| *line != heading).skip(1).peekable();
    lines.peek()?;
    let rows = lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let inside = line.trim_matches('|').split('|');
            inside.map(|cell| cell.trim().replace([',', '`'], "")).collect()
        })
        .collect();
    Some(rows)
}

/// What a row of the table "in numbers" says, by the variant.
fn fact(variant: &Variant, what: &str) -> String {
    let [tokens, weights, k] = variant.tile;
    match what {
        "tile tokens x weights x K" => format!("{tokens} x {weights} x {k}"),
        "threads of a CTA" => variant.threads.to_string(),
        "CTAs of a cluster" => variant.cluster.to_string(),
        "CTAs of a multiprocessor" => variant.ctas_per_sm.to_string(),
        "slots of the ring" => variant.stages.to_string(),
        "registers of a thread at launch at most" => variant.registers.to_string(),
        "shared memory bytes" => variant.smem_bytes.to_string(),
        "parameter bytes" => variant.param_bytes.to_string(),
        other => panic!("no number of the table of kernels is called {other}"),
    }
}

/// The module whose tables of barriers and of shared memory are this one's too.
fn laid_out_as(module: &str) -> &str {
    match module {
        "mxfp8_gemm_sm90_few" => "mxfp8_gemm_sm90",
        module => module,
    }
}

/// How many barriers of a kernel take how many arrivals, by its PTX; no number where that depends on the CTA's rank.
fn initialised(variant: &Variant) -> BTreeMap<Option<u32>, u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/ptx");
    let path = folder.join(variant.arch.name()).join(format!("{}.ptx", variant.module));
    let text = std::fs::read_to_string(path).expect("a module");
    let entries = text.split(".entry ");
    let own = entries.filter(|entry| entry.starts_with(&format!("{}(", variant.symbol)));
    let entry = own.last().expect("the entry");
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in entry.lines().map(str::trim) {
        if let Some(moved) = line.strip_prefix("mov.b32") {
            let (to, from) = moved.trim().split_once(", ").expect("two operands");
            numbers.extend(from.trim_end_matches(';').parse().map(|number| (to, number)));
        }
        if line.starts_with("mbarrier.init") {
            let (_, count) = line.rsplit_once(", ").expect("two operands");
            let count = numbers.get(count.trim_end_matches(';')).copied();
            *found.entry(count).or_default() += 1;
        }
    }
    found
}

/// The same by the table of a page: `name`, how many, and the arrivals that a phase begins with.
fn told(rows: &[Vec<String>]) -> BTreeMap<Option<u32>, u32> {
    let mut told = BTreeMap::new();
    for row in rows {
        let number = row[0].rsplit(' ').next().expect("a word").parse::<u32>().expect("how many");
        let arrivals = row[1].split(|c: char| !c.is_ascii_digit()).next().expect("a piece");
        *told.entry(arrivals.parse().ok()).or_default() += number;
    }
    told
}

#[test]
fn barriers_are_those_of_the_ptx() {
    let pages = pages();
    let mut compared = 0;
    for variant in VARIANTS {
        let heading = format!("### Barriers of `{}`", laid_out_as(variant.module));
        if let Some(rows) = pages.iter().find_map(|page| table(page, &heading)) {
            assert_eq!(told(&rows), initialised(variant), "{}", variant.symbol);
            compared += 1;
        }
    }
    // Two output types each of the eight products; the quantiser has no mbarriers, nor its page a table.
    assert_eq!(compared, 16);
}

/// The pages of docs/kernels.
fn pages() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kernels");
    let entries = std::fs::read_dir(folder).expect("docs/kernels");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| std::fs::read_to_string(path).expect("a page"))
        .collect()
}

#[test]
fn numbers_and_shared_memory_are_those_of_the_code() {
    let pages = pages();
    for variant in VARIANTS {
        // Probes have no page, and the Blackwell quantiser is the Hopper one.
        if matches!(variant.op, Op::BulkRead | Op::TensorProbe) {
            continue;
        }
        let module = match variant.module {
            "mxfp8_quant_sm100" => "mxfp8_quant_sm90",
            module => module,
        };
        let find = |heading: &str| {
            let mut found = pages.iter().filter_map(|page| table(page, heading));
            let rows = found.next().unwrap_or_else(|| panic!("no page has the heading {heading}"));
            assert!(found.next().is_none() && !rows.is_empty(), "{heading}");
            rows
        };
        let layout = laid_out_as(module);
        let facts = find(&format!("### `{module}` in numbers"));
        assert!(facts.len() >= 6, "{module}");
        for row in facts {
            assert_eq!(row[1], fact(variant, &row[0]), "{module}: {}", row[0]);
        }
        let mut end = 0;
        for row in find(&format!("### Shared memory of `{layout}`")) {
            let [from, bytes] = [0, 1].map(|i| row[i].parse::<u32>().expect("a number"));
            assert_eq!(from, end, "{module}: {}", row[2]);
            end += bytes;
        }
        assert_eq!(end, variant.smem_bytes, "{module}");
    }
}

#[test]
fn a_table_is_found_by_its_heading() {
    let page = "### A\n\ntext\n\n| x | y |\n| --- | --- |\n| `a` | 1,234 |\n\n| no | no |\n";
    assert_eq!(table(page, "### A"), Some(vec![vec!["a".to_owned(), "1234".to_owned()]]));
    assert_eq!(table(page, "### B"), None);
}
