//! Whether an encoder recognises its training images, without labels.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use ssl_core::{Encoder, Pass};
use ssl_data::{Dataset, EvalTransform, Image, SampleKey, Scratch, Views};
use ssl_eval::{
    Embedder, EvalError, Features, numbers_of_all, rankme, view_retrieval, view_retrieval_chance,
};

use crate::evaluation::RANKME_EPS;
use crate::preparation::{Preparation, eval_transform};
use crate::{Error, Recipe};

/// Images that are checked if views are small (our choice: seconds on a CPU, and a standard error of at most 2.3 %).
const IMAGES: usize = 512;

/// Images that are checked if views are larger than [`SMALL`] pixels a side (our choice).
const IMAGES_OF_LARGE_VIEWS: usize = 128;

/// See [`IMAGES_OF_LARGE_VIEWS`].
const SMALL: usize = 64;

/// Images that pass the encoder at a time (our choice).
const CHUNK: usize = 32;

/// Names of the metrics in the metrics file.
pub(crate) const VIEW_RETRIEVAL: &str = "view_retrieval";
pub(crate) const VIEW_RETRIEVAL_CHANCE: &str = "view_retrieval_chance";
pub(crate) const VIEW_RETRIEVAL_IMAGES: &str = "view_retrieval_images";
pub(crate) const RANKME_TRAIN: &str = "rankme_train";

/// Some training images, two views of each as training draws them, and the view that evaluation sees.
pub(crate) struct SelfCheck {
    dataset: Arc<Dataset>,
    /// Evenly spaced places in the data set.
    places: Vec<usize>,
    /// What counts as alike: the class if the method trains with labels, else the image.
    by_class: bool,
    views: Views,
    eval: EvalTransform,
    seed: u64,
    at: Embedder,
}

/// What an encoder does on its training images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SelfScores {
    /// Views whose nearest neighbour is another view of their image (or class), in per cent.
    pub(crate) view_retrieval: f64,
    /// What that is for features without information.
    pub(crate) chance: f64,
    /// Effective number of dimensions of the images' features.
    pub(crate) rankme: f64,
    /// Images that were checked.
    pub(crate) images: usize,
}

/// Features of some images, `[image, dim]` each, and the place of each image.
struct Seen {
    first: Vec<Tensor<2>>,
    second: Vec<Tensor<2>>,
    whole: Vec<Tensor<2>>,
    places: Vec<usize>,
}

impl SelfCheck {
    /// A check on training images of a recipe, whose method needs labels or not.
    pub(crate) fn new(
        recipe: &Recipe,
        dataset: &Arc<Dataset>,
        labels: bool,
        at: &Embedder,
    ) -> Result<Self, Error> {
        let views = recipe.views()?;
        let most = if views.size(0) <= SMALL { IMAGES } else { IMAGES_OF_LARGE_VIEWS };
        let count = most.min(dataset.len());
        Ok(Self {
            dataset: Arc::clone(dataset),
            places: (0..count).map(|place| place * dataset.len() / count).collect(),
            by_class: labels && dataset.labels().is_some(),
            views,
            eval: eval_transform(&Preparation::of(&recipe.data).preprocessing)?,
            seed: recipe.seed,
            at: at.clone(),
        })
    }

    /// Checks an encoder, which is on the device without gradients; none if fewer than two images can be read.
    pub(crate) fn of(&self, encoder: &impl Encoder) -> Result<Option<SelfScores>, EvalError> {
        let seen = self.look(encoder).of_all(&self.at, encoder.feature_dim());
        if seen.places.len() < 2 {
            return Ok(None);
        }
        let groups: Vec<i64> = seen.places.iter().map(|&place| self.group(place)).collect();
        let [first, second, whole] = [seen.first, seen.second, seen.whole].map(|parts| Tensor::cat(parts, 0));
        for values in [&first, &second, &whole] {
            Features { values: values.clone(), labels: None }.check_finite("training")?;
        }
        Ok(Some(SelfScores {
            view_retrieval: 100.0 * view_retrieval(first, second, &groups),
            chance: 100.0 * view_retrieval_chance(&groups),
            rankme: rankme(whole, RANKME_EPS),
            images: groups.len(),
        }))
    }

    fn group(&self, place: usize) -> i64 {
        let classes = self.dataset.labels().filter(|_| self.by_class);
        classes.map_or(place as i64, |classes| classes[place])
    }

    /// Draws and embeds this process's part of the images, those that can be read.
    fn look(&self, encoder: &impl Encoder) -> Seen {
        // A method with one view meets another one in the next epoch.
        let second = if self.views.len() == 1 { (1, 0) } else { (0, 1) };
        let mut seen = Seen { first: vec![], second: vec![], whole: vec![], places: vec![] };
        let mut scratch = Scratch::new();
        let (group, count) = (&self.at.group, self.places.len());
        let part = count * group.rank() / group.size()..count * (group.rank() + 1) / group.size();
        for places in self.places[part].chunks(CHUNK) {
            let readable = places.iter().filter_map(|&place| Some((place, self.dataset.image(place).ok()?)));
            let images: Vec<_> = readable.collect();
            if images.is_empty() {
                continue;
            }
            let mut view = |(epoch, view): (u64, usize)| {
                self.embed(encoder, &images, self.views.size(view), |place, image, out| {
                    let key = SampleKey { seed: self.seed, epoch, sample: place as u64 };
                    self.views.render(image, key, view, &mut scratch, out);
                })
            };
            seen.first.push(view((0, 0)));
            seen.second.push(view(second));
            let size = self.eval.size();
            let whole = |_, image: &Image, out: &mut [f32]| self.eval.render(image, &mut scratch, out);
            seen.whole.push(self.embed(encoder, &images, size, whole));
            seen.places.extend(images.iter().map(|(place, _)| *place));
        }
        seen
    }

