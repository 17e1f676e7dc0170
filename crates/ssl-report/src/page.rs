//! The page.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use serde::Serialize;

use crate::{Curves, Error, Gallery};

/// The script that draws curves, with its licence and its styles.
const UPLOT: [&str; 3] = [
    include_str!("../assets/uplot/uPlot.iife.min.js"),
    include_str!("../assets/uplot/LICENSE"),
    include_str!("../assets/uplot/uPlot.min.css"),
];

/// Everything that a page shows. What is missing or empty has no section.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Page {
    /// The title.
    pub title: String,
    /// What was run, in a line.
    pub subtitle: String,
    /// Whether anything was learned.
    pub verdict: Option<Verdict>,
    /// The most important figures.
    pub tiles: Vec<Tile>,
    /// What was wrong with the run.
    pub findings: Vec<Note>,
    /// Runs side by side.
    pub compared: Vec<Table>,
    /// The keys of their recipes that differ.
    pub differences: Option<Table>,
    /// Metrics over the course of training.
    pub curves: Option<Curves>,
    /// How well classes are told apart, and by which protocol.
    pub accuracy: Option<Table>,
    /// The views that the method saw.
    pub views: Option<Figure>,
    /// What the features say about a sample of images.
    pub gallery: Option<Gallery>,
    /// What is to be said of that sample.
    pub sample: String,
    /// What is to be said of the images of the run.
    pub data: Vec<String>,
    /// Test images that are also training images.
    pub shared: Vec<Figure>,
    /// What the network looks at.
    pub looks: Option<Looks>,
    /// Recipe, versions, machine, hashes.
    pub facts: Vec<Facts>,
}

/// Whether anything was learned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// How good that is.
    pub tone: Tone,
    /// The answer as a sentence.
    pub sentence: String,
    /// What it is based on.
    pub details: Vec<String>,
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Something is wrong.
    Bad,
    /// Neither.
    Unclear,
}

/// A figure that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tile {
    /// What it is.
    pub name: String,
    /// The figure with its unit.
    pub value: String,
    /// What it is to be compared with.
    pub note: String,
}

/// Something to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// How good it is.
    pub tone: Tone,
    /// What it is called, and when it was seen.
    pub title: String,
    /// What it is, as a sentence.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// Where to read more.
    pub reference: String,
}

/// A table of text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// The heads of the columns.
    pub columns: Vec<String>,
    /// The cells, as many in each row as there are columns; the first is the head of the row.
    pub rows: Vec<Vec<String>>,
    /// Sentences below.
    pub notes: Vec<String>,
}

/// A picture with a caption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// The picture as a `data:` URI, as [`data_uri`](crate::data_uri) makes it: the page has it as it is.
    pub uri: String,
    /// What it shows, for those who cannot see it.
    pub alt: String,
    /// What is to be said of it.
    pub caption: String,
}

/// Pictures of what a network looks at, a row for each image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Looks {
    /// How to read them.
    pub caption: String,
    /// The heads of the columns.
    pub columns: Vec<String>,
    /// The images.
    pub rows: Vec<Row>,
}

/// An image and what a network looks at in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The name of the image.
    pub name: String,
    /// A picture for each column, as `data:` URIs, which the page has as they are.
    pub pictures: Vec<String>,
}

/// Names and values, or a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What they are about.
    pub title: String,
    /// Names and values.
    pub values: Vec<(String, String)>,
    /// A text, such as a recipe.
    pub text: String,
}

/// A part of the page that can be jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Section {
    id: &'static str,
    title: &'static str,
}

/// What the template gets.
#[derive(Serialize)]
struct Context<'a> {
    page: &'a Page,
    sections: Vec<Section>,
    version: &'static str,
}

/// What the scripts get.
#[derive(Serialize)]
struct Data<'a> {
    curves: Option<Curves>,
    map: Option<&'a crate::Map>,
    names: Option<&'a [String]>,
    classes: Option<&'a [String]>,
    columns: usize,
    rows: usize,
}

impl Page {
    /// A page with a title and nothing below it.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// The page as HTML.
    ///
    /// # Errors
    /// Those of the template, which would be a bug.
    pub fn render(&self) -> Result<String, Error> {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.add_template("page", include_str!("../assets/page.html"))?;
        let thumbnails = self.gallery.as_ref().map(|gallery| gallery.thumbnails.clone());
        templates.add_function("position", move |place: usize| {
            thumbnails.as_ref().map_or(String::new(), |thumbnails| thumbnails.position(place))
        });
        templates.add_function("fixed", |value: f64, digits: usize| format!("{value:.digits$}"));
        for (name, text) in [
            ("page_css", include_str!("../assets/page.css").to_owned()),
            ("page_js", include_str!("../assets/page.js").to_owned()),
            ("uplot_js", UPLOT[0].to_owned()),
            ("uplot_licence", UPLOT[1].to_owned()),
            ("uplot_css", UPLOT[2].to_owned()),
            ("data", self.data()?),
        ] {
            templates.add_global(name, Value::from_safe_string(text));
        }
        let context = Context { page: self, sections: self.sections(), version: env!("CARGO_PKG_VERSION") };
        Ok(templates.get_template("page")?.render(Serde(&context))?)
    }

    /// The sections that have something to show, in order.
    fn sections(&self) -> Vec<Section> {
        let gallery = self.gallery.as_ref();
        let all = [
            ("findings", "Doctor", !self.findings.is_empty()),
            ("compared", "Runs", !self.compared.is_empty()),
            ("curves", "Curves", self.curves.is_some()),
            ("differences", "Recipes", self.differences.is_some()),
            ("accuracy", "Accuracy", self.accuracy.is_some()),
            ("views", "Views", self.views.is_some()),
            ("map", "Map", gallery.is_some()),
            ("neighbours", "Neighbours", gallery.is_some()),
            ("clusters", "Clusters", gallery.is_some_and(|gallery| !gallery.clusters.is_empty())),
            ("data", "Data", gallery.is_some() || !self.data.is_empty()),
            ("looks", "Network", self.looks.is_some()),
            ("facts", "Facts", !self.facts.is_empty()),
        ];
        all.into_iter().filter(|section| section.2).map(|(id, title, _)| Section { id, title }).collect()
    }

    /// The data for the scripts as JSON, in which no tag can begin.
    fn data(&self) -> Result<String, Error> {
        let gallery = self.gallery.as_ref();
        let data = Data {
            curves: self.curves.clone().map(Curves::bounded),
            map: gallery.map(|gallery| &gallery.map),
            names: gallery.map(|gallery| &gallery.names[..]),
            classes: gallery.and_then(|gallery| gallery.classes.as_deref()),
            columns: gallery.map_or(1, |gallery| gallery.thumbnails.columns),
            rows: gallery.map_or(1, |gallery| gallery.thumbnails.rows),
        };
        Ok(serde_json::to_string(&data)?.replace('<', "\\u003c"))
    }
}
