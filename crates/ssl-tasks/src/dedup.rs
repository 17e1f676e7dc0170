//! Images that are nearly the same.

mod groups;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use image_hasher::{HashAlg, Hasher, HasherConfig, ImageHash};
use serde::Serialize;
use ssl_core::{ConfigError, DeviceSpec, Encoder, Init};
use ssl_data::Dataset;
use ssl_eval::{Embedder, embed_with_indices, neighbours};
use tracing::info;

use groups::Groups;

use crate::encoder::FoundEncoder;
use crate::preparation::Preparation;
use crate::threads::in_threads;
use crate::{
    EncoderSource, EncoderSummary, Error, Methods, PreprocessingOptions, files, images, load_encoder, sheet,
};

/// Neighbours of an image that are looked at.
const NEIGHBOURS: usize = 20;
/// Width and height of a perceptual hash in bits.
const HASH_SIDE: u32 = 8;

/// Options of [`dedup`].
#[derive(Clone, Debug, PartialEq)]
pub struct DedupOptions {
    /// The encoder, in evaluation mode.
    pub encoder: EncoderSource,
    /// The images, labelled or not.
    pub data: PathBuf,
    /// Use only this many of them. Default: all.
    pub limit: Option<usize>,
    /// Bytes that one image may take while it is decoded, its file included; a larger one is unreadable. Default: as in the
    /// recipe of the run that the encoder comes from, else [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: Option<usize>,
    /// The least cosine of the features of near-duplicates, -1 to 1. Default 0.95 (our choice).
    pub cosine: f64,
    /// The most bits in which their perceptual hashes differ, of 64; 64 leaves it to the features. Default 4 (our choice: copies
    /// of other sizes and qualities differ in less).
    pub distance: u32,
    /// How images are prepared, where that differs from what the encoder's file says.
    pub preprocessing: PreprocessingOptions,
    /// The table to write, a CSV.
    pub out: PathBuf,
    /// Whether an existing file may be overwritten. Default: no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl DedupOptions {
    /// All images of `data`.
    pub fn new(encoder: EncoderSource, data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            encoder,
            data: data.into(),
            limit: None,
            max_image_bytes: None,
            cosine: 0.95,
            distance: 4,
            preprocessing: PreprocessingOptions::default(),
            out: out.into(),
            overwrite: false,
            workers: 0,
            device: DeviceSpec::Flex,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let in_range = (-1.0..=1.0).contains(&self.cosine);
        ConfigError::check(in_range, "cosine", self.cosine, "-1 to 1")?;
        ConfigError::check(self.distance <= 64, "distance", self.distance, "0 to 64")?;
        files::check_ending(&self.out, ".csv")?;
        files::check_free(&self.out, self.overwrite)
    }
}

/// The result of [`dedup`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DedupReport {
    /// Images that were compared, without those that could not be read.
    pub images: usize,
    /// Groups of near-duplicates.
    pub groups: usize,
    /// Images that the table says to remove: all but one of each group.
    pub duplicates: usize,
    /// The table.
    pub out: PathBuf,
    /// The encoder.
    pub encoder: EncoderSummary,
}

/// Finds images that are nearly the same: their features have a high cosine, and their perceptual hashes differ in few bits. Both
/// have to agree, since features may not tell objects of a class apart, and hashes not pictures of one layout.
///
/// Near-duplicates of near-duplicates are in one group. The table has a row for each image: `file`, `keep` (`yes` or `no`), and for
/// images of a group its number (`group`), the file that is kept (`kept`), and the most similar other image of it (`like`) with
/// `cosine` and `distance`. The image with the most pixels is kept, of equal ones the largest file, then the first.
///
/// # Errors
/// If the encoder, the images, the device or the file cannot be used.
pub fn dedup(methods: &impl Methods, options: &DedupOptions) -> Result<DedupReport, Error> {
    options.check()?;
    let found = options.encoder.find(methods)?;
    deduplicated(options, &found, |size, device| found.open(size, device))
}

