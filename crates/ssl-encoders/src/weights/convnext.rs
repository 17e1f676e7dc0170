//! The names of the official ConvNeXts, in timm's.

/// A name that every file of the official code has, and no other.
const OFFICIAL: &str = "downsample_layers.0.0.weight";

/// Whether these are the names of an official ConvNeXt.
pub(super) fn is_official<'a>(names: impl IntoIterator<Item = &'a String>) -> bool {
    names.into_iter().any(|name| name == OFFICIAL)
}

/// Our name, which is timm's, for a name of an official ConvNeXt.
///
/// # Source
/// timm `convnext.py`, `checkpoint_filter_fn`.
pub(super) fn own_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["downsample_layers", "0", ..] => joined("stem", &parts[2..]),
        ["downsample_layers", stage, ..] => joined(&format!("stages.{stage}.downsample"), &parts[2..]),
        ["stages", stage, block, layer, ..] => {
            joined(&format!("stages.{stage}.blocks.{block}.{}", of_block(layer)), &parts[4..])
        }
        ["norm", ..] => joined("head.norm", &parts[1..]),
        ["head", ..] => joined("head.fc", &parts[1..]),
        _ => name.to_owned(),
    }
}

fn joined(start: &str, rest: &[&str]) -> String {
    std::iter::once(&start).chain(rest).copied().collect::<Vec<_>>().join(".")
}

fn of_block(layer: &str) -> &str {
    match layer {
        "dwconv" => "conv_dw",
        "pwconv1" => "mlp.fc1",
        "pwconv2" => "mlp.fc2",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_names_become_timms() {
        for (theirs, ours) in [
            ("downsample_layers.0.0.weight", "stem.0.weight"),
            ("downsample_layers.0.1.bias", "stem.1.bias"),
            ("downsample_layers.2.1.weight", "stages.2.downsample.1.weight"),
            ("stages.1.2.gamma", "stages.1.blocks.2.gamma"),
            ("stages.1.2.dwconv.weight", "stages.1.blocks.2.conv_dw.weight"),
            ("stages.0.0.pwconv1.bias", "stages.0.blocks.0.mlp.fc1.bias"),
            ("stages.0.0.pwconv2.weight", "stages.0.blocks.0.mlp.fc2.weight"),
            ("stages.0.0.norm.weight", "stages.0.blocks.0.norm.weight"),
            ("norm.bias", "head.norm.bias"),
            ("head.weight", "head.fc.weight"),
        ] {
            assert_eq!(own_name(theirs), ours);
        }
    }
}
