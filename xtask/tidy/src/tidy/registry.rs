//! The methods in the registry of the facade, which every other list must match.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, Lit, Token};

use super::Violation;
use super::repository::{TextFile, find};

/// The file with `methods! { ... }`.
const REGISTRY: &str = "crates/burn-ssl/src/registry.rs";
/// The form of a row of `methods!`.
const ROW: &str = "(\"<feature>\", <crate>, \"<method>\", <configuration>, ...)";

/// One row of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// What a user writes, such as `moco-v2`.
    pub(super) name: String,
    /// The cargo feature of the facade, such as `moco`.
    pub(super) feature: String,
    /// The crate as Rust names it.
    pub(super) library: String,
}

/// All rows of the registry.
#[derive(Debug, Default)]
pub(super) struct Methods(Vec<Method>);

impl Methods {
    /// Reads the registry among `files`.
    ///
    /// # Errors
    /// If there is no registry, or a row has a different form.
    pub(super) fn read(files: &[TextFile]) -> Result<Self, Violation> {
        let error = |line, sentence: String| Violation::new(REGISTRY, line, sentence);
        let file = find(files, REGISTRY)
            .ok_or_else(|| error(1, "there is no such file: expected the registry".to_owned()))?;
        let tree =
            syn::parse_file(&file.text).map_err(|why| error(why.span().start().line, why.to_string()))?;
        let calls = tree.items.iter().filter_map(|item| match item {
            syn::Item::Macro(call) if call.ident.is_none() && call.mac.path.is_ident("methods") => {
                Some(&call.mac)
            }
            _ => None,
        });
        let rows = calls.flat_map(|call| rows(call.tokens.clone()));
        let read = |row: Group| {
            let line = row.span_open().start().line;
            Method::read(row.stream()).ok_or_else(|| error(line, format!("expected a row {ROW}")))
        };
        let methods = rows.map(read).collect::<Result<Vec<_>, _>>()?;
        if methods.is_empty() {
            return Err(error(1, format!("there is no method: expected `methods! {{ {ROW}, }}`")));
        }
        Ok(Self(methods))
    }

    /// All methods, in order.
    pub(super) fn all(&self) -> &[Method] {
        &self.0
    }

    /// The first method of each crate.
    pub(super) fn of_crates(&self) -> impl Iterator<Item = &Method> {
        let is_first = |(place, method): &(usize, &Method)| {
            self.0[..*place].iter().all(|other| other.library != method.library)
        };
        self.0.iter().enumerate().filter(is_first).map(|(_, method)| method)
    }

    /// Whether `package` is a crate that holds methods.
    pub(super) fn has_crate(&self, package: &str) -> bool {
        self.0.iter().any(|method| method.package() == package)
    }

    /// Whether there is a method of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|method| method.name == name)
    }
}

impl Method {
    /// The package, such as `ssl-moco`.
    pub(super) fn package(&self) -> String {
        self.library.replace('_', "-")
    }

    fn read(row: TokenStream) -> Option<Self> {
        let cells = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(row).ok()?;
        let mut cells = cells.iter();
        let (feature, library, name) = (text(cells.next()?)?, cells.next()?, text(cells.next()?)?);
        let Expr::Path(library) = library else { return None };
        Some(Self { name, feature, library: library.path.get_ident()?.to_string() })
    }
}

/// The groups in parentheses.
fn rows(tokens: TokenStream) -> impl Iterator<Item = Group> {
    tokens.into_iter().filter_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group),
        _ => None,
    })
}

fn text(cell: &Expr) -> Option<String> {
    match cell {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// Methods for tests: feature and name of each.
#[cfg(test)]
impl Methods {
    pub(super) fn of(rows: &[[&str; 2]]) -> Self {
        let method = |[feature, name]: &[&str; 2]| Method {
            name: (*name).to_owned(),
            feature: (*feature).to_owned(),
            library: format!("ssl_{}", feature.replace('-', "_")),
        };
        Self(rows.iter().map(method).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = r#"
        macro_rules! methods { ($($row:tt,)*) => {}; }
        methods! {
            ("one", ssl_one, "one-v2", OneConfig::v2(), "a queue", "https://arxiv.org/abs/2003.04297"),
            ("one", ssl_one, "one-v3", OtherConfig::new(), "none", "https://arxiv.org/abs/2104.02057"),
            ("two-words", ssl_two_words, "two-words", TwoWordsConfig::new()),
        }
    "#;

    fn read(text: &str) -> Result<Methods, String> {
        let file = TextFile { path: REGISTRY.to_owned(), text: text.to_owned() };
        Methods::read(&[file]).map_err(|violation| violation.to_string())
    }

    #[test]
    fn rows_have_feature_crate_and_name_and_crates_come_once() {
        let methods = read(ROWS).expect("three rows");
        let names = methods.all().iter().map(|method| method.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["one-v2", "one-v3", "two-words"]);
        let crates = methods.of_crates().map(|method| (method.package(), method.feature.clone()));
        let expected = [("ssl-one", "one"), ("ssl-two-words", "two-words")];
        assert_eq!(
            crates.collect::<Vec<_>>(),
            expected.map(|(package, feature)| (package.into(), feature.into()))
        );
        assert!(methods.has_crate("ssl-one") && !methods.has_crate("ssl-core"));
        assert!(methods.has("one-v3") && !methods.has("one"));
    }

    #[test]
    fn a_registry_of_another_form_is_a_violation_at_its_line() {
        assert_eq!(
            read("\nmethods! {\n    (one, ssl_one),\n}\n").expect_err("no texts"),
            format!("{REGISTRY}:3: expected a row {ROW}")
        );
        assert!(read("fn main() {}\n").expect_err("no rows").contains("there is no method"));
        assert!(Methods::read(&[]).is_err(), "no file");
    }
}
