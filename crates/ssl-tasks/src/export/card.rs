//! The model card beside an export.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ssl_core::Encoder;
use ssl_encoders::{ClassifierHead, DataSummary, Preprocessing, Provenance};

use super::ExportFormat;
use super::exported::Exported;
use crate::{Error, files};

/// What a card says.
pub(super) struct Card<'a, E> {
    pub(super) exported: &'a Exported<E>,
    /// The classifier that the export has.
    pub(super) head: Option<&'a ClassifierHead>,
    pub(super) format: ExportFormat,
    /// An SPDX identifier or another name.
    pub(super) license: Option<&'a str>,
    pub(super) python: Option<&'a str>,
    /// Number of parameters and running statistics.
    pub(super) values: usize,
}

impl<E: Encoder> Card<'_, E> {
    /// Writes the card beside the file that it is of: `README.md`, or `<file>.README.md` if there is another `README.md`. A card of
    /// the same file is replaced.
    pub(super) fn write(&self, file: &Path) -> Result<PathBuf, Error> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mark = format!("<!-- the model card of {name}, by burn-ssl -->");
        let usual = file.with_file_name("README.md");
        let is_free = !usual.exists() || ssl_files::read_text(&usual).is_ok_and(|text| text.contains(&mark));
        let path = if is_free { usual } else { file.with_file_name(format!("{name}.README.md")) };
        files::write(&path, self.text(&mark).as_bytes(), true)?;
        Ok(path)
    }

    fn text(&self, mark: &str) -> String {
        let parts = [
            self.front_matter(),
            mark.to_owned(),
            format!("# {}", self.title()),
            table(&["", ""], self.facts()),
            "## Training".to_owned(),
            table(&["", ""], self.training()),
            "## Metrics".to_owned(),
            self.metrics(),
            "## Images".to_owned(),
            self.images(),
            self.usage(),
            "## Recipe".to_owned(),
            format!("```toml\n{}\n```", self.exported.recipe.to_string().trim_end()),
            "## Licence".to_owned(),
            self.licence(),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n\n") + "\n"
    }

    fn front_matter(&self) -> String {
        let mut text = format!("---\nlicense: {}\n", self.license.unwrap_or("unknown"));
        if self.format == ExportFormat::TimmDir {
            text.push_str("library_name: timm\n");
        }
        let task = if self.head.is_some() { "image-classification" } else { "image-feature-extraction" };
        text + &format!("pipeline_tag: {task}\ntags:\n- self-supervised-learning\n- burn-ssl\n---")
    }

    fn title(&self) -> String {
        let model = &self.exported.artifact.encoder.name;
        match &self.exported.artifact.provenance.method {
            Some(method) => format!("{model}, trained with {method}"),
            None => model.clone(),
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("encoder".to_owned(), self.exported.summary.to_string()),
            ("features".to_owned(), self.exported.feature_dim().to_string()),
            ("values".to_owned(), format!("{} (parameters and running statistics)", self.values)),
            ("format".to_owned(), self.format.to_string()),
        ];
        if let Some(head) = self.head {
            let names = head.class_names.as_ref().map(|names| format!(": {}", names.join(", ")));
            rows.push(("classes".to_owned(), format!("{}{}", head.classes, names.unwrap_or_default())));
        }
        rows
    }

    fn training(&self) -> Vec<(String, String)> {
        let Provenance { version, method, recipe_hash, data, seed, steps } =
            &self.exported.artifact.provenance;
        let unknown = || "not recorded".to_owned();
        let number = |number: &Option<u64>| number.map_or_else(unknown, |number| number.to_string());
        [
            ("method", method.clone().unwrap_or_else(unknown)),
            ("training images", data.as_ref().map_or_else(unknown, summary)),
            ("optimizer steps", number(steps)),
            ("seed", number(seed)),
            ("recipe hash", recipe_hash.clone().unwrap_or_else(unknown)),
            ("written by", format!("burn-ssl {version}")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn metrics(&self) -> String {
        let metrics = &self.exported.artifact.metrics;
        if metrics.is_empty() {
            return "None were recorded.".to_owned();
        }
        let rows = metrics.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        table(&["metric", "value"], rows)
    }

    fn images(&self) -> String {
        let Preprocessing { size, resize, mean, std } = self.exported.artifact.preprocessing;
        let resize = resize.max(size);
        format!(
            "RGB of {size} x {size} pixels: the shorter side resized to {resize} (bilinear, antialiased), then the centre cropped; an \
             image of that size is left as it is. Pixels from 0 to 1, minus {mean:?}, divided by {std:?}."
        )
    }

    fn usage(&self) -> String {
        self.python.map_or(String::new(), |python| format!("## Use\n\n```python\n{python}\n```"))
    }

    fn licence(&self) -> String {
        match self.license {
            Some(license) => format!("`{license}`."),
            None => "Not stated: the weights depend on the training images and what they may be used for. Fill in `license` at the \
                     top of this card before you publish them."
                .to_owned(),
        }
    }
}

fn summary(data: &DataSummary) -> String {
    let DataSummary { name, images, classes } = data;
    let classes = classes.map(|classes| format!(" of {classes} classes")).unwrap_or_default();
    format!("{images} images{classes}, `{name}`")
}

fn table(head: &[&str; 2], rows: Vec<(String, String)>) -> String {
    let mut text = format!("| {} | {} |\n|---|---|", head[0], head[1]);
    for (name, value) in rows {
        // A bar or a line break would end the cell.
        let value = value.replace('|', "\\|").replace(['\n', '\r'], " ");
        let _ = write!(text, "\n| {name} | {value} |");
    }
    text
}
