//! Checks of the parts of a student whose gradients are clipped together.

use burn::module::Module;
use ssl_core::ConfigError;
use ssl_core::named::is_under;

use super::OptimizerConfig;
use super::rules::parameter_paths;

const FIELD: &str = "optimizer.clip_groups";

fn error(found: impl Into<String>, expected: &'static str) -> ConfigError {
    ConfigError { field: FIELD, found: found.into(), expected }
}

/// # Errors
/// If nothing is clipped or every gradient on its own, a group has no part, or a part is in two groups.
pub(super) fn validate(config: &OptimizerConfig) -> Result<(), ConfigError> {
    let groups = &config.clip_groups;
    if groups.is_empty() {
        return Ok(());
    }
    if config.clip_norm.is_none() || config.clip_per_parameter {
        return Err(error(
            format!("{groups:?}"),
            "clip_norm beside it, the largest norm of a group, and clip_per_parameter = false",
        ));
    }
    if groups.iter().any(|group| group.is_empty() || group.iter().any(String::is_empty)) {
        return Err(error(format!("{groups:?}"), "at least one part of the student in every group"));
    }
    let parts: Vec<_> = groups.iter().flatten().collect();
    for (place, part) in parts.iter().enumerate() {
        let others = parts.iter().enumerate().filter(|(other, _)| *other != place);
        if others.clone().any(|(_, other)| is_under(part, other)) {
            return Err(error(format!("groups with '{part}' in two places"), "every part once"));
        }
    }
    Ok(())
}

/// # Errors
/// If no parameter of the module is in a part.
pub(super) fn check<M: Module>(groups: &[Vec<String>], module: &M) -> Result<(), ConfigError> {
    if groups.is_empty() {
        return Ok(());
    }
    let paths = parameter_paths(module);
    let unused = |part: &&String| !paths.iter().any(|path| is_under(path, part));
    match groups.iter().flatten().find(unused) {
        None => Ok(()),
        Some(part) => Err(error(
            format!("a group with '{part}', under which this network has no parameter"),
            "parts that paths begin with, such as encoder or head",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, Init, LayerConfig, Mlp};

    fn config(groups: &[&[&str]]) -> OptimizerConfig {
        let groups = groups.iter().map(|group| group.iter().map(|&part| part.to_owned()).collect()).collect();
        OptimizerConfig::default().with_clip_norm(1.0).with_clip_groups(groups)
    }

    fn said(config: &OptimizerConfig) -> String {
        config.validate().expect_err("unusable").to_string()
    }

    #[test]
    fn groups_need_a_norm_and_every_part_once() {
        assert!(config(&[&["encoder", "projector"], &["head"]]).validate().is_ok());
        let free = OptimizerConfig { clip_norm: None, ..config(&[&["head"]]) };
        assert!(said(&free).contains("expected clip_norm beside it"), "{}", said(&free));
        assert!(
            said(&config(&[&["head"]]).with_clip_per_parameter(true)).contains("clip_per_parameter = false")
        );
        assert!(said(&config(&[&[]])).contains("expected at least one part of the student in every group"));
        let twice = said(&config(&[&["encoder"], &["encoder.norm"]]));
        assert!(
            twice.contains("groups with 'encoder.norm' in two places, expected every part once"),
            "{twice}"
        );
        assert!(said(&config(&[&["head"], &["head"]])).contains("'head' in two places"));
    }

    #[test]
    fn a_part_that_the_network_lacks_is_named() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let network = Mlp::init(2, &[LayerConfig::new(1)], &mut Init::new(0, &device));
        assert!(config(&[&["layers.0"]]).check_module(&network).is_ok());
        let error = config(&[&["layer"]]).check_module(&network).expect_err("no such part").to_string();
        assert!(error.contains("a group with 'layer', under which this network has no parameter"), "{error}");
    }
}
