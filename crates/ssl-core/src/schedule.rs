//! Schedules as closed-form functions of the step, so that resuming needs only the step number.
//!
//! All are functions of `t`, the number of steps done, out of `total`.

use std::f64::consts::PI;

/// Linear warm-up from 0, then a cosine to `end`.
///
/// ```text
/// t < warmup:  base · t / warmup
/// else:        base · q + end · (1 − q),   q = ½ (1 + cos(π (t − warmup) / (total − warmup)))
/// ```
///
/// # Source
/// Official Barlow Twins (`end = base / 1000`), MoCo v3 and SimCLR code (`end = 0`).
pub fn warmup_cosine(t: f64, total: f64, warmup: f64, base: f64, end: f64) -> f64 {
    if t < warmup {
        return base * t / warmup;
    }
    let q = half_cosine(t - warmup, total - warmup);
    base * q + end * (1.0 - q)
}

/// Linear warm-up from `start` that reaches `base` at its last step, then a cosine to `end`.
///
/// ```text
/// t < warmup:  start + (base − start) · t / (warmup − 1)
/// else:        end + ½ (base − end) (1 + cos(π (t − warmup) / (total − warmup)))
/// ```
///
/// # Source
/// Official DINO (`utils.cosine_scheduler`) and SwAV code.
pub fn linspace_cosine(t: f64, total: f64, warmup: f64, start: f64, base: f64, end: f64) -> f64 {
    if t < warmup {
        // numpy's `linspace` with one point gives its start.
        let share = if warmup > 1.0 { t / (warmup - 1.0) } else { 0.0 };
        return start + (base - start) * share;
    }
    end + (base - end) * half_cosine(t - warmup, total - warmup)
}

/// A momentum that rises from `base` to 1 along a cosine.
///
/// ```text
/// 1 − (1 − base) · ½ (1 + cos(π t / total))
/// ```
///
/// # Source
/// Grill et al. 2020, section 3.2, <https://arxiv.org/abs/2006.07733>.
pub fn momentum_cosine(t: f64, total: f64, base: f64) -> f64 {
    1.0 - (1.0 - base) * half_cosine(t, total)
}

/// A cosine from `start` to `end`.
///
/// ```text
/// end + ½ (start − end) (1 + cos(π t / total))
/// ```
pub fn cosine(t: f64, total: f64, start: f64, end: f64) -> f64 {
    end + (start - end) * half_cosine(t, total)
}

/// Linear from `start` to `end`, then constant.
///
/// ```text
/// start + (end − start) · min(t / total, 1)
/// ```
///
/// A `total` of 0 counts as 1.
///
/// # Source
/// Official `train.py` of arXiv:2301.08243, `momentum_scheduler`; the official code of arXiv:2204.07141 has the same.
pub fn linear(t: f64, total: f64, start: f64, end: f64) -> f64 {
    start + (end - start) * (t / total.max(1.0)).min(1.0)
}

/// Linear from `start` to `end` over `warmup` points, both ends included, then constant.
///
/// # Source
/// Official DINO code, `DINOLoss.teacher_temp_schedule`, indexed by epoch.
pub fn linear_warmup(t: f64, warmup: f64, start: f64, end: f64) -> f64 {
    if t >= warmup {
        return end;
    }
    // numpy's `linspace` with one point gives its start.
    let share = if warmup > 1.0 { t / (warmup - 1.0) } else { 0.0 };
    start + (end - start) * share
}

/// `½ (1 + cos(π t / total))`: 1 at the start, 0 at the end. If `total` is 0, the end has been reached.
fn half_cosine(t: f64, total: f64) -> f64 {
    if total <= 0.0 { 0.0 } else { 0.5 * (1.0 + (PI * t / total).cos()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_starts_at_zero_and_the_cosine_at_the_base() {
        assert_eq!(warmup_cosine(0.0, 100.0, 10.0, 4.8, 0.0), 0.0);
        assert_eq!(warmup_cosine(10.0, 100.0, 10.0, 4.8, 0.0), 4.8);
        assert!((warmup_cosine(55.0, 100.0, 10.0, 4.8, 0.2) - 2.5).abs() < 1e-12);
        assert_eq!(warmup_cosine(0.0, 100.0, 0.0, 0.06, 0.0), 0.06);
    }

    #[test]
    fn linspace_warm_up_reaches_the_base_at_its_last_step() {
        assert_eq!(linspace_cosine(0.0, 50.0, 5.0, 0.1, 1.0, 0.0), 0.1);
        assert_eq!(linspace_cosine(4.0, 50.0, 5.0, 0.1, 1.0, 0.0), 1.0);
        assert_eq!(linspace_cosine(5.0, 50.0, 5.0, 0.1, 1.0, 0.0), 1.0);
        assert_eq!(linspace_cosine(0.0, 50.0, 1.0, 0.1, 1.0, 0.0), 0.1);
        assert!((linspace_cosine(27.5, 50.0, 5.0, 0.1, 1.0, 0.2) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn a_line_ends_at_its_total_and_stays_there() {
        for (t, want) in [(0.0, 0.5), (25.0, 0.625), (50.0, 0.75), (100.0, 1.0), (200.0, 1.0)] {
            assert_eq!(linear(t, 100.0, 0.5, 1.0), want, "at {t}");
        }
        assert_eq!(linear(50.0, 100.0, 0.75, 0.25), 0.5);
        assert_eq!(linear(0.0, 0.0, 0.5, 1.0), 0.5);
    }

    #[test]
    fn momentum_rises_to_one_and_temperature_to_its_end() {
        assert!((momentum_cosine(0.0, 10.0, 0.99) - 0.99).abs() < 1e-15);
        assert!((momentum_cosine(10.0, 10.0, 0.99) - 1.0).abs() < 1e-15);
        assert_eq!(linear_warmup(0.0, 30.0, 0.04, 0.07), 0.04);
        assert_eq!(linear_warmup(29.0, 30.0, 0.04, 0.07), 0.07);
        assert_eq!(linear_warmup(99.0, 30.0, 0.04, 0.07), 0.07);
        assert!((cosine(5.0, 10.0, 0.04, 0.4) - 0.22).abs() < 1e-12);
    }
}
