//! What every manifest declares: the lints of the workspace, a description, the backend features.

use super::Violation;
use super::repository::{Package, TextFile, find};

/// The features that select a backend, which every crate that a user can depend on alone forwards.
const BACKEND_FEATURES: [&str; 7] = ["flex", "tch", "wgpu", "vulkan", "metal", "cuda", "rocm"];

/// The violations in the manifests of the workspace.
pub(super) fn check(packages: &[Package], files: &[TextFile]) -> Vec<Violation> {
    packages.iter().flat_map(|package| check_package(package, files)).collect()
}

fn check_package(package: &Package, files: &[TextFile]) -> Vec<Violation> {
    let name = &package.name;
    let mut sentences = Vec::new();
    if !find(files, &package.manifest()).is_some_and(|manifest| takes_workspace_lints(&manifest.text)) {
        sentences.push(format!(
            "`{name}` does not take the lints of the workspace: expected `[lints] workspace = true`"
        ));
    }
    if package.folder.starts_with("crates/") && package.description.as_ref().is_none_or(String::is_empty) {
        sentences.push(format!("`{name}` has no `description`: expected one sentence"));
    }
    if package.publishes && stands_on_burn(package) {
        let missing = BACKEND_FEATURES.iter().filter(|feature| !forwards(package, feature));
        sentences.extend(missing.map(|feature| {
            format!(
                "`{name}` lacks the feature `{feature}`: expected `{feature} = [\"<dependency>/{feature}\"]`"
            )
        }));
        if !package.features.get("default").is_some_and(|default| default.contains(&"flex".to_owned())) {
            sentences.push(format!("`{name}` has no device by default: expected `default = [\"flex\"]`"));
        }
    }
    sentences.into_iter().map(|sentence| Violation::new(&package.manifest(), 1, sentence)).collect()
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let table = manifest.parse::<toml::Table>().ok();
    let lints = table.as_ref().and_then(|table| table.get("lints")?.get("workspace")?.as_bool());
    lints == Some(true)
}

fn stands_on_burn(package: &Package) -> bool {
    package
        .dependencies
        .iter()
        .any(|dependency| !dependency.dev && ["burn", "burn-ssl"].contains(&&*dependency.name))
}

fn forwards(package: &Package, feature: &str) -> bool {
    leads_to(package, feature, feature)
}

/// Whether the feature `from` turns `feature` on in a dependency, by itself or through other features of the crate.
fn leads_to(package: &Package, from: &str, feature: &str) -> bool {
    let leads = |item: &String| match item.split_once('/') {
        Some((_, to)) => to == feature,
        None => leads_to(package, item, feature),
    };
    package.features.get(from).is_some_and(|items| items.iter().any(leads))
}

#[cfg(test)]
mod tests {
    use super::super::repository::Dependency;
    use super::*;

    /// A crate that keeps every rule, and its manifest.
    fn tidy_crate() -> (Package, TextFile) {
        let mut features =
            BACKEND_FEATURES.map(|name| (name.to_owned(), vec![format!("ssl-core/{name}")])).to_vec();
        features.push(("default".to_owned(), vec!["flex".to_owned()]));
        let package = Package {
            name: "ssl-simclr".to_owned(),
            folder: "crates/ssl-simclr".to_owned(),
            description: Some("SimCLR".to_owned()),
            publishes: true,
            dependencies: vec![Dependency { name: "burn".to_owned(), dev: false }],
            features: features.into_iter().collect(),
        };
        let manifest = TextFile { path: package.manifest(), text: "[lints]\nworkspace = true\n".to_owned() };
        (package, manifest)
    }

    fn sentences(package: Package, manifest: TextFile) -> Vec<String> {
        check(&[package], &[manifest]).into_iter().map(|violation| violation.sentence).collect()
    }

    #[test]
    fn a_complete_manifest_has_no_violation() {
        let (package, manifest) = tidy_crate();
        assert!(sentences(package, manifest).is_empty());
    }

    #[test]
    fn a_feature_may_lead_to_a_dependency_through_another() {
        let (mut package, manifest) = tidy_crate();
        package.features.insert("wgpu".to_owned(), vec!["wgpu-plain".to_owned(), "fusion".to_owned()]);
        package.features.insert("wgpu-plain".to_owned(), vec!["burn/wgpu".to_owned()]);
        assert!(sentences(package, manifest).is_empty());
    }

    #[test]
    fn a_crate_without_the_lints_of_the_workspace_is_a_violation() {
        for text in
            ["", "[lints]\n", "[lints]\nworkspace = false\n", "[lints.rust]\nunsafe_code = \"allow\"\n"]
        {
            let (package, manifest) = tidy_crate();
            let found = sentences(package, TextFile { text: text.to_owned(), ..manifest });
            assert!(found.len() == 1 && found[0].contains("lints"), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_description_is_a_violation() {
        let (package, manifest) = tidy_crate();
        let found = sentences(Package { description: None, ..package }, manifest);
        assert!(found.len() == 1 && found[0].contains("description"), "{found:?}");
    }

    #[test]
    fn a_backend_feature_that_is_missing_or_not_forwarded_is_a_violation() {
        for broken in [None, Some(vec![]), Some(vec!["ssl-core/flex".to_owned()])] {
            let (mut package, manifest) = tidy_crate();
            package.features.remove("wgpu");
            package.features.extend(broken.map(|items| ("wgpu".to_owned(), items)));
            let found = sentences(package, manifest);
            assert!(found.len() == 1 && found[0].contains("feature `wgpu`"), "{found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_default_device_is_a_violation() {
        let (mut package, manifest) = tidy_crate();
        package.features.insert("default".to_owned(), vec![]);
        let found = sentences(package, manifest);
        assert!(found.len() == 1 && found[0].contains("default"), "{found:?}");
    }

    #[test]
    fn a_crate_without_tensors_needs_no_backend_feature() {
        let (mut package, manifest) = tidy_crate();
        package.dependencies.clear();
        package.features.clear();
        assert!(sentences(package, manifest).is_empty());
    }
}
