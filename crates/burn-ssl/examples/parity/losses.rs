//! Every loss of the method crates on drawn embeddings, with its gradients.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use burn_ssl::core::{Init, Loss};

use crate::Case;
use crate::inputs::Inputs;
use crate::record::Record;

/// Rows and columns of every input.
const SHAPE: [usize; 2] = [6, 10];

/// One case per loss.
pub(crate) fn cases() -> Vec<Case> {
    Vec::from([
        #[cfg(feature = "simclr")]
        case("nt_xent", |[z1, z2]| {
            burn_ssl::simclr::NtXentLoss::new(0.5).forward(burn_ssl::simclr::NtXentInput { z1, z2 })
        }),
        #[cfg(feature = "simclr")]
        case("distillation", |[student, teacher]| {
            let loss = burn_ssl::simclr::DistillationLoss { temperature: 0.5, t2_scale: true };
            loss.forward(burn_ssl::simclr::DistillationInput { student, teacher })
        }),
        #[cfg(feature = "moco")]
        case("moco", |[q, k, queue]| {
            burn_ssl::moco::MoCoLoss::new(0.2).forward(burn_ssl::moco::MoCoInput { q, k, queue })
        }),
        #[cfg(feature = "moco")]
        case("moco-v3", |[q1, q2, k1, k2]| {
            burn_ssl::moco::MoCoV3Loss::new(0.2).forward(burn_ssl::moco::MoCoV3Input { q1, q2, k1, k2 })
        }),
        #[cfg(feature = "byol")]
        case("byol", |[p1, p2, z1, z2]| {
            burn_ssl::byol::ByolLoss.forward(burn_ssl::byol::ByolInput { p1, p2, z1, z2 })
        }),
        #[cfg(feature = "simsiam")]
        case("simsiam", |[p1, p2, z1, z2]| {
            burn_ssl::simsiam::SimSiamLoss.forward(burn_ssl::simsiam::SimSiamInput { p1, p2, z1, z2 })
        }),
        #[cfg(feature = "swav")]
        case("swav", |[first, second, local]| {
            let codes =
                [&first, &second].map(|scores| burn_ssl::swav::sinkhorn(scores.clone(), 0.5, 3, SHAPE[0]));
            let input =
                burn_ssl::swav::SwavInput { scores: vec![first, second, local], codes: codes.to_vec() };
            burn_ssl::swav::SwavLoss::new(0.1).forward(input)
        }),
        #[cfg(feature = "dino")]
        case("dino", |[first, second, teacher, other]| {
            let center = teacher.clone().without_autodiff().mean_dim(0).squeeze_dim(0);
            let input = burn_ssl::dino::DinoInput {
                student: vec![first, second],
                teacher: vec![teacher, other],
                center,
            };
            burn_ssl::dino::DinoLoss::new(0.1, 0.04).forward(input)
        }),
        #[cfg(feature = "barlow-twins")]
        case("barlow-twins", |[z1, z2]| {
            burn_ssl::barlow_twins::BarlowTwinsLoss::new(0.005, 1.0)
                .forward(burn_ssl::barlow_twins::BarlowTwinsInput { z1, z2 })
        }),
        #[cfg(feature = "supcon")]
        case("supcon", |[z1, z2]| {
            let labels = TensorData::from([0_i64, 1, 0, 2, 1, 2]);
            let labels = Tensor::from_data(labels, &z1.device().inner());
            let z = Tensor::stack(vec![z1, z2], 1);
            burn_ssl::supcon::SupConLoss::new(0.1, 0.07)
                .forward(burn_ssl::supcon::SupConInput { z, labels: Some(labels) })
        }),
        case("cross_view", |[first, second, other]| {
            let targets = [softmax(first.without_autodiff(), 1)];
            burn_ssl::core::loss::cross_view_cross_entropy(&targets, &[second, other])
        }),
    ])
}

fn case<const N: usize>(name: &str, loss: fn([Tensor<2>; N]) -> Tensor<1>) -> Case {
    Case::new(format!("loss {name}"), move |inputs| loss_and_gradients(loss, inputs))
}

/// The loss and its gradients with respect to all inputs that have one.
fn loss_and_gradients<const N: usize>(loss: fn([Tensor<2>; N]) -> Tensor<1>, inputs: &Inputs) -> Record {
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
