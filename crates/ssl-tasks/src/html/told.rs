//! What a run says about itself.

use std::path::Path;

use ssl_core::{DeviceSpec, LossScale, SslMethod};
use ssl_encoders::AnyEncoder;
use ssl_report::{Figure, Note, Page, Tile, Tone, data_uri, room};
use ssl_train::{Finding, FindingKind, Summary};

use super::{Ended, accuracy, curves, facts};
use crate::baselines::{Baselines, KNN_TOP1, LINEAR_TOP1};
use crate::compare::{History, Opened};
use crate::methods::{Methods, WithMethod};
use crate::pretrain::{SHEET, Verdict};
use crate::self_check::{RANKME_TRAIN, VIEW_RETRIEVAL, VIEW_RETRIEVAL_CHANCE, VIEW_RETRIEVAL_IMAGES};
use crate::{ComparedRun, Error, Learned, Recipe};

/// What a run says about itself.
pub(super) struct Told {
    pub(super) recipe: Recipe,
    pub(super) run: ComparedRun,
    pub(super) history: History,
    pub(super) verdict: Option<Verdict>,
}

impl Told {
    /// Reads the directory of a run.
    pub(super) fn read(methods: &impl Methods, path: &Path) -> Result<Self, Error> {
        let Opened { run, recipe, history, .. } = Opened::read(path)?;
        let scale = AskScale { batch: recipe.train_config().micro_batch() };
        let scale = methods.with::<AnyEncoder, _>(&recipe.method, &recipe.method_options, scale);
        let checked = [VIEW_RETRIEVAL, VIEW_RETRIEVAL_CHANCE, VIEW_RETRIEVAL_IMAGES, RANKME_TRAIN];
        let values = |value: &dyn Fn(&str) -> Option<f64>| {
            checked.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
        };
        let summary = Summary {
            untrained: values(&|name| history.untrained(name)),
            evaluation: values(&|name| history.last(name)),
            ..Summary::default()
        };
        let verdict = run.finished.then(|| Verdict::of(&summary, scale.unwrap_or_default())).flatten();
        Ok(Self { recipe, run, history, verdict })
    }

    /// Reads the directory of a run that ended early, so that there is no verdict.
    pub(super) fn of_unfinished(path: &Path) -> Result<Self, Error> {
        let Opened { run, recipe, history, .. } = Opened::read(path)?;
        Ok(Self { recipe, run, history, verdict: None })
    }

    /// What is known of a run that has just ended.
    pub(super) fn of<E>(ended: &Ended<'_, E>) -> Result<Self, Error> {
        let Ended { run, recipe, summary, scale, .. } = ended;
        let per_epoch = summary.steps.checked_div(summary.epochs);
        let history = History::read(run, per_epoch)?;
        let metric =
            |name: &str| summary.evaluation.iter().find(|(found, _)| found == name).map(|&(_, value)| value);
        let run = ComparedRun {
            run: run.path().into(),
            method: recipe.method.clone(),
            model: recipe.encoder.name.clone(),
            seed: recipe.seed,
            finished: summary.finished,
            steps: summary.steps,
            epochs: Some(summary.epochs),
            seconds: Some(summary.seconds),
            train_loss: Some(summary.train_loss),
            knn_top1_untrained: history.untrained(KNN_TOP1),
            knn_top1: metric(KNN_TOP1),
            linear_top1_untrained: history.untrained(LINEAR_TOP1),
            linear_top1: metric(LINEAR_TOP1),
            view_retrieval: metric(VIEW_RETRIEVAL),
            rankme_train: metric(RANKME_TRAIN),
            rankme: metric("rankme"),
            notes: Vec::new(),
        };
        let verdict = summary.finished.then(|| Verdict::of(summary, *scale)).flatten();
        Ok(Self { recipe: (*recipe).clone(), run, history, verdict })
    }

    /// A page with everything that needs neither images nor the network. `device` is that of the training, if known.
    pub(super) fn page(&self, device: Option<DeviceSpec>) -> Result<Page, Error> {
        let ComparedRun { method, model, run, .. } = &self.run;
        let data = self.recipe.data.path.file_name().unwrap_or(self.recipe.data.path.as_os_str());
        Ok(Page {
            title: format!("{method} on {}", data.display()),
            subtitle: format!(
                "{model}, {}, seed {}; run {}",
                length(&self.run),
                self.run.seed,
                run.display()
            ),
            verdict: Some(self.verdict()),
            tiles: self.tiles(),
            findings: self.findings(),
            accuracy: Some(accuracy::table(self, &accuracy::Measured::default())),
            curves: curves::of(&[(name(run), &self.history)]),
            views: self.views(),
            data: self
                .run
                .notes
                .iter()
                .map(|note| format!("Not everything could be read: {note}."))
                .collect(),
            facts: facts::of_run(self, device)?,
            ..Page::default()
        })
    }