    /// Features of images as `render` draws them, `[image, dim]`.
    fn embed(
        &self,
        encoder: &impl Encoder,
        images: &[(usize, Arc<Image>)],
        size: usize,
        mut render: impl FnMut(usize, &Image, &mut [f32]),
    ) -> Tensor<2> {
        let mut values = vec![0.0; images.len() * 3 * size * size];
        for ((place, image), out) in images.iter().zip(values.chunks_exact_mut(3 * size * size)) {
            render(*place, image, out);
        }
        let values = TensorData::new(values, [images.len(), 3, size, size]);
        encoder.encode(Tensor::from_data(values, &self.at.device), &Pass::eval())
    }
}

impl Seen {
    /// What all processes have seen, in rank order.
    fn of_all(self, at: &Embedder, dim: usize) -> Self {
        let group = &at.group;
        if group.is_solo() {
            return self;
        }
        let gather = |parts: Vec<Tensor<2>>| {
            let own = match parts.is_empty() {
                true => Tensor::zeros([0, dim], &at.device),
                false => Tensor::cat(parts, 0),
            };
            vec![group.all_gather(own)]
        };
        Self {
            places: numbers_of_all(&self.places, group),
            first: gather(self.first),
            second: gather(self.second),
            whole: gather(self.whole),
        }
    }
}

impl SelfScores {
    /// The scores under their names in the metrics file.
    pub(crate) fn metrics(&self) -> [(&'static str, f64); 4] {
        [
            (VIEW_RETRIEVAL, self.view_retrieval),
            (VIEW_RETRIEVAL_CHANCE, self.chance),
            (VIEW_RETRIEVAL_IMAGES, self.images as f64),
            (RANKME_TRAIN, self.rankme),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use ssl_core::DeviceSpec;
    use ssl_data::{Normalization, OpConfig, ViewConfig};

    /// The mean of each channel, which no flip or crop of an even image changes.
    #[derive(Module, Debug)]
    struct MeanColour;

    impl Encoder for MeanColour {
        fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
            images.mean_dim(3).mean_dim(2).flatten(1, 3)
        }

        fn feature_dim(&self) -> usize {
            3
        }
    }

    /// The same for all images.
    #[derive(Module, Debug)]
    struct Blind;

    impl Encoder for Blind {
        fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
            Tensor::ones([images.dims()[0], 3], &images.device())
        }

        fn feature_dim(&self) -> usize {
            3
        }
    }

    /// Even images of as many hues, and their classes.
    fn set(count: usize) -> Arc<Dataset> {
        let hue = |index: usize| {
            let angle = std::f32::consts::TAU * index as f32 / count as f32;
            [0.0, 2.1, 4.2].map(|shift| (128.0 + 120.0 * (angle + shift).cos()) as u8)
        };
        let image = |index| {
            let pixels = hue(index).into_iter().flat_map(|value| [value; 64]).collect();
            Image::new(8, 8, pixels)
        };
        let labels = (0..count as i64).map(|index| index % 2).collect();
        Arc::new(Dataset::from_images((0..count).map(image).collect(), Some(labels)))
    }

    fn check(by_class: bool) -> SelfCheck {
        let normalization = Normalization { mean: [0.5; 3], std: [0.25; 3] };
        let view = ViewConfig { count: 2, size: 8, ops: vec![OpConfig::HorizontalFlip { p: 0.5 }] };
        SelfCheck {
            dataset: set(12),
            places: (0..12).collect(),
            by_class,
            views: Views::new(&[view], normalization).expect("a valid view"),
            eval: EvalTransform::new(8, normalization).expect("a valid size"),
            seed: 0,
            at: Embedder::on(&DeviceSpec::Flex.open().expect("flex is compiled in")),
        }
    }

    #[test]
    fn an_encoder_that_tells_images_apart_finds_their_other_views_and_a_blind_one_finds_none() {
        let seen = check(false).of(&MeanColour).expect("finite").expect("images");
        assert_eq!((seen.images, seen.view_retrieval), (12, 100.0));
        assert!((seen.chance - 100.0 / 23.0).abs() < 1e-9 && seen.rankme > 1.5);
        let blind = check(false).of(&Blind).expect("finite").expect("images");
        assert_eq!(blind.view_retrieval, 0.0);
        assert!(blind.rankme < 1.1);
    }

    #[test]
    fn processes_that_share_the_images_find_what_one_finds() {
        let alone = check(false).of(&MeanColour).expect("finite");
        let of_ranks = ssl_testing::ranks(5, |group| {
            let mut check = check(false);
            check.at = check.at.in_group(&group);
            check.of(&MeanColour).expect("finite")
        });
        assert!(of_ranks.iter().all(|found| *found == alone), "{of_ranks:?}");
    }

    #[test]
    fn a_method_with_labels_looks_for_the_class() {
        let chance = check(true).of(&MeanColour).expect("finite").expect("images").chance;
        assert!((chance - 100.0 * 11.0 / 23.0).abs() < 1e-9, "{chance}");
    }
}
