//! Every optimizer on one weight, two steps, so that its state takes part.

use burn::tensor::Tensor;
use burn_ssl::core::Init;
use burn_ssl::train::{Optimizer, OptimizerConfig, OptimizerName, Rates, SgdConfig};

use crate::Case;
use crate::inputs::Inputs;
use crate::record::Record;

const RATES: Rates = Rates { lr: 0.1, lr_1d: 0.1, lr_constant: 0.1, weight_decay: 0.01 };

/// One case per optimizer, and SGD with Nesterov's momentum.
pub(crate) fn cases() -> Vec<Case> {
    let nesterov = OptimizerConfig::new(SgdConfig::default().with_nesterov(true));
    let plain = |name: OptimizerName| case(name.to_string(), OptimizerConfig::new(name));
    let mut cases: Vec<Case> = OptimizerName::ALL.map(plain).into();
    cases.push(case("nesterov".to_owned(), nesterov));
    cases
}

fn case(name: String, config: OptimizerConfig) -> Case {
    Case::new(format!("optimizer {name}"), move |inputs| two_updates(&config, inputs))
}

fn two_updates(config: &OptimizerConfig, inputs: &Inputs) -> Record {
    let mut draws = Init::new(0, inputs.device());
    let mut normal = || inputs.tensor(draws.normal([24], 1.0).val());
    let (mut weight, gradients): (Tensor<1>, _) = (normal(), [normal(), normal()]);
    let mut optimizer = Optimizer::new(config.clone());
    for gradient in gradients {
        weight = optimizer.update("weight", 2, weight, gradient, RATES);
    }
    let mut record = Record::default();
    record.insert("weight", "", weight);
    record.insert_all("state", optimizer.state());
    record
}
