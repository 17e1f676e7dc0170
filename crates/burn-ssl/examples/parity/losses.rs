//! Every loss of the method crates on drawn embeddings, with its gradients.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use burn_ssl::core::loss::{DistillationInput, DistillationLoss};
use burn_ssl::core::{Init, Loss};

use crate::Case;
use crate::inputs::Inputs;
use crate::record::Record;

/// Rows and columns of every input.
const SHAPE: [usize; 2] = [6, 10];

/// One case per loss.
pub(crate) fn cases() -> Vec<Case> {
    Vec::from([
        case("distillation", DistillationLoss::new(0.5).with_t2_scale(true), |[student, teacher]| {
            DistillationInput { student, teacher }
        }),
        #[cfg(feature = "simclr")]
        case("nt_xent", burn_ssl::simclr::NtXentLoss::new(0.5), |[z1, z2]| burn_ssl::simclr::NtXentInput {
            z1,
            z2,
        }),
        #[cfg(feature = "simclr")]
        case("dclw", burn_ssl::simclr::DclLoss::new(0.5).with_weights(0.5), |[z1, z2]| {
            burn_ssl::simclr::DclInput { z1, z2 }
        }),
        #[cfg(feature = "moco")]
        case("moco", burn_ssl::moco::MoCoLoss::new(0.2), |[q, k, queue]| burn_ssl::moco::MoCoInput {
            q,
            k,
            queue,
        }),
        #[cfg(feature = "moco")]
        case("moco-v3", burn_ssl::moco::MoCoV3Loss::new(0.2), |[q1, q2, k1, k2]| {
            burn_ssl::moco::MoCoV3Input { q1, q2, k1, k2 }
        }),
        #[cfg(feature = "nnclr")]
        case("nnclr", burn_ssl::nnclr::NnClrLoss::new(0.2), |[z1, z2, p1, p2, queue]| {
            let [n1, n2] = [z1, z2].map(|z| burn_ssl::nnclr::nearest(z, queue.clone()));
            burn_ssl::nnclr::NnClrInput { n1, n2, p1, p2 }
        }),
        #[cfg(feature = "byol")]
        case("byol", burn_ssl::byol::ByolLoss, |[p1, p2, z1, z2]| burn_ssl::byol::ByolInput {
            p1,
            p2,
            z1,
            z2,
        }),
        #[cfg(feature = "simsiam")]
        case("simsiam", burn_ssl::simsiam::SimSiamLoss, |[p1, p2, z1, z2]| burn_ssl::simsiam::SimSiamInput {
            p1,
            p2,
            z1,
            z2,
        }),
        #[cfg(feature = "swav")]
        case("swav", burn_ssl::swav::SwavLoss::new(0.1), |[first, second, local]| {
            let codes =
                [&first, &second].map(|scores| burn_ssl::swav::sinkhorn(scores.clone(), 0.5, 3, SHAPE[0]));
            burn_ssl::swav::SwavInput {
                scores: vec![first, second, local].into(),
                codes: codes.to_vec().into(),
            }
        }),
        #[cfg(feature = "dino")]
        case("dino", burn_ssl::dino::DinoLoss::new(0.1, 0.04), |[first, second, teacher, other]| {
            let center = teacher.clone().without_autodiff().mean_dim(0).squeeze_dim(0);
            burn_ssl::dino::DinoInput {
                student: vec![first, second].into(),
                teacher: vec![teacher, other].into(),
                center,
            }
        }),
        #[cfg(feature = "barlow-twins")]
        case("barlow-twins", burn_ssl::barlow_twins::BarlowTwinsLoss::new(0.005, 1.0), |[z1, z2]| {
            burn_ssl::barlow_twins::BarlowTwinsInput { z1, z2 }
        }),
        #[cfg(feature = "vicreg")]
        case("vicreg", burn_ssl::vicreg::VicRegLoss::new(25.0, 25.0, 1.0), |[z1, z2]| {
            burn_ssl::vicreg::VicRegInput { z1, z2 }
        }),
        #[cfg(feature = "tico")]
        case("tico", burn_ssl::tico::TiCoLoss::new(8.0), |[z1, z2]| {
            let dim = SHAPE[1];
            let start = Tensor::zeros([dim, dim], &z1.device().inner());
            let covariance = burn_ssl::tico::next_covariance(start, z1.clone(), 0.9);
            burn_ssl::tico::TiCoInput { z1, z2, covariance }
        }),
        #[cfg(feature = "lejepa")]
        case(
            "lejepa",
            burn_ssl::lejepa::LeJepaLoss::new(0.05, burn_ssl::lejepa::SigReg::new(17, 3.0)),
            |[z1, z2, z3]| {
                let slices = Tensor::eye(SHAPE[1], &z1.device().inner());
                let proj = Tensor::stack(vec![z1, z2, z3], 0);
                burn_ssl::lejepa::LeJepaInput { proj, global_views: 2, slices }
            },
        ),
        #[cfg(feature = "supcon")]
        case("supcon", burn_ssl::supcon::SupConLoss::new(0.1, 0.07), |[z1, z2]| {
            let labels = TensorData::from([0_i64, 1, 0, 2, 1, 2]);
            let labels = Tensor::from_data(labels, &z1.device().inner());
            burn_ssl::supcon::SupConInput { z: Tensor::stack(vec![z1, z2], 1), labels: Some(labels) }
        }),
        #[cfg(feature = "mae")]
        case("mae", burn_ssl::mae::MaeLoss::new(true), |[pred, images]| {
            // Five patches of 12 pixels, of which every other one is hidden.
            let images = images.reshape([1, 3, 2, 10]);
            let hidden = TensorData::from([[1.0_f32, 0.0, 1.0, 0.0, 1.0]]);
            let hidden = Tensor::from_data(hidden, &images.device().inner());
            burn_ssl::mae::MaeInput { images, pred: pred.reshape([1, 5, 12]), hidden }
        }),
        #[cfg(feature = "simmim")]
        case("simmim", burn_ssl::simmim::SimMimLoss, |[pred, images]| {
            let images = images.reshape([1, 3, 2, 10]);
            let hidden = TensorData::from([[1.0_f32, 0.0, 1.0, 0.0, 1.0]]);
            let hidden = Tensor::from_data(hidden, &images.device().inner());
            burn_ssl::simmim::SimMimInput { images, pred: pred.reshape([1, 5, 12]), hidden }
        }),
        #[cfg(feature = "ijepa")]
        case("ijepa", burn_ssl::ijepa::IJepaLoss, |[pred, tokens]| {
            // Two blocks of two of the six patches of an image, tokens of ten values.
            let places = TensorData::from([[[0_i64, 4]], [[5, 2]]]);
            let places = Tensor::from_data(places, &tokens.device().inner());
            let pred = pred.narrow(0, 0, 4).reshape([2, 2, 10]);
            burn_ssl::ijepa::IJepaInput { pred, tokens: tokens.reshape([1, 6, 10]), places }
        }),
        #[cfg(feature = "msn")]
        case("msn", burn_ssl::msn::MsnLoss { sinkhorn_iterations: 0, ..MSN }, msn_input),
        #[cfg(feature = "msn")]
        case("msn balanced", MSN, msn_input),
        #[cfg(feature = "distill-features")]
        case(
            "distill_features",
            burn_ssl::distill_features::DistillFeaturesLoss::default(),
            |[student, teacher]| burn_ssl::distill_features::DistillFeaturesInput { student, teacher },
        ),
        #[cfg(feature = "ibot")]
        case(
            "ibot",
            burn_ssl::ibot::IBotLoss {
                student_temperature: 0.1,
                teacher_temperature: 0.04,
                teacher_patch_temperature: 0.07,
                class_weight: 1.0,
                patch_weight: 1.0,
            },
            |[first, second, teacher, other, student_patches, teacher_patches]| {
                let center =
                    |logits: &Tensor<2>| logits.clone().without_autodiff().mean_dim(0).squeeze_dim(0);
                burn_ssl::ibot::IBotInput {
                    center: center(&teacher),
                    patch_center: center(&teacher_patches),
                    weights: Tensor::full([SHAPE[0]], 0.25, &teacher.device().inner()),
                    student: vec![first, second].into(),
                    teacher: vec![teacher, other].into(),
                    student_patches,
                    teacher_patches,
                }
            },
        ),
        #[cfg(feature = "dinov2")]
        case(
            "dinov2",
            burn_ssl::dinov2::DinoV2Loss {
                student_temperature: 0.1,
                class_weight: 1.0,
                patch_weight: 1.0,
                koleo_weight: 0.1,
            },
            |[first, second, teacher, student_patches, features]| {
                let codes = burn_ssl::dinov2::sinkhorn(teacher, 0.5, 3, SHAPE[0]);
                burn_ssl::dinov2::DinoV2Input {
                    weights: Tensor::full([SHAPE[0]], 0.25, &codes.device()),
                    student: vec![first, second].into(),
                    targets: vec![codes.clone()].into(),
                    student_patches,
                    patch_targets: codes,
                    features: vec![features],
                }
            },
        ),
        of_function("cross_view", |[first, second, other]| {
            let targets = vec![softmax(first.without_autodiff(), 1)];
            burn_ssl::core::loss::cross_view_cross_entropy(targets.into(), vec![second, other].into(), 0.5)
        }),
    ])
}

