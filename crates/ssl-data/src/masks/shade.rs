use crate::Image;

/// What shaded patches tend to: grey shows on light and on dark images.
const GREY: u16 = 128;

/// `image` with the patches shaded for which `shaded`, `[patch]` row by row, is true.
///
/// Patches are the cells of `grid`, rows and columns. A shaded pixel is a quarter of itself and three quarters grey, so
/// that the image can still be made out.
///
/// # Panics
/// If `shaded` has not one value for each patch.
pub fn shade_patches(image: &Image, grid: [usize; 2], shaded: &[bool]) -> Image {
    let [rows, columns] = grid;
    assert_eq!(shaded.len(), rows * columns, "patches of a grid of {rows} x {columns}");
    let (width, height) = (image.width(), image.height());
    let mut pixels = image.pixels().to_vec();
    for (place, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        let (row, column) = (place / width * rows / height, place % width * columns / width);
        if shaded[row * columns + column] {
            pixel.iter_mut().for_each(|value| *value = ((u16::from(*value) + 3 * GREY) / 4) as u8);
        }
    }
    Image::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use super::shade_patches;
    use crate::Image;

    #[test]
    fn shaded_patches_turn_grey_and_the_others_stay() {
        // 4 x 4 pixels, each with its number, in 2 x 2 patches.
        let image = Image::new(4, 4, (0..16).flat_map(|pixel| [10 * pixel, 255, 0]).collect());
        let shaded = shade_patches(&image, [2, 2], &[false, true, false, false]);
        for pixel in 0..16usize {
            let found = &shaded.pixels()[3 * pixel..3 * pixel + 3];
            let red = 10 * pixel as u8;
            if [2, 3, 6, 7].contains(&pixel) {
                assert_eq!(found, [((u16::from(red) + 384) / 4) as u8, 159, 96]);
            } else {
                assert_eq!(found, [red, 255, 0]);
            }
        }
    }

    #[test]
    fn a_grid_need_not_divide_the_image() {
        let image = Image::new(3, 1, vec![0; 9]);
        let shaded = shade_patches(&image, [1, 2], &[false, true]);
        assert_eq!(shaded.pixels(), [0, 0, 0, 0, 0, 0, 96, 96, 96]);
    }

    #[test]
    #[should_panic(expected = "patches of a grid of 2 x 2")]
    fn a_mask_of_another_grid_panics() {
        let _ = shade_patches(&Image::new(4, 4, vec![0; 48]), [2, 2], &[true; 3]);
    }
}
