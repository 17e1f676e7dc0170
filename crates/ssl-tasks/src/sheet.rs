//! Contact sheets of the views that a method sees.

mod layout;
pub(crate) mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::Serialize;
use ssl_data::{Dataset, Image, MaskKey, Masks, SampleKey, Scratch, Views, shade_patches};

use layout::{GAP, Layout, PAPER};

use crate::methods::Methods;
use crate::recipe::DataConfig;
use crate::{Error, Recipe, files, images};

/// Options of [`preview`].
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewOptions {
    /// The file: `.png`, `.jpg`, `.webp`, `.bmp` or `.tiff`.
    pub out: PathBuf,
    /// Images, one row each. Default 8.
    pub images: usize,
    /// Whether an existing file may be overwritten. Default: no.
    pub overwrite: bool,
}

impl PreviewOptions {
    /// A sheet of 8 images.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), images: 8, overwrite: false }
    }
}

/// The result of [`preview`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewReport {
    /// Images on the sheet.
    pub images: usize,
    /// The file.
    pub out: PathBuf,
}

/// Draws a contact sheet of the first images of a recipe's data set: a row per image, under its name, the decoded image first,
/// then its views as the first epoch of training would have them; small crops are packed. Patches that the recipe's `[mask]`
/// hides are shaded.
///
/// # Errors
/// If the recipe or the images cannot be used, the recipe has a mask and the encoder no patches, or the file exists.
pub fn preview(
    methods: &impl Methods,
    recipe: &Recipe,
    options: &PreviewOptions,
) -> Result<PreviewReport, Error> {
    files::check_picture(&options.out, options.overwrite)?;
    let recipe = recipe.clone().resolved_by(methods)?;
    let DataConfig { path, limit, max_image_bytes, .. } = &recipe.data;
    let dataset = images::open_within(path, *limit, *max_image_bytes)?;
    let images = write(&dataset, &recipe, options.images.max(1), &options.out, options.overwrite)?;
    Ok(PreviewReport { images, out: options.out.clone() })
}

/// Writes the sheet of a resolved recipe, and says how many images are on it.
pub(crate) fn write(
    dataset: &Dataset,
    recipe: &Recipe,
    images: usize,
    out: &Path,
    overwrite: bool,
) -> Result<usize, Error> {
    let masks = recipe.masks()?;
    let drawn = sheet(dataset, recipe, &recipe.views()?, masks.as_ref(), images);
    let (sheet, images) = drawn.map_err(|reason| Error::Image { path: out.into(), reason })?;
    write_image(out, &sheet, overwrite)?;
    Ok(images)
}

/// A sheet of the first readable images, and how many there are.
///
/// # Errors
/// If the font for names and titles cannot be used.
fn sheet(
    dataset: &Dataset,
    recipe: &Recipe,
    views: &Views,
    masks: Option<&Masks>,
    images: usize,
) -> Result<(RgbImage, usize), String> {
    let seed = recipe.seed;
    let sizes: Vec<usize> = (0..views.len()).map(|view| views.size(view)).collect();
    let layout = Layout::new(&sizes)?;
    let readable = (0..dataset.len()).filter_map(|index| Some((index, dataset.image(index).ok()?)));
    let rows: Vec<_> = readable.take(images).collect();
    let mut sheet = layout.paper(rows.len())?;
    let mut scratch = Scratch::new();
    let samples: Vec<u64> = rows.iter().map(|(index, _)| *index as u64).collect();
    let masks =
        masks.filter(|_| !rows.is_empty()).map(|masks| masks.draw(MaskKey { seed, step: 0 }, &samples));
    for (row, (index, image)) in rows.iter().enumerate() {
        text::write(&mut sheet, layout.name(row), &name(dataset, *index, &recipe.data.path))?;
        put(&mut sheet, layout.image(row), &fitted(image, layout.cell));
        let key = SampleKey { seed, epoch: 0, sample: *index as u64 };
        for view in 0..views.len() {
            let mut view_image = views.render_image(image, key, view, &mut scratch);
            if let Some(mask) = masks.as_ref().and_then(|masks| masks.views[view].as_ref()) {
                view_image = shade_patches(&view_image, mask.grid(), mask.hidden().image(row));
            }
            put(&mut sheet, layout.view(row, view), &enlarged(&view_image, layout.zoom));
        }
    }
    Ok((sheet, rows.len()))
}

/// The name of an image inside of its folder or archive.
pub(crate) fn name(dataset: &Dataset, index: usize, path: &Path) -> String {
    let name = dataset.name(index);
    let archive = format!(" in {}", path.display());
    let inside = Path::new(name.strip_suffix(&archive).unwrap_or(&name));
    inside.strip_prefix(path).unwrap_or(inside).display().to_string()
}

/// A sheet of rows of images, each as large as fits into a cell of `cell` pixels a side.
pub(crate) fn of_rows(rows: &[Vec<Arc<Image>>], cell: u32) -> RgbImage {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let side = |cells: usize| GAP + cells as u32 * (cell + GAP);
    let mut sheet = RgbImage::from_pixel(side(columns), side(rows.len()), PAPER);
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.iter().enumerate() {
            put(&mut sheet, (side(column).into(), side(row).into()), &fitted(image, cell));
        }
    }
    sheet
}

