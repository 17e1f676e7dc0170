use crate::ops::Planes;

/// Mirrors left and right.
///
/// torchvision `horizontal_flip`; exact.
pub fn horizontal_flip(planes: &mut Planes) {
    let width = planes.width();
    if width > 0 {
        planes.pixels_mut().chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::horizontal_flip;
    use crate::{image::Image, ops::Planes};

    #[test]
    fn rows_are_reversed_and_channels_stay() {
        let mut planes = Planes::from_image(&Image::new(2, 2, (0..12).collect()));
        horizontal_flip(&mut planes);
        assert_eq!(planes.to_image().pixels(), [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
        horizontal_flip(&mut planes);
        assert_eq!(planes.to_image().pixels(), (0..12).collect::<Vec<_>>());
    }
}
