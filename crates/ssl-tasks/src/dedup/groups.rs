//! Groups of near-duplicates, and which of each is kept.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::{io, iter};

use ssl_data::Dataset;

use super::{DedupOptions, Pair};
use crate::{Error, sheet};

/// Groups of near-duplicates.
pub(super) struct Groups {
    /// The places of all images that were compared, ascending.
    places: Vec<usize>,
    /// The places in each group, the one that is kept first.
    pub(super) members: Vec<Vec<usize>>,
    /// The closest pair of each image that is in a group, by its place.
    closest: HashMap<usize, Pair>,
}

impl Groups {
    /// Near-duplicates of near-duplicates are in one group. `pixels` are those of an image.
    pub(super) fn of(
        places: &[usize],
        pairs: &[Pair],
        set: &Dataset,
        pixels: impl Fn(usize) -> usize,
    ) -> Self {
        let mut leaders: Vec<usize> = (0..set.len()).collect();
        for &Pair { places: [a, b], .. } in pairs {
            let (a, b) = (leader(&mut leaders, a), leader(&mut leaders, b));
            leaders[a.max(b)] = a.min(b);
        }
        let mut members = vec![Vec::new(); set.len()];
        for &place in places {
            members[leader(&mut leaders, place)].push(place);
        }
        members.retain(|group| group.len() > 1);
        for group in &mut members {
            // Stable: the first of equal ones is kept.
            group.sort_by_key(|&place| Reverse((pixels(place), set.file_len(place))));
        }
        let mut closest = HashMap::new();
        for &pair in pairs {
            for place in pair.places {
                let best = closest.entry(place).or_insert(pair);
                if pair.cosine > best.cosine {
                    *best = pair;
                }
            }
        }
        Self { places: places.to_vec(), members, closest }
    }

    /// The table.
    pub(super) fn csv(&self, set: &Dataset, options: &DedupOptions) -> Result<Vec<u8>, Error> {
        let failed = |error: String| Error::Io { path: options.out.clone(), source: io::Error::other(error) };
        let name = |place: usize| sheet::name(set, place, &options.data);
        let mut of_group = HashMap::new();
        for (number, group) in self.members.iter().enumerate() {
            of_group.extend(group.iter().map(|&place| (place, (number + 1, group[0]))));
        }
        let mut table = csv::Writer::from_writer(Vec::new());
        let head = ["file", "keep", "group", "kept", "like", "cosine", "distance"];
        table.write_record(head).map_err(|error| failed(error.to_string()))?;
        for &place in &self.places {
            let row = match of_group.get(&place).zip(self.closest.get(&place)) {
                None => [name(place), "yes".to_owned()]
                    .into_iter()
                    .chain(iter::repeat_n(String::new(), 5))
                    .collect(),
                Some((&(group, kept), &Pair { places: [a, b], cosine, distance })) => vec![
                    name(place),
                    if place == kept { "yes" } else { "no" }.to_owned(),
                    group.to_string(),
                    name(kept),
                    name(if a == place { b } else { a }),
                    format!("{cosine:.4}"),
                    distance.to_string(),
                ],
            };
            table.write_record(row).map_err(|error| failed(error.to_string()))?;
        }
        table.into_inner().map_err(|error| failed(error.to_string()))
    }
}

/// The first image of the group so far.
fn leader(leaders: &mut [usize], mut place: usize) -> usize {
    while leaders[place] != place {
        leaders[place] = leaders[leaders[place]];
        place = leaders[place];
    }
    place
}
