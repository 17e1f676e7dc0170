//! Keys of a recipe and values that help.

use super::checks::images_alike;
use super::{Case, number};

/// Nobody here knows other images of the user's. A run on the rendered ones learns, unless something else than images is wrong.
pub(super) fn rendered_images(_: &Case<'_>) -> String {
    "data.path=demo:train".to_owned()
}

/// A tenth of the rate; no rate helps a network to tell images apart that are all alike.
pub(super) fn lower_rate(case: &Case<'_>) -> String {
    if images_alike(case).is_some() {
        return rendered_images(case);
    }
    let digits = |value: f64| format!("{value:.1e}").parse::<f64>().unwrap_or(value);
    format!("optimizer.lr={}", digits(case.setting.lr / 10.0))
}

/// An assignment of the default to an option of the method, unless it has that value.
fn reset(case: &Case<'_>, option: &str) -> Option<String> {
    let [now, usual] = [&case.setting.options, &case.setting.defaults].map(|table| number(table, option));
    let usual = usual.filter(|_| now != usual)?;
    Some(format!("method_options.{option}={usual}"))
}

pub(super) fn usual_temperature(case: &Case<'_>) -> String {
    reset(case, "temperature").unwrap_or_else(|| lower_rate(case))
}

/// What keeps images from being assigned to one prototype.
pub(super) fn usual_prototypes(case: &Case<'_>) -> String {
    let options = ["sinkhorn_iterations", "regularization_weight", "prototypes"];
    options.into_iter().find_map(|option| reset(case, option)).unwrap_or_else(|| lower_rate(case))
}

/// What a loss needs to depend on embeddings.
pub(super) fn usual_choices(case: &Case<'_>) -> String {
    reset(case, "prototypes").unwrap_or_else(|| usual_temperature(case))
}

pub(super) fn follow_with_the_centre(case: &Case<'_>) -> String {
    let of_others = || reset(case, "teacher_temperature");
    reset(case, "center_momentum").or_else(of_others).unwrap_or_else(|| lower_rate(case))
}

pub(super) fn sharpen(case: &Case<'_>) -> String {
    let warmup = || reset(case, "warmup_teacher_temperature");
    reset(case, "teacher_temperature").or_else(warmup).unwrap_or_else(|| lower_rate(case))
}

pub(super) fn shorter_queue(case: &Case<'_>) -> String {
    let (batch, images) = (case.setting.batch, case.setting.images);
    let of_epoch = (images / batch * batch).max(2 * batch);
    format!("method_options.queue_len={}", of_epoch * case.setting.queue_rows_of_image)
}

pub(super) fn more_workers(case: &Case<'_>) -> String {
    format!("data.workers={}", 2 * case.setting.workers)
}