/// [`dedup`] with the encoder of a run of [`pretrain_encoder`](crate::pretrain_encoder).
///
/// `encoder` makes the network as it did for the run; its weights are then read from `encoder.safetensors`.
///
/// # Errors
/// Those of [`dedup`], and if the encoder is not from a finished run, or the network does not have the tensors of the file.
pub fn dedup_with<E: Encoder>(
    encoder: impl FnOnce(&mut Init) -> E,
    options: &DedupOptions,
) -> Result<DedupReport, Error> {
    options.check()?;
    let (run, found) = FoundEncoder::of_outside(&options.encoder)?;
    deduplicated(options, &found, |_, device| load_encoder(&run, encoder, device))
}

fn deduplicated<E: Encoder>(
    options: &DedupOptions,
    found: &FoundEncoder,
    open: impl FnOnce(usize, &Device) -> Result<E, Error>,
) -> Result<DedupReport, Error> {
    let device = options.device.open()?;
    let bytes = options.encoder.max_image_bytes(options.max_image_bytes)?;
    let set = Arc::new(images::open_within(&options.data, options.limit, bytes)?);
    let preprocessing = options.preprocessing.resolve(found.artifact.as_ref(), &set)?;
    let network = open(preprocessing.size, &device)?;
    info!("images: {set}");
    info!("encoder: {}", found.summary);

    let loader = Preparation { preprocessing, workers: options.workers }.eval_loader(&set)?;
    let (features, places) = embed_with_indices(&network, &loader, &Embedder::on(&device))?;
    // One more, since every image finds itself.
    let near = neighbours(&features, &features, NEIGHBOURS + 1)?;
    let places: Vec<usize> = places.into_iter().map(|place| place as usize).collect();
    let alike = alike(&places, &near, options.cosine);
    let looked = looked(&set, &alike, options.workers);
    let pairs = agreeing(alike, &looked, options.distance);
    let pixels = |place: usize| looked.get(&place).map_or(0, |looked| looked.pixels);
    let groups = Groups::of(&places, &pairs, &set, pixels);
    files::write(&options.out, &groups.csv(&set, options)?, options.overwrite)?;
    Ok(DedupReport {
        images: places.len(),
        groups: groups.members.len(),
        duplicates: groups.members.iter().map(|members| members.len() - 1).sum(),
        out: options.out.clone(),
        encoder: found.summary.clone(),
    })
}

/// Two near-duplicates, by their places in the data set.
#[derive(Clone, Copy, Debug)]
struct Pair {
    places: [usize; 2],
    cosine: f32,
    distance: u32,
}

/// What of an image is compared.
struct Looked {
    hash: ImageHash,
    pixels: usize,
}

/// The pairs of places whose features are alike, with their cosines.
fn alike(places: &[usize], near: &[Vec<(usize, f32)>], least: f64) -> BTreeMap<[usize; 2], f32> {
    let pairs = near.iter().enumerate().flat_map(|(row, near)| {
        let others = near.iter().filter(move |&&(other, cosine)| other != row && f64::from(cosine) >= least);
        others.map(move |&(other, cosine)| ([places[row.min(other)], places[row.max(other)]], cosine))
    });
    pairs.collect()
}

/// What is compared of the images in some pairs, by their places.
fn looked(set: &Dataset, pairs: &BTreeMap<[usize; 2], f32>, workers: usize) -> HashMap<usize, Looked> {
    let places: BTreeSet<usize> = pairs.keys().flatten().copied().collect();
    let places: Vec<usize> = places.into_iter().collect();
    let side = HasherConfig::new().hash_size(HASH_SIDE, HASH_SIDE);
    let hasher = side.hash_alg(HashAlg::Median).preproc_dct().to_hasher();
    let looked = in_threads(&places, workers, |place| look(set, place, &hasher));
    places.into_iter().zip(looked).filter_map(|(place, looked)| Some((place, looked?))).collect()
}

/// The pairs whose hashes agree.
fn agreeing(alike: BTreeMap<[usize; 2], f32>, looked: &HashMap<usize, Looked>, most: u32) -> Vec<Pair> {
    let pair = |(places, cosine): ([usize; 2], f32)| {
        let [first, second] = [looked.get(&places[0])?, looked.get(&places[1])?];
        let distance = first.hash.dist(&second.hash);
        (distance <= most).then_some(Pair { places, cosine, distance })
    };
    alike.into_iter().filter_map(pair).collect()
}

