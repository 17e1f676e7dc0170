//! A path is recognised by looking, and its images, labels and errors are as documented.
#![allow(clippy::unwrap_used)] // Tests.

mod common;

use std::{fs, path::Path, path::PathBuf};

use common::{ppm, shared_data, write};
use ssl_data::{DataError, Dataset, DatasetOptions};
use tempfile::tempdir;

/// The first byte of every image.
fn marks(dataset: &Dataset) -> Vec<u8> {
    (0..dataset.len()).map(|index| dataset.image(index).unwrap().pixels()[0]).collect()
}

fn limited(path: &Path, limit: usize) -> Dataset {
    Dataset::open_with(path, &DatasetOptions { limit: Some(limit), ..DatasetOptions::default() }).unwrap()
}

fn error_of(path: &Path) -> String {
    Dataset::open(path).unwrap_err().to_string().replace(&*path.to_string_lossy(), "PATH")
}

#[test]
fn class_folders_give_labels_in_byte_order_of_their_names() {
    let folder = tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("b/2.ppm", ppm(4)),
            ("b/10.PPM", ppm(3)),
            ("B/x.ppm", ppm(1)),
            ("a/y.ppm", ppm(2)),
            ("a/notes.txt", vec![]),
        ],
    );
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(marks(&dataset), [1, 2, 3, 4]);
    assert_eq!(dataset.labels().unwrap(), [0, 1, 2, 2]);
    assert_eq!(dataset.class_names().unwrap(), ["B", "a", "b"]);
    assert!(dataset.name(2).ends_with("10.PPM"));
    assert!(dataset.to_string().starts_with("4 images of 3 classes, folder of class folders "));
}

#[test]
fn flat_and_nested_folders_have_no_labels() {
    for files in
        [["1.ppm", "2.ppm"], ["a/b/1.ppm", "c/d/2.ppm"], ["1.ppm", "a/2.ppm"], ["a/1.ppm", "a/2.ppm"]]
    {
        let folder = tempdir().unwrap();
        write(folder.path(), &[(files[1], ppm(2)), (files[0], ppm(1))]);
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(marks(&dataset), [1, 2]);
        assert!(dataset.labels().is_none(), "{files:?}");
    }
}

#[test]
fn hidden_files_and_folders_do_not_count() {
    let folder = tempdir().unwrap();
    write(
        folder.path(),
        &[(".git/1.ppm", ppm(1)), ("a/.2.ppm", ppm(2)), ("a/3.ppm", ppm(3)), ("b/4.ppm", ppm(4))],
    );
    assert_eq!(marks(&Dataset::open(folder.path()).unwrap()), [3, 4]);
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    let (folder, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    write(elsewhere.path(), &[("x.ppm", ppm(7))]);
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("linked")).unwrap();
    assert_eq!(marks(&Dataset::open(folder.path()).unwrap()), [7]);
}

fn tar_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_tar_is_read_in_its_own_order() {
    let folder = tempdir().unwrap();
    let long = format!("{}/3.ppm", "long".repeat(40));
    let members = [
        ("dog/1.ppm", ppm(1)),
        ("cat/2.ppm", ppm(2)),
        (&long, ppm(3)),
        ("cat/._2.ppm", ppm(9)),
        ("cat/notes.txt", vec![1; 1000]),
        ("cat/4.ppm", ppm(4)),
    ];
    write(folder.path(), &[("set.tar", tar_of(&members))]);
    let dataset = Dataset::open(folder.path().join("set.tar")).unwrap();
    assert_eq!(marks(&dataset), [1, 2, 3, 4]);
    assert_eq!(dataset.labels().unwrap(), [1, 0, 2, 0]);
    assert!(dataset.name(1).starts_with("cat/2.ppm in "));
}

#[test]
fn a_tar_made_of_a_folder_has_the_labels_inside_it() {
    let folder = tempdir().unwrap();
    let members = [("images/dog/1.ppm", ppm(1)), ("images/cat/2.ppm", ppm(2))];
    write(folder.path(), &[("a.tar", tar_of(&members))]);
    assert_eq!(Dataset::open(folder.path().join("a.tar")).unwrap().labels().unwrap(), [1, 0]);
}

