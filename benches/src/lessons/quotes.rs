//! The code in the pages of `docs/lessons` is the code of the files that they name.

use std::fs;
use std::path::{Path, PathBuf};

/// A page's blocks of Rust, each with the file of the last `From [...](FILE)` above it.
fn quotes(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut source = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some((_, link)) = line.split_once("From [") {
            let path = link.split_once("](").and_then(|(_, rest)| rest.split_once(')'));
            source = path.map(|(path, _)| path.to_owned());
        }
        if line == "```rust" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((source.clone().expect("code of no file"), block.join("\n") + "\n"));
        }
    }
    found
}

/// The links of a page that lead to files.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

fn pages() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lessons");
    let entries = fs::read_dir(folder).expect("the pages");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).expect("a page"))).collect()
}

#[test]
fn every_quote_is_in_its_file() {
    let mut count = 0;
    for (path, page) in pages() {
        for (source, block) in quotes(&page) {
            let file = path.with_file_name(&source);
            let code = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{source}: {e}"));
            let page = path.display();
            assert!(code.contains(&block), "{page}: {source} has no such lines:\n{block}");
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} quotes were found");
}

#[test]
fn every_link_leads_to_a_file() {
    for (path, page) in pages() {
        for link in links(&page) {
            assert!(path.with_file_name(link).exists(), "{}: {link}", path.display());
        }
    }
}

#[test]
fn a_quote_belongs_to_the_last_file_named() {
    let page = "From [a](x/a.rs):\n```rust\none\n```\n[b](b.rs)\n```rust\n two\n\nthree\n```\n";
    let quotes = quotes(page);
    assert_eq!(quotes[0], ("x/a.rs".to_owned(), "one\n".to_owned()));
    assert_eq!(quotes[1], ("x/a.rs".to_owned(), " two\n\nthree\n".to_owned()));
    assert_eq!(links(page).collect::<Vec<_>>(), ["x/a.rs", "b.rs"]);
}
