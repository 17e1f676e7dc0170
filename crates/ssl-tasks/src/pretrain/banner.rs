//! What is said before the first step.

use ssl_core::{DeviceSpec, Precision};
use ssl_encoders::{EncoderConfig, Family};

use super::PretrainOptions;
use crate::Recipe;
use crate::memory::Estimate;

/// What a run is about to do, besides its recipe.
pub(super) struct Banner<'a> {
    pub(super) steps_per_epoch: u64,
    /// Of the encoder.
    pub(super) parameters: usize,
    /// Of the encoder.
    pub(super) features: usize,
    pub(super) memory: Option<&'a Estimate>,
}

impl Banner<'_> {
    /// Network, length, rate, device and memory, a line each.
    pub(super) fn lines(&self, recipe: &Recipe, options: &PretrainOptions) -> Vec<String> {
        let (parameters, features) = (self.parameters as f64 / 1e6, self.features);
        let (method, network) = (&recipe.method, &recipe.encoder.name);
        let network =
            format!("{method}, {network} with {parameters:.2} million parameters and {features} features");
        let mut lines = vec![
            network,
            self.length(recipe),
            format!("on {}", device(options.device, recipe.data.worker_threads())),
        ];
        lines.extend(narrow(recipe));
        if recipe.precision == Precision::Bf16 && options.device == DeviceSpec::Flex {
            let slower = "flex emulates bfloat16 in float32, which is slower";
            lines.push(format!("{slower}: precision = f32 is quicker on this device"));
        }
        if let Some(memory) = self.memory {
            lines.push(format!("expected memory: {memory}"));
        }
        lines
    }

    fn length(&self, recipe: &Recipe) -> String {
        let (schedule, per_epoch) = (&recipe.schedule, self.steps_per_epoch);
        let (steps, batch) = (schedule.total_steps(per_epoch), schedule.batch_size);
        let epochs = match steps.checked_div(per_epoch).unwrap_or_default() {
            0 => "less than an epoch".to_owned(),
            1 => "1 epoch".to_owned(),
            epochs => format!("{epochs} epochs"),
        };
        let rate = recipe.optimizer.peak_lr(batch);
        let warmup = match schedule.warmup_epochs {
            0.0 => String::new(),
            epochs => format!(" after {epochs} epochs of warm-up"),
        };
        let steps = format!("{epochs}, {steps} steps of {batch} images, {per_epoch} an epoch");
        format!("{steps}; {} at a rate of {rate:.3}{warmup}", recipe.optimizer.name())
    }
}

/// What a network of another width means for other libraries.
fn narrow(recipe: &Recipe) -> Option<String> {
    let EncoderConfig { name, width, .. } = &recipe.encoder;
    let is_narrow = recipe.encoder.family() == Some(Family::ResNet) && *width != 64;
    is_narrow.then(|| {
        let theirs = format!("torchvision and timm have {name} of width 64 alone");
        format!("{theirs}: export prints the Python that makes one of width {width}")
    })
}

/// The device by its name, and the threads that work beside or on it.
fn device(spec: DeviceSpec, workers: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if matches!(spec, DeviceSpec::Flex | DeviceSpec::Tch) {
        return format!("{spec}: the CPU, {cores} threads, and {workers} that load images");
    }
    let found = spec.found().ok().flatten().unwrap_or_default();
    let index = spec.to_string().rsplit(':').next().and_then(|part| part.parse::<usize>().ok());
    let name = found.get(index.unwrap_or(0)).map_or_else(|| spec.to_string(), ToString::to_string);
    format!("{name}, and {workers} threads that load images")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing::recipe;

    #[test]
    fn the_length_of_a_run_is_told_in_epochs_steps_and_images() {
        let mut recipe = recipe("simclr/cifar10");
        let banner = Banner { steps_per_epoch: 97, parameters: 11_168_832, features: 512, memory: None };
        let lines = banner.lines(&recipe, &PretrainOptions::new("run"));
        assert_eq!(lines[0], "simclr, resnet18 with 11.17 million parameters and 512 features");
        assert_eq!(lines[1], "200 epochs, 19400 steps of 512 images, 97 an epoch; sgd at a rate of 0.240");
        assert!(lines[2].starts_with("on flex: the CPU, ") && lines.len() == 3, "{lines:?}");
        (recipe.encoder.width, recipe.precision) = (32, Precision::Bf16);
        let more = banner.lines(&recipe, &PretrainOptions::new("run"));
        let [_, _, _, narrow, slow] = &more[..] else { panic!("two lines more: {more:?}") };
        assert!(slow.starts_with("flex emulates bfloat16 in float32, which is slower"), "{slow}");
        assert!(narrow.starts_with("torchvision and timm have resnet18 of width 64 alone"), "{narrow}");
        (recipe.schedule.max_steps, recipe.schedule.warmup_epochs) = (Some(3), 2.5);
        let short = banner.length(&recipe);
        assert!(short.starts_with("less than an epoch, 3 steps of 512 images"), "{short}");
        assert!(short.ends_with("at a rate of 0.240 after 2.5 epochs of warm-up"), "{short}");
    }
}
