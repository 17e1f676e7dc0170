//! DINOv2: student and teacher, one head or two, and the centres of the teacher's logits where it has them.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Bool, Tensor};
use ssl_core::embed::{CropTokens, embed_crop_tokens};
use ssl_core::loss::{centered_softmax, next_center};
use ssl_core::math::{entropy, length};
use ssl_core::tokens::check_class_and_mask;
use ssl_core::{
    Advice, ConfigError, Encoder, Footprint, GradientRules, Head, HiddenPatches, Init, MaskKind, Masking,
    MethodRules, Metrics, Needs, Pass, Plan, Progress, PrototypeHead, SslMethod, Step, StepContext, Teacher,
    TokenShape, ViewRows, Views, group,
};

use crate::centering::{Centering, Means, TeacherLogits};
use crate::config::HeadSizes;
use crate::{DinoV2Config, DinoV2Input, DinoV2Loss, DinoV2Terms, footprint};

/// DINOv2: DINO on class tokens, iBOT on hidden patches, and class tokens that spread.
///
/// ```text
/// s_v, u_i = student(crop_v, the mask token in place of hidden patches)      class tokens, hidden patches i
/// t_v, u'  = teacher(global crop_v)                                          without gradient, u' of hidden patches only
/// q, q'    = softmax((t − center) / T_t), softmax((u' − patch_center) / T_t)     or sinkhorn(t), sinkhorn(u')
/// L        = λ_c · dino(s, q) + λ_p · ibot(u, q') + λ_k · Σ_v koleo(class tokens of global crop v)
/// teacher  ← τ · teacher + (1 − τ) · student                                 after the optimizer step
/// ```
#[doc(alias = "DINOv2")]
#[derive(Clone, Debug)]
pub struct DinoV2 {
    pub(crate) config: DinoV2Config,
}

/// What DINOv2 trains; the teacher has the same structure.
#[derive(Module, Debug)]
pub struct DinoV2Student<E> {
    /// The encoder, with a class token and a mask token.
    pub encoder: E,
    /// The head of class tokens, discarded after pretraining; also of patches if these have none of their own.
    pub head: PrototypeHead,
    /// The patches' own head.
    pub patch_head: Option<PrototypeHead>,
}

/// DINOv2's state: the teacher, and with [`Centering::Center`] the centres of its logits.
#[derive(Module, Debug)]
pub struct DinoV2State<E: Encoder> {
    /// The moving average of the student; its encoder is the one to keep.
    pub teacher: Teacher<DinoV2Student<E>>,
    /// Of class tokens, `[output]`.
    pub center: Option<Param<Tensor<1>>>,
    /// Of hidden patches, `[patch_output]`.
    pub patch_center: Option<Param<Tensor<1>>>,
}

/// What a student says of all crops.
struct Predictions {
    /// Logits of the class tokens of all crops, `[crop · batch, output]`.
    class: ViewRows,
    /// Logits of the hidden patches, `[hidden, patch_output]`.
    patches: Tensor<2>,
    /// The class tokens of each global crop before the head, `[batch, feature_dim]`.
    features: Vec<Tensor<2>>,
    /// Their embeddings, `[global crops · batch, dim]`.
    z: Tensor<2>,
}

/// The teacher's distributions: of the class tokens of the global crops, and of the hidden patches.
struct Targets {
    class: ViewRows,
    patches: Tensor<2>,
}

impl MethodRules for DinoV2 {
    fn needs(&self) -> Needs {
        Needs { local_views: true, tokens: true, masks: Some(MaskKind::Replace), ..Needs::default() }
    }

    fn gradient_rules(&self, at: Progress) -> GradientRules {
        let is_held = at.epoch() < self.config.freeze_last_layer_epochs;
        let zero_lr = if is_held { vec!["head.last_layer", "patch_head.last_layer"] } else { Vec::new() };
        GradientRules { zero_lr, ..Default::default() }
    }

    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        footprint::of(&self.config, shape)
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let config = &self.config;
        Advice::of_self_distillation(plan, config.freeze_last_layer_epochs, |at| {
            config.teacher_momentum_at(at)
        })
    }
}

