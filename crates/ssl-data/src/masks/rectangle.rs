use super::Grid;
use crate::Generator;

/// Patches of a grid that make a rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rectangle {
    top: usize,
    left: usize,
    size: Grid,
}

impl Rectangle {
    /// Rows and columns of about `area` patches, with rows / columns near `aspect`.
    pub(super) fn size(area: f64, aspect: f64) -> Grid {
        [(area * aspect).sqrt().round_ties_even() as usize, (area / aspect).sqrt().round_ties_even() as usize]
    }

    /// A rectangle of this size, which fits the grid, with every place in it as likely as any other.
    pub(super) fn place(size: Grid, grid: Grid, generator: &mut Generator) -> Self {
        let top = generator.below(grid[0] - size[0] + 1);
        let left = generator.below(grid[1] - size[1] + 1);
        Self { top, left, size }
    }

    /// Its patches in a grid of `columns` columns, rising.
    pub(super) fn patches(self, columns: usize) -> impl Iterator<Item = usize> {
        let rows = self.top..self.top + self.size[0];
        rows.flat_map(move |row| {
            (self.left..self.left + self.size[1]).map(move |column| row * columns + column)
        })
    }
}

/// Patches of a grid.
pub(super) fn patches(grid: Grid) -> usize {
    grid[0] * grid[1]
}

#[cfg(test)]
mod tests {
    use super::Rectangle;
    use crate::MaskKey;

    #[test]
    fn sizes_follow_area_and_aspect() {
        assert_eq!(Rectangle::size(36.0, 1.0), [6, 6]);
        assert_eq!(Rectangle::size(32.0, 2.0), [8, 4]);
        assert_eq!(Rectangle::size(32.0, 0.5), [4, 8]);
        assert_eq!(Rectangle::size(1.0, 5.0), [2, 0]);
    }

    #[test]
    fn every_place_comes_equally_often() {
        let mut generator = MaskKey { seed: 3, step: 0 }.batch(0, 0);
        let mut counts = [[0u32; 3]; 2];
        for _ in 0..6000 {
            let Rectangle { top, left, .. } = Rectangle::place([3, 2], [4, 4], &mut generator);
            counts[top][left] += 1;
        }
        assert!(counts.as_flattened().iter().all(|&count| count.abs_diff(1000) < 150), "{counts:?}");
    }

    #[test]
    fn patches_go_row_by_row() {
        let rectangle = Rectangle { top: 1, left: 2, size: [2, 3] };
        assert_eq!(rectangle.patches(10).collect::<Vec<_>>(), [12, 13, 14, 22, 23, 24]);
    }
}
