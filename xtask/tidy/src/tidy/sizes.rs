//! The longest functions and files, as information for reviewers. This is not a rule.

use std::fmt::Write;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::repository::TextFile;

/// The number of longest functions to show.
const SHOWN: usize = 10;
/// A file above this many lines before its tests is probably two files.
const LONG_FILE: usize = 300;

/// The longest functions and the long files of the libraries and tools, as lines of text; tests do not count.
pub(super) fn summary(files: &[TextFile]) -> String {
    let sources = || files.iter().filter(|file| file.is_rust() && file.path.contains("/src/"));
    let mut functions = sources().flat_map(functions).collect::<Vec<_>>();
    functions.sort_by(|a, b| b.lines.cmp(&a.lines).then(a.path.cmp(&b.path)));
    let mut text = String::from("longest functions:\n");
    for Function { lines, path, line, name } in functions.iter().take(SHOWN) {
        let _ = writeln!(text, "  {lines:4} lines  {path}:{line} {name}");
    }
    let mut long = sources().map(|file| (lines_above_tests(file), &file.path)).collect::<Vec<_>>();
    long.retain(|(lines, _)| *lines > LONG_FILE);
    long.sort_by(|a, b| b.cmp(a));
    let _ = write!(text, "files over {LONG_FILE} lines above their tests: {}", long.len());
    for (lines, path) in long {
        let _ = write!(text, "\n  {lines:4} lines  {path}");
    }
    text
}

struct Function {
    lines: usize,
    path: String,
    line: usize,
    name: String,
}

/// The functions of a file outside its test modules; none if the file does not parse, which the compiler reports.
fn functions(file: &TextFile) -> Vec<Function> {
    let Ok(tree) = syn::parse_file(&file.text) else { return Vec::new() };
    let mut found = Functions { path: &file.path, found: Vec::new() };
    found.visit_file(&tree);
    found.found
}

struct Functions<'a> {
    path: &'a str,
    found: Vec<Function>,
}

impl Functions<'_> {
    /// Counts from the line of the signature to the closing brace, without the documentation above.
    fn record(&mut self, signature: &syn::Signature, body: Span) {
        let (start, end) = (signature.span().start().line, body.end().line);
        let (path, name) = (self.path.to_owned(), signature.ident.to_string());
        self.found.push(Function { lines: end - start + 1, path, line: start, name });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.record(&function.sig, function.block.span());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.record(&function.sig, function.block.span());
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.record(&function.sig, block.span());
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    let is_test =
        |attribute: &syn::Attribute| attribute.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test");
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && is_test(attribute))
}

fn lines_above_tests(file: &TextFile) -> usize {
    file.text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
/// Documentation does not count.
fn short() {}

struct It;
impl It {
    fn longer(
        &self,
    ) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    fn a_test_does_not_count() {
        let _ = 1;
        let _ = 2;
        let _ = 3;
        let _ = 4;
        let _ = 5;
    }
}
";

    #[test]
    fn functions_are_counted_from_signature_to_brace_without_tests() {
        let file = TextFile { path: "crates/it/src/lib.rs".to_owned(), text: SOURCE.to_owned() };
        let text = summary(&[file]);
        let lines = text.lines().collect::<Vec<_>>();
        assert_eq!(lines[1].trim(), "5 lines  crates/it/src/lib.rs:6 longer");
        assert_eq!(lines[2].trim(), "1 lines  crates/it/src/lib.rs:2 short");
        assert_eq!(lines[3], "files over 300 lines above their tests: 0");
    }

    #[test]
    fn a_file_counts_as_long_by_its_lines_above_the_tests() {
        let code = "\n".repeat(LONG_FILE + 1);
        let file = |text: String| TextFile { path: "crates/it/src/lib.rs".to_owned(), text };
        assert!(summary(&[file(code.clone())]).contains(" 301 lines  crates/it/src/lib.rs"));
        assert!(summary(&[file(format!("#[cfg(test)]{code}"))]).ends_with(": 0"));
    }
}
