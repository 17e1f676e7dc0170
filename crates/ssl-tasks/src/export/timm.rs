//! The networks of timm: their names and arguments.

use serde_json::{Value, json};
use ssl_encoders::{EncoderConfig, Family, Pool, StemChoice};

/// A network that `timm.create_model` makes, up to the first layers for small images.
pub(super) struct TimmModel {
    /// The name.
    pub(super) name: String,
    /// The arguments, in their order, without the number of classes.
    pub(super) args: Vec<(&'static str, Value)>,
    /// The name of the classifier's layer.
    pub(super) classifier: &'static str,
    /// The name of the first convolution.
    pub(super) first_conv: &'static str,
}

impl TimmModel {
    /// The network of a configuration for images of `size` pixels; none where timm has no network of that name or width.
    pub(super) fn of(config: &EncoderConfig, size: usize) -> Option<Self> {
        match config.family()? {
            Family::ResNet if config.width == 64 && !config.selective_kernel => Some(Self {
                name: config.name.clone(),
                args: Vec::new(),
                classifier: "fc",
                first_conv: "conv1",
            }),
            Family::Vit => vit(config, size),
            Family::ConvNext => Some(convnext(config)),
            _ => None,
        }
    }

    /// The arguments as Python has them, each after a comma.
    pub(super) fn python_args(&self) -> String {
        self.args.iter().map(|(name, value)| format!(", {name}={}", python(value))).collect()
    }
}

fn vit(config: &EncoderConfig, size: usize) -> Option<TimmModel> {
    let EncoderConfig { name, heads, class_token, registers, layer_scale, .. } = config;
    let EncoderConfig { embed_dim, depth, mlp_ratio, pool, .. } = config;
    let mut args = vec![("img_size", json!(size)), ("patch_size", json!(config.patch_pixels()?))];
    args.extend(embed_dim.map(|dim| ("embed_dim", json!(dim))));
    args.extend(depth.map(|depth| ("depth", json!(depth))));
    args.extend(mlp_ratio.map(|ratio| ("mlp_ratio", json!(ratio))));
    args.extend(heads.map(|heads| ("num_heads", json!(heads))));
    if let Some(count) = registers.filter(|count| *count > 0) {
        args.extend([("reg_tokens", json!(count)), ("no_embed_class", json!(true))]);
    }
    args.extend(layer_scale.map(|scale| ("init_values", json!(scale))));
    if *class_token == Some(false) {
        args.push(("class_token", json!(false)));
    }
    if *class_token == Some(false) || *pool == Some(Pool::Mean) {
        args.extend([("global_pool", json!("avg")), ("fc_norm", json!(false))]);
    }
    let name = format!("{}_patch16_224", name.replace('-', "_"));
    Some(TimmModel { name, args, classifier: "head", first_conv: "patch_embed.proj" })
}

fn convnext(config: &EncoderConfig) -> TimmModel {
    let EncoderConfig { name, depths, dims, .. } = config;
    let mut args = Vec::new();
    args.extend(depths.map(|depths| ("depths", json!(depths))));
    args.extend(dims.map(|dims| ("dims", json!(dims))));
    TimmModel { name: name.replace('-', "_"), args, classifier: "head.fc", first_conv: "stem.0" }
}

/// A value as Python has it.
fn python(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(values) => format!("[{}]", values.iter().map(python).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Whether the first layers are those for small images, which timm's networks get by hand.
pub(super) fn has_small_stem(config: &EncoderConfig) -> bool {
    !config.is_vit() && config.stem == StemChoice::Cifar
}
