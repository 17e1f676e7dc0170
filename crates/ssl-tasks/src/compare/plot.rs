//! The losses and k-NN accuracies of runs in one picture.

use std::ops::Range;
use std::path::Path;

use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Opened;
use crate::baselines::{KNN_TOP1, LINEAR_TOP1};
use crate::self_check::VIEW_RETRIEVAL;
use crate::sheet::text::{FONT, embed_font};
use crate::{Error, sheet};

/// Width of the picture and height of a panel in pixels.
const SIZE: (u32, u32) = (960, 380);

/// Colours that people with a colour vision deficiency can tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(240, 228, 66),
];

/// A metric over time, and where its legend hides least.
struct Panel {
    metric: &'static str,
    title: &'static str,
    legend: SeriesLabelPosition,
}

const PANELS: [Panel; 4] = [
    Panel { metric: "train_loss", title: "loss", legend: SeriesLabelPosition::UpperRight },
    Panel { metric: VIEW_RETRIEVAL, title: "views found, %", legend: SeriesLabelPosition::LowerRight },
    Panel { metric: KNN_TOP1, title: "k-NN accuracy, %", legend: SeriesLabelPosition::LowerRight },
    Panel { metric: LINEAR_TOP1, title: "linear accuracy, %", legend: SeriesLabelPosition::LowerRight },
];

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws the curves of some runs; a metric that none of them has gets no panel.
pub(super) fn write(runs: &[Opened], path: &Path, overwrite: bool) -> Result<(), Error> {
    let picture = draw(runs).map_err(|reason| Error::Image { path: path.into(), reason })?;
    sheet::write_image(path, &picture, overwrite)
}

fn draw(runs: &[Opened]) -> Result<RgbImage, String> {
    embed_font()?;
    let panels: Vec<_> = PANELS.into_iter().filter(|panel| panel.is_of(runs)).collect();
    let rows = panels.len().max(1);
    let size = (SIZE.0, SIZE.1 * rows as u32);
    let mut picture = RgbImage::new(size.0, size.1);
    let area = BitMapBackend::with_buffer(&mut picture, size).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let places = area.split_evenly((rows, 1));
    places.iter().zip(panels).try_for_each(|(place, panel)| panel.draw(place, runs))?;
    area.present().map_err(text)?;
    drop((area, places));
    Ok(picture)
}

impl Panel {
    /// Whether a run has the metric.
    fn is_of(&self, runs: &[Opened]) -> bool {
        runs.iter().any(|run| run.history.values(self.metric).next().is_some())
    }

    /// Draws the curves of all runs against epochs, or against steps if a run does not say how many an epoch has.
    fn draw(self, area: &Area<'_>, runs: &[Opened]) -> Result<(), String> {
        let of_epochs = runs.iter().all(|run| run.history.steps_per_epoch.is_some());
        let unit = |run: &Opened| run.history.steps_per_epoch.filter(|_| of_epochs).unwrap_or(1) as f64;
        let curve = |run: &Opened| {
            let points = run.history.values(self.metric);
            points.map(|(step, value)| (step as f64 / unit(run), value)).collect::<Vec<_>>()
        };
        let curves: Vec<_> = runs.iter().map(curve).collect();
        // The same for all panels, so that they can be read together.
        let ends = runs.iter().map(|run| run.history.last_step() as f64 / unit(run));
        let values = curves.iter().flatten().map(|point| point.1);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(range(std::iter::once(0.0).chain(ends)), range(values))
            .map_err(text)?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(WHITE).label_style((FONT, 14)).x_desc(if of_epochs { "epoch" } else { "step" });
        mesh.draw().map_err(text)?;
        for ((run, points), colour) in runs.iter().zip(curves).zip(COLOURS.into_iter().cycle()) {
            let dots = points.iter().map(|&point| Circle::new(point, 2, colour.filled()));
            chart.draw_series(dots).map_err(text)?;
            let line = LineSeries::new(points, colour.stroke_width(2));
            let series = chart.draw_series(line).map_err(text)?.label(run.run.run.display().to_string());
            series.legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(self.legend).label_font((FONT, 14));
        legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw().map_err(text)
    }
}

/// The range of some values, with some room if they are all the same.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low < high { low..high } else { low - 0.5..low + 0.5 }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
