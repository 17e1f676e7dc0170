//! The rules.

use ssl_train::FindingKind::{Advice, Collapse};

use super::{Case, Rule, Seen, number};

/// Rows that have to show something, unless a rule says otherwise (our choice: 30 steps, or three epochs of few images).
const ROWS: usize = 3;

/// All rules, in the order of `docs/doctor.md`.
pub(super) const RULES: [Rule; 13] = [
    Rule {
        name: "images-alike",
        kind: Collapse,
        cause: "the untrained network has the same features for all images, so they are alike or decoded wrongly",
        reference: "Garrido et al. 2023, RankMe, section 3, arXiv:2210.02885",
        check: images_alike,
        remedy: |_| "data.path=OTHER_IMAGES".to_owned(),
    },
    Rule {
        name: "embeddings-collapsed",
        kind: Collapse,
        cause: "the embeddings of all images have become equal, which minimises the loss without learning anything",
        reference: "Chen & He 2020, SimSiam, section 4.1 and figure 2, arXiv:2011.10566",
        check: embeddings_collapsed,
        remedy: lower_rate,
    },
    Rule {
        name: "loss-at-floor",
        kind: Collapse,
        cause: "the loss is at the least value there can be, which embeddings reach that no longer tell images apart",
        reference: "Chen & He 2020, SimSiam, section 4.1 and figure 2, arXiv:2011.10566",
        check: loss_at_floor,
        remedy: lower_rate,
    },
    Rule {
        name: "dimensions-collapsed",
        kind: Collapse,
        cause: "the features have lost most of their dimensions, as they do at a rate that is too high",
        reference: "Jing et al. 2022, Understanding dimensional collapse, section 4, arXiv:2110.09348",
        check: dimensions_collapsed,
        remedy: lower_rate,
    },
    Rule {
        name: "loss-of-guessing",
        kind: Collapse,
        cause: "the loss stays at that of a guess among the candidates, as it does at a temperature that is too high to tell them apart",
        reference: "Wang & Liu 2021, Understanding the behaviour of contrastive loss, section 3, arXiv:2012.09740",
        check: loss_of_guessing,
        remedy: usual_temperature,
    },
    Rule {
        name: "gradient-vanished",
        kind: Collapse,
        cause: "the gradient is zero, so that nothing is trained: the loss no longer depends on the embeddings",
        reference: "Pascanu et al. 2013, On the difficulty of training recurrent neural networks, section 2, arXiv:1211.5063",
        check: gradient_vanished,
        remedy: |case| reset(case, "prototypes").unwrap_or_else(|| usual_temperature(case)),
    },
    Rule {
        name: "teacher-on-one-output",
        kind: Collapse,
        cause: "the teacher puts all images on one output with certainty, as it does where its centre does not follow or its temperature is too low",
        reference: "Caron et al. 2021, DINO, section 5.3 and figure 7, arXiv:2104.14294",
        check: teacher_on_one_output,
        remedy: follow_with_the_centre,
    },
    Rule {
        name: "teacher-undecided",
        kind: Collapse,
        cause: "the teacher finds all outputs equally likely for all images, as it does where its temperature does not sharpen",
        reference: "Caron et al. 2021, DINO, section 5.3 and figure 7, arXiv:2104.14294",
        check: teacher_undecided,
        remedy: sharpen,
    },
    Rule {
        name: "center-at-rest",
        kind: Advice,
        cause: "the teacher's centre stays at zero, so that nothing keeps one output from taking all images",
        reference: "Caron et al. 2021, DINO, section 3.1 and equation 4, arXiv:2104.14294",
        check: center_at_rest,
        remedy: follow_with_the_centre,
    },
    Rule {
        name: "one-prototype",
        kind: Collapse,
        cause: "all images are assigned to one prototype, so that assignments say nothing",
        reference: "Caron et al. 2020, SwAV, section 3.1, arXiv:2006.09882",
        check: one_prototype,
        remedy: usual_prototypes,
    },
    Rule {
        name: "prototypes-unused",
        kind: Advice,
        cause: "fewer and fewer prototypes are assigned, as happens at a rate that is too high",
        reference: "Caron et al. 2020, SwAV, section 3.1, arXiv:2006.09882",
        check: prototypes_unused,
        remedy: lower_rate,
    },
    Rule {
        name: "queue-too-old",
        kind: Advice,
        cause: "the queue is longer than two epochs, so that it holds outdated embeddings, several of every image",
        reference: "He et al. 2019, MoCo, section 3.2, arXiv:1911.05722",
        check: queue_too_old,
        remedy: shorter_queue,
    },
    Rule {
        name: "waiting-for-data",
        kind: Advice,
        cause: "most of the time passes in waiting for images, which are decoded and cut more slowly than the network learns",
        reference: "docs/performance.md",
        check: waiting_for_data,
        remedy: more_workers,
    },
];

