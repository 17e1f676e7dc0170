//! Patches of images as the columns of a matrix, and back.

/// The shape of a convolution over square kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    /// Height and width of the input.
    pub(super) input: [usize; 2],
    /// Height and width of the output.
    pub(super) output: [usize; 2],
}

impl Geometry {
    /// # Panics
    /// If the kernel is larger than the padded image.
    pub(super) fn new(x: [usize; 4], w: [usize; 4], stride: usize, padding: usize) -> Self {
        assert_eq!(x[1], w[1], "convolution: the image has {} channels and the kernel {}", x[1], w[1]);
        let output = |size: usize, kernel: usize| {
            assert!(size + 2 * padding >= kernel, "convolution: kernel {kernel} exceeds image {size}");
            (size + 2 * padding - kernel) / stride + 1
        };
        Self {
            channels_in: x[1],
            channels_out: w[0],
            kernel: w[2],
            stride,
            padding,
            input: [x[2], x[3]],
            output: [output(x[2], w[2]), output(x[3], w[3])],
        }
    }

    /// Pixels of an output plane.
    pub(super) fn pixels_out(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Values of one input image.
    pub(super) fn image_in(&self) -> usize {
        self.channels_in * self.input[0] * self.input[1]
    }

    /// Values of one output image.
    pub(super) fn image_out(&self) -> usize {
        self.channels_out * self.pixels_out()
    }

    /// Values of a patch: the rows of the unfolded matrix.
    pub(super) fn patch(&self) -> usize {
        self.channels_in * self.kernel * self.kernel
    }

    /// Whether unfolding one image would copy it as it is.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }

    /// Outputs along one axis that read inside of the input at kernel offset `k`: `first..end`.
    fn inside(&self, k: usize, axis: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(k).div_ceil(self.stride);
        let limit = self.input[axis] + self.padding;
        let end = if limit > k { (limit - k - 1) / self.stride + 1 } else { 0 };
        (first.min(self.output[axis]), end.min(self.output[axis]))
    }

    /// Calls `copy` for every run of outputs of one image that read from one row of the input: offset of the run in the
    /// unfolded matrix of row length `row`, offset of its first value in the image, and its length.
    fn runs(&self, row: usize, mut copy: impl FnMut(usize, usize, usize)) {
        let [_, width] = self.input;
        for c in 0..self.channels_in {
            for ky in 0..self.kernel {
                let (y0, y1) = self.inside(ky, 0);
                for kx in 0..self.kernel {
                    let (x0, x1) = self.inside(kx, 1);
                    let matrix_row = ((c * self.kernel + ky) * self.kernel + kx) * row;
                    for y in y0..y1.max(y0) {
                        let source_y = y * self.stride + ky - self.padding;
                        let source =
                            (c * self.input[0] + source_y) * width + x0 * self.stride + kx - self.padding;
                        if x1 > x0 {
                            copy(matrix_row + y * self.output[1] + x0, source, x1 - x0);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the patches of images side by side: `columns` is `[patch, images · pixels_out]`.
pub(super) fn unfold(geometry: &Geometry, images: &[f32], columns: &mut [f32]) {
    let count = images.len() / geometry.image_in();
    let pixels = geometry.pixels_out();
    if geometry.padding > 0 {
        columns.fill(0.0);
    }
    for (n, image) in images.chunks_exact(geometry.image_in()).enumerate() {
        let stride = geometry.stride;
        geometry.runs(count * pixels, |at, from, len| {
            let target = &mut columns[at + n * pixels..at + n * pixels + len];
            if stride == 1 {
                target.copy_from_slice(&image[from..from + len]);
            } else {
                target.iter_mut().zip(image[from..].iter().step_by(stride)).for_each(|(t, v)| *t = *v);
            }
        });
    }
}

/// Adds the patches back onto the images they came from: the transpose of [`unfold`].
pub(super) fn fold(geometry: &Geometry, columns: &[f32], images: &mut [f32]) {
    let count = images.len() / geometry.image_in();
    let pixels = geometry.pixels_out();
    for (n, image) in images.chunks_exact_mut(geometry.image_in()).enumerate() {
        let stride = geometry.stride;
        geometry.runs(count * pixels, |at, from, len| {
            let source = &columns[at + n * pixels..at + n * pixels + len];
            if stride == 1 {
                image[from..from + len].iter_mut().zip(source).for_each(|(t, v)| *t += *v);
            } else {
                image[from..].iter_mut().step_by(stride).zip(source).for_each(|(t, v)| *t += *v);
            }
        });
    }
}

/// Copies `[image, channel, pixel]` to `[channel, image · pixel]`.
pub(super) fn gather_channels(images: &[f32], channels: usize, pixels: usize, rows: &mut [f32]) {
    let count = images.len() / (channels * pixels);
    for (n, image) in images.chunks_exact(channels * pixels).enumerate() {
        for (c, plane) in image.chunks_exact(pixels).enumerate() {
            let at = (c * count + n) * pixels;
            rows[at..at + pixels].copy_from_slice(plane);
        }
    }
}

/// Copies `[channel, image · pixel]` to `[image, channel, pixel]`.
pub(super) fn scatter_channels(rows: &[f32], channels: usize, pixels: usize, images: &mut [f32]) {
    let count = images.len() / (channels * pixels);
    for (n, image) in images.chunks_exact_mut(channels * pixels).enumerate() {
        for (c, plane) in image.chunks_exact_mut(pixels).enumerate() {
            let at = (c * count + n) * pixels;
            plane.copy_from_slice(&rows[at..at + pixels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_the_transpose_of_unfolding() {
        for (kernel, stride, padding) in
            [(3, 1, 1), (3, 2, 1), (1, 2, 0), (7, 2, 3), (2, 3, 0), (1, 1, 0), (5, 4, 2)]
        {
            let g = Geometry::new([2, 2, 7, 6], [1, 2, kernel, kernel], stride, padding);
            let columns_len = g.patch() * 2 * g.pixels_out();
            let x: Vec<f32> = (0..2 * g.image_in()).map(|i| (i as f32 * 0.7).sin()).collect();
            let y: Vec<f32> = (0..columns_len).map(|i| (i as f32 * 0.3).cos()).collect();
            let (mut ux, mut fy) = (vec![0.0; columns_len], vec![0.0; x.len()]);
            unfold(&g, &x, &mut ux);
            fold(&g, &y, &mut fy);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let (left, right) = (dot(&ux, &y), dot(&x, &fy));
            assert!((left - right).abs() < 1e-4, "kernel {kernel}, stride {stride}: {left} and {right}");
        }
    }
}
