//! Groups of images that are alike.

use super::Cluster;
use crate::rows::Rows;

/// Images of a cluster that are shown.
const OF_CLUSTER: usize = 18;

pub(super) fn of(
    features: &Rows,
    of_cluster: &[usize],
    classes: &[String],
    labels: Option<&[usize]>,
) -> Vec<Cluster> {
    let count = of_cluster.iter().max().map_or(0, |last| last + 1);
    let members =
        |cluster: usize| (0..of_cluster.len()).filter(|&image| of_cluster[image] == cluster).collect();
    (0..count)
        .map(members)
        .map(|members: Vec<usize>| Cluster::new(features, members, classes, labels))
        .collect()
}

impl Cluster {
    fn new(features: &Rows, mut members: Vec<usize>, classes: &[String], labels: Option<&[usize]>) -> Self {
        let size = members.len();
        let mut mean = vec![0.0; features.dim()];
        for &image in &members {
            mean.iter_mut().zip(features.row(image)).for_each(|(mean, value)| *mean += value);
        }
        let likeness = |image: usize| {
            mean.iter().zip(features.row(image)).map(|(mean, value)| mean * value).sum::<f32>()
        };
        let most_frequent = |labels: &[usize]| {
            let count = |class: usize| members.iter().filter(|&&image| labels[image] == class).count();
            // The first of equal ones.
            let best = (0..classes.len()).rev().max_by_key(|&class| count(class))?;
            Some((classes[best].clone(), 100.0 * count(best) as f64 / size.max(1) as f64))
        };
        let mostly = labels.and_then(most_frequent);
        members.sort_by(|&a, &b| likeness(b).total_cmp(&likeness(a)));
        members.truncate(OF_CLUSTER);
        Self { size, images: members, mostly }
    }
}
