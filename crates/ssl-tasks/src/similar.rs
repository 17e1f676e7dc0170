//! The images of a data set that an encoder finds most similar to others.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{ConfigError, DeviceSpec, Encoder, Init};
use ssl_data::{Dataset, Image, MAX_IMAGE_BYTES, read_image};
use ssl_eval::{Embedder, embed, embed_with_indices, neighbours};
use ssl_files::{escaped, shown};
use tracing::info;

use crate::encoder::FoundEncoder;
use crate::preparation::Preparation;
use crate::{
    EncoderSource, EncoderSummary, Error, Methods, PreprocessingOptions, files, images, load_encoder, sheet,
};

/// Pixels a side of an image on the sheet.
const CELL: u32 = 128;

/// Options of [`similar`].
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarOptions {
    /// The encoder, in evaluation mode.
    pub encoder: EncoderSource,
    /// The images to search, labelled or not.
    pub data: PathBuf,
    /// Search only this many of them. Default: all.
    pub limit: Option<usize>,
    /// Bytes that one image may take while it is decoded, its file included; a larger one is unreadable. Default: as in the
    /// recipe of the run that the encoder comes from, else [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: Option<usize>,
    /// The images to search with: files, or names of images in `data`. An image of `data` does not find itself.
    pub queries: Vec<PathBuf>,
    /// Images to find for each of them. Default 8.
    pub top: usize,
    /// How images are prepared, where that differs from what the encoder's file says.
    pub preprocessing: PreprocessingOptions,
    /// A sheet to draw, a PNG: a row for each query, the query first. Default: none.
    pub out: Option<PathBuf>,
    /// Whether an existing file may be overwritten. Default: no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl SimilarOptions {
    /// The 8 images of `data` that are most similar to each query.
    pub fn new(encoder: EncoderSource, data: impl Into<PathBuf>, queries: Vec<PathBuf>) -> Self {
        Self {
            encoder,
            data: data.into(),
            limit: None,
            max_image_bytes: None,
            queries,
            top: 8,
            preprocessing: PreprocessingOptions::default(),
            out: None,
            overwrite: false,
            workers: 0,
            device: DeviceSpec::Flex,
        }
    }

    /// Checks what can be known before anything is read.
    fn check(&self) -> Result<(), Error> {
        ConfigError::check(self.top > 0, "top", 0, "at least 1")?;
        ConfigError::check(!self.queries.is_empty(), "queries", 0, "at least 1")?;
        self.out.iter().try_for_each(|out| files::check_picture(out, self.overwrite))
    }
}

/// The result of [`similar`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimilarReport {
    /// What was found, by query.
    pub queries: Vec<Found>,
    /// Images searched, without those that could not be read.
    pub images: usize,
    /// The encoder.
    pub encoder: EncoderSummary,
    /// The sheet, if one was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
}

/// The images found for a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The query.
    pub query: String,
    /// The most similar images, the most similar first.
    pub neighbours: Vec<Neighbour>,
}

/// An image and its similarity to a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Its file or name.
    pub file: String,
    /// Cosine of its features and the query's, -1 to 1.
    pub similarity: f64,
}

/// Finds the images of a data set whose features are most similar to those of others, by cosine.
///
/// # Errors
/// If the encoder, the images, the queries, the device or the file cannot be used.
pub fn similar(methods: &impl Methods, options: &SimilarOptions) -> Result<SimilarReport, Error> {
    options.check()?;
    let found = options.encoder.find(methods)?;
    searched(options, &found, |size, device| found.open(size, device))
}

/// [`similar`] with the encoder of a run of [`pretrain_encoder`](crate::pretrain_encoder).
///
/// `encoder` makes the network as it did for the run; its weights are then read from `encoder.safetensors`.
///
/// # Errors
/// Those of [`similar`], and if the encoder is not from a finished run, or the network does not have the tensors of the file.
pub fn similar_with<E: Encoder>(
    encoder: impl FnOnce(&mut Init) -> E,
    options: &SimilarOptions,
) -> Result<SimilarReport, Error> {
    options.check()?;
    let (run, found) = FoundEncoder::of_outside(&options.encoder)?;
    searched(options, &found, |_, device| load_encoder(&run, encoder, device))
}

fn searched<E: Encoder>(
    options: &SimilarOptions,
    encoder: &FoundEncoder,
    open: impl FnOnce(usize, &Device) -> Result<E, Error>,
) -> Result<SimilarReport, Error> {
    let device = options.device.open()?;
    let bytes = options.encoder.max_image_bytes(options.max_image_bytes)?;
    let set = Arc::new(images::open_within(&options.data, options.limit, bytes)?);
    let bytes = bytes.unwrap_or(MAX_IMAGE_BYTES);
    let queries = options.queries.iter().map(|query| Query::find(query, &set, &options.data, bytes));
    let queries = queries.collect::<Result<Vec<_>, _>>()?;
    let preprocessing =
        options.preprocessing.resolve_for(&options.encoder, encoder.artifact.as_ref(), &set)?;
    let network = open(preprocessing.size, &device)?;
    info!("images: {set}");
    info!("encoder: {}", encoder.summary);

    let preparation = Preparation { preprocessing, workers: options.workers };
    let search = Search { network, preparation, device, set, queries };
    let (found, images) = search.nearest(options.top)?;
    if let Some(out) = &options.out {
        let rows = search.rows(&found, &options.data)?;
        sheet::write_image(out, &sheet::of_rows(&rows, CELL), options.overwrite)?;
    }
    let queries = search.queries.iter().zip(&found);
    Ok(SimilarReport {
        queries: queries.map(|(query, found)| query.report(found, &search.set)).collect(),
        images,
        encoder: encoder.summary.clone(),
        out: options.out.clone(),
    })
}

