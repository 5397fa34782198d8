//! What the Markdown pages promise: that links lead somewhere, and that Rust on a page compiles.

use std::collections::{BTreeMap, BTreeSet};

/// Every text of the tree, by its path from the root.
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    /// Every path, those of folders among them.
    paths: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn new(files: Vec<(String, Option<String>)>) -> Self {
        let mut tree = Self { texts: BTreeMap::new(), paths: BTreeSet::from([String::new()]) };
        for (path, text) in files {
            let mut folder = path.as_str();
            while let Some((parent, _)) = folder.rsplit_once('/') {
                tree.paths.insert(parent.to_owned());
                folder = parent;
            }
            tree.paths.insert(path.clone());
            if let Some(text) = text {
                tree.texts.insert(path, text);
            }
        }
        tree
    }

    /// The faults of all pages.
    pub(crate) fn faults(&self) -> Vec<String> {
        let tested = self.doctests();
        let mut faults = Vec::new();
        for (path, text) in &self.texts {
            faults.extend(self.mentions(path, text));
            if !is_page(path) {
                continue;
            }
            for (line, link) in links(text) {
                if let Some(wrong) = self.wrong(path, &link) {
                    faults.push(format!("{path}:{line}: the link {link} {wrong}"));
                }
            }
            if !tested.contains(path) {
                faults.extend(rust_blocks(text).into_iter().map(|line| {
                    format!(
                        "{path}:{line}: nothing compiles this Rust: name the page in a doctest \
                         (tests/src/lib.rs), or mark the block rust,ignore"
                    )
                }));
            }
        }
        faults
    }

    /// What is wrong with a link of a page.
    fn wrong(&self, page: &str, link: &str) -> Option<String> {
        if link.contains(':') {
            return None;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() { Some(page.to_owned()) } else { joined(page, path) };
        let Some(target) = target.filter(|target| self.paths.contains(target)) else {
            return Some("leads to no file of this repository".to_owned());
        };
        if anchor.is_empty() {
            return None;
        }
        let text = self.texts.get(&target).filter(|_| is_page(&target));
        let found = text.is_some_and(|text| anchors(text).contains(anchor));
        (!found).then(|| format!("names a heading that {target} does not have"))
    }

    /// Pages and pictures of `docs` that a file names without a link, as sources do, and that do not exist.
    fn mentions(&self, path: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (i, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices("docs/") {
                if line[..at].ends_with(|c: char| is_path(c) && c != '.') {
                    continue;
                }
                let end = line[at..].find(|c| !is_path(c)).map_or(line.len(), |end| at + end);
                let named = line[at..end].trim_end_matches('.');
                let kind = named.rsplit_once('.').map_or("", |(_, kind)| kind);
                if matches!(kind, "md" | "svg") && !self.paths.contains(named) {
                    faults.push(format!("{path}:{}: there is no {named}", i + 1));
                }
            }
        }
        faults
    }

    /// Pages whose Rust blocks rustdoc compiles.
    fn doctests(&self) -> BTreeSet<String> {
        let sources = self.texts.iter().filter(|(path, _)| has_extension(path, "rs"));
        let lines = sources.flat_map(|(path, text)| text.lines().map(move |line| (path, line)));
        lines
            .filter(|(_, line)| line.starts_with("#[doc = ") || line.starts_with("#![doc = "))
            .filter_map(|(path, line)| {
                let (_, rest) = line.split_once("include_str!(\"")?;
                joined(path, rest.split_once('"')?.0)
            })
            .collect()
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, own)| own == extension)
}

fn is_page(path: &str) -> bool {
    has_extension(path, "md")
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// Where a relative path leads from a file; nowhere above the root.
fn joined(file: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Lines of a page that are not code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!fence && !code).then_some((i + 1, line))
    })
}

/// Targets of links and pictures, with the number of their line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Every other piece is a code span.
        let spoken: Vec<&str> = line.split('`').step_by(2).collect();
        let spoken = spoken.join("code");
        for (at, _) in spoken.match_indices("](") {
            let target = spoken[at + 2..].split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
        if let Some((_, target)) = spoken.strip_prefix('[').and_then(|rest| rest.split_once("]: "))
        {
            found.push((number, target.trim().to_owned()));
        }
    }
    found
}

/// The anchors that GitHub gives to the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let plain: String = heading.trim().to_lowercase().chars().filter(kept).collect();
        let base = plain.replace(' ', "-");
        let more = (1..).map(|i| format!("{base}-{i}"));
        let mut names = std::iter::once(base.clone()).chain(more);
        anchors.extend(names.find(|name| !anchors.contains(name)));
    }
    anchors
}

/// Line numbers of the blocks that say they are Rust to be compiled.
fn rust_blocks(text: &str) -> Vec<usize> {
    let mut inside = false;
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        inside = !inside;
        let mut words = info.split(',').map(str::trim);
        if inside && words.next() == Some("rust") && !words.any(|word| word == "ignore") {
            found.push(i + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let file = |&(path, text): &(&str, &str)| (path.to_owned(), Some(text.to_owned()));
        Tree::new(files.iter().map(file).collect()).faults()
    }

    #[test]
    fn links_lead_to_files_folders_and_headings() {
        let page = "# A `b` of (c)\n[x](../a.rs) [y](../book) [z](other.md#two-words) [a](#a-b-of-c)\n\
                    [web](https://example.org) `[no](link)`\n```\n[no](link)\n```\n[ref]: ../a.rs\n";
        let files = [("book/page.md", page), ("book/other.md", "## Two words\n"), ("a.rs", "")];
        assert_eq!(faults(&files), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        for link in ["b.rs", "../../a.rs", "other.md#three", "#none", "other.md#two-words-1"] {
            let page = format!("\nsee [this\nand that]({link})\n");
            let found = faults(&[("book/page.md", &page), ("book/other.md", "# Two words\n")]);
            assert_eq!(found.len(), 1, "{link}: {found:?}");
            assert!(found[0].starts_with("book/page.md:3:"), "{found:?}");
        }
        assert_eq!(faults(&[("page.md", "[ref]: gone.md\n")]).len(), 1);
    }

    #[test]
    fn equal_headings_are_numbered() {
        assert_eq!(
            anchors("# A\n## A\n#no\n```\n# B\n```\n").into_iter().collect::<Vec<_>>(),
            ["a", "a-1"]
        );
    }

    #[test]
    fn pages_named_in_sources_exist() {
        let gone = concat!("// see do", "cs/gone.md.\n");
        assert_eq!(faults(&[("a.rs", gone)]).len(), 1);
        let here = concat!("// see do", "cs/here.md, my_do", "cs/gone.md and do", "cs/gone.txt\n");
        assert_eq!(faults(&[("a.rs", here), (concat!("do", "cs/here.md"), "")]), [""; 0]);
    }

    #[test]
    fn rust_on_a_page_is_compiled_or_marked() {
        let page = "```rust,no_run\nlet x = 1;\n```\n```rust,ignore\n```\n```text\nrust\n```\n";
        assert_eq!(faults(&[("book/page.md", page)]).len(), 1);
        let test =
            "#[cfg(doctest)]\n#[doc = include_str!(\"../book/page.md\")]\npub struct Page;\n";
        assert_eq!(faults(&[("book/page.md", page), ("src/lib.rs", test)]), [""; 0]);
        assert_eq!(faults(&[("book/page.md", page), ("src/deep/lib.rs", test)]).len(), 1);
    }
}
