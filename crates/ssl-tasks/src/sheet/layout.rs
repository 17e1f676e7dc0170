//! Where images, views and words stand on a sheet.

use std::ops::Range;

use image::{Rgb, RgbImage};

use super::text::{self, LINE};

/// Pixels between two pictures and around the sheet.
pub(super) const GAP: u32 = 4;
/// Smaller views are enlarged by a whole factor to at least this many pixels a side.
const LEGIBLE: u32 = 96;
/// The sheet between the pictures.
pub(super) const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// Columns under titles, and rows under the names of their images. The first column is for the images.
pub(super) struct Layout {
    /// Side of an image and of the largest views in pixels.
    pub(super) cell: u32,
    /// Side of a view's pixel on the sheet in pixels.
    pub(super) zoom: u32,
    columns: Vec<Column>,
    /// Height of a row without its name in pixels.
    height: u32,
    /// Width of the sheet in pixels.
    width: u32,
}

/// Views of one size; smaller ones than the largest are packed, one above another and then in the next column of the pack.
struct Column {
    title: String,
    views: Range<usize>,
    side: u32,
    /// Views that stand one above another.
    stacked: u32,
    x: u32,
}

impl Column {
    fn places(&self) -> u32 {
        self.views.len() as u32
    }

    /// Pixels that so many views take side by side.
    fn extent(&self, views: u32) -> u32 {
        views * (self.side + GAP) - GAP
    }
}

impl Layout {
    /// A sheet for views of these widths in pixels.
    ///
    /// # Errors
    /// If there is no font.
    pub(super) fn new(sizes: &[usize]) -> Result<Self, String> {
        text::embed_font()?;
        let largest = sizes.iter().copied().max().unwrap_or(1) as u32;
        let zoom = LEGIBLE.div_ceil(largest);
        let cell = largest * zoom;
        let mut layout = Self { cell, zoom, columns: Vec::new(), height: cell, width: GAP };
        layout.add("image".to_owned(), 0..1, cell)?;
        for views in of_one_size(sizes) {
            let (size, side) = (sizes[views.start], sizes[views.start] as u32 * zoom);
            if side == cell {
                for view in views {
                    layout.add(format!("view {}, {size} px", view + 1), view..view + 1, side)?;
                }
            } else {
                layout.add(title(&views, size), views, side)?;
            }
        }
        Ok(layout)
    }

    fn add(&mut self, title: String, views: Range<usize>, side: u32) -> Result<(), String> {
        let stacked = (self.cell / side).clamp(1, views.len() as u32);
        let column = Column { title, views, side, stacked, x: self.width };
        let pictures = column.extent(column.places().div_ceil(stacked));
        self.height = self.height.max(column.extent(stacked));
        self.width += pictures.max(text::width(&column.title)?) + GAP;
        self.columns.push(column);
        Ok(())
    }

    /// An empty sheet with the titles.
    ///
    /// # Errors
    /// If there is no font.
    pub(super) fn paper(&self, rows: usize) -> Result<RgbImage, String> {
        let mut sheet = RgbImage::from_pixel(self.width, self.top(rows), PAPER);
        for column in &self.columns {
            text::write(&mut sheet, (column.x, GAP), &column.title)?;
        }
        Ok(sheet)
    }

    /// Where the name of an image begins.
    pub(super) fn name(&self, row: usize) -> (u32, u32) {
        (GAP, self.top(row))
    }

    /// The left upper corner of an image.
    pub(super) fn image(&self, row: usize) -> (i64, i64) {
        self.corner(row, &self.columns[0], 0)
    }

    /// The left upper corner of a view.
    pub(super) fn view(&self, row: usize, view: usize) -> (i64, i64) {
        let column = self.columns[1..].iter().find(|column| column.views.contains(&view));
        let column = column.unwrap_or(&self.columns[0]);
        self.corner(row, column, (view - column.views.start) as u32)
    }

    fn corner(&self, row: usize, column: &Column, place: u32) -> (i64, i64) {
        let (across, down) = (place / column.stacked, place % column.stacked);
        let step = column.side + GAP;
        ((column.x + across * step).into(), (self.top(row) + LINE + down * step).into())
    }

    /// Where a row begins.
    fn top(&self, row: usize) -> u32 {
        GAP + LINE + row as u32 * (LINE + self.height + GAP)
    }
}

fn title(views: &Range<usize>, size: usize) -> String {
    match views.len() {
        1 => format!("view {}, {size} px", views.end),
        _ => format!("views {} to {}, {size} px", views.start + 1, views.end),
    }
}

/// Neighbours of the same size.
fn of_one_size(sizes: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    sizes.chunk_by(|a, b| a == b).map(move |chunk| {
        let views = start..start + chunk.len();
        start = views.end;
        views
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_crops_are_packed_and_large_views_stand_side_by_side() {
        // DINO's, for ImageNet.
        let sizes = [[224; 2].as_slice(), &[96; 8]].concat();
        let layout = Layout::new(&sizes).expect("a font");
        assert_eq!((layout.zoom, layout.height), (1, 224));
        assert_eq!((layout.image(0), layout.view(0, 0), layout.view(0, 1)), ((4, 36), (232, 36), (460, 36)));
        // Two high and four wide.
        let crops: Vec<_> = (2..10).map(|view| layout.view(0, view)).collect();
        assert_eq!(crops[..3], [(688, 36), (688, 136), (788, 36)]);
        assert_eq!(crops[7], (988, 136));
        assert_eq!(layout.width, 988 + 96 + 4);
        assert_eq!(layout.view(1, 2).1, 36 + 16 + 224 + 4);
        assert_eq!(layout.columns[3].title, "views 3 to 10, 96 px");
    }

    #[test]
    fn a_row_is_as_high_as_a_pack_of_crops_with_its_gaps() {
        let layout = Layout::new(&[32, 32, 16, 16, 16]).expect("a font");
        assert_eq!((layout.zoom, layout.cell, layout.height), (3, 96, 100));
    }

    #[test]
    fn titles_have_room_and_views_of_other_sizes_their_own_columns() {
        let layout = Layout::new(&[96, 48, 24]).expect("a font");
        let titles: Vec<_> = layout.columns.iter().map(|column| column.title.as_str()).collect();
        assert_eq!(titles, ["image", "view 1, 96 px", "view 2, 48 px", "view 3, 24 px"]);
        let next = layout.columns[2..].iter().map(|column| column.x).collect::<Vec<_>>();
        assert!(next[1] - next[0] >= text::width("view 2, 48 px").expect("a font") + GAP, "{next:?}");
    }
}