/// Places in the data set and cosines, the largest first.
type Ranked = Vec<(usize, f32)>;

/// Images that are open, and a network to compare them with.
struct Search<E> {
    network: E,
    preparation: Preparation,
    device: Device,
    set: Arc<Dataset>,
    queries: Vec<Query>,
}

impl<E: Encoder> Search<E> {
    /// The images most similar to each query, and how many could be read.
    fn nearest(&self, top: usize) -> Result<(Vec<Ranked>, usize), Error> {
        let images = self.queries.iter().map(|query| (*query.image).clone()).collect();
        let loader = self.preparation.eval_loader(&Arc::new(Dataset::from_images(images, None)))?;
        let of_queries = embed(&self.network, &loader, &Embedder::on(&self.device))?;
        let loader = self.preparation.eval_loader(&self.set)?;
        let (of_set, indices) = embed_with_indices(&self.network, &loader, &Embedder::on(&self.device))?;
        // One more, since an image of the set would find itself.
        let found = neighbours(&of_set, &of_queries, top + 1)?;
        let others = |(query, found): (&Query, Ranked)| {
            let places = found.into_iter().map(|(row, cosine)| (indices[row] as usize, cosine));
            places.filter(|&(place, _)| query.place != Some(place)).take(top).collect::<Ranked>()
        };
        Ok((self.queries.iter().zip(found).map(others).collect(), indices.len()))
    }

    /// The images of the sheet.
    fn rows(&self, found: &[Ranked], data: &Path) -> Result<Vec<Vec<Arc<Image>>>, Error> {
        let read = |place: usize| {
            self.set.image(place).map_err(|error| Error::Query {
                query: self.set.name(place).into(),
                reason: error.to_string(),
                data: data.into(),
            })
        };
        let row = |(query, found): (&Query, &Ranked)| {
            let images = found.iter().map(|&(place, _)| read(place));
            std::iter::once(Ok(Arc::clone(&query.image))).chain(images).collect::<Result<Vec<_>, Error>>()
        };
        self.queries.iter().zip(found).map(row).collect()
    }
}

/// An image to search with.
struct Query {
    name: String,
    image: Arc<Image>,
    /// Its place in the data set, if it is there.
    place: Option<usize>,
}

impl Query {
    /// Reads a query, or takes it from the data set. A file may take at most `bytes` bytes, as the images of the set.
    fn find(query: &Path, set: &Dataset, data: &Path, bytes: usize) -> Result<Self, Error> {
        let fail = |reason: String| Error::Query { query: query.into(), reason, data: data.into() };
        let place = place_in(query, set, data);
        let name = query.display().to_string();
        if query.is_file() {
            let image = read_image(query, bytes).map_err(|error| fail(error.to_string()))?;
            return Ok(Self { name, image: Arc::new(image), place });
        }
        let place = place.ok_or_else(|| fail("there is none of that name".to_owned()))?;
        let image = set.image(place).map_err(|error| fail(error.to_string()))?;
        Ok(Self { name, image, place: Some(place) })
    }

    fn report(&self, found: &[(usize, f32)], set: &Dataset) -> Found {
        let neighbour = |&(place, cosine): &(usize, f32)| Neighbour {
            file: set.name(place),
            similarity: f64::from(cosine),
        };
        Found { query: self.name.clone(), neighbours: found.iter().map(neighbour).collect() }
    }
}

/// The place of an image in a data set, from its path or the end of it.
fn place_in(query: &Path, set: &Dataset, data: &Path) -> Option<usize> {
    let archive = format!(" in {}", data.display());
    let name = |place: usize| {
        let name = set.name(place);
        PathBuf::from(name.strip_suffix(&archive).unwrap_or(&name))
    };
    let file = fs::canonicalize(query).ok();
    let is_query = |place: &usize| {
        let name = name(*place);
        match &file {
            // Comparing names first saves most of the look-ups.
            Some(file) => {
                name.file_name() == file.file_name() && fs::canonicalize(name).ok().as_ref() == Some(file)
            }
            None => name.ends_with(query),
        }
    };
    (0..set.len()).find(is_query)
}