    fn verdict(&self) -> ssl_report::Verdict {
        let Some(verdict) = &self.verdict else {
            let unfinished = format!("Not finished: {} steps are done", self.run.steps);
            let sentence =
                if self.run.finished { "Nothing was measured that would tell" } else { &unfinished };
            return ssl_report::Verdict {
                tone: Tone::Unclear,
                sentence: sentence.to_owned(),
                details: Vec::new(),
            };
        };
        let (tone, sentence) = answer(verdict.learned);
        let Verdict { view_retrieval: after, view_retrieval_untrained: before, .. } = verdict;
        let (chance, images) = (verdict.view_retrieval_chance, verdict.view_retrieval_images);
        let found = format!(
            "Of the augmented views of {images} training images, {after:.1} % have another view of their image as nearest neighbour; {before:.1} % before training, {chance:.1} % by chance."
        );
        let rank = format!(
            "The features use {:.1} dimensions (RankMe), {:.1} before training.",
            verdict.rankme_train, verdict.rankme_train_untrained
        );
        let accuracies = self.accuracies();
        let details = [found, rank].into_iter().chain(accuracies).collect();
        ssl_report::Verdict { tone, sentence: sentence.to_owned(), details }
    }

    /// The accuracies as multiples of their baselines, if there are labels.
    fn accuracies(&self) -> Option<String> {
        let Baselines { knn, linear } = self.baselines();
        let known = [("k-NN", knn, self.run.knn_top1), ("A linear classifier", linear, self.run.linear_top1)];
        let known = known.into_iter().filter_map(|(name, baseline, accuracy)| {
            let accuracy = accuracy?;
            Some(format!(
                "{name} finds the class of {accuracy:.1} % of test images{}.",
                baseline.multiples(accuracy)
            ))
        });
        let sentences: Vec<_> = known.collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }

    pub(super) fn baselines(&self) -> Baselines {
        Baselines::of(|name| self.history.untrained(name))
    }

    /// What the doctor found.
    fn findings(&self) -> Vec<Note> {
        let note = |(_, finding): (u64, Finding)| Note {
            tone: if finding.kind == FindingKind::Collapse { Tone::Bad } else { Tone::Unclear },
            title: format!("{}, since step {}", finding.rule, finding.since),
            text: format!("{} ({}).", capitalised(&finding.cause), finding.evidence),
            remedy: finding.remedy,
            reference: finding.reference,
        };
        self.history.findings().map(note).collect()
    }

    fn tiles(&self) -> Vec<Tile> {
        let run = &self.run;
        let untrained = |name: &str, digits: usize, unit: &str| {
            self.history
                .untrained(name)
                .map_or(String::new(), |value| format!("untrained {value:.digits$}{unit}"))
        };
        let guess = self.verdict.as_ref().and_then(|verdict| verdict.loss_of_guessing);
        let guess = guess.map_or(String::new(), |guess| format!("{guess:.3} for guessing"));
        let tile = |name: &str, value: Option<f64>, digits: usize, unit: &str, note: String| {
            value.map(|value| Tile { name: name.into(), value: format!("{value:.digits$}{unit}"), note })
        };
        let views = untrained(VIEW_RETRIEVAL, 1, " %");
        let speed =
            self.history.last("images_per_s").map_or(String::new(), |speed| format!("{speed:.0} images/s"));
        let time = run.seconds.map(|seconds| Tile { name: "time".into(), value: time(seconds), note: speed });
        [
            tile("k-NN accuracy", run.knn_top1, 1, " %", untrained(KNN_TOP1, 1, " %")),
            tile("linear accuracy", run.linear_top1, 1, " %", untrained(LINEAR_TOP1, 1, " %")),
            tile("views found", run.view_retrieval, 1, " %", views),
            tile("RankMe", run.rankme_train, 1, "", untrained(RANKME_TRAIN, 1, "")),
            tile("loss", run.train_loss, 3, "", guess),
            time,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The sheet of views in the directory of the run.
    fn views(&self) -> Option<Figure> {
        let sheet = image::open(self.run.run.join(SHEET)).ok()?.to_rgb8();
        let method = &self.run.method;
        let caption = "Some images, and their views as the first epoch had them: this is all that the method sees of them.";
        let uri = data_uri(&sheet, room::SHEET).ok()?;
        Some(Figure {
            uri,
            alt: format!("Images and the views of them that {method} saw"),
            caption: caption.into(),
        })
    }
}

/// A sentence with a large first letter.
fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A verdict in words.
fn answer(learned: Learned) -> (Tone, &'static str) {
    match learned {
        Learned::Yes => {
            (Tone::Good, "It learned: views of one image find each other more often than before training")
        }
        Learned::No => (
            Tone::Bad,
            "It learned nothing: views of one image find each other no more often than before training",
        ),
        Learned::Unclear => (Tone::Unclear, "Unclear: the untrained network already finds nearly all views"),
        Learned::Collapsed => (Tone::Bad, "It collapsed: the features have lost nearly all their dimensions"),
    }
}

/// Asks a method for the scale of its loss.
struct AskScale {
    batch: usize,
}

impl WithMethod<AnyEncoder> for AskScale {
    type Output = LossScale;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> LossScale {
        method.loss_scale(self.batch)
    }
}

/// What a run is called beside others.
pub(super) fn name(run: &Path) -> String {
    run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned()
}

/// How far a run is.
pub(super) fn length(run: &ComparedRun) -> String {
    let state = if run.finished { "" } else { " so far" };
    match run.epochs {
        Some(1) => format!("1 epoch{state}"),
        Some(epochs) if epochs > 1 => format!("{epochs} epochs{state}"),
        _ => format!("{} steps{state}", run.steps),
    }
}

/// Seconds in words.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
