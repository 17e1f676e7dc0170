//! Text in pictures.

use image::RgbImage;
use plotters::prelude::*;
use plotters::style::register_font;

/// The name of the embedded font.
pub(crate) const FONT: &str = "sans-serif";

/// Height of letters in pixels.
const SIZE: u32 = 12;
/// Height of a line of text in pixels.
pub(super) const LINE: u32 = 16;
/// Stands for what was left out.
const LEFT_OUT: char = '…';

/// Makes the embedded font known to plotters, since a machine may have no fonts.
///
/// # Errors
/// If the font cannot be read.
pub(crate) fn embed_font() -> Result<(), String> {
    let font = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    font.map_err(|_| "the embedded font cannot be read".to_owned())
}

/// Width of a line of text in pixels.
///
/// # Errors
/// If the font is not [embedded](embed_font).
pub(super) fn width(text: &str) -> Result<u32, String> {
    let size = (FONT, SIZE).into_font().box_size(text);
    Ok(size.map_err(|error| error.to_string())?.0)
}

/// Writes a line of text; `corner` is its left upper one. What is wider than the picture loses its beginning.
///
/// # Errors
/// If the font is not [embedded](embed_font).
pub(super) fn write(picture: &mut RgbImage, corner: (u32, u32), text: &str) -> Result<(), String> {
    let room = picture.width().saturating_sub(corner.0);
    let (mut text, mut rest) = (text.to_owned(), text);
    while width(&text)? > room && !rest.is_empty() {
        rest = rest.split_at(rest.chars().next().map_or(0, char::len_utf8)).1;
        text = format!("{LEFT_OUT}{rest}");
    }
    let (size, grey) = (picture.dimensions(), RGBColor(70, 70, 70));
    let area = BitMapBackend::with_buffer(picture, size).into_drawing_area();
    let style = (FONT, SIZE).into_font().color(&grey);
    let drawn = area.draw_text(&text, &style, (corner.0 as i32, corner.1 as i32));
    drawn.map_err(|error| error.to_string())?;
    area.present().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn text_is_written_at_its_corner_and_its_end_is_what_is_kept() {
        embed_font().expect("a font");
        let white = || RgbImage::from_pixel(60, 20, Rgb([255, 255, 255]));
        let ink = |text: &str| {
            let mut picture = white();
            write(&mut picture, (10, 2), text).expect("written");
            picture
        };
        let dark = |picture: &RgbImage, columns: std::ops::Range<u32>| {
            picture.enumerate_pixels().filter(|(x, _, pixel)| columns.contains(x) && pixel.0[0] < 160).count()
        };
        let short = ink("ab");
        assert!(dark(&short, 10..30) > 10 && dark(&short, 0..10) == 0);
        let (long, other) = (ink("a-long-folder/of/images/ab.png"), ink("another-folder/of/images/ab.png"));
        assert_eq!(long, other, "the beginning is left out");
        assert!(dark(&long, 50..60) > 0);
    }
}
