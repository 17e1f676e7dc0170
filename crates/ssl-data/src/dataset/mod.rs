//! Images by number, with or without labels.

mod cache;
mod contents;
mod limit;
mod unreadable;

use std::{fmt, path::Path, sync::Arc};

use ssl_files::{escaped, shown};

use self::{cache::Cache, contents::Contents, unreadable::Unreadable};
use crate::{
    DataError, Image, MAX_IMAGE_BYTES, ReadError,
    source::{self, ImageSource, Memory},
};

/// How to open a [`Dataset`].
#[derive(Clone, Debug)]
pub struct DatasetOptions {
    /// Keep only so many images, for quick runs. Default: all.
    ///
    /// With labels, the images are taken in turn, the first of each class, then the second of each class;
    /// without labels they are the first ones. Those kept stay in the data set's order, and an archive
    /// whose classes take turns keeps its first images.
    pub limit: Option<usize>,
    /// Bytes of decoded images that are kept in memory. Default: 1 GiB (our choice: CIFAR-10 takes 0.15 GiB,
    /// STL-10 with its unlabelled images 2.9 GiB).
    ///
    /// Images are kept as they are first read until the bytes are used up; the others are decoded anew each
    /// time. The batches do not depend on it.
    pub cache_bytes: usize,
    /// Images that may be unreadable before a loader gives up. Default: one of a hundred, at least 10 (our
    /// choice: a few broken downloads should not stop a long run, a wrong folder should).
    pub max_unreadable: Option<usize>,
    /// Bytes that one image may take while it is decoded, its file included; each worker decodes one image at a time. A
    /// larger image is unreadable. Default: [`MAX_IMAGE_BYTES`](crate::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: usize,
}

impl Default for DatasetOptions {
    fn default() -> Self {
        Self { limit: None, cache_bytes: 1 << 30, max_unreadable: None, max_image_bytes: MAX_IMAGE_BYTES }
    }
}

/// A set of images, read when asked for.
///
/// Shared by the loaders of a run (`Arc<Dataset>`), and with it the cache of decoded images.
pub struct Dataset {
    kind: String,
    source: Box<dyn ImageSource>,
    /// Places in the source of the images that the limit kept.
    selection: Option<Vec<usize>>,
    labels: Option<Vec<i64>>,
    class_names: Option<Vec<String>>,
    cache: Cache,
    contents: Contents,
    unreadable: Unreadable,
}

impl Dataset {
    /// Opens the data set at `path` with the default options.
    ///
    /// What it is, is recognised by looking, in this order:
    ///
    /// | path | images | labels |
    /// |---|---|---|
    /// | folder with `data_batch_1.bin` … or `test_batch.bin` | CIFAR-10 binary, training images if they are there | from the file |
    /// | folder with `train.bin` or `test.bin` | CIFAR-100 binary, training images if they are there | fine labels |
    /// | folder with `train_X.bin`, `unlabeled_X.bin` or `test_X.bin` | STL-10 binary, the first of these | `*_y.bin` |
    /// | folder with `train-images-idx3-ubyte` or `t10k-images-idx3-ubyte` | MNIST IDX, training images if they are there | `*-labels-idx1-ubyte` |
    /// | any other folder | all image files below it, in byte order of the relative path | class folders |
    /// | `.tar` | all image files in it, in the archive's order, without unpacking | class folders |
    /// | `.bin`, or a file that begins like IDX | one file of the binary releases above | as above |
    /// | `.csv`, `.tsv`, `.txt` | a list: `path` or `path,label` on each line | second column |
    ///
    /// Class folders: if every image lies exactly one folder below the deepest folder that all images share,
    /// and there are at least two such folders, they are the classes, numbered in byte order of their names.
    /// Anything else (images beside folders, deeper nesting, a single folder) has no labels.
    ///
    /// Image files are those that end in [`IMAGE_EXTENSIONS`](crate::IMAGE_EXTENSIONS) in any case of letters;
    /// files and folders that begin with a dot are passed over. In a list the first line is a header if its
    /// first column does not end like an image, paths are relative to the list's folder, and labels are kept
    /// if all are whole numbers, and otherwise numbered in byte order.
    ///
    /// # Errors
    /// If nothing is there, if it is none of these, holds no image, or contradicts its format. Single
    /// images are not looked at here; see [`DatasetOptions::max_unreadable`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open_with(path, &DatasetOptions::default())
    }

    /// Opens the data set at `path`, see [`open`](Self::open).
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and a limit of zero.
    pub fn open_with(path: impl AsRef<Path>, options: &DatasetOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let found = source::open(path, options.max_image_bytes)?;
        let kind = format!("{} {}", found.kind, shown(path));
        Self::assemble(kind, found.source, found.labels, found.class_names, options)
    }

    /// Wraps images that are already decoded.
    ///
    /// # Panics
    /// If there is no image, or the labels are not as many as the images.
    ///
    /// # Example
    /// ```
    /// use ssl_data::{Dataset, Image};
    ///
    /// let black = Image::new(2, 2, vec![0; 12]);
    /// let white = Image::new(2, 2, vec![255; 12]);
    /// let dataset = Dataset::from_images(vec![black, white], Some(vec![0, 1]));
    /// assert_eq!(dataset.len(), 2);
    /// ```
    pub fn from_images(images: Vec<Image>, labels: Option<Vec<i64>>) -> Self {
        let options = DatasetOptions { cache_bytes: 0, ..DatasetOptions::default() };
        let source = Box::new(Memory::new(images));
        match Self::assemble("images in memory".into(), source, labels, None, &options) {
            Ok(dataset) => dataset,
            Err(error) => unreachable!("only a limit fails: {error}"),
        }
    }

    /// Wraps a source of the user's own; `class_names[label]` names a label.
    ///
    /// # Errors
    /// A limit of zero.
    ///
    /// # Panics
    /// If the source holds no image, or the labels are not as many as its images.
    pub fn from_source(
        source: Box<dyn ImageSource>,
        labels: Option<Vec<i64>>,
        class_names: Option<Vec<String>>,
        options: &DatasetOptions,
    ) -> Result<Self, DataError> {
        Self::assemble("in memory".into(), source, labels, class_names, options)
    }

    fn assemble(
        kind: String,
        source: Box<dyn ImageSource>,
        labels: Option<Vec<i64>>,
        class_names: Option<Vec<String>>,
        options: &DatasetOptions,
    ) -> Result<Self, DataError> {
        let count = source.count();
        assert!(count > 0, "a data set without images");
        if let Some(labels) = &labels {
            assert_eq!(labels.len(), count, "labels of {count} images");
        }
        let selection = match options.limit {
            Some(0) => return Err(DataError::Zero { field: "limit" }),
            Some(limit) if limit < count => Some(limit::select(count, labels.as_deref(), limit)),
            _ => None,
        };
        let labels = match (&selection, labels) {
            (Some(selection), Some(labels)) => Some(selection.iter().map(|&place| labels[place]).collect()),
            (_, labels) => labels,
        };
        let len = selection.as_ref().map_or(count, Vec::len);
        Ok(Self {
            kind,
            source,
            selection,
            labels,
            class_names,
            cache: Cache::new(len, options.cache_bytes),
            contents: Contents::new(len),
            unreadable: Unreadable::new(len, options.max_unreadable),
        })
    }
}

