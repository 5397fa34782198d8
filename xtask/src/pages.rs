//! What the Markdown pages promise: that links lead somewhere, and that Rust on a page compiles or is an excerpt of a source.

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
            let sources: Vec<String> = self.linked_sources(path, text).map(code).collect();
            for block in rust_blocks(text) {
                let wrong = match block.kind {
                    Kind::Compiled if !tested.contains(path) => {
                        "nothing compiles this Rust: name the page in a doctest (tests/src/lib.rs), or mark the block \
                         rust,ignore, or rust,excerpt if it stands in a source that the page links"
                    }
                    Kind::Excerpt if !sources.iter().any(|code| code.contains(&block.code)) => {
                        "this excerpt stands in no source that the page links"
                    }
                    _ => continue,
                };
                faults.push(format!("{path}:{}: {wrong}", block.line));
            }
        }
        faults
    }

    /// Texts of the Rust files that a page links.
    fn linked_sources(&self, page: &str, text: &str) -> impl Iterator<Item = &str> {
        let targets = links(text).into_iter().filter_map(|(_, link)| joined(page, &link));
        let files: BTreeSet<String> = targets.filter(|path| has_extension(path, "rs")).collect();
        files.into_iter().filter_map(|path| self.texts.get(&path).map(String::as_str))
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

/// What a block of Rust says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Compiled,
    /// `rust,excerpt`: lines of a source.
    Excerpt,
    /// `rust,ignore`.
    Neither,
}

struct RustBlock {
    /// Number of its first line.
    line: usize,
    kind: Kind,
    code: String,
}

/// The blocks of a page that say they are Rust.
fn rust_blocks(text: &str) -> Vec<RustBlock> {
    let mut found: Vec<RustBlock> = Vec::new();
    let (mut inside, mut rust) = (false, false);
    for (i, line) in text.lines().enumerate() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            inside = !inside;
            let words: Vec<&str> = info.split(',').map(str::trim).collect();
            rust = inside && words[0] == "rust";
            if rust {
                let kind = match () {
                    () if words.contains(&"ignore") => Kind::Neither,
                    () if words.contains(&"excerpt") => Kind::Excerpt,
                    () => Kind::Compiled,
                };
                found.push(RustBlock { line: i + 1, kind, code: String::new() });
            }
        } else if rust && let Some(block) = found.last_mut() {
            block.code.push_str(&code(line));
        }
    }
    found
}

/// Rust without its indentation and empty lines.
fn code(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
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

    #[test]
    fn excerpts_stand_in_a_source_that_the_page_links() {
        let source = ("a.rs", "fn a() {\n    let x = 1;\n\n    let y = 2;\n}\n");
        let page = |code: &str| format!("[a](../a.rs)\n```rust,excerpt\n{code}\n```\n");
        let (here, gone) = (page("  let x = 1;\n  let y = 2;"), page("  let x = 1;\n  let y = 3;"));
        assert_eq!(faults(&[("book/page.md", &here), source]), [""; 0]);
        let found = faults(&[("book/page.md", &gone), source]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("book/page.md:2:"), "{found:?}");
        let unlinked = here.replace("../a.rs", "page.md");
        assert_eq!(faults(&[("book/page.md", &unlinked), source]).len(), 1);
    }
}
