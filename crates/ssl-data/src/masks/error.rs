use super::Grid;

/// A block's width divided by its height, at most. Published ones are up to 3.3 (arXiv 2106.08254, section 2.3).
pub(super) const ASPECT: f64 = 1e3;

/// Masks that cannot be drawn, or do not fit the views.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// A key of the declaration has a value that no run could use.
    #[error("mask.{key} is {found}, expected {expected}")]
    Key {
        /// The key in `[mask]`.
        key: &'static str,
        /// Its value.
        found: String,
        /// Which values would do.
        expected: String,
    },
    /// There is not one patch grid for each view.
    #[error("{found} patch grids are given for {expected} views, expected one for each")]
    GridCount {
        /// Grids given.
        found: usize,
        /// Views of an image.
        expected: usize,
    },
    /// A view has too few patches for its mask.
    #[error(
        "view {view} has {} x {} patches, expected at least {least} x {least} for a mask of the kind '{kind}'",
        grid[0],
        grid[1]
    )]
    Grid {
        /// The view, from 0.
        view: usize,
        /// Rows and columns of its patches.
        grid: [usize; 2],
        /// The kind of the mask.
        kind: &'static str,
        /// Rows and columns that would do.
        least: usize,
    },
}

impl MaskError {
    pub(super) fn key(key: &'static str, found: String, expected: impl Into<String>) -> Self {
        Self::Key { key, found, expected: expected.into() }
    }
}

/// Views that exist, each named once.
pub(super) fn check_views(key: &'static str, views: &[usize], grids: &[Grid]) -> Result<(), MaskError> {
    let mut seen = vec![false; grids.len()];
    let valid = views.iter().all(|&view| view < grids.len() && !std::mem::replace(&mut seen[view], true));
    if valid && !views.is_empty() {
        return Ok(());
    }
    let expected = match grids.len() {
        1 => "[0], the only view".into(),
        count => format!("at least one of the views 0 to {}, none twice", count.saturating_sub(1)),
    };
    Err(MaskError::key(key, format!("{views:?}"), expected))
}

/// At least `least` rows and columns of patches in each of `views`.
pub(super) fn check_grids(
    kind: &'static str,
    views: &[usize],
    grids: &[Grid],
    least: usize,
) -> Result<(), MaskError> {
    match views.iter().find(|&&view| grids[view].into_iter().any(|side| side < least)) {
        Some(&view) => Err(MaskError::Grid { view, grid: grids[view], kind, least }),
        None => Ok(()),
    }
}

/// A share of patches that leaves some of them.
pub(super) fn check_ratio(key: &'static str, value: f64) -> Result<(), MaskError> {
    let valid = (0.0..1.0).contains(&value);
    if valid { Ok(()) } else { Err(MaskError::key(key, value.to_string(), "a number from 0 to below 1")) }
}

/// Two numbers above 0, the smaller one first; shares are at most 1.
pub(super) fn check_range(key: &'static str, value: [f64; 2], most: f64) -> Result<(), MaskError> {
    let [low, high] = value;
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    let expected = format!("two numbers above 0 and at most {most}, the smaller one first");
    Err(MaskError::key(key, format!("{value:?}"), expected))
}
