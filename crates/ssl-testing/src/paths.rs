//! Paths of files for tests.

use std::path::{Path, PathBuf};

/// The golden files of this repository.
pub fn cases_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// The data set `name` in `../shared/data` beside the repository, if it exists.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    path.exists().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_is_not_there_is_none() {
        assert_eq!(shared_data("no-such-data-set"), None);
    }
}
