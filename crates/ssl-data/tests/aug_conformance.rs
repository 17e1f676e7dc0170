//! Every operation against the golden images of the conformance suite (`aug.*`).
#![allow(clippy::unwrap_used)] // A case that cannot be read fails its test, with its name in the panic.

use std::{fs, path::PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use ssl_data::{
    Image, Normalization,
    ops::{self, BlurBuffers, CropBox, Interpolation, Planes, Resizer},
};

struct Case {
    name: String,
    bytes: Vec<u8>,
    op: String,
    params: Value,
    rtol: f64,
    atol: f64,
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ssl-testing/cases");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("aug."));
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Case {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    Case {
        op: metadata["op"].clone(),
        params: serde_json::from_str(&metadata["params"]).unwrap(),
        rtol: metadata["rtol"].parse().unwrap(),
        atol: metadata["atol"].parse().unwrap(),
        name,
        bytes,
    }
}

impl Case {
    fn input(&self) -> Image {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let image = tensors.tensor("in.image").unwrap();
        Image::new(image.shape()[1], image.shape()[0], image.data().to_vec())
    }

    fn number(&self, name: &str) -> f64 {
        self.params[name].as_f64().unwrap_or_else(|| panic!("{}: no parameter {name}", self.name))
    }

    fn numbers<const N: usize>(&self, name: &str) -> [f64; N] {
        let values: Vec<_> =
            self.params[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        values.try_into().unwrap()
    }

    fn run(&self) -> Planes {
        let image = self.input();
        let mut planes = Planes::from_image(&image);
        match self.op.as_str() {
            "resized_crop" => {
                let [top, left, height, width] =
                    self.numbers("box_top_left_height_width").map(|size| size as usize);
                let [out_height, out_width] = self.numbers("size").map(|size| size as usize);
                let interpolation: Interpolation =
                    serde_json::from_value(self.params["interpolation"].clone()).unwrap();
                let crop = CropBox { top, left, height, width };
                Resizer::default().resized_crop(
                    &image,
                    crop,
                    out_height,
                    out_width,
                    interpolation,
                    &mut planes,
                );
            }
            "horizontal_flip" => ops::horizontal_flip(&mut planes),
            "adjust_brightness" => ops::adjust_brightness(&mut planes, self.number("factor") as f32),
            "adjust_contrast" => ops::adjust_contrast(&mut planes, self.number("factor") as f32),
            "adjust_saturation" => ops::adjust_saturation(&mut planes, self.number("factor") as f32),
            "adjust_hue" => ops::adjust_hue(&mut planes, self.number("factor") as f32),
            "grayscale" => ops::grayscale(&mut planes),
            "gaussian_blur" => {
                let kernel_size = self.number("kernel_size") as usize;
                let mut buffers = BlurBuffers::default();
                ops::gaussian_blur(&mut planes, kernel_size, self.number("sigma"), &mut buffers);
            }
            "solarize" => ops::solarize(&mut planes, self.number("threshold") as u8),
            op => panic!("{}: unknown operation {op}", self.name),
        }
        planes
    }

    /// Largest excess over the tolerance of any value, in levels; 0 or less passes.
    fn excess(&self) -> f64 {
        if self.op == "normalize" { self.excess_of_normalize() } else { self.excess_of_levels() }
    }

    fn excess_of_levels(&self) -> f64 {
        let got = self.run().to_image();
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let want = tensors.tensor("out.image").unwrap();
        assert_eq!(want.dtype(), Dtype::U8, "{}", self.name);
        assert_eq!(want.shape(), [got.height(), got.width(), 3], "{}", self.name);
        let gaps = got.pixels().iter().zip(want.data()).map(|(&got, &want)| f64::from(got.abs_diff(want)));
        gaps.fold(0.0, f64::max) - self.atol
    }

    fn excess_of_normalize(&self) -> f64 {
        let normalization = Normalization {
            mean: self.numbers("mean").map(|x| x as f32),
            std: self.numbers("std").map(|x| x as f32),
        };
        let image = self.input();
        let mut got = vec![0.0; image.pixels().len()];
        ops::normalize(&Planes::from_image(&image), &normalization, &mut got);

        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let want = tensors.tensor("out.image").unwrap();
        assert_eq!(want.dtype(), Dtype::F32, "{}", self.name);
        assert_eq!(want.shape(), [3, image.height(), image.width()], "{}", self.name);
        let want: Vec<f32> =
            want.data().chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
        let scale = want.iter().fold(0.0f32, |scale, x| scale.max(x.abs()));
        // The largest of some gaps would leave out those that are no number.
        assert!(got.iter().all(|value| value.is_finite()), "{}", self.name);
        let gaps = got.iter().zip(&want).map(|(got, want)| f64::from((got - want).abs()));
        gaps.fold(0.0, f64::max) - (self.atol + self.rtol * f64::from(scale))
    }
}

#[test]
fn every_augmentation_case_is_within_its_tolerance() {
    let cases = cases();
    assert_eq!(cases.len(), 31, "augmentation cases in crates/ssl-testing/cases");
    let failures: Vec<_> = cases
        .iter()
        .map(|case| (&case.name, case.excess()))
        .filter(|(_, excess)| *excess > 0.0)
        .map(|(name, excess)| format!("{name}: {excess} above its tolerance"))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
