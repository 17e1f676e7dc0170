//! Features as a table for data frames.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::format::Table;

/// A list as other programs write them, so that data frames read it as one.
const SCHEMA: &str = "message images {
    required binary file (STRING);
    optional int64 label;
    optional binary class (STRING);
    required group features (LIST) { repeated group list { required float element; } }
}";

/// The name of the description of the encoder in the metadata.
const ABOUT: &str = "burn-ssl";

/// Rows in a group (our choice: some hundred megabytes of 2,048 features are read at a time).
const GROUP: usize = 50_000;

impl Table {
    /// A Parquet file; `about` describes the encoder.
    pub(super) fn parquet(&self, about: &str) -> Result<Vec<u8>> {
        let about = KeyValue::new(ABOUT.to_owned(), about.to_owned());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_dictionary_enabled(false)
            .set_key_value_metadata(Some(vec![about]))
            .build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let mut bytes = Vec::new();
        let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
        for start in (0..self.names.len()).step_by(GROUP) {
            let mut group = file.next_row_group()?;
            self.write_group(&mut group, start..(start + GROUP).min(self.names.len()))?;
            group.close()?;
        }
        file.close()?;
        Ok(bytes)
    }

    fn write_group<W: std::io::Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        rows: std::ops::Range<usize>,
    ) -> Result<()> {
        let text = |text: &String| ByteArray::from(text.as_str());
        let labels: Vec<Option<i64>> =
            rows.clone().map(|row| self.labels.as_ref().map(|labels| labels[row])).collect();
        let classes: Vec<Option<ByteArray>> =
            labels.iter().map(|label| label.and_then(|label| self.class(label)).map(text)).collect();
        let files: Vec<ByteArray> = self.names[rows.clone()].iter().map(text).collect();
        // The first value of a list begins a row, the others go on with it.
        let first: Vec<i16> = (0..rows.len() * self.dim).map(|at| i16::from(at % self.dim != 0)).collect();
        let features = &self.values[rows.start * self.dim..rows.end * self.dim];

        column::<ByteArrayType, _>(group, &files, None, None)?;
        let (values, there) = present(labels);
        column::<Int64Type, _>(group, &values, Some(&there), None)?;
        let (values, there) = present(classes);
        column::<ByteArrayType, _>(group, &values, Some(&there), None)?;
        column::<FloatType, _>(group, features, Some(&vec![1; first.len()]), Some(&first))
    }
}

/// The values that are there, and a 1 for each of them among the 0 of the others.
fn present<T>(values: Vec<Option<T>>) -> (Vec<T>, Vec<i16>) {
    let there = values.iter().map(|value| i16::from(value.is_some())).collect();
    (values.into_iter().flatten().collect(), there)
}

/// Writes the next column.
fn column<T: parquet::data_type::DataType, W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definitions: Option<&[i16]>,
    repetitions: Option<&[i16]>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(parquet::errors::ParquetError::General("a column too many".to_owned()));
    };
    column.typed::<T>().write_batch(values, definitions, repetitions)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::embeddings::format::tests::table;

    #[test]
    fn a_parquet_file_has_names_labels_classes_and_lists_of_features() {
        for (table, label) in [(table(), "1"), (Table { labels: None, ..table() }, "null")] {
            let bytes = table.parquet("{\"kind\":\"embeddings\"}").expect("in memory");
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("features.parquet");
            fs::write(&path, bytes).expect("writable");
            let file = File::open(path).expect("readable");
            let file = SerializedFileReader::new(file).expect("own file");
            let about = file.metadata().file_metadata().key_value_metadata().expect("metadata");
            assert_eq!(
                (about[0].key.as_str(), about[0].value.as_deref()),
                ("burn-ssl", Some("{\"kind\":\"embeddings\"}"))
            );
            let rows: Vec<String> =
                file.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string()).collect();
            assert_eq!(rows.len(), 2);
            let class = if label == "1" { "\"a, b\"" } else { "null" };
            let expected =
                format!("{{file: \"a, b/1.png\", label: {label}, class: {class}, features: [0.5, -1E0]}}");
            assert_eq!(rows[0], expected);
        }
    }
}