impl Dataset {
    /// Number of images, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.selection.as_ref().map_or_else(|| self.source.count(), Vec::len)
    }

    /// The class of each image, if known.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// The names of the classes by label, if the data set names them.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Image `index`, below [`len`](Self::len), from the cache or decoded.
    ///
    /// # Errors
    /// If the image cannot be read or decoded.
    pub fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        if let Some(image) = self.cache.get(index) {
            return Ok(image);
        }
        let image = self.source.image(self.place(index))?;
        self.contents.note(index, &image);
        self.cache.keep(index, &image);
        Ok(image)
    }

    /// What to call image `index` in a message: its path, or its place in its file.
    pub fn name(&self, index: usize) -> String {
        self.source.name(self.place(index))
    }

    /// The length of the file of image `index` in bytes, where each has one of its own and it can be read.
    pub fn file_len(&self, index: usize) -> Option<u64> {
        self.source.file_len(self.place(index))
    }

    /// Numbers the labels as `class_names` does, so that they agree with those of another data set.
    ///
    /// A test set whose folders are only some of the training set's classes has other numbers for them.
    /// Nothing changes where this data set has no names.
    ///
    /// # Errors
    /// If one of the classes is not among `class_names`.
    pub fn match_labels(&mut self, class_names: &[String]) -> Result<(), DataError> {
        let (Some(labels), Some(own)) = (&mut self.labels, &self.class_names) else { return Ok(()) };
        let place = |class: &String| {
            class_names
                .iter()
                .position(|known| known == class)
                .map(|place| place as i64)
                .ok_or_else(|| DataError::UnknownClass { class: class.clone(), known: class_names.len() })
        };
        let places = own.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        labels.iter_mut().for_each(|label| *label = places[*label as usize]);
        self.class_names = Some(class_names.to_vec());
        Ok(())
    }

    /// Keeps only the images at the given places, in the order given, with the default options of a set that is opened.
    ///
    /// # Panics
    /// If no place is given, or one is not below [`len`](Self::len).
    pub fn subset(self, places: &[usize]) -> Self {
        assert!(!places.is_empty(), "a data set without images");
        assert!(places.iter().all(|&index| index < self.len()), "a place beyond {} images", self.len());
        let selection: Vec<usize> = places.iter().map(|&index| self.place(index)).collect();
        let labels = self.labels.as_ref().map(|labels| places.iter().map(|&index| labels[index]).collect());
        let DatasetOptions { cache_bytes, max_unreadable, .. } = DatasetOptions::default();
        Self {
            labels,
            cache: Cache::new(selection.len(), cache_bytes),
            contents: Contents::new(selection.len()),
            unreadable: Unreadable::new(selection.len(), max_unreadable),
            selection: Some(selection),
            ..self
        }
    }

    /// Images that the loaders found unreadable so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.count()
    }

    /// Unreadable images that are skipped before a loader gives up.
    pub(crate) fn max_unreadable(&self) -> usize {
        self.unreadable.allowed()
    }

    /// Notes that image `index` cannot be read: the first time it is named in the log, and too many are an
    /// error.
    pub(crate) fn report_unreadable(&self, index: usize, error: &ReadError) -> Result<(), DataError> {
        self.unreadable
            .report(index, || format!("{}: {}", escaped(&self.name(index)), escaped(&error.to_string())))
    }

    fn place(&self, index: usize) -> usize {
        self.selection.as_ref().map_or(index, |selection| selection[index])
    }
}

/// One line: how many images of how many classes, what they lie in, and where.
impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.selection {
            None => write!(f, "{} images", self.len())?,
            Some(_) => write!(f, "{} of {} images", self.len(), self.source.count())?,
        }
        match (&self.labels, &self.class_names) {
            (Some(_), Some(names)) => write!(f, " of {} classes", names.len())?,
            (Some(_), None) => write!(f, " with labels")?,
            (None, _) => write!(f, " without labels")?,
        }
        write!(f, ", {}", self.kind)
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset({self})")
    }
}
