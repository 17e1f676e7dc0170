//! Distillation of class scores into another network.

use serde::{Deserialize, Serialize};
use ssl_core::loss::{DistillationInput, DistillationLoss, cross_entropy};
use ssl_core::{
    ConfigError, Encoder, Init, Loss, MethodRules, Metrics, Needs, NoState, Pass, SslMethod, Step,
    StepContext, Views, limits, setters,
};

/// Hyper-parameters of distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillationConfig {
    /// `T` of the loss, above 0. Default 1 (our choice: the teacher's probabilities as they are).
    pub temperature: f64,
    /// `α`, from 0 to 1: the weight of the distillation loss; `1 − α` is that of the cross entropy with the labels. Default 1: no
    /// labels are needed (eq. 2).
    pub alpha: f64,
    /// Whether the distillation loss is multiplied by `T²`, which keeps the size of its gradient independent of `T`. Default
    /// no (eq. 2); the authors' notebook does so.
    pub t2_scale: bool,
}

impl Default for DistillationConfig {
    fn default() -> Self {
        Self { temperature: 1.0, alpha: 1.0, t2_scale: false }
    }
}

setters!(DistillationConfig {
    with_temperature: temperature = f64,
    with_alpha: alpha = f64,
    with_t2_scale: t2_scale = bool,
});

impl DistillationConfig {
    /// Distillation from `teacher` to another network; both return scores of the same classes, `[batch, class]`.
    ///
    /// The teacher must be on the device without gradients.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build<T: Encoder>(&self, teacher: T) -> Result<Distillation<T>, ConfigError> {
        let Self { temperature: t, alpha, t2_scale } = *self;
        limits::temperature("temperature", t)?;
        limits::share("alpha", alpha)?;
        let loss = DistillationLoss::new(t).with_t2_scale(t2_scale);
        Ok(Distillation { loss, alpha, teacher })
    }
}

/// Distillation from a fine-tuned network to another network, of the same architecture or a smaller one.
///
/// ```text
/// L = α · H(softmax(teacher(view) / T), student(view) / T) + (1 − α) · cross_entropy(student(view), label)
/// ```
///
/// `H` is a [`DistillationLoss`]. The teacher is in evaluation mode and does not change, so it is not part of the state.
///
/// # Source
/// SimCLR v2, section 2 and eq. 2 and 3, <https://arxiv.org/abs/2006.10029>. In eq. 3 the two sums are over two sets, few
/// labelled and many unlabelled images; here both are means over the images of a batch, which all have a label if `α < 1`.
#[derive(Clone, Debug)]
pub struct Distillation<T> {
    loss: DistillationLoss,
    alpha: f64,
    teacher: T,
}

impl<T> MethodRules for Distillation<T> {
    fn needs(&self) -> Needs {
        Needs { global_views: 1, labels: self.alpha < 1.0, ..Needs::default() }
    }
}

impl<S: Encoder, T: Encoder> SslMethod<S> for Distillation<T> {
    type Student = S;
    type State = NoState;
    type Carry = ();

    fn init(&self, network: S, _init: &mut Init) -> (S, NoState) {
        (network, NoState {})
    }

    fn loss(&self, network: &S, _state: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let view = views.crops[0].clone();
        let teacher = self.teacher.encode(view.clone(), &Pass::eval());
        let student = network.encode(view, &context.pass("student"));
        let metrics = Metrics::of_embeddings(student.clone());
        let input = DistillationInput { student: student.clone(), teacher };
        let loss = self.loss.forward(input).mul_scalar(self.alpha);
        let loss = match views.labels.clone().filter(|_| self.alpha < 1.0) {
            Some(labels) => loss + cross_entropy(student, labels).mul_scalar(1.0 - self.alpha),
            None => loss,
        };
        Step::of_share(loss, ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, network: &'a S, _state: &'a NoState) -> &'a S {
        network
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use burn::optim::{GradientsParams, SgdConfig};
    use burn::tensor::{Device, Int, Tensor};
    use ssl_core::nn::{Linear, LinearConfig};
    use ssl_core::{DeviceSpec, Progress, named};

    /// Class scores that are linear in the pixels.
    #[derive(Module, Debug)]
    struct Scores {
        linear: Linear,
    }

    impl Encoder for Scores {
        fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
            self.linear.forward(images.flatten(1, 3))
        }

        fn feature_dim(&self) -> usize {
            self.linear.weight.dims()[0]
        }
    }

