//! What is said of a run while it goes on, in one row of the terminal.

use std::time::Duration;

use burn_ssl::core::Progress;
use indicatif::HumanDuration;

/// The latest figures of a run; those that are not known yet are left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    pub(super) at: Option<Progress>,
    pub(super) loss: Option<f64>,
    /// Accuracies of the last evaluation in per cent.
    pub(super) knn: Option<f64>,
    pub(super) linear: Option<f64>,
    /// RankMe of the last evaluation.
    pub(super) rank: Option<f64>,
    pub(super) images_per_s: Option<f64>,
    /// Share of the time that steps wait for data, 0 to 1.
    pub(super) data_share: Option<f64>,
    pub(super) left: Option<Duration>,
}

/// A figure in words, and in fewer of them.
struct Part {
    long: String,
    short: String,
    /// Parts of the highest rank go first where there is no room.
    rank: u8,
}

impl Line {
    /// The figures in at most `columns` columns, as far as possible: in words, or in fewer, or without some.
    pub(super) fn text(&self, columns: usize) -> String {
        let mut parts = self.parts();
        let in_full = joined(&parts, |part| &part.long, "  ");
        if fits(&in_full, columns) {
            return in_full;
        }
        loop {
            let wide = joined(&parts, |part| &part.short, "  ");
            let narrow = joined(&parts, |part| &part.short, " ");
            if fits(&wide, columns) {
                return wide;
            }
            if fits(&narrow, columns) || parts.len() < 2 {
                return narrow;
            }
            let last = parts.iter().map(|part| part.rank).max().unwrap_or_default();
            parts.retain(|part| part.rank != last);
        }
    }

    fn parts(&self) -> Vec<Part> {
        let of = |value: Option<f64>, rank, text: fn(f64) -> (String, String)| {
            value.map(|value| {
                let (long, short) = text(value);
                Part { long, short, rank }
            })
        };
        let left = self.left.map_or("?".to_owned(), |left| format!("{:#}", HumanDuration(left)));
        let left = format!("{left} left");
        [
            self.at.map(epochs).map(|epochs| Part {
                long: format!("epoch {epochs}"),
                short: format!("ep {epochs}"),
                rank: 1,
            }),
            of(self.loss, 2, |loss| (format!("loss {loss:.4}"), format!("loss {loss:.3}"))),
            of(self.knn, 3, |share| (format!("k-NN {share:.1} %"), format!("k-NN {share:.1}"))),
            of(self.linear, 6, |share| (format!("linear {share:.1} %"), format!("lin {share:.1}"))),
            of(self.rank, 7, |rank| (format!("rank {rank:.1}"), format!("rank {rank:.1}"))),
            of(self.images_per_s, 4, |speed| (format!("{speed:.0} images/s"), format!("{speed:.0}/s"))),
            of(self.data_share, 5, |share| {
                let share = 100.0 * share;
                (format!("data {share:.0} %"), format!("data {share:.0}%"))
            }),
            Some(Part { long: left.clone(), short: left, rank: 0 }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Epochs done of all, with tenths.
fn epochs(at: Progress) -> String {
    let per_epoch = at.steps_per_epoch.max(1);
    let done = at.step as f64 / per_epoch as f64;
    match at.total_steps.is_multiple_of(per_epoch) {
        true => format!("{done:.1}/{}", at.total_steps / per_epoch),
        false => format!("{done:.1}/{:.1}", at.total_steps as f64 / per_epoch as f64),
    }
}

fn fits(text: &str, columns: usize) -> bool {
    text.chars().count() <= columns
}

fn joined(parts: &[Part], text: fn(&Part) -> &String, between: &str) -> String {
    parts.iter().map(|part| text(part).as_str()).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            at: Some(Progress { step: 32, total_steps: 50, steps_per_epoch: 10 }),
            loss: Some(4.1234),
            knn: Some(45.12),
            linear: Some(50.2),
            rank: Some(23.44),
            images_per_s: Some(512.4),
            data_share: Some(0.124),
            left: Some(Duration::from_secs(200)),
        }
    }

    #[test]
    fn a_wide_terminal_shows_everything_in_words() {
        let expected = "epoch 3.2/5  loss 4.1234  k-NN 45.1 %  linear 50.2 %  rank 23.4  512 images/s  data 12 %  3m left";
        assert_eq!(line().text(118), expected);
    }

    #[test]
    fn eighty_columns_show_everything_in_fewer_words() {
        let expected = "ep 3.2/5  loss 4.123  k-NN 45.1  lin 50.2  rank 23.4  512/s  data 12%  3m left";
        assert_eq!(line().text(78), expected);
    }

    #[test]
    fn what_matters_least_goes_first_where_there_is_no_room() {
        assert_eq!(line().text(60), "ep 3.2/5  loss 4.123  k-NN 45.1  512/s  data 12%  3m left");
        assert_eq!(line().text(50), "ep 3.2/5  loss 4.123  k-NN 45.1  512/s  3m left");
        assert_eq!(line().text(20), "ep 3.2/5  3m left");
        assert_eq!(line().text(3), "3m left");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_parts_of_an_epoch_are_told() {
        let at = Progress { step: 1, total_steps: 5, steps_per_epoch: 10 };
        assert_eq!(Line { at: Some(at), ..Line::default() }.text(78), "epoch 0.1/0.5  ? left");
    }
}
