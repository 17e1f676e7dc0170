//! Decoding keeps to the memory that it was allowed. One test alone, since the count is of the whole process.
#![allow(clippy::unwrap_used)] // Tests.

use std::{fs, io::Cursor, path::Path};

use flate2::{Compress, Compression, FlushCompress};
use image::{DynamicImage, ImageFormat};
use peak_alloc::PeakAlloc;
use ssl_data::{
    EvalTransform, Image, MAX_IMAGE_BYTES, Normalization, OpConfig, SampleKey, Scratch, ViewConfig, Views,
    decode_within,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Tables of decoders, and reading buffers: the same for every size (our choice: a tenth of what the images here take).
const TABLES: usize = 320 << 10;

/// Bytes at the peak of decoding, the file included, and whether it is an image.
fn peak(file: &[u8], allowed: usize) -> (usize, bool) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let is_image = decode_within(file, allowed).is_ok();
    (file.len() + ALLOCATOR.peak_usage().saturating_sub(before), is_image)
}

/// The least number of bytes with which `file` is decoded.
fn least(file: &[u8]) -> usize {
    let (mut too_few, mut enough) = (0, MAX_IMAGE_BYTES);
    while enough - too_few > 1 << 12 {
        let middle = too_few.midpoint(enough);
        if decode_within(file, middle).is_ok() { enough = middle } else { too_few = middle }
    }
    enough
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images").join(name)).unwrap()
}

/// A JPEG whose header says that it is `size` pixels wide and high; the decoder fills what is missing.
fn enlarged(name: &str, frame_marker: u8, size: [u16; 2]) -> Vec<u8> {
    let mut file = fixture(name);
    let frame = file.windows(2).position(|marker| marker == [0xFF, frame_marker]).unwrap();
    file[frame + 5..frame + 9].copy_from_slice(&[size[1].to_be_bytes(), size[0].to_be_bytes()].concat());
    file
}

/// 1000 x 750 pixels in every format that can be written here.
fn made() -> Vec<(String, Vec<u8>)> {
    let rgb = DynamicImage::ImageRgb8(image::RgbImage::from_fn(1000, 750, |x, y| {
        image::Rgb([x as u8, y as u8, (x * y) as u8])
    }));
    let kinds = [
        ("rgb", rgb.clone()),
        ("grey", rgb.to_luma8().into()),
        ("rgba", rgb.to_rgba8().into()),
        ("rgb16", rgb.to_rgb16().into()),
        ("rgba16", rgb.to_rgba16().into()),
    ];
    let formats =
        [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm];
    let mut files = Vec::new();
    for (kind, image) in &kinds {
        for format in formats {
            let mut file = Cursor::new(Vec::new());
            if image.write_to(&mut file, format).is_ok() {
                files.push((format!("{kind} {format:?}"), file.into_inner()));
            }
        }
    }
    files
}

/// A PNG of one pixel, whose colour profile is `megabytes` of zeros: as compressed, a thousandth of that.
fn profile_bomb(megabytes: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), true);
    let mut stream = Vec::with_capacity(1 << 16);
    compress.compress_vec(&vec![0; 1 << 20], &mut stream, FlushCompress::Full).unwrap();
    let (start, block) = stream.split_at(2);
    let mut profile = [b"bomb\0\0", start].concat();
    (0..megabytes).for_each(|_| profile.extend_from_slice(block));
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image::RgbImage::new(1, 1)).write_to(&mut file, ImageFormat::Png).unwrap();
    let mut file = file.into_inner();
    let mut crc = flate2::Crc::new();
    crc.update(b"iCCP");
    crc.update(&profile);
    let len = (profile.len() as u32).to_be_bytes();
    let chunk = [&len[..], b"iCCP", &profile, &crc.sum().to_be_bytes()].concat();
    let after_header = 8 + 25;
    file.splice(after_header..after_header, chunk);
    file
}

/// Bytes at the peak of making one view of a decoded image.
fn peak_of_views(image: &Image) -> usize {
    let eval = EvalTransform::new(224, Normalization::CIFAR10).unwrap();
    let plain = ViewConfig { count: 1, size: 224, ops: vec![] };
    let resize = OpConfig::Resize { size: 256, interpolation: Default::default() };
    let cropped = ViewConfig { count: 1, size: 224, ops: vec![resize, OpConfig::CenterCrop {}] };
    let views = Views::new(&[plain, cropped], Normalization::CIFAR10).unwrap();
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    eval.render_image(image, &mut Scratch::new());
    let key = SampleKey { seed: 0, epoch: 0, sample: 0 };
    (0..2).for_each(|view| drop(views.render_image(image, key, view, &mut Scratch::new())));
    ALLOCATOR.peak_usage() - before
}

#[test]
fn images_keep_to_the_memory_allowed() {
    hostile_files_take_little();
    long_images_take_little();
    decoding_keeps_to_the_memory_allowed();
}

fn hostile_files_take_little() {
    for (megabytes, len) in [(2 << 10, 1 << 20..3 << 20), (21 << 10, 20 << 20..24 << 20)] {
        let bomb = profile_bomb(megabytes);
        assert!(len.contains(&bomb.len()), "{} bytes", bomb.len());
        let (taken, is_image) = peak(&bomb, MAX_IMAGE_BYTES);
        let extras = 64 << 20; // Grown by doubling, so that twice as much may be there for a moment.
        assert!(
            is_image && taken < 2 * bomb.len() + 2 * extras,
            "{taken} bytes for a profile of {megabytes} MB"
        );
    }
    let jpeg = enlarged("progressive.jpg", 0xC2, [16_000, 11_000]);
    let (taken, is_image) = peak(&jpeg, 1 << 28);
    assert!(!is_image && taken < 1 << 20, "{taken} bytes");
    let error = decode_within(&jpeg, 1 << 28).unwrap_err().to_string();
    assert!(error.contains("more than the 268435456 allowed: "), "{error}");
}

/// 1 x 100,000 pixels took 19.7 GB.
fn long_images_take_little() {
    for [width, height] in [[1, 100_000], [100_000, 1], [1, 5_000_000], [5_000_000, 1]] {
        let taken = peak_of_views(&Image::new(width, height, vec![7; 3 * width * height]));
        assert!(taken < 1 << 29, "{taken} bytes for {width} x {height} pixels");
    }
}

fn decoding_keeps_to_the_memory_allowed() {
    let jpegs = [
        ("rgb.jpg", 0xC0),
        ("grey.jpg", 0xC0),
        ("progressive.jpg", 0xC2),
        ("ycck_adobe.jpg", 0xC0),
        ("cmyk_adobe.jpg", 0xC0),
    ];
    let jpegs = jpegs.map(|(name, marker)| (name.to_owned(), enlarged(name, marker, [1000, 750])));
    let files: Vec<_> = made().into_iter().chain(jpegs).collect();
    assert!(files.len() > 20, "{} files", files.len());
    for (name, file) in files {
        let allowed = least(&file);
        let (taken, is_image) = peak(&file, allowed);
        assert!(is_image && taken <= allowed + TABLES, "{name}: {taken} bytes with {allowed} allowed");
        assert!(allowed < 4 * taken, "{name}: {allowed} bytes for what takes {taken}");
        for allowed in [allowed / 2, allowed / 8] {
            let (taken, is_image) = peak(&file, allowed);
            assert!(
                !is_image && taken <= allowed.max(file.len()) + TABLES,
                "{name}: {taken} bytes with {allowed} allowed"
            );
        }
    }
}
