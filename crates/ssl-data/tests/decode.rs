//! Files of every kind become the RGB pixels that the documented rule promises.
#![allow(clippy::unwrap_used)] // Tests.

use std::{fs, io::Cursor, path::PathBuf};

use ssl_data::{DecodeError, decode};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images").join(name)).unwrap()
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn every_kind_of_file_has_the_expected_pixels() {
    let expected = String::from_utf8(fixture("expected.csv")).unwrap();
    let mut wrong = Vec::new();
    for line in expected.lines().skip(1) {
        let columns: Vec<_> = line.split(',').collect();
        let [name, width, height, tolerance, rgb] = columns[..] else { panic!("five columns") };
        let image = decode(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (image.width(), image.height()),
            (width.parse().unwrap(), height.parse().unwrap()),
            "{name}"
        );
        let distance = image.pixels().iter().zip(from_hex(rgb)).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        if distance > tolerance.parse().unwrap() {
            wrong.push(format!("{name}: {distance} levels away, allowed {tolerance}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(expected.lines().count() > 30);
}

#[test]
fn floating_point_colour_is_clamped_to_0_and_1() {
    let samples = image::Rgb32FImage::from_raw(2, 1, vec![-1.0, 0.0, 0.2, 0.5, 1.0, 7.0]).unwrap();
    let mut file = Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb32F(samples).write_to(&mut file, image::ImageFormat::Tiff).unwrap();
    assert_eq!(decode(file.get_ref()).unwrap().pixels(), [0, 0, 51, 128, 255, 255]);
}

#[test]
fn a_jpeg_cut_anywhere_is_an_error() {
    for name in ["rgb.jpg", "progressive.jpg", "grey.jpg", "cmyk_adobe.jpg"] {
        let whole = fixture(name);
        let accepted: Vec<_> = (0..whole.len()).filter(|&len| decode(&whole[..len]).is_ok()).collect();
        assert!(accepted.is_empty(), "{name} of {} bytes cut at {accepted:?}", whole.len());
    }
}

#[test]
fn a_cut_jpeg_filled_up_with_zeros_is_an_error() {
    let mut file = fixture("rgb.jpg");
    let len = file.len();
    file[len - 30..].fill(0);
    assert!(matches!(decode(&file), Err(DecodeError::Invalid { format: "JPEG", .. })));
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end_of_a_jpeg() {
    let file = fixture("rgb.jpg");
    let thumbnail = [&[0xFF, 0xE1, 0x00, 0x08][..], &[0xFF, 0xD8, 0xFF, 0xD9, 0, 0]].concat();
    let with_thumbnail = [&file[..2], &thumbnail, &file[2..]].concat();
    assert_eq!(decode(&with_thumbnail).unwrap(), decode(&file).unwrap());
    assert!(decode(&with_thumbnail[..with_thumbnail.len() - 10]).is_err());
}

#[test]
fn a_whole_jpeg_with_stray_bytes_between_its_headers_is_read() {
    let file = fixture("rgb.jpg");
    let table = file.windows(2).position(|marker| marker == [0xFF, 0xDB]).unwrap();
    let odd = [&file[..table], &[1, 2, 3, 4, 5, 6, 7, 8], &file[table..]].concat();
    assert_eq!(decode(&odd).unwrap(), decode(&file).unwrap());
}

#[test]
fn bytes_after_the_end_of_a_jpeg_do_not_count() {
    let file = fixture("rgb.jpg");
    let longer = [&file[..], b"a trailer, as some phones write it"].concat();
    assert_eq!(decode(&longer).unwrap(), decode(&file).unwrap());
}

#[test]
fn other_cut_files_are_errors() {
    for name in ["rgb.png", "lossless.webp", "rgb.bmp", "rgb.tif", "rgb.ppm"] {
        let file = fixture(name);
        let error = decode(&file[..file.len() / 2]).expect_err(name);
        assert!(matches!(error, DecodeError::Invalid { .. }), "{name}: {error}");
    }
}

#[test]
fn text_is_of_no_known_format() {
    let error = decode(b"Once upon a time").unwrap_err().to_string();
    assert_eq!(error, "it is not a JPEG, PNG, WebP, BMP, TIFF, PPM or PGM file");
    assert!(matches!(decode(b""), Err(DecodeError::UnknownFormat)));
}

#[test]
fn a_header_that_promises_too_much_is_refused_before_memory_is_taken() {
    let ppm = decode(b"P6 60000 60000 255 \x00").unwrap_err();
    assert!(matches!(ppm, DecodeError::TooLarge { width: 60_000, height: 60_000 }), "{ppm}");

    let mut jpeg = fixture("rgb.jpg");
    let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xFF);
    assert!(matches!(decode(&jpeg), Err(DecodeError::TooLarge { .. })));
}
