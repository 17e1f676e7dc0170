/// Labels by class and the names of the classes.
pub(super) type Labels = (Vec<i64>, Vec<String>);

/// The labels that folders give: if every image lies exactly one folder below the deepest folder that all
/// share, and there are at least two such folders, these are the classes, in byte order of their names.
///
/// `paths` have `/` between their parts.
pub(super) fn from_folders(paths: &[Box<str>]) -> Option<Labels> {
    let shared = shared_folder(paths);
    let classes = paths
        .iter()
        .map(|path| path[shared..].split_once('/').filter(|(_, file)| !file.contains('/')))
        .map(|split| split.map(|(class, _)| class))
        .collect::<Option<Vec<_>>>()?;
    let (labels, names) = from_names(&classes);
    (names.len() > 1).then_some((labels, names))
}

/// Numbers the distinct names in byte order.
pub(super) fn from_names(classes: &[&str]) -> Labels {
    let mut names = classes.to_vec();
    names.sort_unstable();
    names.dedup();
    let place = |class| names.partition_point(|name| name < class) as i64;
    (classes.iter().map(place).collect(), names.iter().map(ToString::to_string).collect())
}

/// Length of the longest prefix that all paths share and that is empty or ends with `/`.
fn shared_folder(paths: &[Box<str>]) -> usize {
    let Some(first) = paths.first() else { return 0 };
    let folder = |path: &str| path.rfind('/').map_or(0, |slash| slash + 1);
    paths.iter().fold(folder(first), |shared, path| {
        let equal = first.bytes().zip(path.bytes()).take(shared).take_while(|(a, b)| a == b).count();
        folder(&first[..first.floor_char_boundary(equal)])
    })
}

#[cfg(test)]
mod tests {
    use super::{from_folders, from_names};

    fn paths(paths: &[&str]) -> Vec<Box<str>> {
        paths.iter().map(|&path| path.into()).collect()
    }

    #[test]
    fn one_folder_above_every_image_is_its_class() {
        let (labels, names) = from_folders(&paths(&["dog/1.png", "cat/1.png", "dog/2.png"])).expect("labels");
        assert_eq!(labels, [1, 0, 1]);
        assert_eq!(names, ["cat", "dog"]);
    }

    #[test]
    fn a_folder_around_the_class_folders_does_not_count() {
        let (labels, names) = from_folders(&paths(&["a/b/cat/1.png", "a/b/car/1.png"])).expect("labels");
        assert_eq!(labels, [1, 0]);
        assert_eq!(names, ["car", "cat"]);
    }

    #[test]
    fn other_shapes_have_no_labels() {
        for shape in [
            &["1.png", "2.png"][..],
            &["cat/1.png", "cat/2.png"],
            &["cat/1.png", "2.png"],
            &["2019/may/1.png", "2020/june/2.png"],
            &["cat/1.png", "dog/1.png", "dog/old/1.png"],
        ] {
            assert!(from_folders(&paths(shape)).is_none(), "{shape:?}");
        }
    }

    #[test]
    fn folders_that_share_letters_are_apart() {
        let (labels, names) = from_folders(&paths(&["ähnlich/1.png", "ägypten/1.png"])).expect("labels");
        assert_eq!(labels, [1, 0]);
        assert_eq!(names, ["ägypten", "ähnlich"]);
    }

    #[test]
    fn names_are_numbered_in_byte_order() {
        let (labels, names) = from_names(&["b", "B", "a", "b"]);
        assert_eq!(labels, [2, 0, 1, 2]);
        assert_eq!(names, ["B", "a", "b"]);
    }
}