impl fmt::Display for SimilarReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Found { query, neighbours }) in self.queries.iter().enumerate() {
            let start = if index == 0 { "" } else { "\n" };
            write!(f, "{start}{}", escaped(query))?;
            for Neighbour { file, similarity } in neighbours {
                write!(f, "\n  {similarity:6.3}  {}", escaped(file))?;
            }
        }
        match &self.out {
            Some(out) => write!(f, "\nsheet: {}", shown(out)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncoderOrigin;
    use crate::methods::testing::AnyName;
    use ssl_encoders::EncoderConfig;

    fn options(queries: &[&str]) -> SimilarOptions {
        let config = EncoderConfig { width: 4, ..EncoderConfig::default() };
        let encoder = EncoderSource::Untrained { config, seed: 0 };
        let queries = queries.iter().map(PathBuf::from).collect();
        SimilarOptions { limit: Some(20), top: 3, ..SimilarOptions::new(encoder, "demo:test", queries) }
    }

    /// A file with an image of `demo:test`.
    fn saved(folder: &Path, place: usize) -> PathBuf {
        let image =
            images::open(Path::new("demo:test"), Some(20)).expect("rendered").image(place).expect("drawn");
        let (width, height) = (image.width() as u32, image.height() as u32);
        let path = folder.join(format!("{place}.png"));
        image::save_buffer(&path, image.pixels(), width, height, image::ExtendedColorType::Rgb8)
            .expect("writable");
        path
    }

    #[test]
    fn an_equal_image_comes_first_and_an_image_of_the_set_does_not_find_itself() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = saved(folder.path(), 5);
        let set = images::open(Path::new("demo:test"), Some(20)).expect("rendered");
        let name = set.name(5);
        let queries = [copy.to_str().expect("Unicode"), &name];
        let out = folder.path().join("sheet.png");
        let options = SimilarOptions { out: Some(out.clone()), ..options(&queries) };
        let report = similar(&AnyName, &options).expect("usable");
        let [of_copy, of_name] = &report.queries[..] else { panic!("{report:?}") };
        assert_eq!((of_copy.neighbours.len(), of_name.neighbours.len(), report.images), (3, 3, 20));
        assert_eq!(of_copy.neighbours[0].file, name);
        assert!((of_copy.neighbours[0].similarity - 1.0).abs() < 1e-4, "{report:?}");
        assert!(of_name.neighbours.iter().all(|found| found.file != name), "{report:?}");
        assert_eq!(of_copy.neighbours[1].file, of_name.neighbours[0].file);
        let falls = |found: &Found| found.neighbours.is_sorted_by(|a, b| a.similarity >= b.similarity);
        assert!(falls(of_copy) && falls(of_name), "{report:?}");
        let sheet = image::open(out).expect("a picture");
        assert_eq!((sheet.width(), sheet.height()), (4 + 4 * 132, 4 + 2 * 132));
    }

    #[test]
    fn a_file_of_the_searched_folder_does_not_find_itself() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths: Vec<_> = (0..4).map(|place| saved(folder.path(), place)).collect();
        let query = vec![folder.path().join("./2.png")];
        let options = SimilarOptions { data: folder.path().into(), queries: query, ..options(&[]) };
        let report = similar(&AnyName, &options).expect("usable");
        let mut found: Vec<_> = report.queries[0].neighbours.iter().map(|found| found.file.clone()).collect();
        found.sort_unstable();
        let others = [&paths[0], &paths[1], &paths[3]].map(|path| path.display().to_string());
        assert_eq!(found, others);
    }

    #[test]
    fn what_is_printed_has_no_control_characters_of_names() {
        let neighbour = Neighbour { file: "b\u{1b}[31m.png".into(), similarity: 0.5 };
        let found = Found { query: "a\nerror: b.png".into(), neighbours: vec![neighbour] };
        let encoder = EncoderSummary {
            origin: EncoderOrigin::Untrained,
            method: None,
            model: "resnet18".into(),
            width: None,
            steps: None,
            total_steps: None,
            epochs: None,
            seed: None,
        };
        let out = Some(PathBuf::from("c\n.png"));
        let report = SimilarReport { queries: vec![found], images: 1, encoder, out };
        let expected = "a\\nerror: b.png\n   0.500  b\\u{1b}[31m.png\nsheet: c\\n.png";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn queries_and_files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = folder.path().join("notes.png");
        fs::write(&text, "notes").expect("writable");
        let error = |options| similar(&AnyName, &options).expect_err("unusable").to_string();
        let absent = error(options(&["nothing.png"]));
        assert!(absent.starts_with("nothing.png is no image to search with: there is none"), "{absent}");
        let broken = error(options(&[text.to_str().expect("Unicode")]));
        assert!(broken.contains("notes.png is no image to search with: "), "{broken}");
        let none = error(SimilarOptions { top: 0, ..options(&["nothing.png"]) });
        assert_eq!(none, "top is 0, expected at least 1");
        let gif = error(SimilarOptions { out: Some("sheet.gif".into()), ..options(&["nothing.png"]) });
        assert!(gif.starts_with("sheet.gif has an unknown extension: expected .png, .jpg, "), "{gif}");
    }
}
