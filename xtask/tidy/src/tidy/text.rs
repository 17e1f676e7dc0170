//! What no text in the repository may contain.

use proc_macro2::{Spacing, TokenStream, TokenTree};

use super::Violation;
use super::registry::Methods;
use super::repository::TextFile;

// The words are split in two here, so that this file keeps its own rules.

/// Marks of unfinished work.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Macros that stand for missing code, or that debugging left behind.
const MACROS: [&str; 3] = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
/// Hosts of package registries, and the settings that would name one.
const REGISTRIES: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js."),
    concat!("proxy.golang", ".org"),
    concat!("index", "-url"),
    concat!("INDEX", "_URL"),
    concat!("replace", "-with"),
    concat!("CARGO_", "REGISTRIES"),
];
/// Words that make a comment line a citation.
const CITATIONS: [&str; 4] = ["source", "official", "arxiv", "http"];
/// Backend crates as Rust code names them; `burn::backend` and `tch::` are found as paths.
const BACKENDS: [&str; 8] = [
    "burn_autodiff",
    "burn_cubecl",
    "burn_cuda",
    "burn_dispatch",
    "burn_flex",
    "burn_ndarray",
    "burn_tch",
    "burn_wgpu",
];

/// The violations in one file.
pub(super) fn check(file: &TextFile, methods: &Methods) -> Vec<Violation> {
    // Cargo writes the lock file, which names the default registry in every entry.
    if file.path == "Cargo.lock" {
        return Vec::new();
    }
    let mut violations = lines_that(file, |line| unfinished(line).or_else(|| names_registry(line)));
    if file.is_rust() || file.path.ends_with(".md") {
        violations.extend(lines_that(file, ignored_doctest));
    }
    if file.is_rust() {
        violations.extend(lines_that(file, placeholder));
    }
    if file.is_rust() && !file.path.starts_with("crates/ssl-kernels/") {
        violations.extend(named_backends(file));
    }
    if file.path.starts_with("crates/ssl-core/src/") {
        violations.extend(lines_that(file, |line| core_knows_method(line, methods)));
    }
    violations
}

fn lines_that(file: &TextFile, rule: impl Fn(&str) -> Option<String>) -> Vec<Violation> {
    let broken = file.numbered_lines().filter_map(|(number, line)| Some((number, rule(line)?)));
    broken.map(|(number, sentence)| Violation::new(&file.path, number, sentence)).collect()
}

fn unfinished(line: &str) -> Option<String> {
    let mark = MARKS.iter().find(|mark| has_word(line, mark))?;
    Some(format!("`{mark}` marks unfinished work: finish it or open an issue"))
}

fn placeholder(line: &str) -> Option<String> {
    let found = MACROS.iter().find(|name| line.contains(**name))?;
    Some(format!("`{found}` has no place in finished code"))
}

fn names_registry(line: &str) -> Option<String> {
    let found = REGISTRIES.iter().find(|host| line.contains(**host))?;
    Some(format!("`{found}` names a package registry: expected the default one, unnamed"))
}

fn ignored_doctest(line: &str) -> Option<String> {
    let fence = line.trim_start().trim_start_matches(['/', '!']).trim_start().strip_prefix("```")?;
    let ignored = fence.split([',', ' ']).any(|word| word.starts_with("ignore"));
    ignored.then(|| "the example is never compiled: expected one that runs, `no_run` or `text`".to_owned())
}

fn core_knows_method(line: &str, methods: &Methods) -> Option<String> {
    let lower = line.to_lowercase();
    let joined = lower.replace(['-', '_'], "");
    let mut words = methods.of_crates().map(|method| telling_part(&method.feature));
    let method = words.find(|word| joined.contains(word))?;
    let cites = line.trim_start().starts_with("//") && CITATIONS.iter().any(|word| lower.contains(word));
    let rule =
        "ssl-core knows no method, only a comment line with `Source`, `official`, `arXiv` or a link may";
    (!cites).then(|| format!("the line names `{method}`: {rule}"))
}

/// The first word of a name, such as `barlow` of `barlow-twins`; the whole name where core has a use of its own for that word.
fn telling_part(feature: &str) -> String {
    match feature.split_once('-') {
        Some(("distill", _)) | None => feature.replace('-', ""),
        Some((first, _)) => first.to_owned(),
    }
}

/// The backends that the code names; comments and strings may mention them.
fn named_backends(file: &TextFile) -> Vec<Violation> {
    let Ok(tokens) = file.text.parse::<TokenStream>() else {
        return vec![Violation::new(&file.path, 1, "the file is not valid Rust")];
    };
    let mut words = Vec::new();
    flatten(tokens, &mut words);
    let found =
        words.iter().enumerate().filter_map(|(index, word)| Some((word.line, backend_at(&words[index..])?)));
    let sentence = |name: &str| {
        format!("the code names the backend `{name}`: only ssl-kernels may, devices come by value")
    };
    found.map(|(line, name)| Violation::new(&file.path, line, sentence(&name))).collect()
}

/// The backend that the first of `words` names, if any.
fn backend_at(words: &[Word]) -> Option<String> {
    let text = words.iter().map(|word| word.text.as_str()).take(4).collect::<Vec<_>>();
    match text[..] {
        [name, ..] if BACKENDS.contains(&name) => Some(name.to_owned()),
        // The types and constructors of libtorch leave Burn in 0.23: one crate must be enough to follow.
        [name, ..] if name.to_lowercase().starts_with("libtorch") => Some(name.to_owned()),
        ["tch", "::", ..] => Some("tch".to_owned()),
        ["burn", "::", "backend", ..] => Some("burn::backend".to_owned()),
        ["burn", "::", "{", ..] => {
            let list = words[3..].iter().take_while(|word| word.text != ";");
            list.clone().any(|word| word.text == "backend").then(|| "burn::backend".to_owned())
        }
        _ => None,
    }
}