#[test]
fn a_tar_that_breaks_off_is_an_error() {
    let folder = tempdir().unwrap();
    let mut bytes = tar_of(&[("1.ppm", ppm(1)), ("2.ppm", [ppm(2), vec![0; 5000]].concat())]);
    bytes.truncate(2048);
    write(folder.path(), &[("a.tar", bytes)]);
    assert_eq!(error_of(&folder.path().join("a.tar")), "PATH is damaged: the archive breaks off in 2.ppm");
}

#[test]
fn images_of_class_folders_are_limited_evenly() {
    let folder = tempdir().unwrap();
    let names = ["a/1.ppm", "a/2.ppm", "a/3.ppm", "b/4.ppm", "b/5.ppm", "c/6.ppm"];
    let files: Vec<_> = names.into_iter().zip(1..).map(|(name, mark)| (name, ppm(mark))).collect();
    write(folder.path(), &files);
    let dataset = limited(folder.path(), 5);
    assert_eq!(marks(&dataset), [1, 2, 4, 5, 6]);
    assert_eq!(dataset.labels().unwrap(), [0, 0, 1, 1, 2]);
    assert!(dataset.to_string().starts_with("5 of 6 images of 3 classes"));
    assert_eq!(limited(folder.path(), 100).len(), 6);

    let options = DatasetOptions { limit: Some(0), ..DatasetOptions::default() };
    let error = Dataset::open_with(folder.path(), &options).unwrap_err().to_string();
    assert_eq!(error, "limit is 0, expected at least 1");
}

/// A CIFAR record: labels, then red, green and blue planes of one value each.
fn cifar(labels: &[u8], mark: u8) -> Vec<u8> {
    [labels, &[mark; 1024], &[mark + 1; 1024], &[mark + 2; 1024]].concat()
}

#[test]
fn cifar_10_is_read_as_published() {
    let folder = tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("data_batch_1.bin", [cifar(&[3], 10), cifar(&[9], 20)].concat()),
            ("data_batch_2.bin", cifar(&[0], 30)),
            ("test_batch.bin", cifar(&[5], 40)),
            ("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec()),
        ],
    );
    let training = Dataset::open(folder.path()).unwrap();
    assert_eq!(marks(&training), [10, 20, 30]);
    assert_eq!(training.labels().unwrap(), [3, 9, 0]);
    assert_eq!(training.class_names().unwrap().len(), 10);
    let image = training.image(1).unwrap();
    assert_eq!((image.width(), image.height()), (32, 32));
    assert_eq!(image.pixels()[..6], [20, 21, 22, 20, 21, 22]);
    assert!(training.name(2).starts_with("record 0 of "));

    let test = Dataset::open(folder.path().join("test_batch.bin")).unwrap();
    assert_eq!((marks(&test), test.labels().unwrap()), (vec![40], &[5][..]));
}

#[test]
fn cifar_100_has_the_fine_labels() {
    let folder = tempdir().unwrap();
    write(folder.path(), &[("train.bin", cifar(&[1, 99], 10)), ("test.bin", cifar(&[2, 7], 20))]);
    assert_eq!(Dataset::open(folder.path()).unwrap().labels().unwrap(), [99]);
    assert_eq!(Dataset::open(folder.path().join("test.bin")).unwrap().labels().unwrap(), [7]);
}

#[test]
fn a_damaged_cifar_file_is_an_error() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("x.bin");
    fs::write(&file, vec![0; 3000]).unwrap();
    assert_eq!(
        error_of(&file),
        "PATH is damaged: 3000 bytes, expected a multiple of the 3073 bytes of a record"
    );
    fs::write(&file, cifar(&[77], 1)).unwrap();
    assert_eq!(error_of(&file), "PATH is damaged: label 77 in record 0, expected 0 to 9 (CIFAR-10 binary)");
}