/// Writes a sheet in the format that the extension of the file names.
pub(crate) fn write_image(path: &Path, sheet: &RgbImage, overwrite: bool) -> Result<(), Error> {
    let failed = |error: image::ImageError| Error::Image { path: path.into(), reason: error.to_string() };
    let format = image::ImageFormat::from_path(path).map_err(failed)?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut bytes, format).map_err(failed)?;
    files::write(path, bytes.get_ref(), overwrite)
}

fn put(sheet: &mut RgbImage, (x, y): (i64, i64), image: &RgbImage) {
    imageops::replace(sheet, image, x, y);
}

/// The whole image, as large as fits into a cell.
fn fitted(image: &Image, cell: u32) -> RgbImage {
    let (width, height) = (image.width() as f64, image.height() as f64);
    let scale = f64::from(cell) / width.max(height);
    let side = |pixels: f64| ((pixels * scale).round() as u32).clamp(1, cell);
    let filter = if scale > 1.0 { FilterType::Nearest } else { FilterType::Triangle };
    imageops::resize(&rgb(image), side(width), side(height), filter)
}

fn enlarged(view: &Image, zoom: u32) -> RgbImage {
    let side = |pixels: usize| pixels as u32 * zoom;
    imageops::resize(&rgb(view), side(view.width()), side(view.height()), FilterType::Nearest)
}

pub(crate) fn rgb(image: &Image) -> RgbImage {
    let (width, height) = (image.width() as u32, image.height() as u32);
    RgbImage::from_raw(width, height, image.pixels().to_vec()).expect("an image has three bytes a pixel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_data::{Normalization, OpConfig, ViewConfig};

    #[test]
    fn a_row_shows_the_image_and_its_views() {
        let white = Image::new(20, 10, vec![200; 600]);
        let dataset = Dataset::from_images(vec![white; 3], None);
        let block = |size, ops| ViewConfig { count: 1, size, ops };
        let invert = vec![OpConfig::Solarize { p: 1.0, threshold: 0 }];
        let views = [block(32, vec![]), block(16, invert)];
        let views = Views::new(&views, Normalization::CIFAR10).expect("usable");

        let recipe = crate::methods::testing::recipe("demo");
        let (sheet, images) = sheet(&dataset, &recipe, &views, None, 2).expect("a font");
        // A title, and two rows with a name each.
        assert_eq!((images, sheet.height()), (2, 20 + 2 * 116));
        let pixel = |x, y| sheet.get_pixel(x, y).0[0];
        assert_eq!((pixel(4, 36), pixel(4, 92)), (200, 255), "the image keeps its shape");
        assert_eq!((pixel(104, 36), pixel(199, 131)), (200, 200), "the first view fills its cell");
        assert_eq!(
            (pixel(204, 152), pixel(251, 199), pixel(252, 200)),
            (55, 55, 255),
            "the second is half as wide"
        );
        let ink = |rows: std::ops::Range<u32>| {
            sheet.enumerate_pixels().filter(|(_, y, pixel)| rows.contains(y) && pixel.0[0] < 160).count()
        };
        assert!(ink(4..20) > 100, "titles");
        assert!(ink(20..36) > 20 && ink(136..152) > 20, "names");
    }

    #[test]
    fn images_are_named_as_in_their_folder_or_archive() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = RgbImage::new(4, 4);
        std::fs::create_dir(folder.path().join("cat")).expect("writable");
        image.save(folder.path().join("cat/1.png")).expect("writable");
        let dataset = images::open(folder.path(), None).expect("an image");
        assert_eq!(name(&dataset, 0, folder.path()), "cat/1.png");
        let rendered = images::open(Path::new("demo:train"), Some(1)).expect("rendered images");
        assert_eq!(name(&rendered, 0, Path::new("demo:train")), rendered.name(0));
    }

    #[test]
    fn hidden_patches_are_shaded_and_an_encoder_without_patches_is_refused() {
        let mut recipe = crate::methods::testing::recipe("demo");
        recipe.mask = Some(toml::from_str("kind = 'random'\nratio = 0.5").expect("a mask"));
        let error = recipe.masks().expect_err("a ResNet has no patches").to_string();
        assert!(error.ends_with("and resnet18 has none: expected a ViT, such as vit-small"), "{error}");
        recipe.encoder = ssl_encoders::EncoderConfig {
            patch_size: Some(8),
            ..ssl_encoders::EncoderConfig::named("vit-tiny")
        };
        let masks = recipe.masks().expect("masks for a ViT");
        let dataset = images::open(&recipe.data.path, Some(2)).expect("rendered images");
        let views = recipe.views().expect("views");
        let draw = |masks| sheet(&dataset, &recipe, &views, masks, 2).expect("a font").0;
        let (plain, shaded) = (draw(None), draw(masks.as_ref()));
        let changed = plain.pixels().zip(shaded.pixels()).filter(|(a, b)| a != b).count();
        // Half of the patches of the first view, which a random mask is for, in two rows of cells of 96 x 96 pixels. A few
        // hidden pixels are grey already.
        let hidden = 2 * 96 * 96 / 2;
        assert!((hidden - 200..=hidden).contains(&changed), "{changed} pixels changed, {hidden} are hidden");
    }
}