/// MSN's loss with its default numbers.
#[cfg(feature = "msn")]
const MSN: burn_ssl::msn::MsnLoss = burn_ssl::msn::MsnLoss {
    temperature: 0.1,
    sharpen_temperature: 0.25,
    sinkhorn_iterations: 3,
    regularization_weight: 1.0,
};

#[cfg(feature = "msn")]
fn msn_input([anchors, targets, prototypes]: [Tensor<2>; 3]) -> burn_ssl::msn::MsnInput {
    burn_ssl::msn::MsnInput { anchors, targets, prototypes }
}

/// A loss, and how its input is made of drawn embeddings.
fn case<L: Loss + 'static, const N: usize>(
    name: &str,
    loss: L,
    input: fn([Tensor<2>; N]) -> L::Input,
) -> Case {
    of_function(name, move |embeddings| loss.forward(input(embeddings)))
}

fn of_function<const N: usize>(name: &str, loss: impl Fn([Tensor<2>; N]) -> Tensor<1> + 'static) -> Case {
    Case::new(format!("loss {name}"), move |inputs| loss_and_gradients(&loss, inputs))
}

/// The loss and its gradients with respect to all inputs that have one.
fn loss_and_gradients<const N: usize>(loss: impl Fn([Tensor<2>; N]) -> Tensor<1>, inputs: &Inputs) -> Record {
    let mut draws = Init::new(0, &inputs.device().clone().autodiff());
    let inputs: [Tensor<2>; N] =
        std::array::from_fn(|_| inputs.tensor(draws.normal(SHAPE, 1.0).val()).require_grad());
    let value = loss(inputs.clone());
    let gradients = value.backward();
    let mut record = Record::default();
    record.insert("loss", "", value);
    for (index, input) in inputs.iter().enumerate() {
        if let Some(gradient) = input.grad(&gradients) {
            record.insert("gradient", &index.to_string(), gradient);
        }
    }
    record
}
