//! Who may import whom.
//!
//! ```text
//! ssl-cli, examples -> burn-ssl -> ssl-<method>, ssl-encoders, ssl-data, ssl-train, ssl-eval
//!     -> ssl-core -> ssl-kernels -> burn
//! ssl-tasks, ssl-encoders, ssl-train, ssl-data -> ssl-files
//! ssl-tasks -> ssl-report; ssl-tasks, ssl-train -> ssl-tensorboard
//! burn-ssl -> ssl-dist -> ssl-kernels
//! ```

use super::Violation;
use super::registry::Methods;
use super::repository::{Package, TextFile, find};

/// Packages that are a backend: only `ssl-kernels` may depend on them.
const BACKEND_PACKAGES: [&str; 11] = [
    "burn-autodiff",
    "burn-candle",
    "burn-cpu",
    "burn-cubecl",
    "burn-cuda",
    "burn-dispatch",
    "burn-flex",
    "burn-ndarray",
    "burn-rocm",
    "burn-tch",
    "burn-wgpu",
];

/// The violations in the dependency tables of the workspace.
pub(super) fn check(packages: &[Package], files: &[TextFile], methods: &Methods) -> Vec<Violation> {
    packages.iter().flat_map(|package| check_package(package, packages, files, methods)).collect()
}

fn check_package(
    package: &Package,
    all: &[Package],
    files: &[TextFile],
    methods: &Methods,
) -> Vec<Violation> {
    let manifest = package.manifest();
    let Some(room) = Room::of(&package.name, methods) else {
        let name = &package.name;
        let sentence = format!(
            "`{name}` has no place in the design: expected a crate that docs/architecture.md names, or a method of the registry"
        );
        return vec![Violation::new(&manifest, 1, sentence)];
    };
    let imports = package.dependencies.iter().filter_map(|dependency| {
        let ours = all.iter().any(|other| other.name == dependency.name);
        let reason = if ours && !room.may_import(&dependency.name, dependency.dev, methods) {
            room.rule()
        } else if is_backend(&dependency.name) && room != Room::Kernels {
            "only ssl-kernels may import a backend"
        } else if dependency.name == "anyhow" && !dependency.dev && room.is_library() {
            "a library returns errors of its own types; anyhow is for ssl-cli, the examples and the packages of xtask"
        } else {
            return None;
        };
        let sentence = format!("`{}` imports `{}`: {reason}", package.name, dependency.name);
        Some(Violation::new(&manifest, line_of(&manifest, &dependency.name, files), sentence))
    });
    imports.collect()
}

/// The line of `manifest` that declares `dependency`.
fn line_of(manifest: &str, dependency: &str, files: &[TextFile]) -> usize {
    let declares = |line: &str| line.split(['.', ' ', '=']).next() == Some(dependency);
    find(files, manifest).map_or(1, |file| file.line_where(declares))
}

fn is_backend(package: &str) -> bool {
    package == "tch" || BACKEND_PACKAGES.contains(&package)
}

/// The part that a crate plays in the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Kernels,
    /// Engines that connect processes.
    Dist,
    Core,
    Method,
    Encoders,
    Data,
    Files,
    /// The page about a run.
    Page,
    /// Files of another program.
    Events,
    Train,
    Eval,
    Testing,
    Fixtures,
    Tasks,
    Facade,
    Cli,
    OneMethod,
    Example,
    /// The commands that need no library.
    Xtask,
    /// The journeys of new users, who call the tool from outside.
    Journey,
    /// The commands that run the library.
    Checks,
}

impl Room {
    fn of(package: &str, methods: &Methods) -> Option<Self> {
        Some(match package {
            "ssl-kernels" => Self::Kernels,
            "ssl-dist" => Self::Dist,
            "ssl-core" => Self::Core,
            "ssl-encoders" => Self::Encoders,
            "ssl-data" => Self::Data,
            "ssl-files" => Self::Files,
            "ssl-report" => Self::Page,
            "ssl-tensorboard" => Self::Events,
            "ssl-train" => Self::Train,
            "ssl-eval" => Self::Eval,
            "ssl-testing" => Self::Testing,
            "ssl-fixtures" => Self::Fixtures,
            "ssl-tasks" => Self::Tasks,
            "ssl-cli" => Self::Cli,
            "burn-ssl" => Self::Facade,
            "xtask" | "xtask-cap" => Self::Xtask,
            "xtask-checks" | "xtask-fuzz" => Self::Checks,
            "xtask-journey" => Self::Journey,
            "example-one-method" => Self::OneMethod,
            name if name.starts_with("example-") => Self::Example,
            name if methods.has_crate(name) => Self::Method,
            _ => return None,
        })
    }

    fn is_library(self) -> bool {
        !matches!(
            self,
            Self::Cli | Self::OneMethod | Self::Example | Self::Xtask | Self::Journey | Self::Checks
        )
    }

