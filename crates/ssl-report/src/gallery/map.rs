//! Images in two dimensions, and the colours of their points.

use std::collections::BTreeSet;

use super::{Colours, Layout, Map, Sampled};
use crate::curves::rounded;
use crate::rows::{Rows, principal};

/// Folders that can have a colour each.
const FOLDERS: usize = 20;

impl Map {
    pub(super) fn new(features: &Rows, colours: Vec<Colours>) -> Self {
        let found = principal(features, 2);
        let point = |row: &Vec<f32>| [0, 1].map(|axis| row.get(axis).copied().unwrap_or(0.0));
        let components = Layout::new("principal components", found.coordinates.iter().map(point));
        let layouts = std::iter::once(components).chain(by_neighbours(features)).collect();
        Self { layouts, share: 100.0 * found.shares.iter().sum::<f64>(), colours }
    }
}

impl Layout {
    fn new(name: &str, points: impl Iterator<Item = [f32; 2]>) -> Self {
        let (x, y) = points.map(|[x, y]| (rounded(x.into()), rounded(y.into()))).unzip();
        Self { name: name.to_owned(), x, y }
    }
}

#[cfg(feature = "tsne")]
fn by_neighbours(features: &Rows) -> Option<Layout> {
    Some(Layout::new("t-SNE", crate::tsne(features)?.into_iter()))
}

#[cfg(not(feature = "tsne"))]
fn by_neighbours(_features: &Rows) -> Option<Layout> {
    None
}

pub(super) fn colourings(
    sample: &[Sampled],
    classes: &[String],
    labels: Option<&[usize]>,
    clusters: &[usize],
) -> Vec<Colours> {
    let label = labels.map(|labels| Colours {
        name: "label".into(),
        values: labels.to_vec(),
        groups: classes.to_vec(),
    });
    let count = clusters.iter().max().map_or(0, |last| last + 1);
    let cluster = Colours {
        name: "cluster".into(),
        values: clusters.to_vec(),
        groups: (1..=count).map(|cluster| format!("cluster {cluster}")).collect(),
    };
    label.into_iter().chain([cluster, by_file(sample, labels)]).collect()
}

/// Folders that are not the classes, or the order of the files.
fn by_file(sample: &[Sampled], labels: Option<&[usize]>) -> Colours {
    let folder = |name: &str| name.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned();
    let mut groups: Vec<String> = Vec::new();
    let mut values = Vec::new();
    for sampled in sample {
        let folder = folder(&sampled.name);
        let place = groups.iter().position(|group| *group == folder);
        values.push(place.unwrap_or_else(|| {
            groups.push(folder);
            groups.len() - 1
        }));
    }
    let same = |labels: &[usize]| {
        let pairs: BTreeSet<_> = labels.iter().zip(&values).collect();
        pairs.len() == groups.len()
    };
    if (2..=FOLDERS).contains(&groups.len()) && !labels.is_some_and(same) {
        return Colours { name: "folder".into(), values, groups };
    }
    Colours { name: "order of files".into(), values: (0..sample.len()).collect(), groups: Vec::new() }
}
