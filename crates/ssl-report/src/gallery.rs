//! What the features of a sample of images say about them.

mod clusters;
mod map;

use image::RgbImage;
use serde::Serialize;

use crate::curves::rounded;
use crate::rows::{Rows, kmeans, nearest};
use crate::{Error, Thumbnails};

/// Neighbours of an image that are looked at.
const NEIGHBOURS: usize = 8;
/// Neighbours whose mean cosine says how far out an image is (our choice).
const OF_OUTLIERS: usize = 5;
/// Outliers, and pairs that are most alike, that are shown.
const SHOWN: usize = 12;
/// Images with their neighbours that are shown.
const QUERIES: usize = 10;

/// An image of the sample.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Its name.
    pub name: String,
    /// Its class, as a place in the list of classes, if known.
    pub label: Option<usize>,
    /// The image, which need not be large.
    pub picture: RgbImage,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GalleryOptions {
    /// Number of clusters. Default 10.
    pub clusters: usize,
    /// Seed of the first means of the clusters. Default 0.
    pub seed: u64,
}

impl Default for GalleryOptions {
    fn default() -> Self {
        Self { clusters: 10, seed: 0 }
    }
}

/// What the features of a sample of images say about them. Images are places in the sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gallery {
    /// A small picture of each.
    pub thumbnails: Thumbnails,
    /// The name of each.
    pub names: Vec<String>,
    /// The name of the class of each, if known.
    pub classes: Option<Vec<String>>,
    /// All images in two dimensions.
    pub map: Map,
    /// Some images with those most like them.
    pub neighbours: Vec<Neighbours>,
    /// Groups of images that are alike, the largest first.
    pub clusters: Vec<Cluster>,
    /// The images that are least like any other, the furthest first.
    pub outliers: Vec<Placed>,
    /// The pairs that are most alike.
    pub alike: Vec<Pair>,
}

/// Images in two dimensions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Map {
    /// Where the points are: by the first two principal components, and with the feature `tsne` also by t-SNE.
    pub layouts: Vec<Layout>,
    /// The share of the variance that the two principal components show, in per cent.
    pub share: f64,
    /// Ways to colour the points.
    pub colours: Vec<Colours>,
}

/// Where points are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layout {
    /// What puts them there.
    pub name: String,
    /// Horizontal coordinates.
    pub x: Vec<f64>,
    /// Vertical ones.
    pub y: Vec<f64>,
}

/// A way to colour points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Colours {
    /// What the colours mean.
    pub name: String,
    /// The group of each image, or its place if there are no groups.
    pub values: Vec<usize>,
    /// The names of the groups; none for a gradient.
    pub groups: Vec<String>,
}

/// An image and those most like it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbours {
    /// The image.
    pub query: usize,
    /// The others, the most similar first.
    pub found: Vec<Placed>,
    /// How many of them are of its class, if classes are known.
    pub of_class: Option<usize>,
}

/// An image and a cosine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Placed {
    /// The image.
    pub image: usize,
    /// A cosine, -1 to 1.
    pub cosine: f64,
}

/// Images that are alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// How many there are.
    pub size: usize,
    /// Some of them, the most typical first.
    pub images: Vec<usize>,
    /// The most frequent class and its share in per cent, if classes are known.
    pub mostly: Option<(String, f64)>,
}

/// Two images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The first in the sample.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// The cosine of their features.
    pub cosine: f64,
    /// Whether their pixels are equal.
    pub equal: bool,
}

impl Gallery {
    /// Looks at a sample of images with the features of each. `classes` are the names that labels stand for.
    ///
    /// # Errors
    /// If the thumbnails cannot be encoded.
    ///
    /// # Panics
    /// If there are not as many features as images, or a label has no name.
    pub fn new(
        sample: &[Sampled],
        classes: &[String],
        features: Rows,
        options: GalleryOptions,
    ) -> Result<Self, Error> {
        assert_eq!(sample.len(), features.len(), "features of every image");
        let features = features.normalized();
        let near = nearest(&features, NEIGHBOURS);
        let of_cluster = kmeans(&features, options.clusters, options.seed);
        let labels: Option<Vec<usize>> = sample.iter().map(|sampled| sampled.label).collect();
        let pictures: Vec<_> = sample.iter().map(|sampled| sampled.picture.clone()).collect();
        Ok(Self {
            thumbnails: Thumbnails::new(&pictures)?,
            names: sample.iter().map(|sampled| sampled.name.clone()).collect(),
            classes: labels
                .as_ref()
                .map(|labels| labels.iter().map(|&label| classes[label].clone()).collect()),
            map: Map::new(&features, map::colourings(sample, classes, labels.as_deref(), &of_cluster)),
            neighbours: queries(labels.as_deref(), sample.len())
                .map(|query| Neighbours::new(query, &near[query], labels.as_deref()))
                .collect(),
            clusters: clusters::of(&features, &of_cluster, classes, labels.as_deref()),
            outliers: outliers(&near),
            alike: alike(&near, sample),
        })
    }
}

/// One image of each class, or images from all over the sample.
fn queries(labels: Option<&[usize]>, images: usize) -> impl Iterator<Item = usize> {
    let evenly = || {
        let count = QUERIES.min(images);
        (0..count).map(|place| place * images / count).collect::<Vec<_>>()
    };
    let one_each = |labels: &[usize]| {
        let mut seen = std::collections::BTreeSet::new();
        (0..images).filter(|&image| seen.insert(labels[image])).take(QUERIES).collect::<Vec<_>>()
    };
    labels.map(one_each).filter(|found| found.len() > 2).unwrap_or_else(evenly).into_iter()
}