    fn may_import(self, package: &str, dev: bool, methods: &Methods) -> bool {
        use Room::*;
        let Some(imported) = Self::of(package, methods) else { return false };
        match (self, imported) {
            (Checks, _) => imported != Checks,
            (Testing, _) => imported == Kernels,
            (Fixtures, _) => matches!(imported, Core | Encoders),
            (Journey, _) => imported == Data,
            (_, Testing) | (Method, Encoders | Fixtures) | (Cli, Journey | Xtask) => dev,
            (Core | Train | Dist, Kernels) | (Method | Encoders, Core) | (Train | Eval, Core | Data) => true,
            (Encoders | Train | Data, Files) => true,
            (Train, Events) => true,
            (Tasks, Core | Encoders | Data | Files | Page | Events | Train | Eval) => true,
            (Facade, Kernels | Dist | Core | Method | Encoders | Data | Files | Train | Eval | Tasks) => true,
            (Cli | Example, Facade) => true,
            (OneMethod, Method) => package == "ssl-simclr",
            _ => false,
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Self::Kernels | Self::Files | Self::Page | Self::Events => {
                "it may import none of our crates (in tests ssl-testing)"
            }
            Self::Data => "it may import ssl-files",
            Self::Dist => "it may import ssl-kernels",
            Self::Core => "it may import ssl-kernels (in tests ssl-testing)",
            Self::Method => {
                "a method may import ssl-core alone, never another method (in tests ssl-testing, ssl-encoders, ssl-fixtures)"
            }
            Self::Encoders => "it may import ssl-core and ssl-files (in tests ssl-testing)",
            Self::Train => {
                "it may import ssl-core, ssl-kernels, ssl-data, ssl-files and ssl-tensorboard (in tests ssl-testing)"
            }
            Self::Eval => "it may import ssl-core and ssl-data (in tests ssl-testing)",
            Self::Testing => {
                "it may import ssl-kernels alone, else the tests of the others would build them twice"
            }
            Self::Fixtures => "it may import ssl-core and ssl-encoders",
            Self::Tasks => "it may import the libraries below it, and no method: it is handed a registry",
            Self::Facade => "it may import the libraries below it (in tests ssl-testing)",
            Self::Cli => "it may import burn-ssl alone (in tests ssl-testing, xtask and xtask-journey)",
            Self::Example => "it may import burn-ssl alone (in tests ssl-testing)",
            Self::OneMethod => "it shows that ssl-simclr alone is enough",
            Self::Xtask => "it may import none of our crates, so that it builds in seconds",
            Self::Journey => {
                "it may import ssl-data alone, for made images: its users have the tool and the documents"
            }
            Self::Checks => "it cannot import itself",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::repository::Dependency;
    use super::*;

    fn methods() -> Methods {
        Methods::of(&[["simclr", "simclr"], ["moco", "moco-v2"]])
    }

    /// A made workspace of every kind of crate, in which `importer` imports `imported`.
    fn graph(importer: &str, imported: &str, dev: bool) -> Vec<Package> {
        let names = [
            "ssl-kernels",
            "ssl-dist",
            "ssl-core",
            "ssl-simclr",
            "ssl-moco",
            "ssl-encoders",
            "ssl-data",
            "ssl-files",
            "ssl-report",
            "ssl-tensorboard",
            "ssl-train",
            "ssl-eval",
            "ssl-testing",
            "ssl-fixtures",
            "ssl-tasks",
            "burn-ssl",
            "ssl-cli",
            "example-quickstart",
            "example-one-method",
            "xtask",
            "xtask-checks",
            "xtask-journey",
        ];
        let mut packages =
            Vec::from(names.map(|name| Package { name: name.to_owned(), ..Package::default() }));
        let found = packages.iter_mut().find(|package| package.name == importer);
        let dependency = Dependency { name: imported.to_owned(), dev };
        found.expect("the importer is in the graph").dependencies.push(dependency);
        packages
    }

    fn sentences(importer: &str, imported: &str, dev: bool) -> Vec<String> {
        check(&graph(importer, imported, dev), &[], &methods())
            .into_iter()
            .map(|violation| violation.sentence)
            .collect()
    }

    #[test]
    fn a_method_that_imports_another_method_is_a_violation() {
        let found = sentences("ssl-moco", "ssl-simclr", false);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("`ssl-moco` imports `ssl-simclr`: a method may import ssl-core alone"),
            "{found:?}"
        );
        assert_eq!(sentences("ssl-moco", "ssl-simclr", true).len(), 1, "not even as a dev-dependency");
    }

    #[test]
    fn the_arrows_of_the_design_are_allowed() {
        let arrows = [
            ("ssl-core", "ssl-kernels"),
            ("ssl-simclr", "ssl-core"),
            ("ssl-encoders", "ssl-core"),
            ("ssl-train", "ssl-core"),
            ("ssl-train", "ssl-data"),
            ("ssl-train", "ssl-files"),
            ("ssl-dist", "ssl-kernels"),
            ("burn-ssl", "ssl-dist"),
            ("ssl-data", "ssl-files"),
            ("ssl-tasks", "ssl-eval"),
            ("ssl-tasks", "ssl-report"),
            ("ssl-train", "ssl-tensorboard"),
            ("burn-ssl", "ssl-tasks"),
            ("ssl-encoders", "ssl-files"),
            ("ssl-train", "ssl-kernels"),
            ("ssl-eval", "ssl-data"),
            ("burn-ssl", "ssl-moco"),
            ("burn-ssl", "ssl-kernels"),
            ("ssl-cli", "burn-ssl"),
            ("example-quickstart", "burn-ssl"),
            ("example-one-method", "ssl-simclr"),
            ("xtask-checks", "burn-ssl"),
            ("xtask-checks", "ssl-testing"),
            ("xtask-checks", "xtask"),
            ("xtask-checks", "xtask-journey"),
            ("xtask-journey", "ssl-data"),
            ("ssl-testing", "ssl-kernels"),
            ("ssl-fixtures", "ssl-encoders"),
            ("ssl-kernels", "burn-tch"),
            ("ssl-data", "image"),
        ];
        for (importer, imported) in arrows {
            assert!(sentences(importer, imported, false).is_empty(), "{importer} -> {imported}");
        }
    }

    #[test]
    fn arrows_against_the_design_are_violations() {
        let arrows = [
            ("ssl-core", "ssl-simclr"),
            ("ssl-core", "ssl-data"),
            ("ssl-kernels", "ssl-core"),
            ("ssl-data", "ssl-core"),
            ("ssl-core", "ssl-files"),
            ("ssl-train", "ssl-dist"),
            ("ssl-dist", "ssl-core"),
            ("ssl-tasks", "burn-ssl"),
            ("ssl-tasks", "ssl-simclr"),
            ("ssl-cli", "ssl-tasks"),
            ("ssl-files", "ssl-core"),
            ("ssl-report", "ssl-core"),
            ("ssl-train", "ssl-report"),
            ("ssl-tensorboard", "ssl-files"),
            ("ssl-encoders", "ssl-kernels"),
            ("ssl-simclr", "ssl-kernels"),
            ("ssl-simclr", "ssl-train"),
            ("ssl-train", "ssl-eval"),
            ("ssl-train", "ssl-simclr"),
            ("ssl-eval", "ssl-encoders"),
            ("ssl-testing", "ssl-core"),
            ("ssl-fixtures", "ssl-simclr"),
            ("ssl-train", "ssl-fixtures"),
            ("burn-ssl", "ssl-cli"),
            ("ssl-cli", "ssl-train"),
            ("example-quickstart", "ssl-simclr"),
            ("example-one-method", "ssl-moco"),
            ("example-one-method", "burn-ssl"),
            ("ssl-core", "xtask"),
            ("xtask", "ssl-testing"),
            ("xtask", "xtask-checks"),
            ("xtask-journey", "burn-ssl"),
        ];
        for (importer, imported) in arrows {
            assert_eq!(sentences(importer, imported, false).len(), 1, "{importer} -> {imported}");
        }
    }

    #[test]
    fn helpers_of_tests_are_dev_dependencies_only() {
        let helpers = [
            ("ssl-simclr", "ssl-encoders"),
            ("ssl-simclr", "ssl-fixtures"),
            ("ssl-simclr", "ssl-testing"),
            ("ssl-core", "ssl-testing"),
            ("ssl-cli", "xtask"),
            ("ssl-cli", "xtask-journey"),
        ];
        for (importer, imported) in helpers {
            assert!(sentences(importer, imported, true).is_empty(), "{importer} -> {imported} in tests");
            assert_eq!(sentences(importer, imported, false).len(), 1, "{importer} -> {imported}");
        }
    }

    #[test]
    fn only_kernels_imports_a_backend() {
        for backend in ["tch", "burn-tch", "burn-wgpu", "burn-flex"] {
            let found = sentences("ssl-core", backend, false);
            assert_eq!(
                found,
                [format!("`ssl-core` imports `{backend}`: only ssl-kernels may import a backend")]
            );
        }
    }

    #[test]
    fn a_library_that_erases_its_errors_is_a_violation() {
        assert_eq!(sentences("ssl-data", "anyhow", false).len(), 1);
        for importer in ["ssl-cli", "xtask", "xtask-checks", "example-quickstart", "example-one-method"] {
            assert!(sentences(importer, "anyhow", false).is_empty(), "{importer}");
        }
    }

    #[test]
    fn a_violation_points_at_the_line_of_the_dependency() {
        let mut graph = graph("ssl-moco", "ssl-simclr", false);
        graph.iter_mut().for_each(|package| package.folder = format!("crates/{}", package.name));
        let manifest = TextFile {
            path: "crates/ssl-moco/Cargo.toml".to_owned(),
            text: "[dependencies]\nssl-core.workspace = true\nssl-simclr.workspace = true\n".to_owned(),
        };
        let found = check(&graph, &[manifest], &methods());
        assert!(found[0].to_string().starts_with("crates/ssl-moco/Cargo.toml:3: "), "{}", found[0]);
    }

    #[test]
    fn a_crate_without_a_place_is_a_violation() {
        for name in ["helpers", "ssl-mae"] {
            let stray = Package { name: name.to_owned(), ..Package::default() };
            assert_eq!(check(&[stray], &[], &methods()).len(), 1, "{name}");
        }
    }
}
