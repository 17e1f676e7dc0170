//! The rules.

use ssl_train::FindingKind::{Advice, Collapse};

use super::Rule;
use super::checks::{
    center_at_rest, dimensions_collapsed, embeddings_collapsed, gradient_vanished, images_alike,
    loss_at_floor, loss_of_guessing, one_prototype, queue_too_old, teacher_on_one_output, teacher_undecided,
    waiting_for_data,
};
use super::remedies::{
    follow_with_the_centre, lower_rate, more_workers, rendered_images, sharpen, shorter_queue, usual_choices,
    usual_prototypes, usual_temperature,
};

/// All rules, in the order of `docs/doctor.md`.
pub(super) const RULES: [Rule; 12] = [
    Rule {
        name: "images-alike",
        kind: Collapse,
        cause: "the untrained network has the same features for all images, so they are alike or decoded wrongly, as views.png would show",
        reference: "Garrido et al. 2023, RankMe, section 3, arXiv:2210.02885",
        check: images_alike,
        remedy: rendered_images,
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
        remedy: usual_choices,
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