#[test]
fn stl_10_has_columns_before_rows_and_labels_from_1() {
    let folder = tempdir().unwrap();
    let mut record = vec![0; 3 * 96 * 96];
    // Red of column 2, row 1.
    record[2 * 96 + 1] = 200;
    write(
        folder.path(),
        &[("train_X.bin", record.clone()), ("train_y.bin", vec![10]), ("unlabeled_X.bin", record)],
    );
    let training = Dataset::open(folder.path()).unwrap();
    let image = training.image(0).unwrap();
    assert_eq!(image.pixels()[3 * (96 + 2)], 200);
    assert_eq!(image.pixels().iter().filter(|&&value| value > 0).count(), 1);
    assert_eq!(training.labels().unwrap(), [9]);
    assert!(Dataset::open(folder.path().join("unlabeled_X.bin")).unwrap().labels().is_none());

    fs::write(folder.path().join("train_y.bin"), [1, 2]).unwrap();
    let error = Dataset::open(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("2 labels, expected one for each of the 1 images"), "{error}");
}

fn idx(header: &[u32], bytes: &[u8]) -> Vec<u8> {
    [header.iter().flat_map(|number| number.to_be_bytes()).collect(), bytes.to_vec()].concat()
}

#[test]
fn mnist_is_read_as_published() {
    let folder = tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("train-images-idx3-ubyte", idx(&[0x803, 2, 2, 3], &[1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16])),
            ("train-labels-idx1-ubyte", idx(&[0x801, 2], &[7, 0])),
            ("t10k-images.idx3-ubyte", idx(&[0x803, 1, 1, 1], &[9])),
        ],
    );
    let training = Dataset::open(folder.path()).unwrap();
    assert_eq!(training.labels().unwrap(), [7, 0]);
    let image = training.image(1).unwrap();
    assert_eq!((image.width(), image.height()), (3, 2));
    assert_eq!(image.pixels()[..6], [11, 11, 11, 12, 12, 12]);

    let test = Dataset::open(folder.path().join("t10k-images.idx3-ubyte")).unwrap();
    assert_eq!((marks(&test), test.labels()), (vec![9], None));

    let cut = folder.path().join("cut-images-idx3-ubyte");
    fs::write(&cut, idx(&[0x803, 2, 2, 3], &[0; 11])).unwrap();
    assert_eq!(error_of(&cut), "PATH is damaged: 11 bytes of pixels, its header says 2 x 2 x 3");
}

fn list(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    write(folder.path(), &[("a/1.ppm", ppm(1)), ("a/2, b.ppm", ppm(2)), (name, text.into())]);
    let path = folder.path().join(name);
    (folder, path)
}

#[test]
fn a_list_keeps_its_order_and_its_header_does_not_count() {
    let (_folder, path) = list("set.csv", "path,label\n\"a/2, b.ppm\",zebra\n# a remark\n\na/1.ppm, ant\n");
    let dataset = Dataset::open(path).unwrap();
    assert_eq!(marks(&dataset), [2, 1]);
    assert_eq!(dataset.labels().unwrap(), [1, 0]);
    assert_eq!(dataset.class_names().unwrap(), ["ant", "zebra"]);
}

#[test]
fn whole_numbers_stay_the_labels_of_a_list() {
    let (_folder, path) = list("set.tsv", "a/1.ppm\t7\na/2, b.ppm\t3");
    let dataset = Dataset::open(path).unwrap();
    assert_eq!(marks(&dataset), [1, 2]);
    assert_eq!(dataset.labels().unwrap(), [7, 3]);
    assert!(dataset.class_names().is_none());
}

#[test]
fn a_list_without_labels_is_one_path_a_line() {
    let (folder, path) = list("set.txt", "a/1.ppm\n");
    assert!(Dataset::open(&path).unwrap().labels().is_none());
    fs::write(&path, folder.path().join("a/1.ppm").to_str().unwrap()).unwrap();
    assert_eq!(marks(&Dataset::open(&path).unwrap()), [1]);
}

#[test]
fn a_missing_label_in_a_list_is_an_error() {
    let (_folder, path) = list("set.csv", "a/1.ppm,3\na/9.ppm\n");
    assert_eq!(error_of(&path), "PATH is damaged: a/9.ppm has no label, although other lines have one");
}

