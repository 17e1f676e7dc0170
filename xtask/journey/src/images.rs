//! Made images, for journeys without real ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use ssl_data::Synthetic;

/// Pixels a side of a photograph. Above 64, the tool takes an image for one.
const PHOTO: usize = 240;
/// The size of CIFAR's images.
const SMALL: usize = 32;

/// Writes photographs without labels.
pub(crate) fn photos(folder: &Path, count: usize) -> Result<()> {
    let images = Synthetic::new(3, count, PHOTO);
    fs::create_dir_all(folder)?;
    (0..count).try_for_each(|index| save(&images, index, &folder.join(format!("{index:03}.jpg"))))
}

/// Writes a folder of small images for each class, a fifth of them into `test`, the others into `train`.
pub(crate) fn class_folders(folder: &Path, count: usize) -> Result<()> {
    sets(folder, count, SMALL)
}

/// [`class_folders`] of photographs.
pub(crate) fn labelled(folder: &Path, count: usize) -> Result<()> {
    sets(folder, count, PHOTO)
}

fn sets(folder: &Path, count: usize, size: usize) -> Result<()> {
    for (set, seed, count) in [("train", 4, count - count / 5), ("test", 5, count / 5)] {
        let images = Synthetic::new(seed, count, size);
        for index in 0..count {
            let class = folder.join(set).join(Synthetic::CLASS_NAMES[images.label(index) as usize]);
            fs::create_dir_all(&class)?;
            save(&images, index, &class.join(format!("{index:04}.png")))?;
        }
    }
    Ok(())
}

fn save(images: &Synthetic, index: usize, path: &Path) -> Result<()> {
    let image = images.image(index);
    let (width, height) = (image.width() as u32, image.height() as u32);
    let image = RgbImage::from_raw(width, height, image.pixels().to_vec()).context("three bytes a pixel")?;
    image.save(path).with_context(|| format!("cannot write {}", path.display()))
}
