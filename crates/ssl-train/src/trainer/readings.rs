//! The metrics that a method offers, averaged over micro-batches and processes.

use burn::tensor::{Device, Tensor};
use ssl_core::{Group, Metrics, group};

/// The mean of each metric over the micro-batches of a step and over all processes, in the order of the first micro-batch.
///
/// All processes must offer the same names.
pub(super) fn means(micro_batches: Vec<Metrics>, group: &Group, device: &Device) -> Vec<(&'static str, f64)> {
    let count = micro_batches.len().max(1) as f64;
    let mut sums: Vec<(&'static str, f64)> = Vec::new();
    for (name, value) in micro_batches.into_iter().flat_map(Metrics::read) {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += value,
            None => sums.push((name, value)),
        }
    }
    let means: Vec<f64> = sums.iter().map(|(_, sum)| sum / count).collect();
    sums.iter().map(|(name, _)| *name).zip(over_processes(means, group, device)).collect()
}

fn over_processes(values: Vec<f64>, group: &Group, device: &Device) -> Vec<f64> {
    if group.is_solo() || values.is_empty() {
        return values;
    }
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    let mean = group::mean(Tensor::from_floats(values.as_slice(), device), group);
    mean.into_data().iter::<f64>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    #[test]
    fn every_offer_is_averaged_over_the_micro_batches() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let number = |value: f32| {
            let device = device.clone();
            move || Tensor::from_floats([value], &device)
        };
        let first = Metrics::none().with("a", number(1.0)).with("b", number(-2.0));
        let second = Metrics::none().with("a", number(4.0)).with("b", number(0.0));
        assert_eq!(means(vec![first, second], &Group::default(), &device), [("a", 2.5), ("b", -1.0)]);
        assert!(means(vec![], &Group::default(), &device).is_empty());
    }
}