fn images_alike(case: &Case<'_>) -> Option<Seen> {
    let rank = case.rows.untrained.as_ref()?.get("rankme_train")?;
    (rank < 1.05).then(|| Seen { since: 0, evidence: format!("RankMe {rank:.2} before training") })
}

fn embeddings_collapsed(case: &Case<'_>) -> Option<Seen> {
    let (since, spread) = case.rows.lasting("z_std", ROWS, |spread| spread < 1e-3)?;
    Some(Seen { since, evidence: format!("z_std {spread:.1e}") })
}

fn loss_at_floor(case: &Case<'_>) -> Option<Seen> {
    let (guess, floor) = case.setting.scale.guess.zip(case.setting.scale.floor)?;
    if case.setting.hides_patches || case.setting.copies || guess <= floor {
        return None;
    }
    let (since, loss) =
        case.rows.lasting("train_loss", ROWS, |loss| loss - floor < 0.01 * (guess - floor))?;
    Some(Seen {
        since,
        evidence: format!("train_loss {loss:.4}, at best {floor:.4}, {guess:.4} for guessing"),
    })
}

fn dimensions_collapsed(case: &Case<'_>) -> Option<Seen> {
    let row = case.rows.evaluated.as_ref()?;
    let (rank, before) = (row.get("rankme_train")?, case.rows.untrained.as_ref()?.get("rankme_train")?);
    // Networks that predict pixels or tokens keep fewer dimensions for the image as a whole.
    let limit = if case.setting.hides_patches { 0.1 } else { 0.25 };
    let evidence = || format!("RankMe {rank:.1}, {before:.1} before training");
    (rank < limit * before).then(|| Seen { since: row.at.step, evidence: evidence() })
}

/// Rows that have to be at the loss of guessing, and epochs that have to be over.
const GUESSING: (usize, u64) = (5, 2);

fn loss_of_guessing(case: &Case<'_>) -> Option<Seen> {
    let guess = case.setting.scale.guess.filter(|guess| *guess > 0.0)?;
    let usual = number(&case.setting.defaults, "temperature")?;
    // Many healthy runs begin at the loss of guessing.
    case.setting.number("temperature").filter(|now| *now > 2.0 * usual)?;
    let (rows, epochs) = GUESSING;
    let last = case.rows.last()?.at;
    let (since, loss) = case.rows.lasting("train_loss", rows, |loss| (loss - guess).abs() < 0.02 * guess)?;
    let losses = case.rows.values("train_loss", rows)?;
    let [low, high] = [f64::min, f64::max].map(|of| losses.iter().copied().fold(loss, of));
    let stays = high - low < 0.01 * guess && last.step >= epochs * last.steps_per_epoch;
    stays.then(|| Seen { since, evidence: format!("train_loss {loss:.4}, {guess:.4} for guessing") })
}

fn gradient_vanished(case: &Case<'_>) -> Option<Seen> {
    let (since, norm) = case.rows.lasting("grad_norm", ROWS, |norm| norm < 1e-7)?;
    Some(Seen { since, evidence: format!("grad_norm {norm:.1e}") })
}

fn teacher_on_one_output(case: &Case<'_>) -> Option<Seen> {
    let (since, entropy) = case.rows.lasting("teacher_entropy", ROWS, |entropy| entropy < 0.01)?;
    Some(Seen { since, evidence: format!("teacher_entropy {entropy:.1e}") })
}

fn teacher_undecided(case: &Case<'_>) -> Option<Seen> {
    let most = case.setting.number("output_dim")?.ln();
    let (since, entropy) = case.rows.lasting("teacher_entropy", ROWS, |entropy| entropy > 0.999 * most)?;
    Some(Seen { since, evidence: format!("teacher_entropy {entropy:.4}, at most {most:.4}") })
}

fn center_at_rest(case: &Case<'_>) -> Option<Seen> {
    let (since, _) = case.rows.lasting("center_norm", ROWS, |norm| norm == 0.0)?;
    Some(Seen { since, evidence: "center_norm 0".to_owned() })
}

