//! A PTX text as a list of named top-level items, without comments and debug directives.

use std::collections::{BTreeMap, BTreeSet};

/// What a top-level item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A kernel.
    Entry,
    /// A function with a body.
    Function,
    /// A function promised to come from elsewhere, or declared ahead of its body.
    Declaration { external: bool },
    /// Anything else with a name: mostly variables.
    Variable,
}

/// One top-level item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    /// What it is.
    pub(crate) kind: Kind,
    /// The symbol it defines or declares.
    pub(crate) name: String,
    /// The text, without comments.
    pub(crate) text: String,
}

/// Splits a PTX text. The three header directives and everything that serves a debugger are left out.
pub(crate) fn parse(ptx: &str) -> Vec<Item> {
    let text = strip(ptx);
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = end_of_item(rest);
        let (item, tail) = rest.split_at(end);
        rest = tail.trim_start();
        if !item.starts_with(".section") {
            items.push(classify(item.trim_end()));
        }
    }
    items
}

/// The items that the roots need, each after what it refers to, so that no declaration has to come
/// ahead of a use. The order depends on the references alone, never on the names: names that carry
/// a crate's hash sort differently in every checkout.
pub(crate) fn reachable<'a>(items: &'a [Item], roots: &[&str]) -> Vec<&'a Item> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        by_name.entry(&item.name).or_default().push(i);
    }
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for root in roots {
        visit(root, items, &by_name, &mut seen, &mut order);
    }
    order.into_iter().map(|i| &items[i]).collect()
}

fn visit<'a>(
    name: &'a str,
    items: &'a [Item],
    by_name: &BTreeMap<&'a str, Vec<usize>>,
    seen: &mut BTreeSet<&'a str>,
    order: &mut Vec<usize>,
) {
    let Some(indices) = by_name.get(name) else { return };
    if !seen.insert(name) {
        return;
    }
    for &i in indices {
        for word in words(&items[i].text) {
            visit(word, items, by_name, seen, order);
        }
        order.push(i);
    }
}

/// Replaces whole words (and the stem of `<word>_param_<n>`) by the map's values.
pub(crate) fn rename(text: &str, names: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_word_char) {
        let (before, tail) = rest.split_at(start);
        let end = tail.find(|c| !is_word_char(c)).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        let (stem, suffix) = word.split_at(word.rfind("_param_").unwrap_or(word.len()));
        out += before;
        match (names.get(word), names.get(stem)) {
            (Some(new), _) => out += new,
            (None, Some(new)) => {
                out += new;
                out += suffix;
            }
            (None, None) => out += word,
        }
        rest = after;
    }
    out + rest
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word_char(c)).filter(|word| !word.is_empty())
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

/// Drops comments, debug directives, the header's directives and blank lines.
fn strip(ptx: &str) -> String {
    const DROPPED: [&str; 5] = [".file", ".loc", ".version", ".target", ".address_size"];
    let mut code = String::with_capacity(ptx.len());
    let mut rest = ptx;
    while let Some(start) = rest.find("/*") {
        // `//*` opens a line comment; its tail is cut below with the line.
        let line = rest[..start].rfind('\n').map_or(0, |i| i + 1);
        if rest[line..=start].contains("//") {
            let end = rest[start..].find('\n').map_or(rest.len(), |i| start + i);
            code += &rest[..line + rest[line..].find("//").unwrap_or(0)];
            rest = &rest[end..];
            continue;
        }
        code += &rest[..start];
        rest = rest[start..].find("*/").map_or("", |i| &rest[start + i + 2..]);
    }
    code += rest;

    let mut out = String::with_capacity(code.len());
    for line in code.lines() {
        let line = line.split_once("//").map_or(line, |(before, _)| before).trim_end();
        let word = line.split_whitespace().next().unwrap_or_default();
        if !word.is_empty() && !DROPPED.contains(&word) {
            out += line;
            out.push('\n');
        }
    }
    out
}

