//! File formats for features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use ssl_data::Dataset;
use ssl_encoders::{Artifact, Kind};
use ssl_eval::Features;

use crate::Error;

/// The format of a feature file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A row per image: name, label, class, features.
    Csv,
    /// A NumPy array of float32, `[image, dim]`; names, labels and classes are in a CSV beside it.
    Npy,
    /// Tensors `features` and `labels`; names, classes and the rest of the [`Artifact`] are JSON in the metadata.
    Safetensors,
    /// Columns of names, labels, classes and features; the rest of the [`Artifact`] is JSON in the metadata.
    Parquet,
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match ending.as_str() {
            "csv" => Ok(Self::Csv),
            "npy" => Ok(Self::Npy),
            "safetensors" => Ok(Self::Safetensors),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::UnknownEnding(path.into())),
        }
    }

    /// The separate file of names and labels, if the format needs one.
    pub(super) fn names(self, out: &Path) -> Option<PathBuf> {
        (self == Self::Npy).then(|| out.with_extension("csv"))
    }

    /// The separate file that describes the encoder, if the format needs one.
    pub(super) fn about(self, out: &Path) -> Option<PathBuf> {
        matches!(self, Self::Csv | Self::Npy).then(|| out.with_extension("json"))
    }

    /// The files and their contents; `encoder` is the description of the encoder.
    pub(super) fn files(
        self,
        out: &Path,
        table: &Table,
        encoder: Artifact,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
        let features = match self {
            Self::Csv => table.csv(true),
            Self::Npy => table.npy(),
            Self::Safetensors => table.safetensors(encoder.clone()),
            Self::Parquet => {
                let failed = |error| Error::Io { path: out.into(), source: std::io::Error::other(error) };
                table.parquet(&String::from_utf8_lossy(&table.about(encoder.clone()))).map_err(failed)?
            }
        };
        let names = self.names(out).map(|path| (path, table.csv(false)));
        let about = self.about(out).map(|path| (path, table.about(encoder)));
        Ok([Some((out.into(), features)), names, about].into_iter().flatten().collect())
    }
}

/// Features, with names and labels of the images.
pub(super) struct Table {
    pub(super) dim: usize,
    pub(super) values: Vec<f32>,
    pub(super) names: Vec<String>,
    pub(super) labels: Option<Vec<i64>>,
    pub(super) class_names: Option<Vec<String>>,
}

impl Table {
    /// `places` are the indices of the rows in the data set.
    pub(super) fn new(features: Features, places: &[u64], set: &Dataset) -> Self {
        let [_, dim] = features.values.dims();
        let values = features.values.into_data().iter::<f32>().collect();
        let names = places.iter().map(|&place| set.name(place as usize)).collect();
        let class_names = set.class_names().map(<[String]>::to_vec);
        Self { dim, values, names, labels: features.labels, class_names }
    }

    /// The name of a class, if it has one.
    pub(super) fn class(&self, label: i64) -> Option<&String> {
        self.class_names.as_ref()?.get(usize::try_from(label).ok()?)
    }

    fn csv(&self, with_features: bool) -> Vec<u8> {
        let dims = if with_features { self.dim } else { 0 };
        let columns = ["file", "label", "class"].map(str::to_owned).into_iter();
        let mut text = csv::Writer::from_writer(Vec::new());
        let mut write = |row: Vec<String>| text.write_record(row).expect("rows of equal length in memory");
        write(columns.chain((0..dims).map(|dim| format!("f{dim}"))).collect());
        for (row, name) in self.names.iter().enumerate() {
            let label = self.labels.as_ref().map(|labels| labels[row]);
            let class = label.and_then(|label| self.class(label).cloned());
            let label = label.map_or_else(String::new, |label| label.to_string());
            let features = self.values[row * self.dim..][..dims].iter().map(f32::to_string);
            write([name.clone(), label, class.unwrap_or_default()].into_iter().chain(features).collect());
        }
        text.into_inner().expect("writes to memory")
    }

