//! Augmentations.
#![expect(
    clippy::unit_arg,
    reason = "operations that cannot fail stand in one table with parameters that can be missing"
)]

use anyhow::{Result, bail, ensure};
use serde::de::DeserializeOwned;
use ssl_data::ops::{self, BlurBuffers, CropBox, Interpolation, Planes, Resizer};
use ssl_data::{Image, Normalization};
use ssl_testing::{Array, Case, Outputs, Values};

use super::Op;

pub(super) const OPS: &[(&str, Op)] = &[
    ("adjust_brightness", |case| in_place(case, |planes| Ok(ops::adjust_brightness(planes, factor(case)?)))),
    ("adjust_contrast", |case| in_place(case, |planes| Ok(ops::adjust_contrast(planes, factor(case)?)))),
    ("adjust_hue", |case| in_place(case, |planes| Ok(ops::adjust_hue(planes, factor(case)?)))),
    ("adjust_saturation", |case| in_place(case, |planes| Ok(ops::adjust_saturation(planes, factor(case)?)))),
    ("gaussian_blur", gaussian_blur),
    ("grayscale", grayscale),
    ("horizontal_flip", |case| in_place(case, |planes| Ok(ops::horizontal_flip(planes)))),
    ("normalize", normalize),
    ("resized_crop", resized_crop),
    ("solarize", |case| in_place(case, |planes| Ok(ops::solarize(planes, case.param("threshold")?)))),
];

fn factor(case: &Case) -> Result<f32> {
    Ok(case.param::<f64>("factor")? as f32)
}

fn resized_crop(case: &Case) -> Result<Outputs> {
    let interpolation: Interpolation = case.param("interpolation")?;
    ensure!(case.param::<bool>("antialias")?, "antialias is false, expected true");
    let [top, left, height, width] = case.param("box_top_left_height_width")?;
    let [out_height, out_width] = case.param("size")?;
    let crop = CropBox { top, left, height, width };
    let image = image(case)?;
    let mut planes = Planes::from_image(&image);
    Resizer::default().resized_crop(&image, crop, out_height, out_width, interpolation, &mut planes);
    Ok(levels(&planes))
}

fn gaussian_blur(case: &Case) -> Result<Outputs> {
    expect(case, "padding", "reflect".to_owned())?;
    let (kernel_size, sigma) = (case.param("kernel_size")?, case.param("sigma")?);
    in_place(case, |planes| Ok(ops::gaussian_blur(planes, kernel_size, sigma, &mut BlurBuffers::default())))
}

fn grayscale(case: &Case) -> Result<Outputs> {
    expect(case, "weights", [0.2989, 0.587, 0.114])?;
    in_place(case, |planes| Ok(ops::grayscale(planes)))
}

fn normalize(case: &Case) -> Result<Outputs> {
    let normalization = Normalization { mean: case.param("mean")?, std: case.param("std")? };
    let image = image(case)?;
    let mut values = vec![0.0; image.pixels().len()];
    ops::normalize(&Planes::from_image(&image), &normalization, &mut values);
    let array = Array::f32([3, image.height(), image.width()], values);
    Ok(Outputs::from([("out.image".to_owned(), array)]))
}

fn in_place(case: &Case, change: impl FnOnce(&mut Planes) -> Result<()>) -> Result<Outputs> {
    let mut planes = Planes::from_image(&image(case)?);
    change(&mut planes)?;
    Ok(levels(&planes))
}

fn image(case: &Case) -> Result<Image> {
    let array = case.tensor("in.image")?;
    match (&array.values, array.shape.as_slice()) {
        (Values::U8(pixels), &[height, width, 3]) => Ok(Image::new(width, height, pixels.clone())),
        (values, shape) => {
            bail!("tensor 'in.image' is {} {shape:?}, expected U8 [height, width, 3]", values.dtype())
        }
    }
}

fn levels(planes: &Planes) -> Outputs {
    let image = planes.to_image();
    let array = Array::u8([image.height(), image.width(), 3], image.into_pixels());
    Outputs::from([("out.image".to_owned(), array)])
}

/// Checks a parameter of the case that is a constant here.
fn expect<T: DeserializeOwned + PartialEq + std::fmt::Debug>(case: &Case, name: &str, here: T) -> Result<()> {
    let found: T = case.param(name)?;
    ensure!(found == here, "{name} is {found:?}, expected {here:?}");
    Ok(())
}