/// One identifier, `::`, `;` or opening brace of Rust code.
struct Word {
    text: String,
    line: usize,
}

/// The words of `tokens` and of the groups in them, in source order.
fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    for token in tokens {
        let line = token.span().start().line;
        let mut push = |text: String| words.push(Word { text, line });
        match token {
            TokenTree::Ident(ident) => push(ident.to_string()),
            TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint => {
                push("::".to_owned())
            }
            TokenTree::Punct(mark) if mark.as_char() != ':' => push(mark.to_string()),
            TokenTree::Group(group) => {
                push("{".to_owned());
                flatten(group.stream(), words);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Whether `line` contains `word` without a letter, digit or underscore next to it.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        let methods =
            ["simclr", "moco", "byol", "dino", "barlow-twins", "distill-features"].map(|name| [name; 2]);
        let methods = Methods::of(&methods);
        check(&file, &methods).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn marks_of_unfinished_work_are_violations_in_every_file() {
        for mark in MARKS {
            for path in ["crates/ssl-data/src/lib.rs", "docs/methods.md", ".ci/run"] {
                let list = found(path, &format!("// fine\n// {mark}: later\n"));
                assert!(list.len() == 1 && list[0].starts_with(&format!("{path}:2: ")), "{list:?}");
            }
        }
        assert!(found("a.md", &format!("{}X", MARKS[2])).is_empty(), "part of a longer word");
    }

    #[test]
    fn placeholders_are_violations_in_rust() {
        for name in MACROS {
            let list = found("crates/ssl-data/src/lib.rs", &format!("fn f() {{ {name}) }}\n"));
            assert_eq!(list.len(), 1, "{name}");
        }
    }

    #[test]
    fn registry_hosts_are_violations_outside_of_the_lock_file() {
        for host in REGISTRIES {
            assert_eq!(found("README.md", &format!("see https://{host}/x\n")).len(), 1, "{host}");
            assert!(found("Cargo.lock", host).is_empty());
        }
    }

    #[test]
    fn examples_that_are_never_compiled_are_violations() {
        for fence in ["/// ```ignore", "    //! ```rust,ignore", "```rust, ignore"] {
            let list = found("docs/methods.md", &format!("{fence}\n"));
            assert!(list.len() == 1 && list[0].contains("never compiled"), "{fence}: {list:?}");
        }
        for fence in ["/// ```", "/// ```no_run", "/// ```text", "/// Use ```x``` to ignore it."] {
            let list = found("crates/ssl-data/src/lib.rs", &format!("{fence}\nfn f() {{}}\n"));
            assert!(list.is_empty(), "{fence}: {list:?}");
        }
    }

    #[test]
    fn a_method_name_in_the_code_of_core_is_a_violation() {
        for line in [
            "pub struct MoCoQueue;",
            "fn f() { let dino_centre = 1; }",
            "// The queue of MoCo.",
            "/// As in SimCLR.",
            "fn barlow_loss() {}",
            "fn distill_features() {}",
            "fn f() {} // Source: BYOL",
        ] {
            let list = found("crates/ssl-core/src/queue.rs", &format!("{line}\n"));
            assert!(list.len() == 1 && list[0].contains("ssl-core knows no method"), "{line}: {list:?}");
        }
        assert!(found("crates/ssl-moco/src/lib.rs", "pub struct MoCo;\n").is_empty(), "other crates may");
    }

    #[test]
    fn a_comment_of_core_that_cites_a_source_may_name_a_method() {
        for line in [
            "/// Source: He et al. 2020 (MoCo), section 3.2.",
            "// MoCo, arXiv 1911.05722",
            "/// Official code of DINO, `utils.py`",
            "//! BYOL, <https://arxiv.org/abs/2006.07733>",
        ] {
            assert!(found("crates/ssl-core/src/queue.rs", &format!("{line}\n")).is_empty(), "{line}");
        }
    }

    #[test]
    fn code_that_names_a_backend_is_a_violation_outside_of_kernels() {
        for line in [
            "use burn::backend::Flex;",
            "use burn::{prelude::*, backend::{Flex, Wgpu}};",
            "use burn_tch::TchTensor;",
            "fn f(device: LibTorchDevice) {}",
            "fn f() { Device::libtorch_cuda(0); }",
            "fn f() { tch::Cuda::is_available(); }",
        ] {
            assert_eq!(found("crates/ssl-train/src/lib.rs", &format!("{line}\n")).len(), 1, "{line}");
            assert!(found("crates/ssl-kernels/src/lib.rs", &format!("{line}\n")).is_empty(), "{line}");
        }
    }

    #[test]
    fn code_that_only_sounds_like_a_backend_is_none() {
        for line in [
            "//! Runs on burn::backend::LibTorch too.",
            "const DEVICE: &str = \"tch:cuda:0\";",
            "use crate::batch::Batch;",
            "use burn::{prelude::*, tensor::Int};\nfn backend() {}",
            "#[cfg(feature = \"tch\")] fn f() {}",
        ] {
            assert!(found("crates/ssl-train/src/lib.rs", &format!("{line}\n")).is_empty(), "{line}");
        }
    }
}
