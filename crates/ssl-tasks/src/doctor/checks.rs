//! What rules look for in rows.

use super::{Case, Seen, number};
use crate::pretrain::is_above;
use crate::self_check::{RANKME_TRAIN, VIEW_RETRIEVAL, VIEW_RETRIEVAL_CHANCE, VIEW_RETRIEVAL_IMAGES};

/// Rows that have to show something, unless a rule says otherwise (our choice: 30 steps, or three epochs of few images).
const ROWS: usize = 3;

pub(super) fn images_alike(case: &Case<'_>) -> Option<Seen> {
    let row = case.rows.untrained.as_ref()?;
    let (rank, found) = (row.get(RANKME_TRAIN)?, row.get(VIEW_RETRIEVAL)?);
    let (chance, images) = (row.get(VIEW_RETRIEVAL_CHANCE)?, row.get(VIEW_RETRIEVAL_IMAGES)?);
    let alike = !case.setting.layer_scale && rank < 1.05 && !is_above(found, chance, images as u64);
    alike.then(|| Seen { since: 0, evidence: format!("RankMe {rank:.2} before training") })
}

pub(super) fn embeddings_collapsed(case: &Case<'_>) -> Option<Seen> {
    let (since, spread) = case.lasting("z_std", ROWS, |spread| spread < 1e-3)?;
    Some(Seen { since, evidence: format!("z_std {spread:.1e}") })
}

pub(super) fn loss_at_floor(case: &Case<'_>) -> Option<Seen> {
    let (guess, floor) = case.setting.scale.guess.zip(case.setting.scale.floor)?;
    if case.setting.hides_patches || case.setting.copies || guess <= floor {
        return None;
    }
    let (since, loss) = case.lasting("train_loss", ROWS, |loss| loss - floor < 0.01 * (guess - floor))?;
    Some(Seen {
        since,
        evidence: format!("train_loss {loss:.4}, at best {floor:.4}, {guess:.4} for guessing"),
    })
}

pub(super) fn dimensions_collapsed(case: &Case<'_>) -> Option<Seen> {
    let row = case.rows.evaluated.as_ref()?;
    let (rank, before) = (row.get("rankme_train")?, case.rows.untrained.as_ref()?.get("rankme_train")?);
    // Networks that predict pixels or tokens keep fewer dimensions for the image as a whole.
    let limit = if case.setting.hides_patches { 0.1 } else { 0.25 };
    let evidence = || format!("RankMe {rank:.1}, {before:.1} before training");
    (rank < limit * before).then(|| Seen { since: row.at.step, evidence: evidence() })
}

/// Rows that have to be at the loss of guessing, and epochs that have to be over.
const GUESSING: (usize, u64) = (5, 2);

pub(super) fn loss_of_guessing(case: &Case<'_>) -> Option<Seen> {
    let guess = case.setting.scale.guess.filter(|guess| *guess > 0.0)?;
    let usual = number(&case.setting.defaults, "temperature")?;
    // Many healthy runs begin at the loss of guessing.
    case.setting.number("temperature").filter(|now| *now > 2.0 * usual)?;
    let (rows, epochs) = GUESSING;
    let (since, loss) = case.lasting("train_loss", rows, |loss| (loss - guess).abs() < 0.02 * guess)?;
    let losses = case.rows.values("train_loss", case.enough(rows))?;
    let [low, high] = [f64::min, f64::max].map(|of| losses.iter().copied().fold(loss, of));
    let stays = high - low < 0.01 * guess && case.is_after(epochs);
    stays.then(|| Seen { since, evidence: format!("train_loss {loss:.4}, {guess:.4} for guessing") })
}

pub(super) fn gradient_vanished(case: &Case<'_>) -> Option<Seen> {
    let (since, norm) = case.lasting("grad_norm", ROWS, |norm| norm < 1e-7)?;
    Some(Seen { since, evidence: format!("grad_norm {norm:.1e}") })
}

pub(super) fn teacher_on_one_output(case: &Case<'_>) -> Option<Seen> {
    let (since, entropy) = case.lasting("teacher_entropy", ROWS, |entropy| entropy < 0.01)?;
    Some(Seen { since, evidence: format!("teacher_entropy {entropy:.1e}") })
}

/// Rows that have to be undecided, as at the beginning of a run they may be, and epochs that have to be over.
const UNDECIDED: (usize, u64) = (8, 2);

pub(super) fn teacher_undecided(case: &Case<'_>) -> Option<Seen> {
    let most = case.setting.number("output_dim")?.ln();
    let is_undecided = |entropy: f64| entropy > 0.999 * most;
    let mut first = case.rows.first.iter().filter_map(|row| row.get("teacher_entropy"));
    let was_decided = first.any(|entropy| !is_undecided(entropy));
    // A network that does not tell images apart yet leaves its teacher undecided, too.
    if !case.is_after(UNDECIDED.1) || (sharpens(case) && !was_decided) {
        return None;
    }
    let (since, entropy) = case.lasting("teacher_entropy", UNDECIDED.0, is_undecided)?;
    Some(Seen { since, evidence: format!("teacher_entropy {entropy:.4}, at most {most:.4}") })
}

/// Whether the teacher is surer of its outputs than the student.
fn sharpens(case: &Case<'_>) -> bool {
    let [teacher, student] = ["teacher_temperature", "student_temperature"].map(|of| case.setting.number(of));
    teacher < student
}

pub(super) fn center_at_rest(case: &Case<'_>) -> Option<Seen> {
    let (since, _) = case.lasting("center_norm", ROWS, |norm| norm == 0.0)?;
    Some(Seen { since, evidence: "center_norm 0".to_owned() })
}

pub(super) fn one_prototype(case: &Case<'_>) -> Option<Seen> {
    let prototypes = case.setting.number("prototypes")?;
    let (since, usage) = case.lasting("prototype_usage", ROWS, |usage| usage * prototypes < 1.5)?;
    Some(Seen { since, evidence: format!("prototype_usage {usage:.4} of {prototypes}") })
}

pub(super) fn queue_too_old(case: &Case<'_>) -> Option<Seen> {
    let queue = case.setting.number("queue_len").filter(|queue| *queue > 0.0)?;
    let row = case.rows.last()?;
    let of_epoch = case.setting.images * case.setting.queue_rows_of_image;
    let epochs = queue / of_epoch as f64;
    let evidence = || format!("queue_len {queue}, {epochs:.1} times the {of_epoch} of an epoch");
    (epochs > 2.0).then(|| Seen { since: row.at.step, evidence: evidence() })
}

/// Seconds of waiting from which on it matters.
const WAITED: f64 = 5.0;

pub(super) fn waiting_for_data(case: &Case<'_>) -> Option<Seen> {
    let (waited, seconds) = (case.rows.waited, case.rows.seconds);
    let share = waited / seconds;
    let evidence = || format!("{:.0} % of {seconds:.0} s", 100.0 * share);
    let matters = waited > WAITED && share > 0.5;
    matters
        .then(|| Seen { since: case.rows.first.first().map_or(0, |row| row.at.step), evidence: evidence() })
}
