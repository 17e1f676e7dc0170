//! The space that is left on a disk.

use std::path::Path;

/// The bytes that can still be written where `path` lies, which need not exist yet; `None` where the system does not tell.
pub fn free_space(path: &Path) -> Option<u64> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|folder| folder.exists())?;
    fs4::available_space(there).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_space_where_a_folder_is_to_be_made() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let here = free_space(dir.path()).expect("the systems that tests run on tell");
        assert!(here > 0 && free_space(&dir.path().join("a/b/c")).is_some());
        assert!(free_space(Path::new("")).is_some(), "the current folder");
    }
}
