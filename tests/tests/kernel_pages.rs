//! The numbers on the pages of docs/kernels are those of the table of kernels.

use expert_gemm::abi::variant::VARIANTS;
use expert_gemm::abi::{Op, Variant};
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
        let facts = find(&format!("### `{module}` in numbers"));
        assert!(facts.len() >= 6, "{module}");
        for row in facts {
            assert_eq!(row[1], fact(variant, &row[0]), "{module}: {}", row[0]);
        }
        let mut end = 0;
        for row in find(&format!("### Shared memory of `{module}`")) {
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
