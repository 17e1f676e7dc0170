//! What most programs need: `use burn_ssl::prelude::*`.

pub use ssl_core::{
    DeviceSpec, Encoder, EncoderWith, Init, MethodRules, Metrics, Mode, Pass, Progress, SslMethod, Step,
    StepContext, Views,
};
pub use ssl_data::{Dataset, EvalLoader, EvalTransform, Image, LoaderConfig, Normalization, TrainLoader};
pub use ssl_encoders::{AnyEncoder, EncoderConfig};
pub use ssl_eval::{Features, KnnConfig, embed, knn};
pub use ssl_train::{RunDir, TrainConfig, Trainer};

pub use crate::recipe::{NamedDraft, NamedRecipe};
pub use crate::{
    Error, NoObserver, Observer, PretrainOptions, Recipe, Report, pretrain, pretrain_encoder, pretrain_with,
    pretrain_with_encoder,
};