/// The end of the item that a text begins with: `;`, or for a function or section its last brace.
fn end_of_item(text: &str) -> usize {
    let head = text.find(['(', '{', ';']).map_or(text, |i| &text[..i]);
    let has_body = [".entry", ".func", ".section"].iter().any(|kind| head.contains(kind));
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => {
                depth = depth.saturating_sub(1);
                if c == '}' && depth == 0 && has_body {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    text.len()
}

fn classify(text: &str) -> Item {
    let (kind, name) = if let Some((_, after)) = text.split_once(".entry") {
        (Kind::Entry, first_name(after))
    } else if let Some((before, after)) = text.split_once(".func") {
        let kind = if text.ends_with('}') {
            Kind::Function
        } else {
            Kind::Declaration { external: before.contains(".extern") }
        };
        let mut after = after.trim_start();
        if after.starts_with('(') {
            after = after.split_once(')').map_or("", |(_, tail)| tail);
        }
        (kind, first_name(after))
    } else {
        let declared = text.split_once('=').map_or(text, |(before, _)| before);
        let name = declared
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| is_word_char(c) && !c.is_ascii_digit()));
        (Kind::Variable, first_name(name.unwrap_or_default()))
    };
    Item { kind, name: name.to_owned(), text: text.to_owned() }
}

fn first_name(text: &str) -> &str {
    words(text).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = r#"//
// Generated by LLVM
.version 8.0
.target sm_90a
.address_size 64
.file 1 "/somewhere//lib.rs"
.extern .shared .align 1024 .b8 dyn_smem[];
	// .globl	f
.extern .func  (.param .b32 func_retval0) _RNpanic
(
	.param .b64 _RNpanic_param_0
)
;
.global .align 1 .b8 anon_$_0[2] = {84, 101};
.visible .func  (.param .b32 func_retval0) _RNhelp(
	.param .b64 _RNhelp_param_0
)
{
	mov.b64 	%rd2, anon_$_0;	// a comment
	ret;
}
.visible .entry k(
	.param .align 16 .b8 k_param_0[64]
)
{
	.reg .b32 	%r<2>;
	.loc 1 2 3
	// begin inline asm
	{ .reg .pred p; W: /* why */ @p bra W; }
	// end inline asm
	mov.u32 %r1, dyn_smem;
	call.uni (retval0), _RNhelp, (param0);
	ret;
}
.section .debug_info { .b8 1 }
"#;

    #[test]
    fn items_have_kinds_and_names() {
        let items = parse(PTX);
        let found: Vec<_> = items.iter().map(|item| (item.kind, item.name.as_str())).collect();
        assert_eq!(
            found,
            [
                (Kind::Variable, "dyn_smem"),
                (Kind::Declaration { external: true }, "_RNpanic"),
                (Kind::Variable, "anon_$_0"),
                (Kind::Function, "_RNhelp"),
                (Kind::Entry, "k"),
            ]
        );
    }

    #[test]
    fn comments_paths_and_debug_lines_are_gone() {
        let all: String = parse(PTX).into_iter().map(|item| item.text).collect();
        for gone in ["//", "/*", "why", ".loc", "somewhere", "inline asm", "debug"] {
            assert!(!all.contains(gone), "{gone} in {all}");
        }
        assert!(all.contains("{ .reg .pred p; W:  @p bra W; }"));
    }

    #[test]
    fn only_what_an_entry_needs_is_reached_and_definitions_come_first() {
        let items = parse(PTX);
        let names: Vec<_> = reachable(&items, &["k"]).iter().map(|i| i.name.clone()).collect();
        assert_eq!(names, ["dyn_smem", "anon_$_0", "_RNhelp", "k"]);
        assert!(reachable(&items, &["nothing"]).is_empty());
    }

    #[test]
    fn a_name_is_replaced_as_a_word_and_in_its_parameters() {
        let names = [("_RNhelp".to_owned(), "local_0".to_owned())].into();
        let text = rename("call _RNhelp, [_RNhelp_param_0], _RNhelper", &names);
        assert_eq!(text, "call local_0, [local_0_param_0], _RNhelper");
    }

    #[test]
    fn a_comment_marker_inside_a_line_comment_opens_nothing() {
        assert_eq!(strip("a; // x /* y\nb;\n"), "a;\nb;\n");
        assert_eq!(strip("//*\nb; /* c\nd */ e;\n"), "b;  e;\n");
    }
}
