//! iBOT: student and teacher with one head for class tokens and patches, and the centres of the teacher's logits.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Bool, Tensor};
use ssl_core::embed::{CropTokens, embed_crop_tokens};
use ssl_core::loss::{centered_entropy, mean_logits, next_center};
use ssl_core::math::length;
use ssl_core::tokens::check_class_and_mask;
use ssl_core::{
    Advice, ConfigError, Encoder, Footprint, GradientRules, Head, HeadShape, HiddenPatches, Init,
    LayerConfig, MaskKind, Masking, MethodRules, Metrics, Needs, Pass, Plan, Progress, PrototypeHead,
    SslMethod, Step, StepContext, Teacher, TokenShape, ViewRows, Views, group,
};

use crate::{IBotConfig, IBotInput, IBotLoss};

/// iBOT: DINO on class tokens, and a student that predicts what the teacher says of patches that only the teacher sees.
///
/// ```text
/// s_v, u_i = student(crop_v, the mask token in place of hidden patches)      class tokens, hidden patches i
/// t_v, u'  = teacher(global crop_v)                                          all patches, without gradient
/// L        = λ1 · dino(s, t, center) + λ2 · ibot(u, u' at the hidden patches, patch_center)
/// centers  ← m · center + (1 − m) · mean of t,   m' · patch_center + (1 − m') · mean of u' over all patches
/// teacher  ← τ · teacher + (1 − τ) · student                                 after the optimizer step
/// ```
#[doc(alias = "iBOT")]
#[derive(Clone, Debug)]
pub struct IBot {
    pub(crate) config: IBotConfig,
}

/// What iBOT trains; the teacher has the same structure.
#[derive(Module, Debug)]
pub struct IBotStudent<E> {
    /// The encoder, with a class token and a mask token.
    pub encoder: E,
    /// The head of class tokens and patches, discarded after pretraining.
    pub head: PrototypeHead,
}

/// iBOT's state: the teacher and the centres of its logits.
#[derive(Module, Debug)]
pub struct IBotState<E: Encoder> {
    /// The moving average of the student; its encoder is the one to keep.
    pub teacher: Teacher<IBotStudent<E>>,
    /// Of class tokens, `[output]`.
    pub center: Param<Tensor<1>>,
    /// Of patches, `[output]`.
    pub patch_center: Param<Tensor<1>>,
}

/// The means of the teacher's logits over the images of all processes, each `[output]`.
#[derive(Clone, Debug)]
pub struct Centers {
    /// Of the class tokens of the global crops.
    pub class: Tensor<1>,
    /// Of all their patches, hidden or not.
    pub patch: Tensor<1>,
}

/// Logits of the class tokens of some crops and of the hidden patches, and what else comes with them.
struct Logits {
    /// `[crop · batch, output]`
    class: ViewRows,
    /// `[hidden, output]`
    patches: Tensor<2>,
    /// The student's embeddings of the class tokens of the global crops, `[views · batch, dim]`.
    z: Tensor<2>,
}

impl MethodRules for IBot {
    fn needs(&self) -> Needs {
        Needs { local_views: true, tokens: true, masks: Some(MaskKind::Replace), ..Needs::default() }
    }

    fn gradient_rules(&self, at: Progress) -> GradientRules {
        let is_frozen = at.epoch() < self.config.freeze_last_layer_epochs;
        let frozen = is_frozen.then_some("head.last_layer").into_iter().collect();
        GradientRules { frozen, ..Default::default() }
    }

    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        let config = &self.config;
        let head = HeadShape::new(shape.feature_dim, config.head());
        let last = HeadShape::new(head.outputs(), [LayerConfig::new(config.output_dim)]);
        let dim = head.outputs() as f64;
        let (images, outputs) = (shape.images as f64, config.output_dim as f64);
        let patches = GLOBAL_VIEWS * images * shape.patches as f64;
        let heads = Footprint::of_heads([head, last]);
        // Of every view its logits and their gradient, of the two global ones the teacher's logits and distributions as well; all
        // of these of hidden patches too, and the last layer's normalised weight.
        let rows = 2.0 * images * shape.views as f64 + 2.0 * GLOBAL_VIEWS * images + 4.0 * HIDDEN * patches;
        // The teacher's pass is over before the student's begins.
        let of_patches = heads.kept(HIDDEN * patches);
        Footprint {
            teacher_heads: Some(2),
            joint: true,
            state: 2.0 * outputs,
            loss: outputs * (rows + 3.0 * dim) + of_patches,
            ..heads
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let config = &self.config;
        Advice::of_self_distillation(plan, config.freeze_last_layer_epochs, |at| {
            config.teacher_momentum_at(at)
        })
    }
}

const GLOBAL_VIEWS: f64 = 2.0;

/// Share of the patches that are hidden, for the estimate of memory: 0.3 in half of the images, as in the recipes.
const HIDDEN: f64 = 0.15;

impl<E: Encoder> SslMethod<E> for IBot {
    type Student = IBotStudent<E>;
    type State = IBotState<E>;
    type Carry = Centers;