    fn context() -> StepContext {
        StepContext::new(0, Progress { step: 0, total_steps: 1, steps_per_epoch: 1 }, 0)
    }

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn scores(seed: u64, device: &Device) -> Scores {
        Scores { linear: LinearConfig::new(12, 5).init(&mut Init::new(seed, device)) }
    }

    fn views() -> Views {
        let images = Tensor::<1, Int>::arange(0..8 * 12, &device()).float().sin().reshape([8, 3, 2, 2]);
        let labels = Tensor::from_ints([0, 1, 2, 3, 4, 0, 1, 2], &device());
        Views { labels: Some(labels), ..Views::new(vec![images], 1) }
    }

    fn loss(config: &DistillationConfig, student: &Scores) -> Tensor<1> {
        let method = config.build(scores(1, &device())).expect("usable");
        method.loss(student, &NoState {}, &views(), &context()).loss
    }

    fn value(loss: Tensor<1>) -> f64 {
        loss.into_data().iter::<f64>().next().expect("one number")
    }

    #[test]
    fn the_loss_is_the_weighted_sum_of_equation_3() {
        let student = scores(2, &device().autodiff());
        let config = |alpha| DistillationConfig { temperature: 0.5, alpha, ..DistillationConfig::default() };
        let at = |alpha| value(loss(&config(alpha), &student));
        let mixed = 0.3 * at(1.0) + 0.7 * at(0.0);
        assert!((at(0.3) - mixed).abs() < 1e-5, "{} and {mixed}", at(0.3));

        let images = views().crops[0].clone();
        let teacher = scores(1, &device()).encode(images.clone(), &Pass::eval());
        let input = DistillationInput { student: student.encode(images, &Pass::train()), teacher };
        assert!((at(1.0) - value(DistillationLoss::new(0.5).forward(input))).abs() < 1e-6);
        let scaled = value(loss(&DistillationConfig { t2_scale: true, ..config(1.0) }, &student));
        assert!((scaled - 0.25 * at(1.0)).abs() < 1e-6);
    }

    #[test]
    fn the_student_learns_from_the_teacher_without_labels_and_the_teacher_stays() {
        let teacher = scores(1, &device());
        let method = DistillationConfig::default().build(teacher.clone()).expect("usable");
        assert!(!method.needs().labels);
        let mut student = scores(2, &device().autodiff());
        let mut optimizer = SgdConfig::new().init();
        let views = Views { labels: None, ..views() };
        let mut losses = Vec::new();
        for _ in 0..60 {
            let step = method.loss(&student, &NoState {}, &views, &context());
            losses.push(value(step.loss.clone()));
            let gradients = GradientsParams::from_grads(step.loss.backward(), &student);
            student = optimizer.step(0.1, student, gradients);
        }
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-6), "{losses:?}");
        // The entropy of the teacher's answers is the least that the loss can be.
        let own = value(loss(&DistillationConfig::default(), &scores(1, &device().autodiff())));
        assert!(losses[0] > own && losses[59] - own < 0.5 * (losses[0] - own), "{losses:?} and {own}");
        assert_eq!(named::collect(&method.teacher), named::collect(&teacher));
    }

    #[test]
    fn unusable_values_are_named() {
        let error = |temperature, alpha| {
            let config = DistillationConfig { temperature, alpha, ..DistillationConfig::default() };
            config.build(scores(1, &device())).expect_err("unusable").to_string()
        };
        assert_eq!(error(0.0, 1.0), "temperature is 0, expected a number above 0");
        assert_eq!(error(1.0, 1.5), "alpha is 1.5, expected a number from 0 to 1");
    }
}