    /// # Source
    /// NumPy's `lib/format.py`, version 1.0: magic, version, length of the header, header padded to a multiple of 64 bytes.
    fn npy(&self) -> Vec<u8> {
        let (rows, dim) = (self.names.len(), self.dim);
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}").into_bytes();
        let before = 10;
        header.resize((before + header.len() + 1).next_multiple_of(64) - before - 1, b' ');
        header.push(b'\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header);
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// The description without the names, which are in the CSV.
    fn about(&self, encoder: Artifact) -> Vec<u8> {
        let rows = Kind::Embeddings { files: Vec::new(), classes: self.class_names.clone() };
        let text =
            serde_json::to_string_pretty(&encoder.with_kind(rows)).expect("strings and finite numbers");
        (text + "\n").into_bytes()
    }

    fn safetensors(&self, encoder: Artifact) -> Vec<u8> {
        let features = TensorData::new(self.values.clone(), [self.names.len(), self.dim]);
        let mut tensors = BTreeMap::from([("features".to_owned(), features)]);
        if let Some(labels) = &self.labels {
            let labels = TensorData::new(labels.clone(), [labels.len()]).convert_dtype(DType::I64);
            tensors.insert("labels".to_owned(), labels);
        }
        let rows = Kind::Embeddings { files: self.names.clone(), classes: self.class_names.clone() };
        encoder.with_kind(rows).encode(&tensors)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ssl_core::named;
    use ssl_encoders::{EncoderConfig, Preprocessing};

    fn encoder() -> Artifact {
        Artifact::new(&EncoderConfig::named("resnet50"), Preprocessing::new(224))
    }

    pub(crate) fn table() -> Table {
        Table {
            dim: 2,
            values: vec![0.5, -1.0, 0.1, 3.0],
            names: vec!["a, b/1.png".into(), "c/2.png".into()],
            labels: Some(vec![1, 0]),
            class_names: Some(vec!["c".into(), "a, b".into()]),
        }
    }

    #[test]
    fn a_csv_has_a_row_per_image_and_quotes_what_has_commas() {
        let text = String::from_utf8(table().csv(true)).expect("text");
        let want = "file,label,class,f0,f1\n\"a, b/1.png\",1,\"a, b\",0.5,-1\nc/2.png,0,c,0.1,3\n";
        assert_eq!(text, want);
        let bare = Table { labels: None, class_names: None, ..table() };
        let text = String::from_utf8(bare.csv(false)).expect("text");
        assert_eq!(text, "file,label,class\n\"a, b/1.png\",,\nc/2.png,,\n");
    }

    #[test]
    fn an_npy_starts_with_a_header_of_a_multiple_of_64_bytes() {
        let bytes = table().npy();
        assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert!((10 + header).is_multiple_of(64));
        let text = String::from_utf8(bytes[10..10 + header].to_vec()).expect("text");
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"), "{text}");
        assert!(text.ends_with('\n'));
        assert_eq!(bytes[10 + header..], *[0.5_f32, -1.0, 0.1, 3.0].map(f32::to_le_bytes).as_flattened());
    }

    #[test]
    fn a_safetensors_file_has_features_labels_and_names() {
        let (tensors, about) = named::decode(&table().safetensors(encoder())).expect("own file");
        assert_eq!(tensors["features"].shape().to_vec(), [2, 2]);
        assert_eq!(tensors["labels"].iter::<i64>().collect::<Vec<_>>(), [1, 0]);
        let about: serde_json::Value = serde_json::from_str(&about).expect("JSON");
        assert_eq!(about["files"], serde_json::json!(["a, b/1.png", "c/2.png"]));
        assert_eq!(about["classes"], serde_json::json!(["c", "a, b"]));
        assert_eq!((&about["kind"], &about["encoder"]["name"]), (&"embeddings".into(), &"resnet50".into()));
    }

    #[test]
    fn a_file_without_room_for_a_description_has_one_beside_it() {
        let places = |name: &str| {
            let path = Path::new(name);
            let files = Format::of(path).expect("known").files(path, &table(), encoder()).expect("in memory");
            files.into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)).collect::<Vec<_>>()
        };
        let names = |name| places(name).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(names("a/x.csv"), ["a/x.csv", "a/x.json"]);
        assert_eq!(names("a/x.npy"), ["a/x.npy", "a/x.csv", "a/x.json"]);
        assert_eq!(names("a/x.safetensors"), ["a/x.safetensors"]);
        assert_eq!(names("a/x.parquet"), ["a/x.parquet"]);
        let about: Artifact = serde_json::from_slice(&places("x.csv")[1].1).expect("a description");
        let classes = Some(vec!["c".to_owned(), "a, b".to_owned()]);
        assert_eq!(about, encoder().with_kind(Kind::Embeddings { files: Vec::new(), classes }));
    }

    #[test]
    fn the_ending_says_what_a_file_is() {
        assert_eq!(Format::of(Path::new("x.NPY")).ok(), Some(Format::Npy));
        let error = Format::of(Path::new("x.arrow")).expect_err("unknown").to_string();
        assert!(
            error.contains("x.arrow") && error.contains(".csv, .npy, .safetensors or .parquet"),
            "{error}"
        );
    }
}