impl<E: Encoder> SslMethod<E> for DinoV2 {
    type Student = DinoV2Student<E>;
    type State = DinoV2State<E>;
    /// `None` with [`Centering::Sinkhorn`], which has no centres.
    type Carry = Option<Means>;

    fn init(&self, encoder: E, init: &mut Init) -> (DinoV2Student<E>, DinoV2State<E>) {
        let config = &self.config;
        let inputs = encoder.feature_dim();
        let mut head = |HeadSizes { layers, outputs }| {
            let head = PrototypeHead::init(inputs, &layers, outputs, init);
            if config.train_prototype_lengths { head.with_trained_lengths() } else { head }
        };
        let (head, patch_head) = (head(config.head()), config.patch_head().map(&mut head));
        let student = DinoV2Student { encoder, head, patch_head };
        let center = |outputs: usize| {
            let zeros = || Param::initialized(ParamId::new(), Tensor::zeros([outputs], &init.plain_device()));
            (config.centering == Centering::Center).then(zeros)
        };
        let (center, patch_center) = (center(config.output_dim), center(config.patch_outputs()));
        let state = DinoV2State { teacher: Teacher::from_student(&student), center, patch_center };
        (student, state)
    }

    fn check(&self, encoder: &E, batch: usize) -> Result<(), ConfigError> {
        check_class_and_mask(encoder)?;
        let found = format!("{} for batches of 1 image", self.config.koleo_weight);
        let has_neighbours = batch > 1 || self.config.koleo_weight == 0.0;
        ConfigError::check(has_neighbours, "koleo_weight", found, "0, or batches of at least 2 images")
    }

    fn loss(
        &self,
        student: &DinoV2Student<E>,
        state: &DinoV2State<E>,
        views: &Views,
        context: &StepContext,
    ) -> Step<Option<Means>> {
        let (mask, at) = (views.replaced(), context.at);
        let hidden = HiddenPatches::of(mask.clone());
        let (class, patches) = state.teacher.network().as_teacher(views, &hidden, &context.teacher_pass());
        let logits = TeacherLogits { class, patches, hidden: &hidden, group: &context.group };
        let targets = self.targets(&logits, state, self.config.teacher_temperature_at(at));
        let carry = state.center.as_ref().map(|_| logits.means());

        let student = student.as_student(views, mask, &hidden, &context.pass("student"));
        let (of_class, of_patches) = (targets.class.rows.clone(), targets.patches.clone());
        let terms = self.loss().terms(DinoV2Input {
            student: student.class,
            targets: targets.class,
            student_patches: student.patches,
            patch_targets: targets.patches,
            weights: hidden.weights.clone(),
            features: group::gather_each(student.features, &context.group),
        });
        let metrics = Metrics::of_embeddings(student.z)
            .with("teacher_entropy", move || entropy(of_class))
            .with("teacher_patch_entropy", move || entropy(of_patches));
        let metrics = match state.center.as_ref().map(Param::val) {
            Some(center) => metrics.with("center_norm", move || length(center)),
            None => metrics,
        };
        let metrics = with_terms(metrics, &terms);
        // KoLeo is of the images of all processes, and the others of those of this one.
        let koleo = terms.koleo.map(|koleo| group::as_share(koleo, &context.group));
        Step::of_share(DinoV2Terms { koleo, ..terms }.sum(), carry).with_metrics(metrics)
    }

    fn absorb(&self, mut state: DinoV2State<E>, means: Option<Means>) -> DinoV2State<E> {
        let Some(means) = means else { return state };
        let momentum = self.config.center_momentum;
        let follow =
            |center: Param<Tensor<1>>, mean| center.map(|center| next_center(center, mean, momentum));
        state.center = state.center.map(|center| follow(center, means.class));
        if let Some(mean) = means.patch {
            state.patch_center = state.patch_center.map(|center| follow(center, mean));
        }
        state
    }