impl Neighbours {
    fn new(query: usize, near: &[(usize, f32)], labels: Option<&[usize]>) -> Self {
        let of_class =
            labels.map(|labels| near.iter().filter(|near| labels[near.0] == labels[query]).count());
        Self {
            query,
            found: near.iter().map(|&(image, cosine)| Placed::new(image, cosine)).collect(),
            of_class,
        }
    }
}

impl Placed {
    fn new(image: usize, cosine: f32) -> Self {
        Self { image, cosine: rounded(cosine.into()) }
    }
}

fn outliers(near: &[Vec<(usize, f32)>]) -> Vec<Placed> {
    let mean = |near: &Vec<(usize, f32)>| {
        let near = &near[..OF_OUTLIERS.min(near.len())];
        near.iter().map(|near| near.1).sum::<f32>() / near.len().max(1) as f32
    };
    let mut means: Vec<(usize, f32)> = near.iter().map(mean).enumerate().collect();
    means.sort_by(|a, b| a.1.total_cmp(&b.1));
    means.into_iter().take(SHOWN).map(|(image, cosine)| Placed::new(image, cosine)).collect()
}

fn alike(near: &[Vec<(usize, f32)>], sample: &[Sampled]) -> Vec<Pair> {
    let pairs = near.iter().enumerate().flat_map(|(first, near)| {
        near.iter().filter(move |near| first < near.0).map(move |&(second, cosine)| (first, second, cosine))
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
    let pair = |(first, second, cosine): (usize, usize, f32)| Pair {
        first,
        second,
        cosine: rounded(cosine.into()),
        equal: sample[first].picture == sample[second].picture,
    };
    pairs.into_iter().take(SHOWN).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Images around two axes, two classes in turn; the sixth is far from all, the last equals the first.
    fn sample() -> (Vec<Sampled>, Rows) {
        let shades = [0, 1, 2, 3, 4, 5, 6, 0];
        let picture = |shade: u8| RgbImage::from_pixel(16, 16, Rgb([shade * 30; 3]));
        let sampled = |(place, shade): (usize, u8)| Sampled {
            name: format!("{}/{place}.png", ["a", "b", "c"][place % 3]),
            label: Some(place % 2),
            picture: picture(shade),
        };
        let row = |place: usize| match place {
            5 => [0.0, 0.0, -1.0],
            7 => [1.0, 0.0, 0.0],
            _ if place.is_multiple_of(2) => [1.0, 0.05 * place as f32, 0.0],
            _ => [0.0, 1.0, 0.05 * place as f32],
        };
        let rows = Rows::new((0..8).flat_map(row).collect(), 3);
        (shades.into_iter().enumerate().map(sampled).collect(), rows)
    }

    fn gallery() -> Gallery {
        let (sample, rows) = sample();
        let options = GalleryOptions { clusters: 3, seed: 1 };
        Gallery::new(&sample, &["even".into(), "odd".into()], rows, options).expect("encodable")
    }

    #[test]
    fn outliers_and_twins_are_found() {
        let gallery = gallery();
        assert_eq!(gallery.outliers[0].image, 5);
        let twins = gallery.alike[0];
        assert_eq!((twins.first, twins.second, twins.equal, twins.cosine), (0, 7, true, 1.0));
        assert!(!gallery.alike[1].equal);
    }

    #[test]
    fn clusters_say_which_class_is_frequent_in_them() {
        let gallery = gallery();
        let sizes: Vec<_> = gallery.clusters.iter().map(|cluster| cluster.size).collect();
        assert_eq!((sizes.iter().sum::<usize>(), sizes.is_sorted_by(|a, b| a >= b)), (8, true), "{sizes:?}");
        assert_eq!(gallery.clusters[0].mostly, Some(("even".into(), 80.0)));
    }

    #[test]
    fn points_have_colours_by_label_cluster_and_folder() {
        let map = gallery().map;
        let names: Vec<_> = map.colours.iter().map(|colours| colours.name.as_str()).collect();
        assert_eq!(names, ["label", "cluster", "folder"]);
        assert_eq!((map.layouts[0].x.len(), map.colours[2].groups.len()), (8, 3));
        assert!(map.share > 50.0 && map.share <= 100.1, "{}", map.share);
    }

    #[test]
    fn folders_that_are_the_classes_are_not_coloured_twice() {
        let (mut sample, rows) = sample();
        sample.iter_mut().for_each(|sampled| sampled.name = format!("{:?}/x.png", sampled.label));
        let classes = ["even".into(), "odd".into()];
        let map = Gallery::new(&sample, &classes, rows, GalleryOptions::default()).expect("encodable").map;
        assert_eq!((map.colours[2].name.as_str(), map.colours[2].groups.len()), ("order of files", 0));
    }

    #[test]
    fn one_image_without_a_label_has_a_gallery() {
        let (sample, _) = sample();
        let one = [Sampled { label: None, ..sample[0].clone() }];
        let rows = Rows::new(vec![1.0, 2.0], 2);
        let gallery = Gallery::new(&one, &[], rows, GalleryOptions::default()).expect("encodable");
        assert_eq!((gallery.classes, gallery.alike.len(), gallery.neighbours[0].found.len()), (None, 0, 0));
    }
}
