//! What a release has is what `cargo binstall` and pip look for.

use std::collections::BTreeSet;
use std::path::Path;

/// A file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The value of a key in a row of a matrix, such as `- { os: macos-15, target: aarch64-apple-darwin, features: "" }`.
fn value(row: &str, key: &str) -> Option<String> {
    let (_, rest) = row.split_once(&format!("{key}: "))?;
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    Some(rest[..end].trim().trim_matches('"').to_owned())
}

fn targets<'a>(rows: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    rows.map(|row| value(row, "target").expect("a target")).collect()
}

/// `archive.sh` puts features into the name of an archive, and a wheel is made without them alone.
#[test]
fn every_target_of_a_release_has_an_archive_and_a_wheel_without_features() {
    let workflow = read(".github/workflows/release.yml");
    let rows = || workflow.lines().filter(|line| line.contains("- { os: "));
    let all = targets(rows());
    let plain = targets(rows().filter(|row| value(row, "features").as_deref() == Some("")));
    assert!(all.iter().any(|target| target.ends_with("apple-darwin")), "{all:?}");
    assert_eq!(plain, all, "targets without features, and all targets");
    assert!(workflow.contains("- if: matrix.features == ''\n        run: xtask/release/wheel.sh "));
    assert!(
        workflow.contains("- run: xtask/release/publish-check.sh\n")
            && workflow.contains("  draft:\n    needs: publishable\n")
    );
}

/// `.ci/run` unpacks an archive, whose names these are.
#[test]
fn binstall_looks_for_the_names_that_archives_have() {
    let (manifest, script) = (read("crates/ssl-cli/Cargo.toml"), read("xtask/release/archive.sh"));
    assert!(script.contains("\nfolder=burn-ssl-$version-$target\n") && script.contains("=$folder.tar.gz\n"));
    let url = "pkg-url = \"{ repo }/releases/download/v{ version }/burn-ssl-{ version }-{ target }.tar.gz\"";
    let program = "bin-dir = \"burn-ssl-{ version }-{ target }/{ bin }{ binary-ext }\"";
    assert!(manifest.contains(url) && manifest.contains(program), "{manifest}");
}