fn one_prototype(case: &Case<'_>) -> Option<Seen> {
    let prototypes = case.setting.number("prototypes")?;
    let (since, usage) = case.rows.lasting("prototype_usage", ROWS, |usage| usage * prototypes < 1.5)?;
    Some(Seen { since, evidence: format!("prototype_usage {usage:.4} of {prototypes}") })
}

fn prototypes_unused(case: &Case<'_>) -> Option<Seen> {
    let rows = &case.rows;
    let first: Vec<f64> = rows.first.iter().filter_map(|row| row.get("prototype_usage")).collect();
    let usual = first.iter().sum::<f64>() / first.len().max(1) as f64;
    let (since, usage) = rows.lasting("prototype_usage", ROWS, |usage| usage < 0.7 * usual)?;
    Some(Seen { since, evidence: format!("prototype_usage {usage:.2}, {usual:.2} at first") })
}

fn queue_too_old(case: &Case<'_>) -> Option<Seen> {
    let queue = case.setting.number("queue_len").filter(|queue| *queue > 0.0)?;
    let row = case.rows.last()?;
    let epochs = queue / case.setting.images as f64;
    let evidence = || format!("queue_len {queue}, {epochs:.1} times {} images", case.setting.images);
    (epochs > 2.0).then(|| Seen { since: row.at.step, evidence: evidence() })
}

/// Seconds of waiting from which on it matters.
const WAITED: f64 = 5.0;

fn waiting_for_data(case: &Case<'_>) -> Option<Seen> {
    let (waited, seconds) = (case.rows.waited, case.rows.seconds);
    let share = waited / seconds;
    let evidence = || format!("{:.0} % of {seconds:.0} s", 100.0 * share);
    let matters = waited > WAITED && share > 0.5;
    matters
        .then(|| Seen { since: case.rows.first.first().map_or(0, |row| row.at.step), evidence: evidence() })
}

fn lower_rate(case: &Case<'_>) -> String {
    let digits = |value: f64| format!("{value:.1e}").parse::<f64>().unwrap_or(value);
    format!("optimizer.lr={}", digits(case.setting.lr / 10.0))
}

/// An assignment of the default to an option of the method, unless it has that value.
fn reset(case: &Case<'_>, option: &str) -> Option<String> {
    let [now, usual] = [&case.setting.options, &case.setting.defaults].map(|table| number(table, option));
    let usual = usual.filter(|_| now != usual)?;
    Some(format!("method_options.{option}={usual}"))
}

fn usual_temperature(case: &Case<'_>) -> String {
    reset(case, "temperature").unwrap_or_else(|| lower_rate(case))
}

fn usual_prototypes(case: &Case<'_>) -> String {
    reset(case, "prototypes").unwrap_or_else(|| lower_rate(case))
}

fn follow_with_the_centre(case: &Case<'_>) -> String {
    let of_others = || reset(case, "teacher_temperature");
    reset(case, "center_momentum").or_else(of_others).unwrap_or_else(|| lower_rate(case))
}

fn sharpen(case: &Case<'_>) -> String {
    let warmup = || reset(case, "warmup_teacher_temperature");
    reset(case, "teacher_temperature").or_else(warmup).unwrap_or_else(|| lower_rate(case))
}

fn shorter_queue(case: &Case<'_>) -> String {
    let (batch, images) = (case.setting.batch, case.setting.images);
    format!("method_options.queue_len={}", (images / batch * batch).max(2 * batch))
}

fn more_workers(case: &Case<'_>) -> String {
    format!("data.workers={}", 2 * case.setting.workers)
}

#[cfg(test)]
mod tests {
    use super::RULES;

    #[test]
    fn the_page_about_the_doctor_lists_the_rules_in_order() {
        let page = include_str!("../../../../docs/doctor.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let row = |line: &str| {
            let mut cells = line.split(" | ");
            let name = cells.next().unwrap_or_default().trim_end_matches('`').to_owned();
            (name, cells.next().unwrap_or_default().to_owned())
        };
        let listed: Vec<_> = rows.map(row).collect();
        let rule = |rule: &super::Rule| (rule.name.to_owned(), format!("{:?}", rule.kind).to_lowercase());
        assert_eq!(listed, RULES.iter().map(rule).collect::<Vec<_>>());
    }

    #[test]
    fn a_cause_is_a_sentence_without_a_full_stop_and_a_reference_leads_somewhere() {
        for rule in &RULES {
            assert!(rule.cause.len() > 40 && !rule.cause.ends_with('.'), "{}", rule.cause);
            assert!(
                rule.reference.contains("arXiv:") || rule.reference.starts_with("docs/"),
                "{}",
                rule.name
            );
        }
    }
}