#[test]
fn bad_paths_have_one_clear_sentence_each() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let endings = ".jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff, .ppm, .pgm";
    assert_eq!(error_of(&root.join("nowhere")), "there is no file or folder at PATH");
    assert_eq!(
        error_of(root),
        format!(
            "there are no images in PATH: looked for files in it and its sub-folders whose names end in {endings}, \
             found nothing"
        )
    );
    write(root, &[("texts/a.md", vec![]), ("texts/b.md", vec![])]);
    assert!(error_of(&root.join("texts")).contains(", found 2 other files, such as "));
    write(root, &[("book.txt", b"Call me\nIshmael.\n".to_vec())]);
    assert_eq!(
        error_of(&root.join("book.txt")),
        format!(
            "there are no images in PATH: looked for lines that begin with a path that ends in {endings}, \
             found none"
        )
    );
    let expected = "expected a folder of images, a .tar of images, CIFAR, STL-10 or MNIST binaries, \
                    or a .csv or .txt list of images";
    write(root, &[("one.ppm", ppm(1)), ("model.safetensors", vec![1]), ("set.tar.gz", vec![0x1F, 0x8B, 8])]);
    assert_eq!(error_of(&root.join("one.ppm")), format!("PATH is a single image; {expected}"));
    assert_eq!(
        error_of(&root.join("model.safetensors")),
        format!("PATH is a file of another kind; {expected}")
    );
    assert_eq!(
        error_of(&root.join("set.tar.gz")),
        format!("PATH is compressed with gzip (unpack it first with `gunzip`); {expected}")
    );
    fs::write(root.join("notes.tar"), tar_of(&[("a.md", vec![])])).unwrap();
    assert!(error_of(&root.join("notes.tar")).ends_with("found one other file, a.md"));
}

#[test]
fn labels_follow_the_names_of_another_set() {
    let folder = tempdir().unwrap();
    write(folder.path(), &[("b/1.ppm", ppm(1)), ("d/2.ppm", ppm(2))]);
    let mut test = Dataset::open(folder.path()).unwrap();
    let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
    test.match_labels(&names).unwrap();
    assert_eq!(test.labels().unwrap(), [1, 3]);
    assert_eq!(test.class_names().unwrap(), names);

    let error = test.match_labels(&names[..3]).unwrap_err();
    assert!(matches!(&error, DataError::UnknownClass { class, known: 3 } if class == "d"), "{error}");
}

#[test]
fn a_subset_has_the_images_and_labels_of_its_places() {
    let folder = tempdir().unwrap();
    write(
        folder.path(),
        &[("a/1.ppm", ppm(1)), ("a/2.ppm", ppm(2)), ("b/3.ppm", ppm(3)), ("b/4.ppm", ppm(4))],
    );
    let part = Dataset::open(folder.path()).unwrap().subset(&[3, 0, 2]);
    assert_eq!((part.len(), marks(&part), part.labels().unwrap()), (3, vec![4, 1, 3], &[1, 0, 1][..]));
    let less = part.subset(&[1]);
    assert_eq!((less.len(), marks(&less), less.labels().unwrap()), (1, vec![1], &[0][..]));
}

#[test]
fn a_cached_image_is_not_read_again() {
    let folder = tempdir().unwrap();
    write(folder.path(), &[("1.ppm", ppm(1)), ("2.ppm", ppm(2))]);
    let options = DatasetOptions { cache_bytes: 12, ..DatasetOptions::default() };
    let dataset = Dataset::open_with(folder.path(), &options).unwrap();
    assert_eq!(marks(&dataset), [1, 2]);
    write(folder.path(), &[("1.ppm", ppm(8)), ("2.ppm", ppm(9))]);
    assert_eq!(marks(&dataset), [1, 9], "12 bytes hold the first image only");
}

#[test]
#[ignore = "needs cifar10-test.tar and photos.tar in ../shared/data"]
fn the_shared_archives_are_recognised() {
    let shared = |name| shared_data(name).expect("the archive lies in ../shared/data");
    let (cifar, photos) = (shared("cifar10-test.tar"), shared("photos.tar"));
    let dataset = limited(&cifar, 1000);
    assert_eq!(dataset.len(), 1000);
    assert_eq!(dataset.class_names().unwrap()[..2], ["airplane", "automobile"]);
    assert!(
        (0..10).all(|class| dataset.labels().unwrap().iter().filter(|&&label| label == class).count() == 100)
    );
    let image = dataset.image(999).unwrap();
    assert_eq!((image.width(), image.height()), (32, 32));

    let photos = Dataset::open(photos).unwrap();
    assert_eq!((photos.len(), photos.labels()), (200, None));
    assert!(photos.image(0).unwrap().width() > 100);
}