fn look(set: &Dataset, place: usize, hasher: &Hasher) -> Option<Looked> {
    let image = set.image(place).ok()?;
    Some(Looked { hash: hasher.hash_image(&sheet::rgb(&image)), pixels: image.width() * image.height() })
}

impl fmt::Display for DedupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, groups, duplicates, out, .. } = self;
        let groups = if *groups == 1 { "1 group".to_owned() } else { format!("{groups} groups") };
        write!(
            f,
            "{duplicates} of {images} images are near-duplicates of others, in {groups}: {}",
            out.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use image::{RgbImage, imageops};
    use ssl_encoders::EncoderConfig;

    use super::*;
    use crate::methods::testing::AnyName;

    /// An image of the rendered set.
    fn drawn(place: usize) -> RgbImage {
        let set = images::open(Path::new("demo:test"), Some(20)).expect("rendered");
        imageops::resize(
            &sheet::rgb(&set.image(place).expect("drawn")),
            64,
            64,
            imageops::FilterType::Triangle,
        )
    }

    fn options(folder: &Path, out: &str) -> DedupOptions {
        let config = EncoderConfig { width: 4, ..EncoderConfig::default() };
        let encoder = EncoderSource::Untrained { config, seed: 0 };
        let preprocessing = PreprocessingOptions { image_size: Some(32), ..Default::default() };
        DedupOptions { preprocessing, ..DedupOptions::new(encoder, folder.join("images"), folder.join(out)) }
    }

    /// The rows of a table by file.
    fn rows(path: &Path) -> BTreeMap<String, Vec<String>> {
        let mut table = csv::Reader::from_path(path).expect("a table");
        let row =
            |row: csv::StringRecord| (row[0].to_owned(), row.iter().skip(1).map(str::to_owned).collect());
        table.records().map(|found| row(found.expect("a row"))).collect()
    }

    #[test]
    fn copies_of_an_image_are_grouped_and_the_largest_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let images = folder.path().join("images");
        fs::create_dir(&images).expect("writable");
        for place in 0..6 {
            drawn(place).save(images.join(format!("{place}.png"))).expect("writable");
        }
        let larger = imageops::resize(&drawn(2), 96, 96, imageops::FilterType::Triangle);
        larger.save(images.join("copy of 2.png")).expect("writable");
        drawn(2).save(images.join("2 as jpeg.jpg")).expect("writable");
        let report = dedup(&AnyName, &options(folder.path(), "table.csv")).expect("usable");
        let rows = rows(&report.out);
        assert_eq!((report.images, report.groups, report.duplicates, rows.len()), (8, 1, 2, 8), "{rows:?}");
        assert_eq!(rows["copy of 2.png"][..3], ["yes", "1", "copy of 2.png"]);
        for smaller in ["2.png", "2 as jpeg.jpg"] {
            assert_eq!(rows[smaller][..3], ["no", "1", "copy of 2.png"]);
        }
        assert_eq!(rows["0.png"], ["yes", "", "", "", "", ""]);
        let text = report.to_string();
        assert!(text.starts_with("2 of 8 images are near-duplicates of others, in 1 group: "), "{text}");
    }

    #[test]
    fn features_alone_do_not_make_duplicates_unless_that_is_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let images = folder.path().join("images");
        fs::create_dir(&images).expect("writable");
        for place in 0..6 {
            drawn(place).save(images.join(format!("{place}.png"))).expect("writable");
        }
        let alike = DedupOptions { cosine: -1.0, ..options(folder.path(), "a.csv") };
        assert_eq!(dedup(&AnyName, &alike).expect("usable").duplicates, 0);
        let all = DedupOptions { cosine: -1.0, distance: 64, ..options(folder.path(), "b.csv") };
        assert_eq!(dedup(&AnyName, &all).expect("usable").duplicates, 5);
    }

    #[test]
    fn a_table_that_is_there_is_kept_and_values_out_of_range_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("there.csv"), "mine").expect("writable");
        let error = |options| dedup(&AnyName, &options).expect_err("unusable").to_string();
        assert!(error(options(folder.path(), "there.csv")).contains("already exists"));
        assert!(error(options(folder.path(), "table.txt")).contains("expected .csv"));
        let far = DedupOptions { distance: 65, ..options(folder.path(), "table.csv") };
        assert_eq!(error(far), "distance is 65, expected 0 to 64");
    }
}
