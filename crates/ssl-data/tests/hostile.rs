//! Files that are made to hang, to eat memory or to deceive are refused with a sentence.
#![allow(clippy::unwrap_used)] // Tests.

mod common;

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use common::{ppm, write};
use ssl_data::{
    Dataset, DatasetOptions, EvalLoader, EvalTransform, LoaderConfig, MAX_WORKERS, Normalization,
    decode_within, read_image,
};
use tempfile::tempdir;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `act` logs.
fn logged<T>(act: impl FnOnce() -> T) -> (T, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let result = tracing::subscriber::with_default(subscriber, || {
        tracing::callsite::rebuild_interest_cache(); // Another test may have met the event while nobody listened.
        act()
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (result, text)
}

fn error_of(path: &Path) -> String {
    Dataset::open(path).unwrap_err().to_string()
}

/// Whoever opens it for reading waits for a writer.
#[cfg(unix)]
fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_is_never_opened() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("a.png");
    make_pipe(&pipe);
    assert!(error_of(&pipe).contains("is a pipe, a socket or a device; expected a folder of images"));
    let device = folder.path().join("b.png");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    assert!(error_of(&device).contains("is a pipe, a socket or a device"));

    let (error, log) = logged(|| error_of(folder.path()));
    assert!(error.contains("found 2 other files"), "{error}");
    assert_eq!(log.matches("passed over, it is a pipe, a socket or a device").count(), 2, "{log}");

    write(folder.path(), &[("list.txt", b"a.png\nb.png\n".to_vec())]);
    let listed = Dataset::open(folder.path().join("list.txt")).unwrap();
    for index in 0..2 {
        let error = listed.image(index).unwrap_err().to_string();
        assert_eq!(error, "it is a pipe, socket or device, expected a file");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_folders_of_the_kernel_are_no_data() {
    assert!(error_of(Path::new("/proc")).contains("/proc is a folder of the operating system"));
    let folder = tempdir().unwrap();
    write(folder.path(), &[("1.ppm", ppm(1))]);
    std::os::unix::fs::symlink("/proc", folder.path().join("linked")).unwrap();
    assert_eq!(Dataset::open(folder.path()).unwrap().len(), 1);
}

#[test]
fn an_image_takes_no_more_memory_than_allowed() {
    let grey = b"P5 2 1 255 \x00\xff"; // Thirteen bytes: two of pixels, which are six as RGB.
    assert!(decode_within(grey, 21).is_ok());
    let error = decode_within(grey, 20).unwrap_err().to_string();
    let way_out = "expected a smaller image, or a larger max_image_bytes (data.max_image_bytes in a recipe)";
    assert_eq!(error, format!("decoding it takes 21 bytes, more than the 20 allowed: {way_out}"));

    let folder = tempdir().unwrap();
    write(folder.path(), &[("1.ppm", ppm(1))]);
    let open = |max_image_bytes| {
        Dataset::open_with(folder.path(), &DatasetOptions { max_image_bytes, ..DatasetOptions::default() })
    };
    assert!(open(23 + 12).unwrap().image(0).is_ok());
    let error = open(22).unwrap().image(0).unwrap_err().to_string();
    assert_eq!(error, format!("it has 23 bytes, more than the 22 allowed: {way_out}"));

    let file = folder.path().join("1.ppm");
    assert_eq!(read_image(&file, 23 + 12).unwrap().width(), 2);
    assert_eq!(read_image(&file, 22).unwrap_err().to_string(), error);
    assert!(read_image(Path::new("/dev/zero"), 22).is_err(), "it has no end");
}

fn tar_of(names: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let bytes = ppm(1);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_tar_cut_between_two_members_is_a_warning_with_the_count() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let whole = tar_of(&["1.ppm", "2.ppm", "3.ppm"]);
    for (bytes, cut) in [(&whole[..], false), (&whole[..3 * 1024 + 512], false), (&whole[..2 * 1024], true)] {
        fs::write(&path, bytes).unwrap();
        let (set, log) = logged(|| Dataset::open(&path).unwrap());
        assert_eq!(log.contains("has no end mark after 2 images: it may be cut off"), cut, "{log}");
        assert_eq!(log.is_empty(), !cut, "{log}");
        assert_eq!(set.len(), if cut { 2 } else { 3 });
    }
}

#[test]
fn a_compressed_archive_is_named_with_what_unpacks_it() {
    let folder = tempdir().unwrap();
    for (magic, expected) in [
        (&[0x1F, 0x8B, 8][..], "compressed with gzip (unpack it first with `gunzip`)"),
        (b"BZh9", "compressed with bzip2 (unpack it first with `bunzip2`)"),
        (b"\xFD7zXZ\0", "compressed with xz (unpack it first with `unxz`)"),
        (b"\x28\xB5\x2F\xFD", "compressed with zstd (unpack it first with `unzstd`)"),
    ] {
        let path = folder.path().join("a.tar");
        fs::write(&path, magic).unwrap();
        let error = error_of(&path);
        assert!(error.contains(expected), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn names_cannot_break_a_line_or_steer_a_terminal() {
    let folder = tempdir().unwrap();
    let name = "a\nERROR all is lost\u{1b}[31m.ppm";
    write(folder.path(), &[(name, b"no image".to_vec()), ("b.ppm", ppm(1))]);
    let set = Arc::new(Dataset::open(folder.path()).unwrap());
    let transform = EvalTransform::new(2, Normalization::CIFAR10).unwrap();
    let loader = EvalLoader::new(set, transform, LoaderConfig { batch_size: 2, workers: 1 }).unwrap();
    let (_, log) = logged(|| loader.batches().unwrap().count());
    assert_eq!((log.lines().count(), log.contains('\u{1b}')), (1, false), "{log}");
    assert!(log.contains("a\\nERROR all is lost\\u{1b}[31m.ppm"), "{log}");
    let missing = error_of(&folder.path().join("x\ny"));
    assert!(missing.ends_with("x\\ny"), "{missing}");
}

#[test]
fn workers_are_bounded() {
    let set = Arc::new(Dataset::from_images(vec![ssl_data::Image::new(1, 1, vec![0; 3])], None));
    let transform = EvalTransform::new(2, Normalization::CIFAR10).unwrap();
    let config = LoaderConfig { batch_size: 1, workers: 100_000 };
    let error = EvalLoader::new(set, transform, config).err().unwrap().to_string();
    assert_eq!(error, format!("workers is 100000, expected at most {MAX_WORKERS}"));
}