    fn init(&self, encoder: E, init: &mut Init) -> (IBotStudent<E>, IBotState<E>) {
        let (layers, outputs) = (self.config.head(), self.config.output_dim);
        let head = PrototypeHead::init(encoder.feature_dim(), &layers, outputs, init);
        let head = if self.config.train_prototype_lengths { head.with_trained_lengths() } else { head };
        let student = IBotStudent { encoder, head };
        let center = || Param::initialized(ParamId::new(), Tensor::zeros([outputs], &init.plain_device()));
        let (center, patch_center) = (center(), center());
        let state = IBotState { teacher: Teacher::from_student(&student), center, patch_center };
        (student, state)
    }

    fn check(&self, encoder: &E, _batch: usize) -> Result<(), ConfigError> {
        check_class_and_mask(encoder)
    }

    fn loss(
        &self,
        student: &IBotStudent<E>,
        state: &IBotState<E>,
        views: &Views,
        context: &StepContext,
    ) -> Step<Centers> {
        let mask = views.replaced();
        let hidden = HiddenPatches::of(mask.clone());
        let (teacher, means) =
            state.teacher.network().of_all_patches(views, &hidden, &context.teacher_pass());
        let student = student.of_hidden_patches(views, mask, &hidden, &context.pass("student"));
        let [class, patch] = [means.class, means.patch].map(|mean| group::mean(mean, &context.group));
        let carry = Centers { class, patch };

        let loss = self.loss_at(context.at);
        let (center, patch_center) = (state.center.val(), state.patch_center.val());
        let class = centered_entropy(teacher.class.rows.clone(), center.clone(), loss.teacher_temperature);
        let patch =
            centered_entropy(teacher.patches.clone(), patch_center.clone(), loss.teacher_patch_temperature);
        let metrics = Metrics::of_embeddings(student.z);
        let of_center = center.clone();
        let metrics = metrics
            .with("teacher_entropy", class)
            .with("teacher_patch_entropy", patch)
            .with("center_norm", move || length(of_center));
        let [of_class, of_patches] = loss.terms(IBotInput {
            student: student.class,
            teacher: teacher.class,
            student_patches: student.patches,
            teacher_patches: teacher.patches,
            weights: hidden.weights,
            center,
            patch_center,
        });
        let values = [of_class.clone(), of_patches.clone()].map(Tensor::without_autodiff);
        let [class, patch] = values.map(|value| move || value);
        let metrics = metrics.with("class_loss", class).with("patch_loss", patch);
        Step::of_share(of_class + of_patches, carry).with_metrics(metrics)
    }

    fn absorb(&self, mut state: IBotState<E>, means: Centers) -> IBotState<E> {
        let (momentum, of_patches) = (self.config.center_momentum, self.config.patch_center_momentum);
        state.center = state.center.map(|center| next_center(center, means.class, momentum));
        state.patch_center = state.patch_center.map(|center| next_center(center, means.patch, of_patches));
        state
    }

    fn after_step(&self, student: &IBotStudent<E>, mut state: IBotState<E>, at: Progress) -> IBotState<E> {
        state.teacher = state.teacher.follow(student, self.config.teacher_momentum_at(at));
        state
    }

    fn encoder<'a>(&self, _: &'a IBotStudent<E>, state: &'a IBotState<E>) -> &'a E {
        &state.teacher.network().encoder
    }
}

impl IBot {
    /// The loss with the temperatures of this step.
    fn loss_at(&self, at: Progress) -> IBotLoss {
        let config = &self.config;
        IBotLoss {
            student_temperature: config.student_temperature,
            teacher_temperature: config.teacher_temperature_at(at),
            teacher_patch_temperature: config.teacher_patch_temperature_at(at),
            class_weight: config.class_weight,
            patch_weight: config.patch_weight,
        }
    }
}

impl<E: Encoder> IBotStudent<E> {
    /// A teacher's logits of the global crops, whose patches it sees all, and the means of its logits.
    fn of_all_patches(&self, views: &Views, hidden: &HiddenPatches, pass: &Pass) -> (Logits, Centers) {
        let CropTokens { class, patches } =
            embed_crop_tokens(&self.encoder, views.global(), views.global, Masking::None, pass);
        let z = self.head.forward(class, pass);
        let patches = self.head.forward(patches.flatten(0, 1), pass);
        // The last layer is linear: the mean of the logits is that of the mean embedding, which takes a row and not thousands.
        let mean = patches.clone().mean_dim(0);
        let [class, patches, mean] = self.head.logits_of_each([z.clone(), hidden.take_rows(patches), mean]);
        let means = Centers { class: mean_logits(class.clone()), patch: mean.squeeze_dim(0) };
        (Logits { class: ViewRows { rows: class, views: views.global }, patches, z }, means)
    }

    /// A student's logits of all crops, of which the global ones have hidden patches.
    fn of_hidden_patches(
        &self,
        views: &Views,
        mask: Tensor<2, Bool>,
        hidden: &HiddenPatches,
        pass: &Pass,
    ) -> Logits {
        let crops = &views.crops;
        let CropTokens { class, patches } =
            embed_crop_tokens(&self.encoder, crops, views.global, Masking::Replace(mask), pass);
        let z = self.head.forward(class, pass);
        let patches = self.head.forward(hidden.take(patches), pass);
        let [class, patches] = self.head.logits_of_each([z.clone(), patches]);
        let z = z.narrow(0, 0, views.global * views.batch());
        Logits { class: ViewRows { rows: class, views: crops.len() }, patches, z }
    }
}
