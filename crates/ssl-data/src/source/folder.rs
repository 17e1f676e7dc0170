use std::{
    fs,
    path::{MAIN_SEPARATOR_STR, Path, PathBuf},
    sync::Arc,
};

use walkdir::{DirEntry, WalkDir};

use ssl_files::{escaped, shown};

use super::{ImageSource, Others, Recognised, files::read_image, is_image_name, labels};
use crate::{DataError, Image, ReadError};

/// Image files below a folder.
pub(super) struct Files {
    root: PathBuf,
    /// Relative to `root`, or absolute.
    paths: Vec<Box<str>>,
    max_image_bytes: usize,
}

impl Files {
    pub(super) fn new(root: PathBuf, paths: Vec<Box<str>>, max_image_bytes: usize) -> Self {
        Self { root, paths, max_image_bytes }
    }
}

impl ImageSource for Files {
    fn count(&self) -> usize {
        self.paths.len()
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        Ok(Arc::new(read_image(&self.root.join(&*self.paths[index]), self.max_image_bytes)?))
    }

    fn name(&self, index: usize) -> String {
        self.root.join(&*self.paths[index]).display().to_string()
    }

    fn file_len(&self, index: usize) -> Option<u64> {
        fs::metadata(self.root.join(&*self.paths[index])).ok().map(|metadata| metadata.len())
    }
}

/// Every image in the folder and its sub-folders, in byte order of the path relative to the folder.
pub(super) fn open(root: &Path, max_image_bytes: usize) -> Result<Recognised, DataError> {
    let canonical = root.canonicalize().map_err(|error| DataError::io(root, error))?;
    if is_of_the_kernel(&canonical) {
        let found = "a folder of the operating system, not of files".into();
        return Err(DataError::Unrecognised { path: root.into(), found });
    }
    let mut others = Others::default();
    let mut paths = image_paths(root, &mut others)?;
    if paths.is_empty() {
        return Err(others.into_error(root, "files in it and its sub-folders"));
    }
    paths.sort_unstable();
    let (labels, class_names) = labels::from_folders(&paths).unzip();
    let kind = if labels.is_some() { "folder of class folders" } else { "folder of images" };
    Ok(Recognised {
        kind,
        source: Box::new(Files::new(root.into(), paths, max_image_bytes)),
        labels,
        class_names,
    })
}

/// One pass over the tree, which asks the file system nothing about single files except where links lead.
fn image_paths(root: &Path, others: &mut Others) -> Result<Vec<Box<str>>, DataError> {
    let mut paths = Vec::new();
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(is_wanted) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Err(DataError::io(root, error.into())),
            Err(error) => {
                tracing::warn!("passed over while looking for images: {}", escaped(&error.to_string()));
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        match relative_path(root, &entry) {
            Some(path) if is_image_name(&path) && entry.file_type().is_file() => paths.push(path),
            Some(path) if is_image_name(&path) => {
                tracing::warn!("passed over, it is a pipe, a socket or a device: {}", shown(entry.path()));
                others.add(&path);
            }
            Some(path) => others.add(&path),
            None => tracing::warn!("passed over, its name is not UTF-8: {}", shown(entry.path())),
        }
    }
    Ok(paths)
}

/// Names that begin with a dot are hidden, but for the folder that the user named.
fn is_visible(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Visible, and no way into `/proc`, from where links lead to all files of the machine again and again.
fn is_wanted(entry: &DirEntry) -> bool {
    let leads_away = entry.path_is_symlink() || entry.path().parent() == Some(Path::new("/"));
    let inside = |entry: &DirEntry| entry.path().canonicalize().is_ok_and(|path| is_of_the_kernel(&path));
    is_visible(entry) && !(entry.file_type().is_dir() && leads_away && inside(entry))
}

fn is_of_the_kernel(canonical: &Path) -> bool {
    cfg!(unix) && ["/proc", "/sys"].iter().any(|folder| canonical.starts_with(folder))
}

fn relative_path(root: &Path, entry: &DirEntry) -> Option<Box<str>> {
    let path = entry.path().strip_prefix(root).ok()?.to_str()?;
    if MAIN_SEPARATOR_STR == "/" {
        Some(path.into())
    } else {
        Some(path.replace(MAIN_SEPARATOR_STR, "/").into())
    }
}