    fn after_step(
        &self,
        student: &DinoV2Student<E>,
        mut state: DinoV2State<E>,
        at: Progress,
    ) -> DinoV2State<E> {
        state.teacher = state.teacher.follow(student, self.config.teacher_momentum_at(at));
        state
    }

    fn encoder<'a>(&self, _: &'a DinoV2Student<E>, state: &'a DinoV2State<E>) -> &'a E {
        &state.teacher.network().encoder
    }
}

impl DinoV2 {
    fn loss(&self) -> DinoV2Loss {
        let config = &self.config;
        DinoV2Loss {
            student_temperature: config.student_temperature,
            class_weight: config.class_weight,
            patch_weight: config.patch_weight,
            koleo_weight: config.koleo_weight,
        }
    }

    fn targets<E: Encoder>(
        &self,
        logits: &TeacherLogits<'_>,
        state: &DinoV2State<E>,
        temperature: f64,
    ) -> Targets {
        let rounds = self.config.sinkhorn_iterations;
        match (&state.center, &state.patch_center) {
            (Some(center), Some(patch_center)) => {
                let centered = |logits: &Tensor<2>, center: &Param<Tensor<1>>| {
                    centered_softmax(logits.clone(), center.val(), temperature)
                };
                let class = logits.class.clone().map(|logits| centered(&logits, center));
                Targets { class, patches: centered(&logits.patches, patch_center) }
            }
            _ => Targets {
                class: logits.assign_class(temperature, rounds),
                patches: logits.assign_patches(temperature, rounds),
            },
        }
    }
}

impl<E: Encoder> DinoV2Student<E> {
    fn patch_head(&self) -> &PrototypeHead {
        self.patch_head.as_ref().unwrap_or(&self.head)
    }

    /// A teacher's logits of the class tokens of the global crops, and of the hidden patches, which it sees.
    fn as_teacher(&self, views: &Views, hidden: &HiddenPatches, pass: &Pass) -> (ViewRows, Tensor<2>) {
        let CropTokens { class, patches } =
            embed_crop_tokens(&self.encoder, views.global(), views.global, Masking::None, pass);
        let z = self.head.forward(class, pass);
        let patches = self.patch_head().forward(hidden.take(patches), pass);
        self.logits(ViewRows { rows: z, views: views.global }, patches)
    }

    /// A student's predictions for all crops, of which the global ones have hidden patches.
    fn as_student(
        &self,
        views: &Views,
        mask: Tensor<2, Bool>,
        hidden: &HiddenPatches,
        pass: &Pass,
    ) -> Predictions {
        let (crops, global) = (views.crops.len(), views.global);
        let CropTokens { class, patches } =
            embed_crop_tokens(&self.encoder, &views.crops, global, Masking::Replace(mask), pass);
        let rows = global * views.batch();
        let features = class.clone().narrow(0, 0, rows).chunk(global, 0);
        let z = self.head.forward(class, pass);
        let of_patches = self.patch_head().forward(hidden.take(patches), pass);
        let (class, patches) = self.logits(ViewRows { rows: z.clone(), views: crops }, of_patches);
        Predictions { class, patches, features, z: z.narrow(0, 0, rows) }
    }

    /// Logits of the embeddings of crops, and of those of patches.
    fn logits(&self, z: ViewRows, patches: Tensor<2>) -> (ViewRows, Tensor<2>) {
        let views = z.views;
        let [rows, patches] = match &self.patch_head {
            Some(head) => [self.head.logits(z.rows), head.logits(patches)],
            None => self.head.logits_of_each([z.rows, patches]),
        };
        (ViewRows { rows, views }, patches)
    }
}

/// Offers the terms of the loss.
fn with_terms(metrics: Metrics, terms: &DinoV2Terms) -> Metrics {
    let value = |term: &Tensor<1>| {
        let value = term.clone().without_autodiff();
        move || value
    };
    let metrics = metrics.with("class_loss", value(&terms.class)).with("patch_loss", value(&terms.patch));
    match &terms.koleo {
        Some(koleo) => metrics.with("koleo", value(koleo)),
        None => metrics,
    }
}
