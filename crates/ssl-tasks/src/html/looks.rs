//! What a network looks at in some images.

use burn::tensor::{Tensor, TensorData};
use image::RgbImage;
use ssl_core::{Encoder, Masking, Pass, TokenEncoder};
use ssl_data::{Image, Scratch};
use ssl_report::room::{HEADS, LOOK, LOOKED_AT};
use ssl_report::{Looks, Page, Row, Rows, coloured, data_uri, enlarged, heat, principal};

use super::Seen;
use super::sample::spread;
use crate::preparation::{Preparation, eval_transform};
use crate::{Error, Recipe, sheet};

/// Pixels a side of a picture.
const SIDE: u32 = 128;

/// An image that is looked at.
struct Looked {
    name: String,
    /// What evaluation sees of it.
    cropped: Image,
    /// The same as the network gets it.
    values: Vec<f32>,
}

/// Maps of some images with the title of their column: values, `[image][place]`.
struct Column {
    title: String,
    maps: Vec<Vec<f32>>,
}

/// Vectors at the places of some images.
struct Places {
    rows: Rows,
    /// Rows and columns of places in an image.
    grid: [usize; 2],
}

impl<E: Encoder> Seen<'_, E> {
    /// Adds attention maps of a ViT, or the similarity of places of other networks, and the principal components of both.
    pub(super) fn add_looks(&self, page: &mut Page, recipe: &Recipe) -> Result<(), Error> {
        let images = self.some(recipe)?;
        if images.is_empty() {
            return Ok(());
        }
        let tensor = self.tensor(&images);
        let (columns, places, caption) = match self.encoder.tokens() {
            Some(tokens) => of_tokens(tokens, tensor),
            None => match of_map(self.encoder, tensor) {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        let pictures: Vec<RgbImage> =
            images.iter().map(|image| enlarged(&sheet::rgb(&image.cropped), SIDE)).collect();
        let uris = |image: usize| {
            let picture = &pictures[image];
            let heats = columns.iter().map(|column| heat(&column.maps[image], places.grid, picture));
            let drawn = std::iter::once(picture.clone()).chain(heats).chain([places.colours(image)]);
            drawn.map(|picture| data_uri(&picture, LOOK)).collect::<Result<_, _>>()
        };
        let row =
            |(place, image): (usize, &Looked)| Ok(Row { name: image.name.clone(), pictures: uris(place)? });
        let rows = images.iter().enumerate().map(row);
        let rows = rows.collect::<Result<_, ssl_report::Error>>();
        let titles = columns.iter().map(|column| column.title.clone());
        page.looks = Some(Looks {
            caption,
            columns: std::iter::once("image".to_owned())
                .chain(titles)
                .chain(["components".to_owned()])
                .collect(),
            rows: rows.map_err(|error| Error::Page(error.to_string()))?,
        });
        Ok(())
    }

    /// Some images as evaluation sees them.
    fn some(&self, recipe: &Recipe) -> Result<Vec<Looked>, Error> {
        let set = &self.data.train;
        let transform = eval_transform(&Preparation::of(&recipe.data).preprocessing)?;
        let size = transform.size();
        let looked = |place: usize| {
            let image = set.image(place).ok()?;
            let (mut scratch, mut values) = (Scratch::new(), vec![0.0; 3 * size * size]);
            transform.render(&image, &mut scratch, &mut values);
            let cropped = transform.render_image(&image, &mut scratch);
            Some(Looked { name: sheet::name(set, place, &recipe.data.path), cropped, values })
        };
        Ok(spread(set.len(), LOOKED_AT).filter_map(looked).collect())
    }

    /// The images for the network, `[image, channel, height, width]`.
    fn tensor(&self, images: &[Looked]) -> Tensor<4> {
        let size = images[0].cropped.width();
        let values: Vec<f32> = images.iter().flat_map(|image| image.values.iter().copied()).collect();
        Tensor::from_data(TensorData::new(values, [images.len(), 3, size, size]), self.device)
    }
}

fn of_tokens(tokens: &dyn TokenEncoder, images: Tensor<4>) -> (Vec<Column>, Places, String) {
    let [count, _, height, width] = images.dims();
    let grid = tokens.patch_grid([height, width]);
    let patches = tokens.encode_tokens(images.clone(), Masking::None, &Pass::eval()).patches;
    let places = Places { rows: rows(patches), grid };
    let components = "The last column shows the first three principal components of the patches of all these images as red, green and blue: parts of one colour are alike to the network.";
    if !tokens.has_class_token() {
        let caption =
            format!("How similar each patch is to the one in the middle (bright: most). {components}");
        return (vec![places.likeness(count)], places, caption);
    }
    let attention = tokens.class_attention(images, &Pass::eval());
    let [_, heads, patches] = attention.dims();
    let values: Vec<f32> = attention.into_data().iter::<f32>().collect();
    let head = |head: usize| Column {
        title: format!("head {}", head + 1),
        maps: (0..count)
            .map(|image| values[(image * heads + head) * patches..][..patches].to_vec())
            .collect(),
    };
    let columns = (0..heads.min(HEADS)).map(head).collect();
    let of = if heads > HEADS { format!("{HEADS} of {heads} heads") } else { format!("{heads} heads") };
    let caption = format!(
        "The attention of the class token to each patch in the last block, by {of} (bright: most), as in the figures of DINO. {components}"
    );
    (columns, places, caption)
}

fn of_map(encoder: &impl Encoder, images: Tensor<4>) -> Option<(Vec<Column>, Places, String)> {
    let map = encoder.feature_map(images, &Pass::eval())?;
    let [count, dim, height, width] = map.dims();
    let patches = map.reshape([count, dim, height * width]).swap_dims(1, 2);
    let places = Places { rows: rows(patches), grid: [height, width] };
    let caption = "How similar the features at each place are to those in the middle (bright: most). The last column shows the first three principal components of the places of all these images as red, green and blue: parts of one colour are alike to the network.";
    Some((vec![places.likeness(count)], places, caption.to_owned()))
}

/// `[image, place, dim]` as rows, image by image.
fn rows(places: Tensor<3>) -> Rows {
    let [_, _, dim] = places.dims();
    Rows::new(places.into_data().iter::<f32>().collect(), dim)
}

impl Places {
    fn of_image(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The cosines of all places with the one in the middle of their image.
    fn likeness(&self, images: usize) -> Column {
        let unit = self.rows.clone().normalized();
        let middle = self.grid[0] / 2 * self.grid[1] + self.grid[1] / 2;
        let map = |image: usize| {
            let first = image * self.of_image();
            let middle = unit.row(first + middle);
            let cosine = |place: usize| unit.row(first + place).iter().zip(middle).map(|(a, b)| a * b).sum();
            (0..self.of_image()).map(cosine).collect()
        };
        Column { title: "similarity".into(), maps: (0..images).map(map).collect() }
    }

    /// The principal components of all places as the colours of one image.
    fn colours(&self, image: usize) -> RgbImage {
        let found = principal(&self.rows, 3).coordinates;
        coloured(&found[image * self.of_image()..][..self.of_image()], self.grid, SIDE)
    }
}
