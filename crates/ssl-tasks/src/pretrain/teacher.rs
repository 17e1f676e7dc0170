//! The teacher of a run whose method learns from a frozen network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ssl_core::{Encoder, Features, FrozenEncoder, Needs, Pass, TokenEncoder};
use ssl_encoders::{AnyEncoder, EncoderConfig, EncoderFootprint, Preprocessing, weights};
use toml::Value;

use super::PretrainOptions;
use crate::encoder::{EncoderSource, FoundEncoder};
use crate::methods::Methods;
use crate::recipe::{TEACHER, TEACHER_HASH};
use crate::{Error, Recipe};

/// The option that a run adds: the length of the teacher's features, which its checkpoints are read with.
const TEACHER_DIM: &str = "teacher_dim";

/// The teacher of a run: an encoder that is never trained, and that no checkpoint holds.
pub(super) struct RunTeacher {
    network: Arc<TeacherNetwork>,
    config: EncoderConfig,
    /// Height and width of the images that it was made for.
    made_for: usize,
    /// Height and width of the views that it sees.
    sees: usize,
    path: PathBuf,
}

impl RunTeacher {
    /// The teacher that a recipe names, if its method needs one. The recipe gets the hash of its tensors and the length of its
    /// features.
    pub(super) fn find(
        methods: &impl Methods,
        recipe: &mut Recipe,
        needs: &Needs,
        options: &PretrainOptions,
    ) -> Result<Option<Self>, Error> {
        if !needs.teacher {
            return Ok(None);
        }
        let path = path_of(recipe)?;
        let source = match path.is_dir() {
            true => EncoderSource::Run(path.clone()),
            false => EncoderSource::Weights { path: path.clone(), config: None },
        };
        source.check_apart_from(&options.out)?;
        let found = source.find(methods).map_err(|error| match error {
            Error::UnknownModel(path) => Error::UnknownTeacher(path),
            error => error,
        })?;
        let sees = recipe.views()?.size(0);
        let teacher = Self::open(&found, recipe, sees, path, &options.device.open()?)?;
        teacher.write_down(recipe)?;
        Ok(Some(teacher))
    }

    fn open(
        found: &FoundEncoder,
        recipe: &Recipe,
        sees: usize,
        path: PathBuf,
        device: &Device,
    ) -> Result<Self, Error> {
        let own = found.artifact.as_ref().map(|artifact| artifact.preprocessing);
        let made_for = match own {
            Some(own) => own.size,
            None => weights::image_size(&path)?.unwrap_or(sees),
        };
        let config = found.config().clone();
        if let Some(patch) = config.patch_pixels().filter(|patch| !sees.is_multiple_of(*patch)) {
            return Err(Error::TeacherPatches { patch, size: sees });
        }
        let encoder = found.open(made_for, device)?;
        let own = own.unwrap_or_else(|| Preprocessing::new(made_for));
        let preparation = Repreparation::between(&recipe.data.preprocessing(), &own, device);
        let network = Arc::new(TeacherNetwork { encoder, preparation });
        Ok(Self { network, config, made_for, sees, path })
    }

    /// Writes hash and width of the teacher into the recipe.
    fn write_down(&self, recipe: &mut Recipe) -> Result<(), Error> {
        let found = weights::fingerprint(&self.network.encoder);
        let options = &mut recipe.method_options;
        if let Some(Value::String(expected)) =
            options.get(TEACHER_HASH).filter(|hash| hash.as_str() != Some(&found))
        {
            let (path, expected) = (self.path.clone(), expected.clone());
            return Err(Error::OtherTeacher { path, found, expected });
        }
        options.insert(TEACHER.to_owned(), self.path.to_string_lossy().into_owned().into());
        options.insert(TEACHER_HASH.to_owned(), found.into());
        options.insert(TEACHER_DIM.to_owned(), (self.network.feature_dim() as i64).into());
        Ok(())
    }

    /// What the method is given.
    pub(super) fn network(&self) -> Arc<dyn FrozenEncoder> {
        self.network.clone()
    }

    /// What it keeps in memory; `None` for an encoder that nothing is known of.
    pub(super) fn footprint(&self) -> Option<EncoderFootprint> {
        self.config.footprint(self.made_for, self.sees).ok()
    }
}

/// `teacher: vit-small of 384 features, from /runs/large`
impl fmt::Display for RunTeacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, features) = (&self.config.name, self.network.feature_dim());
        write!(f, "teacher: {name} of {features} features, from {}", self.path.display())
    }
}

/// The run or file that a recipe names, as an absolute path.
fn path_of(recipe: &Recipe) -> Result<PathBuf, Error> {
    match recipe.method_options.get(TEACHER).and_then(Value::as_str) {
        None | Some("") => Err(Error::NoTeacher),
        Some(path) => Ok(std::path::absolute(path).unwrap_or_else(|_| Path::new(path).to_owned())),
    }
}

/// An encoder that is never trained, on images that are prepared for another.
#[derive(Debug)]
struct TeacherNetwork {
    encoder: AnyEncoder,
    /// `None` where both are prepared alike.
    preparation: Option<Repreparation>,
}

impl FrozenEncoder for TeacherNetwork {
    fn features(&self, images: Tensor<4>) -> Features {
        let images = match &self.preparation {
            Some(preparation) => preparation.of(images),
            None => images,
        };
        Features::of(&self.encoder, images, &Pass::eval())
    }

    fn feature_dim(&self) -> usize {
        self.encoder.feature_dim()
    }

    fn patch_size(&self) -> Option<usize> {
        self.encoder.tokens().map(TokenEncoder::patch_size)
    }
}

/// From images with the mean and deviation of one encoder to those of another.
#[derive(Debug)]
struct Repreparation {
    /// `[1, channel, 1, 1]`
    factor: Tensor<4>,
    /// `[1, channel, 1, 1]`
    offset: Tensor<4>,
}

impl Repreparation {
    fn between(from: &Preprocessing, to: &Preprocessing, device: &Device) -> Option<Self> {
        if (from.mean, from.std) == (to.mean, to.std) {
            return None;
        }
        let channels = |value: &dyn Fn(usize) -> f32| {
            Tensor::<1>::from_floats([0, 1, 2].map(value), device).reshape([1, 3, 1, 1])
        };
        Some(Self {
            factor: channels(&|channel| from.std[channel] / to.std[channel]),
            offset: channels(&|channel| (from.mean[channel] - to.mean[channel]) / to.std[channel]),
        })
    }

    fn of(&self, images: Tensor<4>) -> Tensor<4> {
        images * self.factor.clone() + self.offset.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    #[test]
    fn images_are_prepared_for_the_teacher_as_its_file_says() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let student = Preprocessing::new(8).with_normalization([0.5, 0.4, 0.3], [0.2, 0.25, 0.5]);
        let teacher = Preprocessing::new(8).with_normalization([0.1, 0.2, 0.3], [1.0, 0.5, 0.25]);
        assert!(Repreparation::between(&student, &student.with_size(4), &device).is_none());
        let pixel = [0.9, 0.1, 0.6];
        let prepared = |how: &Preprocessing| {
            let values = [0, 1, 2].map(|channel| (pixel[channel] - how.mean[channel]) / how.std[channel]);
            Tensor::<1>::from_floats(values, &device).reshape([1, 3, 1, 1])
        };
        let preparation = Repreparation::between(&student, &teacher, &device).expect("they differ");
        let apart: f32 = (preparation.of(prepared(&student)) - prepared(&teacher)).abs().max().into_scalar();
        assert!(apart < 1e-6, "{apart}");
    }
}
