//! Libraries name recipe keys and fields in their messages; only the tool names its flags.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Violation;
use super::repository::TextFile;

/// The tool itself.
const TOOL: &str = "crates/ssl-cli/";
/// A flag of cargo, which a library that lacks a feature may name.
const OF_CARGO: &str = "--features";

/// The string literals of a library that name a flag, outside its tests and documentation.
pub(super) fn check(file: &TextFile) -> Vec<Violation> {
    let is_library = file.is_rust()
        && file.path.starts_with("crates/")
        && file.path.contains("/src/")
        && !file.path.starts_with(TOOL);
    if !is_library || file.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    // The compiler reports files that do not parse.
    let Ok(tokens) = file.text.parse::<TokenStream>() else { return Vec::new() };
    let mut found = Vec::new();
    literals(tokens, &mut found);
    let named = found.into_iter().filter_map(|(line, text)| Some((line, flag(&text)?.to_owned())));
    let sentence = |flag: &str| {
        format!(
            "the text names the flag `{flag}`: expected a recipe key or a field, `ssl-cli/src/hint.rs` adds flags"
        )
    };
    named.map(|(line, flag)| Violation::new(&file.path, line, sentence(&flag))).collect()
}

/// The first word of `text` that looks like `--flag`.
fn flag(text: &str) -> Option<&str> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let mut words = text.split(|letter| !is_part(letter));
    words.find(|word| {
        let name = word.strip_prefix("--");
        name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
            && *word != OF_CARGO
    })
}

/// The literals of `tokens` with their lines, without those in documentation and test modules.
fn literals(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let mut tokens = tokens.into_iter();
    let mut after_hash = false;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Group(group) if after_hash && is_attribute(group, "cfg", Some("test")) => {
                // Skips the item, which ends with a block or a semicolon.
                let _ = tokens.by_ref().find(ends_item);
            }
            TokenTree::Group(group) if after_hash && is_attribute(group, "doc", None) => {}
            TokenTree::Group(group) => literals(group.stream(), found),
            TokenTree::Literal(literal) => found.push((literal.span().start().line, literal.to_string())),
            _ => {}
        }
        after_hash = match &token {
            TokenTree::Punct(mark) => mark.as_char() == '#' || after_hash && mark.as_char() == '!',
            _ => false,
        };
    }
}

/// Whether a group is `[name ...]`, with `(argument)` after the name if one is given.
fn is_attribute(group: &proc_macro2::Group, name: &str, argument: Option<&str>) -> bool {
    let mut tokens = group.stream().into_iter();
    let named = matches!(tokens.next(), Some(TokenTree::Ident(ident)) if ident == name);
    let fits = argument.is_none_or(
        |argument| matches!(tokens.next(), Some(TokenTree::Group(inner)) if inner.stream().to_string() == argument),
    );
    group.delimiter() == Delimiter::Bracket && named && fits
}

fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        check(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_flag_in_a_message_of_a_library_is_a_violation() {
        for line in [
            "fn f() { panic!(\"expected --data PATH\") }",
            "#[error(\"{} exists: set (--overwrite)\", .0)] struct It;",
            "mod a { const A: &str = \"--from-head-layer is 1\"; }",
            "#[cfg(test)] mod tests;\nconst A: &str = \"--resume\";",
        ] {
            let list = found("crates/ssl-tasks/src/error.rs", line);
            assert!(list.len() == 1 && list[0].contains("names the flag `--"), "{line}: {list:?}");
            assert!(found("crates/ssl-cli/src/hint.rs", line).is_empty(), "the tool may: {line}");
        }
    }

    #[test]
    fn tests_documentation_dashes_and_flags_of_cargo_are_none() {
        for line in [
            "/// Official `--drop_path_rate`.\nfn f() {}",
            "//! Run it with `--release`.\n#![doc = \"--data\"]",
            "// --data\nfn f() {}",
            "#[cfg(test)]\nmod tests { const A: &str = \"--data\"; }",
            "const A: &str = \"a -- b, ---\";",
            "const A: &str = \"build with --features tch\";",
        ] {
            let list = found("crates/ssl-tasks/src/error.rs", line);
            assert!(list.is_empty(), "{line}: {list:?}");
        }
        assert!(found("crates/ssl-tasks/src/a/tests.rs", "const A: &str = \"--data\";").is_empty());
        assert!(found("crates/ssl-tasks/tests/a.rs", "const A: &str = \"--data\";").is_empty());
    }
}
