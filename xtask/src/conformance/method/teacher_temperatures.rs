//! A teacher's temperatures at the steps of a case, as a warm-up by epochs.

use ssl_core::schedule::linear_warmup;

/// A temperature that moves from `start` to `end` over `epochs` epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WarmUp {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) epochs: u64,
}

/// The warm-ups by epochs, of one length, that go through each list of temperatures, one of a step; where none does, the temperatures of
/// `step` as constants.
pub(super) fn warm_ups<const N: usize>(temperatures: [&[f64]; N], step: usize) -> [WarmUp; N] {
    if temperatures.iter().all(|list| is_line(list)) {
        temperatures.map(|list| WarmUp {
            start: list[0],
            end: list[list.len() - 1],
            epochs: list.len() as u64,
        })
    } else {
        temperatures.map(|list| WarmUp { start: list[step], end: list[step], epochs: 0 })
    }
}

fn is_line(list: &[f64]) -> bool {
    let (start, end) = (list[0], list[list.len() - 1]);
    let warm_up = |epoch: usize| linear_warmup(epoch as f64, list.len() as f64, start, end);
    (0..list.len()).all(|epoch| (warm_up(epoch) - list[epoch]).abs() < 1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_on_a_line_are_a_warm_up_and_others_are_constants() {
        assert_eq!(warm_ups([&[0.04, 0.055, 0.07]], 1), [WarmUp { start: 0.04, end: 0.07, epochs: 3 }]);
        assert_eq!(warm_ups([&[0.07, 0.06, 0.06]], 1), [WarmUp { start: 0.06, end: 0.06, epochs: 0 }]);
        let both = warm_ups([&[0.04, 0.05, 0.06], &[0.07, 0.06, 0.06]], 2);
        assert_eq!(both.map(|warm_up| (warm_up.end, warm_up.epochs)), [(0.06, 0); 2]);
    }
}
