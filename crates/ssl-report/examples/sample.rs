//! Writes a page with made data and every section: `cargo run -p ssl-report --example sample -- report.html`. The checks in a
//! browser look at it.

use std::error::Error;
use std::f64::consts::TAU;

use image::{Rgb, RgbImage};
use ssl_report::{
    Curves, Facts, Figure, Gallery, GalleryOptions, Line, Looks, Note, Page, Panel, Row, Rows, Sampled,
    Table, Tile, Tone, Verdict, coloured, data_uri, heat,
};

/// Images of the sample unless a second argument says how many.
const IMAGES: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected the file to write")?;
    let images = arguments.next().map_or(Ok(IMAGES), |count| count.parse())?;
    std::fs::write(path, page(images)?.render()?)?;
    Ok(())
}

fn page(images: usize) -> Result<Page, ssl_report::Error> {
    let names = ["a circle, with \"quotes\" & <tags>", "a square", "a stripe"].map(str::to_owned);
    let text = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
    let drawn = data_uri(&picture(5, 96), 9000)?;
    let figure =
        |caption: &str| Figure { uri: drawn.clone(), alt: "a shape".into(), caption: caption.into() };
    Ok(Page {
        title: "simclr on made images".into(),
        subtitle: "resnet18 of width 8, 20 epochs, seed 0".into(),
        verdict: Some(Verdict {
            tone: Tone::Good,
            sentence: "Learned: views that belong together find each other more often than before".into(),
            details: vec!["71.5 % of views found, untrained 33.2 %, chance 0.1 % (512 images)".into()],
        }),
        tiles: vec![
            Tile { name: "k-NN".into(), value: "55.0 %".into(), note: "untrained 31.2 %".into() },
            Tile { name: "loss".into(), value: "4.8".into(), note: "7.6 for guessing".into() },
        ],
        findings: vec![Note {
            tone: Tone::Bad,
            title: "embeddings-collapsed, since step 40".into(),
            text: "The embeddings of all images have become equal (z_std 2.1e-5).".into(),
            remedy: "optimizer.lr=0.006".into(),
            reference: "Chen & He 2020, SimSiam, section 4.1".into(),
        }],
        compared: vec![Table {
            title: String::new(),
            columns: text(&["run", "loss"]),
            rows: vec![text(&["first", "4.8"]), text(&["second", "4.9"])],
            notes: Vec::new(),
        }],
        differences: Some(Table {
            title: "Keys of the recipes that differ".into(),
            columns: text(&["key", "first", "second"]),
            rows: vec![text(&["optimizer.lr", "0.1", "0.2"])],
            notes: vec!["Other keys are the same.".into()],
        }),
        curves: Some(curves()),
        accuracy: Some(Table {
            title: "Accuracy".into(),
            columns: text(&["features", "k-NN top-1"]),
            rows: vec![text(&["raw pixels", "31.0 %"]), text(&["trained", "55.0 %"])],
            notes: vec!["k = 20, T = 0.07, 1,000 test images.".into()],
        }),
        views: Some(figure("What the method saw.")),
        gallery: Some(gallery(images, &names)?),
        sample: format!("{images} of {images} images."),
        data: vec!["1 of 100 test images is also a training image.".into()],
        shared: vec![figure("test/1.png is train/7.png")],
        looks: Some(Looks {
            caption: "Bright is where it looks.".into(),
            columns: text(&["image", "head 1", "patches"]),
            rows: (0..3).map(looks).collect::<Result<_, _>>()?,
        }),
        facts: vec![
            Facts { title: "Run".into(), values: vec![("seed".into(), "0".into())], text: String::new() },
            Facts { title: "Recipe".into(), values: Vec::new(), text: "method = \"simclr\"\n".into() },
        ],
    })
}

fn curves() -> Curves {
    let noisy = |step: usize, run: usize| {
        5.0 / (1.0 + step as f64 / 90.0) + 0.2 * (step * (7 + run)).rem_euclid(11) as f64 / 11.0
    };
    let line = |run: usize| Line::new(run, (0..400).map(|step| (step as f64 / 20.0, noisy(step, run))));
    let panel = |title: &str, main: bool| Panel { title: title.into(), main, lines: vec![line(0), line(1)] };
    Curves {
        unit: "epoch".into(),
        runs: vec!["first".into(), "second".into()],
        panels: vec![panel("loss", true), panel("k-NN, %", true), panel("gradient norm", false)],
    }
}

fn gallery(images: usize, classes: &[String]) -> Result<Gallery, ssl_report::Error> {
    let sampled = |place: usize| Sampled {
        name: format!("images/{place:04}.png"),
        label: Some(place % 3),
        picture: picture(place, 64),
    };
    let row = |place: usize| {
        let angle = TAU * (place % 3) as f64 / 3.0 + 0.4 * (place as f64 * 0.7).sin();
        [angle.cos(), angle.sin(), 0.3 * (place as f64 * 0.31).cos()].map(|value| value as f32)
    };
    let rows = Rows::new((0..images).flat_map(row).collect(), 3);
    let sample: Vec<_> = (0..images).map(sampled).collect();
    Gallery::new(&sample, classes, rows, GalleryOptions { clusters: 4, seed: 0 })
}

/// A shape of one of three kinds in some colour, with some noise.
fn picture(place: usize, side: u32) -> RgbImage {
    let middle = f64::from(side) / 2.0;
    let colour = [0.0, 2.1, 4.2].map(|shift| 150.0 + 90.0 * (place as f64 * 0.9 + shift).cos());
    RgbImage::from_fn(side, side, |x, y| {
        let (dx, dy) = (f64::from(x) - middle, f64::from(y) - middle);
        let inside = match place % 3 {
            0 => dx.hypot(dy) < 0.7 * middle,
            1 => dx.abs().max(dy.abs()) < 0.6 * middle,
            _ => (dx + dy).abs() < 0.3 * middle,
        };
        let noise = f64::from((x * 31 + y * 17 + place as u32 * 7) % 13);
        Rgb(colour.map(|value| if inside { (value + noise) as u8 } else { (40.0 + 2.0 * noise) as u8 }))
    })
}

fn looks(place: usize) -> Result<Row, ssl_report::Error> {
    let image = picture(place, 96);
    let values: Vec<f32> = (0..64).map(|at| (at as f32 * 0.3 + place as f32).sin()).collect();
    let places: Vec<Vec<f32>> =
        (0..64).map(|at| vec![at as f32, (64 - at) as f32, (at % 8) as f32]).collect();
    let pictures = [image.clone(), heat(&values, [8, 8], &image), coloured(&places, [8, 8], 96)];
    let uris = pictures.iter().map(|picture| data_uri(picture, 9000)).collect::<Result<_, _>>()?;
    Ok(Row { name: format!("images/{place:04}.png"), pictures: uris })
}
